"""What may be asked of a running origin, wherever it runs, and what it can be told to do."""

from __future__ import annotations

from typing import Any

from quiver.testing.authority import Authority

__all__ = ["Control", "OriginFailed"]


class OriginFailed(RuntimeError):
    """The server could not start, or is not there to be asked."""


class Control:
    """Commands and counts of an origin; every method may be called from any thread.

    A subclass has the server, and carries commands to it.
    """

    port: int
    _authority: Authority

    @property
    def url(self) -> str:
        """`https://localhost:PORT`, without a slash at the end."""
        return f"https://localhost:{self.port}"

    @property
    def cafile(self) -> str:
        """The path of the certificate to trust."""
        return self._authority.cafile

    def goaway(self, last: int | None = None) -> int:
        """Send GOAWAY on every open connection; return how many there were.

        It names the next request's id, and the connection drains; or `last`, whatever that is.
        """
        return int(self._ask("goaway", last=last)["connections"])

    def disconnect(self, code: int = 0x100, reason: str = "", *, transport: bool = False) -> int:
        """Close every open connection with an error code; return how many.

        The code is the application's, or with `transport` one of QUIC's own (RFC 9000 20).
        """
        frame_type = 0 if transport else None  # 0: the frame to blame is not known
        command = {"code": code, "reason": reason, "frame_type": frame_type}
        return int(self._ask("disconnect", **command)["connections"])

    def allow_streams(self, streams: int) -> int:
        """Raise MAX_STREAMS to `streams` in all on every open connection; return how many."""
        return int(self._ask("allow", streams=streams)["connections"])

    def requests_served(self, path: str | None = None) -> int:
        """How many requests were taken up, in all or for one path (without its query)."""
        served = self._ask("served")
        return int(served["total"] if path is None else served["paths"].get(path, 0))

    def requests_refused(self) -> int:
        """How many requests were refused unread: beyond a GOAWAY, or by /reject."""
        return int(self._ask("served")["refused"])

    def seen(self, identifier: int | str) -> int:
        """How often a request with `?id=identifier` was taken up."""
        return self.seen_ids().get(str(identifier), 0)

    def seen_ids(self) -> dict[str, int]:
        """For every value of `?id=`, how often it was taken up."""
        ids: dict[str, int] = self._ask("served")["ids"]
        return ids

    def closes(self) -> dict[int, int]:
        """For every error code that connections ended with, how many did, on either side."""
        return {int(code): count for code, count in self._ask("served")["closes"].items()}

    def connections_open(self) -> int:
        """How many connections are open now."""
        return int(self._ask("served")["open"])

    def connections_accepted(self) -> int:
        """How many connections have been accepted since the server started."""
        return int(self._ask("served")["connections"])

    def resets(self) -> list[dict[str, Any]]:
        """RESET_STREAM and STOP_SENDING received: {"path", "kind", "code"}, in order.

        `kind` is "reset" or "stop_sending".
        """
        resets: list[dict[str, Any]] = self._ask("served")["resets"]
        return resets

    def streams_open(self) -> int:
        """How many request streams of all connections QUIC still holds here."""
        return int(self._ask("served")["streams"])

    def bytes_sent(self, path: str) -> int:
        """How many bytes of body were handed to QUIC for a path (without its query)."""
        return int(self._ask("served")["sent"].get(path, 0))

    def bytes_received(self, path: str) -> int:
        """How many bytes of body came for a path (without its query)."""
        return int(self._ask("served")["received"].get(path, 0))

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have the server carry out one of `commands.COMMANDS`. Raises OriginFailed."""
        raise NotImplementedError
