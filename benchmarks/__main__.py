"""Every benchmark, one after the other: `python -m benchmarks`, which is what `make bench` runs."""

import sys

from benchmarks import orders

sys.exit(orders.main())
