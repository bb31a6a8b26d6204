"""Limits: how long one exchange may take, as a whole, in silence, unread and untaken. Pure."""

from __future__ import annotations

import attrs

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
