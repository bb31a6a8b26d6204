"""Benchmarks of Quiver beside what one would use instead, and a bare loop around aioquic.

`python -m benchmarks --help` tells how to run it, `docs/performance.md` what it measures.
"""
