"""Requests per second and CPU per request: threads and greenlets beside a bare aioquic loop.

    python -m benchmarks.workloads.requests [options of `python -m benchmarks`]

The part of the suite that needs no peers; with them it is `python -m benchmarks --only rate`.
"""

from __future__ import annotations

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    clients = ("bare", "quiver-threads", "quiver-greenlets")
    sys.argv[1:1] = ["--only", "rate", "--no-charts", "--clients", *clients]
    main()
