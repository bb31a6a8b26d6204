"""One HTTP/3 connection without input or output: bytes and `now` in, events and datagrams out."""
