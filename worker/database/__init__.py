"""All SQL. The database is the truth and the clock.

The transaction is the method: whatever changes a delivery locks its row, decides, and writes the row, its attempts
and its events in one commit. A service decides; this room stores.
"""
