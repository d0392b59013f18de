"""Settings: their sources and their models."""
