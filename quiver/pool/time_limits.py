"""Limits: how long one exchange may take, as a whole, in silence, unread and untaken. Pure."""

from __future__ import annotations

import attrs

from quiver.errors import (
    QuiverError,
    ReceiveTimeout,
    RequestTimeout,
    SendTimeout,
    StreamIdleTimeout,
)

__all__ = ["Limits"]


@attrs.define(eq=False)
class Limits:
    """The time limits of an exchange, in seconds on the caller's clock; None is no limit.

    Attributes:
        deadline: when the whole request must be over, or a channel have its response.
        timeout: the seconds that `deadline` came from, for the error's message.
        receive_timeout: silence of the server to bear with; of a channel's, until its response.
        idle_timeout: how long content may lie unread.
        send_timeout: how long the request's body may wait to be taken; None is as silence.
        open_timeout: the seconds that `deadline` came from instead, until the response is there.
    """

    deadline: float | None = None
    timeout: float | None = None
    receive_timeout: float | None = None
    idle_timeout: float | None = None
    send_timeout: float | None = None
    open_timeout: float | None = None

    def answered(self) -> None:
        """The response is there: a channel goes on for as long as the whole of it may last."""
        if self.open_timeout is not None and self.deadline is not None:
            whole = self.timeout
            self.deadline = None if whole is None else self.deadline - self.open_timeout + whole
            self.open_timeout = None

    def exceeded(self, origin: str, now: float, unread: bool, untaken: bool) -> QuiverError:
        """The error of an exchange that has met one, by what it waits for: its reader who has it
        `unread`, the server that has its body `untaken`, or any word of that."""
        if self.deadline is not None and self.deadline <= now:
            if self.open_timeout is not None:
                said = f"no response within open_timeout={self.open_timeout} seconds"
                return ReceiveTimeout(said, origin=origin)
            said = f"no whole response within timeout={self.timeout} seconds"
            return RequestTimeout(said, origin=origin)
        if unread:
            said = f"nobody read it for stream_idle_timeout={self.idle_timeout} seconds"
            return StreamIdleTimeout(said, origin=origin)
        if untaken:
            said = f"the server took nothing of the body for send_timeout={self.send_timeout}"
            return SendTimeout(f"{said} seconds", origin=origin)
        said = f"the server was silent for receive_timeout={self.receive_timeout} seconds"
        return ReceiveTimeout(said, origin=origin)
