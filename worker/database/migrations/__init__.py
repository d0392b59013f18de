"""Alembic migrations; `order-sync db upgrade` runs them."""
