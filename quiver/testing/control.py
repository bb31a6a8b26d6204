"""Commands to a running origin and its counts, wherever it runs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, Unpack

from quiver.pool_options import unknown
from quiver.testing.authority import Authority
from quiver.testing.options import CommandArguments, OriginKeywords, OriginOptions

__all__ = ["Control", "OriginFailed"]


class OriginFailed(RuntimeError):
    """The server could not start, or is not there to be asked."""


class Control:
    """Commands and counts of an origin; every method may be called from any thread.

    A subclass has the server, and carries commands to it.

    Attributes:
        options: what the server was told.
        port: where it listens; 0 until it is started, unless the options name one.
    """

    def __init__(
        self, *, authority: Authority | None = None, **options: Unpack[OriginKeywords]
    ) -> None:
        for name in options:
            if name not in OriginKeywords.__annotations__:
                raise TypeError(unknown(name, "option", tuple(OriginKeywords.__annotations__)))
        self._own = Authority() if authority is None else None  # closed at the end
        self._authority = authority or self._own or Authority()
        if "certfile" not in options:
            options["certfile"], options["keyfile"] = self._authority.issue()
        self.options = OriginOptions(**options)
        self.port = self.options.port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._own is not None:
            self._own.close()

    def start(self) -> None:
        """Start the server and wait until its port is bound. Raises OriginFailed if it cannot."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the server: its clients get CONNECTION_CLOSE. Does nothing when it does not run."""
        raise NotImplementedError

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
        answer = self._ask("disconnect", code=code, reason=reason, frame_type=frame_type)
        return int(answer["connections"])

    def allow_streams(self, streams: int) -> int:
        """Raise MAX_STREAMS to `streams` in all on every open connection; return how many."""
        return int(self._ask("allow", streams=streams)["connections"])

    def requests_served(self, path: str | None = None) -> int:
        """Count the requests taken up, in all or for one path (without its query)."""
        served = self._ask("served")
        return int(served["total"] if path is None else served["paths"].get(path, 0))

    def requests_refused(self) -> int:
        """Count the requests refused unread: beyond a GOAWAY, or by /reject."""
        return int(self._ask("served")["refused"])

    def seen(self, identifier: int | str) -> int:
        """Count how often a request with `?id=identifier` was taken up."""
        return self.seen_ids().get(str(identifier), 0)

    def seen_ids(self) -> dict[str, int]:
        """Count for every value of `?id=` how often it was taken up."""
        ids: dict[str, int] = self._ask("served")["ids"]
        return ids

    def closes(self) -> dict[int, int]:
        """Count the connections that ended with each error code, on either side."""
        return {int(code): count for code, count in self._ask("served")["closes"].items()}

    def connections_open(self) -> int:
        """Count the connections that are open now."""
        return int(self._ask("served")["open"])

    def connections_accepted(self) -> int:
        """Count the connections accepted since the server started."""
        return int(self._ask("served")["connections"])

    def resets(self) -> list[dict[str, Any]]:
        """List the RESET_STREAM and STOP_SENDING received, as {"path", "kind", "code"}, in order.

        `kind` is "reset" or "stop_sending".
        """
        resets: list[dict[str, Any]] = self._ask("served")["resets"]
        return resets

    def streams_open(self) -> int:
        """Count the request streams of all connections that QUIC still holds here."""
        return int(self._ask("served")["streams"])

    def bytes_sent(self, path: str) -> int:
        """Count the bytes of body handed to QUIC for a path (without its query)."""
        return int(self._ask("served")["sent"].get(path, 0))

    def bytes_received(self, path: str) -> int:
        """Count the bytes of body received for a path (without its query)."""
        return int(self._ask("served")["received"].get(path, 0))

    def _ask(self, command: str, **arguments: Unpack[CommandArguments]) -> dict[str, Any]:
        """Have the server carry out one of `commands.COMMANDS`. Raises OriginFailed."""
        raise NotImplementedError
