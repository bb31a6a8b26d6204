"""SETTINGS and the sessions that they are kept with (RFC 9114 7.2.4.2).

What a server has said of itself goes along with its tickets. Early data keeps to what was said
then, since what it says now is not known before; and a server that accepts early data keeps to it
as well.
"""

from __future__ import annotations

from typing import Final

import attrs

from quiver.h3.codes import ErrorCode
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings, Setting, parse_settings
from quiver.quic.engine import TicketReceived

__all__ = ["SessionSettings", "check_kept"]

_MOST_TICKETS: Final = 4
"""That wait for the server's SETTINGS; the newest stay."""

_NOT_LOWERED: Final = (
    Setting.QPACK_BLOCKED_STREAMS,
    Setting.ENABLE_CONNECT_PROTOCOL,  # RFC 9220 3, RFC 8441 3
    Setting.H3_DATAGRAM,  # RFC 9297 2.1.1
)


class SessionSettings:
    """Those of the session that is resumed, and the tickets that this connection brings.

    Args:
        remembered: the settings that went along with the ticket, as `ServerSettings.encoded` has
            them.

    Attributes:
        former: these.
    """

    def __init__(self, remembered: bytes) -> None:
        self.former = parse_settings(remembered)
        self._known: bytes | None = None
        self._waiting: list[TicketReceived] = []

    def ticket(self, event: TicketReceived) -> list[TicketReceived]:
        """Take a ticket. Returns those that can be told of, with the settings they go with."""
        self._waiting = [*self._waiting, event][-_MOST_TICKETS:]
        return self._told()

    def settled(self, settings: ServerSettings, *, early: bool | None) -> list[TicketReceived]:
        """Take the server's settings, which must keep to the former if it accepted `early` data.

        Returns the tickets that have waited for them. Raises ProtocolError.
        """
        if early:
            check_kept(self.former, settings)
        self._known = settings.encoded()
        return self._told()

    def _told(self) -> list[TicketReceived]:
        if self._known is None:
            return []
        known, waiting, self._waiting = self._known, self._waiting, []
        return [TicketReceived(attrs.evolve(each.ticket, application=known)) for each in waiting]


def check_kept(former: ServerSettings, settings: ServerSettings) -> None:
    """See that a server that has accepted early data keeps to its former settings.

    Raises ProtocolError: one was lowered, or left out (RFC 9114 7.2.4.2); or QPACK's table has
    another capacity (RFC 9204 3.2.3).
    """
    was, now = former.table_capacity, settings.table_capacity
    if was and now != was:
        reason = _changed(Setting.QPACK_MAX_TABLE_CAPACITY, was, now)
        raise ProtocolError(ErrorCode.QPACK_DECODER_STREAM_ERROR, reason)
    for each in _NOT_LOWERED:
        was, now = former.values.get(each, 0), settings.values.get(each, 0)
        if now < was:
            raise ProtocolError(ErrorCode.H3_SETTINGS_ERROR, _changed(each, was, now))
    limit, limited = former.max_field_section_size, settings.max_field_section_size
    lowered = limited is not None and (limit is None or limited < limit)
    if lowered or (limit is not None and limited is None):
        reason = _changed(Setting.MAX_FIELD_SECTION_SIZE, limit, limited)
        raise ProtocolError(ErrorCode.H3_SETTINGS_ERROR, reason)


def _changed(setting: Setting, was: int | None, now: int | None) -> str:
    return f"early data was accepted, but {setting.name} went from {was} to {now}"
