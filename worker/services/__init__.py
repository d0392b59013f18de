"""The use cases.

Each service loads the state, asks the domain for a decision, and stores the decision. The fields of a service are its
collaborators.
"""
