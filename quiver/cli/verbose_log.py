"""The log of `quiver get -v`: telemetry of connections, line by line."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from cryptography import x509

from quiver import telemetry
from quiver.models import Handshake
from quiver.telemetry import Measurements, Metadata

__all__ = ["VerboseLog", "certificate_lines", "lines_of"]

_EVENTS: Final = tuple(name for name in telemetry.EVENTS if name.startswith("connection."))


class VerboseLog:
    """A telemetry listener for every connection while the `with` lasts.

    `tell` is given one line at a time, in whichever thread it happens.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._name = f"verbose log {id(self):#x}"

    def __enter__(self) -> Self:
        telemetry.attach(self._name, _EVENTS, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        telemetry.detach(self._name)

    def _heard(self, event: str, measured: Measurements, about: Metadata) -> None:
        for line in lines_of(event, measured, about):
            self._tell(line)


def lines_of(event: str, measured: Measurements, about: Metadata) -> Iterator[str]:
    """Yield the lines for one event. Pure."""
    match event.removeprefix("connection."):
        case "attempt":
            yield f"{about['origin']}: trying {_place(about['address'])}"
        case "ready":
            took = measured["duration"] * 1000
            yield f"connected from {_place(about['local'])} to {_place(about['address'])}"
            yield f"handshake took {took:.1f} ms, with name resolution"
            yield from _handshake(about["handshake"])
        case "settings":
            shown = ", ".join(f"{name}={value}" for name, value in about["settings"].items())
            yield f"the server's settings: {shown or 'none'}"
        case "suspended":
            yield f"the server may be gone, and is asked: {about['reason']}"
        case "resumed":
            yield "the server is there"
        case "draining":
            yield f"the connection takes no more requests: {about['reason']}"
        case "stop":
            yield _life(measured)
        case "exception":
            yield _life(measured)
            yield f"it ended with {type(about['error']).__name__}: {about['error'].message}"


def _life(measured: Measurements) -> str:
    return f"connection over after {measured['duration']:.2f} s, {measured['requests']} streams"


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _handshake(made: Handshake) -> Iterator[str]:
    yield f"QUIC version {made.version}, ALPN {made.alpn}, {made.cipher}"
    if made.certificate is None:
        yield "session resumed: no certificate was shown"
    else:
        yield from certificate_lines(x509.load_der_x509_certificate(made.certificate))
    datagrams = made.max_datagram_frame_size
    yield (
        f"{made.max_streams} streams to begin with, "
        f"datagrams {f'of up to {datagrams} bytes' if datagrams else 'off'}, "
        f"idle timeout {made.idle_timeout:g} s"
    )


def certificate_lines(certificate: x509.Certificate) -> Iterator[str]:
    """Yield subject, issuer, validity and names of a certificate."""
    yield f"certificate of {certificate.subject.rfc4514_string() or 'nobody'}"
    yield f"  issued by {certificate.issuer.rfc4514_string()}"
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    yield f"  valid from {_day(begins)} to {_day(ends)}"
    yield f"  for {', '.join(_names(certificate)) or 'no host'}"


def _day(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]
