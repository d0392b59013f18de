"""ALL SQL. The database is the truth and the clock.

The transaction is the method: whatever changes a delivery locks its row, decides, and writes the row, its attempts
and its events in one commit.
"""

from worker.store.callbacks import StoredCallback
from worker.store.deliveries import Due
from worker.store.engine import passing
from worker.store.intake import Dead, Intake
from worker.store.store import Store

__all__ = ["Dead", "Due", "Intake", "Store", "StoredCallback", "passing"]
