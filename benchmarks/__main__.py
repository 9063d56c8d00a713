"""`python -m benchmarks`: throughput beside a stock Faust agent, in minutes."""

import sys

from benchmarks.throughput import main

sys.exit(main())
