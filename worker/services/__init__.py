"""The use cases: each fetches, decides, stores and publishes, with its collaborators as fields."""
