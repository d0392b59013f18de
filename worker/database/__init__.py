"""ALL SQL. The database is the truth and the clock.

The transaction is the method: whatever changes a delivery locks its row, decides, and writes the row, its attempts
and its events in one commit.
"""

from worker.database.callbacks import StoredCallback
from worker.database.connection import is_transient
from worker.database.database import Database
from worker.database.deliveries import Due
from worker.database.inbox import DeadLetter, Intake

__all__ = ["Database", "DeadLetter", "Due", "Intake", "StoredCallback", "is_transient"]
