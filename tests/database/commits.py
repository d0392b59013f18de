"""Commits whose answer is lost."""

from collections.abc import Callable

from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from worker.database.database import Database


def lose_next_commit(database: Database, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Let the next commit succeed without an answer; something happens before the transaction is repeated."""

    def commit(connection: Connection) -> None:
        event.remove(database.engine, "commit", commit)
        connection.connection.commit()
        meanwhile()
        raise OperationalError("COMMIT", None, Exception("the answer is lost"))

    event.listen(database.engine, "commit", commit)
