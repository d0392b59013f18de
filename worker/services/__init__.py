"""The use cases.

Each service loads the state, asks the domain for a decision, and stores it. Its fields are its collaborators.
"""
