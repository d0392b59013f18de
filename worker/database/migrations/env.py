"""Alembic's entry point. It uses the connection that `Database.upgrade` passes."""

from alembic import context
from sqlmodel import SQLModel

from worker.database import tables  # noqa: F401 - registers the tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=False,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
