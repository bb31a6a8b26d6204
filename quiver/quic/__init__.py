"""QUIC behind a seam: datagrams and `now` in, events and datagrams out. Knows nothing of HTTP."""
