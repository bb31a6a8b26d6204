"""HTTP/1.1 on a stream of bytes. Sans-IO and pure."""
