"""The latency of a system with nothing else to do: from an order's message to the arrival of its create.

**Order Sync**: from the XADD of `order.placed` to the arrival of the create at the carrier; in between are the inbox,
the intent and the call journal. **Bare Celery**: from `apply_async` to the arrival of the same create, with nothing in
between. Both run at the same time on the same Redis. Their orders alternate, each after a random pause.
"""

import random
import time

from benchmarks import plain_celery
from benchmarks.programs import OrderSync, PlainCelery, message, order, running
from benchmarks.report import Options, Report, percentile
from benchmarks.services import Services, services, wait_until

ORDERS = 200
WARM_UP = 20
PAUSE = (0.15, 0.25)
"""The shortest and the longest pause between two orders, in seconds. In between, the order before is done."""
GOALS = {"p50": 3.0, "p99": 5.0}
"""The highest ratios of Order Sync to bare Celery."""
BARE = 500_000
"""The number of the first order of bare Celery."""


def run(report: Report, options: Options) -> bool:
    """Measure the latencies and their ratios."""
    orders = options.orders or ORDERS * (5 if options.long else 1)
    with services() as found:
        order_sync, bare = OrderSync(found, workers=1), PlainCelery(found, workers=1)
        with running(found, order_sync, bare):
            _place_alternately(found, range(WARM_UP))
            sent = _place_alternately(found, range(WARM_UP, WARM_UP + orders))
            wait_until(lambda: len(found.created()) >= 2 * (WARM_UP + orders), "every order arrives", seconds=30)
            arrived = {entry["detail"]["order_id"]: entry["arrived"] for entry in found.created()}
    waits = {key: 1000 * (arrived[key] - at) for key, at in sent.items()}
    first_bare = order(BARE)["order_id"]
    ours, theirs = ([wait for key, wait in waits.items() if (key >= first_bare) is bare] for bare in (False, True))
    for measure, goal in GOALS.items():
        share = int(measure[1:]) / 100
        bare_value = report.add("latency", "bare Celery", measure, "ms", [percentile(theirs, share)])
        value = report.add("latency", "Order Sync", measure, "ms", [percentile(ours, share)])
        report.add("latency", "Order Sync", f"{measure} to bare Celery", "x", [value / bare_value], goal=goal)
    return True


def _place_alternately(found: Services, numbers: range) -> dict[str, float]:
    """Place the orders with these numbers in both systems; return when each was sent, by the monotonic clock."""
    pauses = random.Random(numbers.start)
    sent: dict[str, float] = {}
    with (
        plain_celery.app.connection_for_write(found.redis_url) as connection,
        connection.Producer() as producer,
    ):
        for number in numbers:
            time.sleep(pauses.uniform(*PAUSE))
            document = message(number)
            sent[order(number)["order_id"]] = time.monotonic()
            found.redis.xadd("orders", {"event": document})
            time.sleep(pauses.uniform(*PAUSE))
            bare = order(BARE + number)
            sent[bare["order_id"]] = time.monotonic()
            plain_celery.post.apply_async((bare,), producer=producer)
    return sent
