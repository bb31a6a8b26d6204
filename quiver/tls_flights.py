"""The first flight of a TLS server, made up in memory, to show a client a chain of certificates.

Of TLS 1.2 it is ServerHello and Certificate, in the clear (RFC 5246 7.4). Of TLS 1.3 it is
ServerHello, and then EncryptedExtensions and Certificate under the keys of the handshake (RFC 8446
2), for which both sides need a key share. The server's signature, which would come next, is never
made: nobody here has the certificate's key.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["NoFlight", "by_tls_1_2", "by_tls_1_3"]

_HANDSHAKE: Final = 22
_APPLICATION_DATA: Final = 23  # what TLS 1.3 gives its encrypted records out for

_SERVER_HELLO: Final = 2
_ENCRYPTED_EXTENSIONS: Final = 8
_CERTIFICATE: Final = 11

_TLS_1_2: Final = b"\x03\x03"
_TLS_1_3: Final = b"\x03\x04"
_LONGEST_RECORD: Final = 2**14

_SUPPORTED_VERSIONS: Final = 43
_KEY_SHARE: Final = 51
_RENEGOTIATION_INFO: Final = 0xFF01  # RFC 5746 3.6, which OpenSSL demands in TLS 1.2

_HASHES: Final = {0x1301: (hashlib.sha256, 16), 0x1302: (hashlib.sha384, 32)}
"""The suites of TLS 1.3 with AES-GCM: digest, and bytes of a key."""

_X25519: Final = 0x001D
_CURVES: Final = {0x0017: "SECP256R1", 0x0018: "SECP384R1", 0x0019: "SECP521R1"}


class NoFlight(Exception):
    """There is none that this client would understand; says why."""


def by_tls_1_2(chain: Sequence[bytes], suite: int) -> bytes:
    """Show a chain, in DER, by a suite that the client offers."""
    hello = _hello(b"", suite, _extension(_RENEGOTIATION_INFO, b"\x00"))
    shown = _sized(3, b"".join([_sized(3, each) for each in chain]))
    messages = hello + _message(_CERTIFICATE, shown)
    return b"".join([_record(_HANDSHAKE, piece) for piece in _pieces(messages, _LONGEST_RECORD)])


def by_tls_1_3(chain: Sequence[bytes], client_hello: bytes) -> bytes:
    """Show a chain, in DER, to a client that has sent this record.

    Raises:
        NoFlight: the client offers no TLS 1.3, or no suite or key share that is known here.
    """
    # Not above: who needs no TLS 1.3 here needs no keys either.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    client = _ClientHello(client_hello)
    suite = next((each for each in client.suites if each in _HASHES), None)
    if suite is None:
        raise NoFlight("it offers no suite of TLS 1.3 with AES-GCM")
    group, public, secret = _agree(client.shares)
    extensions = _extension(_SUPPORTED_VERSIONS, _TLS_1_3)
    extensions += _extension(_KEY_SHARE, struct.pack(">H", group) + _sized(2, public))
    hello = _hello(client.session, suite, extensions)

    entries = b"".join([_sized(3, each) + _sized(2, b"") for each in chain])
    messages = _message(_ENCRYPTED_EXTENSIONS, _sized(2, b""))
    messages += _message(_CERTIFICATE, _sized(1, b"") + _sized(3, entries))

    schedule = _KeySchedule(suite)
    key, iv = schedule.server_handshake_keys(secret, client.message + hello)
    flight = _record(_HANDSHAKE, hello)
    for number, piece in enumerate(_pieces(messages, _LONGEST_RECORD)):
        inner = piece + bytes([_HANDSHAKE])
        header = bytes([_APPLICATION_DATA]) + _TLS_1_2 + struct.pack(">H", len(inner) + 16)
        nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(len(iv), "big")
        flight += header + AESGCM(key).encrypt(nonce, inner, header)
    return flight


class _ClientHello:
    """What is needed of one (RFC 8446 4.1.2), which our own ssl has made."""

    def __init__(self, record: bytes) -> None:
        self.message = record[5:]
        rest = self.message[4 + 2 + 32 :]  # after type, length, version and random
        self.session, rest = _taken(1, rest)
        suites, rest = _taken(2, rest)
        self.suites = [suite for (suite,) in struct.iter_unpack(">H", suites)]
        _, rest = _taken(1, rest)
        extensions, _ = _taken(2, rest)
        self.shares: dict[int, bytes] = {}
        while extensions:
            (kind,) = struct.unpack_from(">H", extensions)
            content, extensions = _taken(2, extensions[2:])
            if kind == _KEY_SHARE:
                self._add_shares(_taken(2, content)[0])

    def _add_shares(self, shares: bytes) -> None:
        while shares:
            (group,) = struct.unpack_from(">H", shares)
            self.shares[group], shares = _taken(2, shares[2:])


def _agree(shares: dict[int, bytes]) -> tuple[int, bytes, bytes]:
    """A group that the client has sent a share for, our own share, and the secret."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, x25519

    for group, share in shares.items():
        if group == _X25519:
            own = x25519.X25519PrivateKey.generate()
            secret = own.exchange(x25519.X25519PublicKey.from_public_bytes(share))
            return group, own.public_key().public_bytes_raw(), secret
        if group in _CURVES:
            curve: ec.EllipticCurve = getattr(ec, _CURVES[group])()
            key = ec.generate_private_key(curve)
            theirs = ec.EllipticCurvePublicKey.from_encoded_point(curve, share)
            form = serialization.PublicFormat.UncompressedPoint
            point = key.public_key().public_bytes(serialization.Encoding.X962, form)
            return group, point, key.exchange(ec.ECDH(), theirs)
    raise NoFlight("it sends no key share of X25519 or a curve of NIST")


class _KeySchedule:
    """As far as the server's handshake keys (RFC 8446 7.1)."""

    def __init__(self, suite: int) -> None:
        self._digest, self._key_size = _HASHES[suite]
        self._size = self._digest().digest_size

    def server_handshake_keys(self, secret: bytes, transcript: bytes) -> tuple[bytes, bytes]:
        early = self._extract(bytes(self._size), bytes(self._size))
        handshake = self._extract(self._derive(early, b"derived", b""), secret)
        traffic = self._derive(handshake, b"s hs traffic", transcript)
        key = self._expand(traffic, b"key", b"", self._key_size)
        return key, self._expand(traffic, b"iv", b"", 12)

    def _extract(self, salt: bytes, material: bytes) -> bytes:
        return hmac.digest(salt, material, self._digest)

    def _derive(self, secret: bytes, label: bytes, transcript: bytes) -> bytes:
        return self._expand(secret, label, self._digest(transcript).digest(), self._size)

    def _expand(self, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        """HKDF-Expand-Label, for no more than one digest."""
        about = struct.pack(">H", length) + _sized(1, b"tls13 " + label) + _sized(1, context)
        return hmac.digest(secret, about + b"\x01", self._digest)[:length]


def _hello(session: bytes, suite: int, extensions: bytes) -> bytes:
    content = _TLS_1_2 + bytes(32) + _sized(1, session) + struct.pack(">HB", suite, 0)
    return _message(_SERVER_HELLO, content + _sized(2, extensions))


def _extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">H", kind) + _sized(2, content)


def _message(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _sized(3, content)


def _record(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _TLS_1_2 + _sized(2, content)


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[each : each + size] for each in range(0, len(content), size))


def _sized(width: int, content: bytes) -> bytes:
    """Content after its length in `width` bytes."""
    return len(content).to_bytes(width, "big") + content


def _taken(width: int, content: bytes) -> tuple[bytes, bytes]:
    """What comes after its length in `width` bytes, and the rest."""
    end = width + int.from_bytes(content[:width], "big")
    return content[width:end], content[end:]
