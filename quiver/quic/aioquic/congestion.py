"""Our congestion control as aioquic's: what it asks and tells goes to the table as it is.

aioquic's own windows grow without being used, and are given up after two seconds of rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aioquic.quic.congestion.base import QuicCongestionControl

from quiver.quic.congestion import Cubic, Reno

__all__ = ["CONTROLS"]


class _RenoControl(Reno, QuicCongestionControl):
    """Reno's window; a qlog of it is aioquic's."""


class _CubicControl(Cubic, QuicCongestionControl):
    """CUBIC's window; a qlog of it is aioquic's."""


CONTROLS: Final[Mapping[str, type[QuicCongestionControl]]] = {
    "cubic": _CubicControl,
    "reno": _RenoControl,
}
"""By what the option `congestion_control` says. They are made like aioquic's own."""
