"""What goes over TCP under HTTP/2 and HTTP/1.1: bytes, and TLS around them. Sans-IO and pure."""
