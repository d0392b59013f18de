"""The benchmarks: `python -m benchmarks`, or `make bench`."""

import sys

from benchmarks import orders

sys.exit(orders.main())
