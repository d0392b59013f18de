"""A task that finds the database or Redis away: noted, and left to the sweep."""

import pytest
import redis
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.services.simulation import Simulation


def away(message: str) -> redis.RedisError:
    raise redis.ConnectionError(message)


def test_a_task_that_finds_the_database_away_is_noted_in_one_line_and_done_later(simulation: Simulation) -> None:
    simulation.place()
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE delivery RENAME TO elsewhere"))
    with capture_logs() as logs:
        simulation.app.tasks["timers.sweep"]()
    assert logs == [
        {"event": "task.put_off", "log_level": "warning", "task": "timers.sweep", "error": "OperationalError"}
    ]
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO delivery"))
    simulation.until(lambda here: here.status() == "delivered")


def test_a_bug_in_a_task_is_not_hidden(simulation: Simulation) -> None:
    with pytest.raises(TypeError):
        simulation.app.tasks["callbacks.apply"](1, 2, 3)


def test_a_message_that_celery_brought_is_not_lost_without_a_trace(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation.container.bus, "add_order", away)
    with pytest.raises(redis.ConnectionError):
        simulation.app.tasks["orders.receive"]({})
