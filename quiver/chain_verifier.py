"""Whether Python's own ssl accepts a chain of certificates, and for the name that was asked for.

The judge is an `ssl.SSLContext`: what it refuses over TCP is refused here, and what it accepts is
accepted, by the same code of the same OpenSSL. That goes for roots, also those in a folder, for
revocation lists, purposes, names, flags and the security level, whatever release it is.

ssl has no call that verifies a chain. So the context is shown the first flight of a server, in
memory (`tls_flights`). OpenSSL verifies a chain as soon as it has read it, before it needs anything
more, and how it goes on is the verdict: an SSLCertVerificationError, or the wish for the next
message. That the server has the certificate's key is no part of that: its CertificateVerify proves
it in the real handshake (RFC 8446 4.4.3).

A context that did not verify there would accept whatever it is shown. So each has to refuse a
certificate first that nobody can trust.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, Protocol, TypeGuard

from quiver.tls_flights import NoFlight, by_tls_1_2, by_tls_1_3

__all__ = [
    "UNTRUSTED",
    "Authentication",
    "ChainRefused",
    "ChainVerifier",
    "default_context",
    "is_context",
]

Authentication = Literal["ecdsa", "rsa"]
"""By what kind of key a server proves who it is; EdDSA goes with ECDSA (RFC 8422)."""

_Flight = Callable[[Sequence[bytes], bytes], bytes]
"""Makes a server's first flight of a chain and the client's first record."""

_Client = tuple[ssl.SSLObject, ssl.MemoryBIO, bytes]
"""One that waits for a server's first flight, what it will read that from, and its first record."""

_BASE: Final = ("_ssl", "_SSLContext")

UNTRUSTED: Final = base64.b64decode(
    "MIIBFDCBu6ADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCXVudHJ1c3RlZDAeFw0wMDAxMDEwMDAwMDBaFw"
    "0wMTAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCXVudHJ1c3RlZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPF0yo53"
    "k/K6v7lQZhy/l2Tt3o435Km5VuBsI91bad0t25wlJbRGyul+jdln42LcQQAepWGwKTx0T+BaSroUPcEwCgYIKoZIzj"
    "0EAwIDSAAwRQIgE0j95c5XNrsc9ipFym/JBVixgKrTqxF30sACdr6bwmYCIQCordWxF/fJLBlPL6S5Ovf5BfLM7lsj"
    "IKVjpkD5wmUO9g=="
)
"""Self-signed, and no longer valid since 2001; its key was thrown away."""


class LazyRoots(Protocol):
    """Roots in DER; as a bool, whether any are left."""

    def __len__(self) -> int: ...

    def take_for(self, chain: Sequence[bytes]) -> list[bytes]:
        """Those that a way from this chain to a root may lead through."""

    def take_all(self) -> list[bytes]:
        """All that are left."""


class _Useless(ValueError):
    """A flight is of no use: never what a signal's handler has raised meanwhile."""


class ChainRefused(Exception):
    """The chain is not accepted.

    Attributes:
        code: OpenSSL's X509_V_ERR, 0 when it never came to verifying.
        said: OpenSSL's words for it.
    """

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code
        self.said = said


class ChainVerifier:
    """Verifies chains as `context` does, for any number of handshakes one after the other.

    Args:
        given: it is the program's own, which may change it at any time.

    Attributes:
        roots: that it trusts too, and is given when a chain needs them.

    Raises:
        ValueError: the context cannot be asked, or verifies nothing; saying why.
    """

    def __init__(self, context: ssl.SSLContext, *, given: bool = False) -> None:
        _check_class(context)
        if context.verify_mode == ssl.CERT_NONE:
            raise ValueError("it verifies nothing (verify_mode is CERT_NONE): say verify=False")
        self.context = context
        self.roots: LazyRoots | None = None
        self._given = given
        self._flights: dict[Authentication, _Flight] = {}
        self._begun: dict[str, _Client] = {}  # at most one, by the name that it is for
        faults: list[_Useless] = []
        for by, flights in _flights(context).items():
            for flight in flights:
                try:
                    self._check(flight)
                except _Useless as fault:
                    faults.append(fault)
                else:
                    self._flights[by] = flight
                    break
        if not self._flights:
            raise faults[0]

    def _check(self, flight: _Flight) -> None:
        try:
            self._show([UNTRUSTED], "localhost", flight)
        except ssl.SSLCertVerificationError:
            return
        except (ssl.SSLError, NoFlight) as error:
            raise _Useless(f"it does not come to verifying: {error}") from error
        raise _Useless("it accepts a certificate that nobody can trust")

    def begin(self, name: str) -> None:
        """Do what the next `verify` of a chain for `name` begins with: a third of its work."""
        if not self._given and name not in self._begun:
            with contextlib.suppress(ssl.SSLError, ValueError, TypeError):  # `verify` says it
                self._begun = {name: self._client(name)}

    def rules(self) -> tuple[object, ...]:
        """What can be told of its rules as they are now, if they may change."""
        if not self._given:
            return ()
        context, stores = self.context, self.context.cert_store_stats()
        flags = (context.verify_mode, context.verify_flags, context.check_hostname)
        names = (context.hostname_checks_common_name, context.security_level)
        return (*flags, *names, *sorted(stores.items()))

    def verify(self, chain: Sequence[bytes], name: str, by: Authentication) -> None:
        """Accept a chain, or raise.

        Args:
            chain: certificates in DER as the server has sent them, its own first.
            name: host or address that it should be for.
            by: what the key in its own certificate is.

        Raises:
            ChainRefused: it is not accepted.
        """
        flight = self._flights.get(by)
        if flight is None:
            raise ChainRefused(0, f"the context given as verify has no cipher for keys of {by}")
        if self.roots:
            self._load(self.roots.take_for(chain))
            try:
                return self._judge(chain, name, flight)
            except ChainRefused:
                if not self.roots:
                    raise
                self._load(self.roots.take_all())  # it may have been one of these that it needs
        self._judge(chain, name, flight)

    def _load(self, roots: Sequence[bytes]) -> None:
        """Have the context trust these too. One that OpenSSL cannot read is trusted by nobody."""
        for root in roots:
            with contextlib.suppress(ssl.SSLError):
                self.context.load_verify_locations(cadata=root)

    def _judge(self, chain: Sequence[bytes], name: str, flight: _Flight) -> None:
        try:
            self._show(chain, name, flight)
        except ssl.SSLCertVerificationError as error:
            raise ChainRefused(error.verify_code, error.verify_message) from error
        except ssl.SSLError as error:
            said = (error.reason or str(error)).replace("_", " ").lower()
            raise ChainRefused(0, said) from error
        except (ValueError, TypeError) as error:  # of the name, which ssl does not take
            raise ChainRefused(0, f"the name cannot be verified: {error}") from error

    def _show(self, chain: Sequence[bytes], name: str, flight: _Flight) -> None:
        begun = self._begun.pop(name) if name in self._begun else self._client(name)
        client, incoming, hello = begun
        incoming.write(flight(chain, hello))
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            if not incoming.pending:  # it has read all of it
                return
        raise ssl.SSLError("the handshake does not go on as it should")

    def _client(self, name: str) -> _Client:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context.wrap_bio(incoming, outgoing, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        return client, incoming, outgoing.read()


def default_context() -> ssl.SSLContext:
    """A context as `ssl.create_default_context` makes it, but it trusts nobody yet.

    Also where another class was put in place of ssl's own, as truststore does.
    """
    made = ssl.create_default_context(capath=os.devnull)  # without any, the system's are loaded
    if _steps_of_its_own(made):
        cls = next(each for each in type(made).__mro__ if each.__module__ == "ssl")
        flags, made = made.verify_flags, cls(ssl.PROTOCOL_TLS_CLIENT)
        _set(made, "verify_flags", flags)
    made.keylog_filename = None  # type: ignore[assignment] # from SSLKEYLOGFILE; no keys here
    for limit in ("minimum_version", "maximum_version"):
        _set(made, limit, ssl.TLSVersion.TLSv1_2)  # costs no keys
    return made


def _set(context: ssl.SSLContext, name: str, value: int) -> None:
    """Set it as OpenSSL's: ssl's own way does not end where its class was replaced."""
    base = next(each for each in type(context).__mro__ if _name_of(each) == _BASE)
    vars(base)[name].__set__(context, int(value))


def is_context(value: object) -> TypeGuard[ssl.SSLContext]:
    """Whether it is an SSLContext, also one that was made before gevent put its own in place."""
    return any(_name_of(each) == _BASE for each in type(value).__mro__)


def _name_of(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__name__


def _check_class(context: ssl.SSLContext) -> None:
    """Refuse one that would verify in code of its own, which is not reached from here."""
    for name in _steps_of_its_own(context):
        raise ValueError(
            f"{type(context).__module__}.{type(context).__qualname__} has a {name} of its own, "
            "and what it verifies there cannot be had over QUIC: give cafile or cadata, or "
            "an ssl.SSLContext"
        )


def _steps_of_its_own(context: ssl.SSLContext) -> list[str]:
    """The steps of a handshake that are not ssl's."""
    steps = {name: _defined_in(context, name) for name in ("wrap_bio", "wrap_socket")}
    for name in ("sslobject_class", "sslsocket_class"):
        steps[name] = getattr(getattr(context, name), "__module__", "?")
    return [name for name, module in steps.items() if module not in ("ssl", "gevent.ssl")]


def _defined_in(context: ssl.SSLContext, name: str) -> str:
    if name in vars(context):
        return "?"
    return next(each.__module__ for each in type(context).__mro__ if name in vars(each))


def _flights(context: ssl.SSLContext) -> dict[Authentication, list[_Flight]]:
    """How a chain may be shown to it, by the kind of key: TLS 1.2 first, which costs no keys."""
    found: dict[Authentication, list[_Flight]] = {"ecdsa": [], "rsa": []}
    for cipher in context.get_ciphers():
        for by, flights in found.items():
            if not flights and (cipher["kea"], cipher["auth"]) == ("kx-ecdhe", f"auth-{by}"):
                flights.append(partial(_by_tls_1_2, cipher["id"] & 0xFFFF))
    return {by: [*flights, by_tls_1_3] for by, flights in found.items()}


def _by_tls_1_2(suite: int, chain: Sequence[bytes], _: bytes) -> bytes:
    return by_tls_1_2(chain, suite)
