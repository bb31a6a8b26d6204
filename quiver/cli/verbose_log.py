"""The log of `quiver get -v`: telemetry of connections, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from cryptography import x509

from quiver import telemetry
from quiver.models import Handshake
from quiver.telemetry import Measurements, Metadata

__all__ = ["VerboseLog", "certificate_lines", "lines_of"]

_EVENTS: Final = tuple([name for name in telemetry.EVENTS if name.startswith("connection.")])


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
            over = "QUIC" if about["lane"] == "http/3" else "TCP"
            why = f": {about['why']}" if about["why"] else ""
            place = _place(about["address"])
            through = "" if about["proxy"] is None else f", the proxy {about['proxy']},"
            yield f"{about['origin']}: trying {place}{through} over {over}{why}"
        case "ready":
            took = measured["duration"] * 1000
            yield f"connected from {_place(about['local'])} to {_place(about['address'])}"
            if about["alternative"] is not None:
                yield f"which is the origin's alternative service {about['alternative']}"
            for lane, said in about["behind"]:
                yield f"{lane.upper()} was not there first: {said or 'it had just begun'}"
            yield f"handshake took {took:.1f} ms, with name resolution"
            yield from _handshake(about["handshake"])
        case "settings" if about["http_version"] != "HTTP/1.1":  # which has none
            shown = ", ".join(f"{name}={value}" for name, value in about["settings"].items())
            yield f"the server's settings: {shown or 'none'}"
        case "ticket":
            early = "with" if about["early_data"] else "without"
            until = f"for {measured['lifetime']:.0f} s"
            yield f"a ticket to resume the session by, {until}, {early} early data"
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
    over_quic = made.http_version == "HTTP/3"
    version = f"QUIC version {made.version}" if over_quic else made.version or "no TLS"
    agreed = (version, f"ALPN {made.alpn}" if made.cipher else made.http_version, made.cipher)
    yield ", ".join(filter(None, agreed))
    if made.early:
        yield "early data accepted: requests went along in the first flight"
    if made.resumed:
        yield "session resumed by a ticket; this certificate was shown when it began:"
    if made.certificate is not None:
        yield from certificate_lines(made.certificate)
    if not over_quic:
        return
    datagrams = made.max_datagram_frame_size
    yield (
        f"{made.max_streams} streams to begin with, "
        f"datagrams {f'of up to {datagrams} bytes' if datagrams else 'off'}, "
        f"idle timeout {made.idle_timeout:g} s"
    )


def certificate_lines(der: bytes) -> Iterator[str]:
    """Yield subject, issuer, validity and names of a certificate, as far as they can be read."""
    yield f"certificate of {_part(der, _subject) or 'nobody'}"
    yield f"  issued by {_part(der, _issuer) or 'nobody'}"
    yield f"  valid {_part(der, _validity)}"
    yield f"  for {_part(der, _names) or 'no host'}"


def _part(der: bytes, read: Callable[[x509.Certificate], str]) -> str:
    """What `read` says of it. An odd one has any exception raised there, and tells the rest."""
    try:
        return read(x509.load_der_x509_certificate(der))
    except Exception as error:  # noqa: BLE001
        return f"(cannot be read: {error})"


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _issuer(certificate: x509.Certificate) -> str:
    return certificate.issuer.rfc4514_string()


def _validity(certificate: x509.Certificate) -> str:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return f"from {begins:%Y-%m-%d %H:%M} UTC to {ends:%Y-%m-%d %H:%M} UTC"


def _names(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    return ", ".join(str(name.value) for name in found.value)
