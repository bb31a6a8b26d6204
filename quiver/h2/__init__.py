"""HTTP/2 on a stream of bytes. Sans-IO and pure."""
