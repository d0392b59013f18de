"""The use cases.

Each service loads state, asks for a decision, stores it and publishes; its fields are its collaborators.
"""
