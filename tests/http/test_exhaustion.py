"""A machine without free file descriptors, or without room on the disk of the log."""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.carriers.sample import CODECS, NOW, booking
from tests.http.misbehaving import OK, Misbehaving, Script, answering
from tests.web.edge import Edge
from worker.carriers.port import AttemptView
from worker.errors import Unavailable
from worker.http.call import Call
from worker.http.gateway import Gateway

FULL = Path("/dev/full")
LOGGING = """
from worker import log
log.setup("INFO", "json")
for _ in range(1000):
    log.get("x").info("delivery.booked", order_id="2011")
print("done")
"""


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Allow no file descriptor beyond those in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _calls() -> list[Call]:
    codec, asked = CODECS["cervo"], booking()
    attempt = AttemptView(asked.attempt_id, 1, "cervo", "created", asked.order, asked.store, NOW, NOW, ref="7")
    return [codec.book(asked, NOW), *codec.track([attempt], NOW)]


@pytest.mark.fault("F-61")
def test_without_a_file_descriptor_nothing_is_sent_and_with_one_again_everything_is(
    serve: Callable[[Script], Misbehaving],
) -> None:
    server = serve(answering(OK))
    account = CODECS["cervo"].account.model_copy(update={"base_url": server.origin, "rate": ""})
    create, read = _calls()
    with contextlib.closing(Gateway({"cervo": account}, lambda *_: (1, 0.0), lambda: NOW)) as gateway:
        gateway.send_one("cervo", create)  # from now on its thread and its loop have their descriptors
        with no_descriptor_left():
            for call in (create, read):
                with pytest.raises(Unavailable):
                    gateway.send_one("cervo", call)
        assert [gateway.send_one("cervo", call).status for call in (create, read)] == [200, 200]


@pytest.mark.fault("F-61")
def test_without_a_file_descriptor_the_carrier_is_asked_to_repeat_its_callback(edge: Edge) -> None:
    edge.ask("GET", "/")  # from now on the loop has its descriptors
    edge.book("a-token")
    edge.container.database.engine.dispose()
    with no_descriptor_left():
        refused = edge.ask("GET", "/callbacks/cervo/a-token?order_status=2")
    accepted = edge.ask("GET", "/callbacks/cervo/a-token?order_status=2")
    assert (refused, accepted, len(edge.stored())) == ((503, "try again later"), (200, "ok"), 1)


@pytest.mark.fault("F-61")
@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOGGING], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert done.stdout == "done\n"
