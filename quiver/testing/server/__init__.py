"""The server behind the testing origins: QUIC and HTTP/3 by aioquic, on a loop of asyncio."""
