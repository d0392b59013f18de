"""ALL SQL. The database is the truth and the clock.

The transaction is the method: whatever changes a delivery locks its row, decides, and writes the row, its attempts
and its events in one commit.
"""

from worker.database.callbacks import StoredCallback
from worker.database.connection import passing
from worker.database.database import Store
from worker.database.deliveries import Due
from worker.database.inbox import Dead, Intake

__all__ = ["Dead", "Due", "Intake", "Store", "StoredCallback", "passing"]
