"""ALL SQL. The database is the truth and the clock.

The transaction is the method: whatever changes a delivery locks its row, decides, and writes the row, its attempts
and its events in one commit.
"""

from worker.store.store import Dead, Due, Intake, Store, StoredCallback, Unsent

__all__ = ["Dead", "Due", "Intake", "Store", "StoredCallback", "Unsent"]
