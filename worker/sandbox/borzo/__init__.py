"""The simulated Borzo Business API 1.6."""
