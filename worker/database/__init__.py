"""All SQL. The database holds the whole state, including the time of every next step.

A change of a delivery is one transaction: lock the row, call the decision, write the row, its attempts and its events.
The callers pass the decisions; this package only stores.
"""
