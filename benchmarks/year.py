"""What each statement costs PostgreSQL when the database holds a year of deliveries.

`python -m benchmarks.year URL --deliveries 5000000` fills an empty database, which takes about 7 KB for each delivery,
and then runs each function of the database room. Before each of its statements, the same statement is run with EXPLAIN
(ANALYZE, BUFFERS); everything is rolled back. With `--filled`, an earlier run has filled the database. `--plans` also
prints the plans. Drop the database yourself.
"""

import argparse
import time
from contextlib import closing
from datetime import timedelta

from tests.database import plans
from tests.database.year import fill, year_of
from worker.database.database import Database


def main() -> None:
    """Fill the database if that is wanted, and print the time and the pages of each function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", metavar="URL", help="an empty PostgreSQL database: postgresql://USER@HOST/NAME")
    parser.add_argument("--deliveries", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--filled", action="store_true", help="do not fill the database")
    parser.add_argument("--plans", action="store_true", help="print each statement with its plan")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the functions with this text in their names")
    given = parser.parse_args()
    with closing(Database(given.url)) as database:
        if not given.filled:
            database.upgrade()
            began = time.monotonic()
            fill(given.url, given.deliveries, lambda done: print(f"{done:,} deliveries", flush=True))
            print(f"filled in {timedelta(seconds=round(time.monotonic() - began))}")
        for name, call in plans.CALLS.items():
            if given.only in name:
                plans.run(database, call, year_of(given.deliveries))  # reads the pages into the cache
                found = plans.run(database, call, year_of(given.deliveries))
                milliseconds, buffers = (
                    sum(getattr(each, what) for each in found) for what in ("milliseconds", "buffers")
                )
                print(f"{name:50} {milliseconds:10,.1f} ms {buffers:10,} pages {len(found):4} statements", flush=True)
                if given.plans:
                    print("\n\n".join(each.text for each in found))


if __name__ == "__main__":
    main()
