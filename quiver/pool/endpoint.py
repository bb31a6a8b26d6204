"""What all connections of one pool share: whom they talk to, and how."""

from __future__ import annotations

from greenlet import GreenletExit

from quiver.config import PoolConfig
from quiver.errors import (
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    PoolStopped,
    QuiverError,
    ReceiveTimeout,
)
from quiver.h3.configuration import make_configuration
from quiver.h3.session import Session
from quiver.origin import Origin


class Endpoint:
    """An origin with its options, ready to be dialled.

    Made where the pool is started, so that options which the TLS layer refuses are refused there.

    Raises:
        InvalidOptions: roots that cannot be read, say.
    """

    def __init__(self, origin: Origin, config: PoolConfig) -> None:
        self.origin = origin
        self.config = config
        self.name = str(origin)
        self._configuration = make_configuration(config, origin)

    def session(self) -> Session:
        """A new session, not yet connected."""
        return Session(
            self._configuration, self.origin, max_header_size=self.config.max_header_size
        )

    # What can end a connection, in words.

    def refused(self) -> QuiverError:
        return ConnectionRefused("connection refused: nobody listens there", origin=self.name)

    def unreachable(self, error: OSError) -> QuiverError:
        return ConnectionLost(f"no way to it from here: {error.strerror}", origin=self.name)

    def too_slow(self) -> QuiverError:
        limit = self.config.connect_timeout
        return ConnectTimeout(
            f"no connection within connect_timeout={limit} seconds", origin=self.name
        )

    def no_settings(self) -> QuiverError:
        return ReceiveTimeout("the server has not sent its SETTINGS", origin=self.name)

    def port_closed(self) -> QuiverError:
        return ConnectionLost("connection lost: the port is closed now", origin=self.name)

    def silent(self, seconds: float) -> QuiverError:
        return ConnectionLost(
            f"connection lost: silent for {seconds:.1f} seconds, also to a PING", origin=self.name
        )

    def stopped(self) -> QuiverError:
        return PoolStopped("the pool was stopped", origin=self.name)

    def forked(self) -> QuiverError:
        return PoolStopped("the connection lives on in the parent process only", origin=self.name)

    def last_words(self, reason: BaseException | None) -> QuiverError | None:
        """What became of a connection that the network did not end."""
        if reason is None:
            return None
        how = "was killed" if isinstance(reason, GreenletExit) else f"failed: {reason!r}"
        return ConnectionLost(f"connection lost: its actor {how}", origin=self.name)
