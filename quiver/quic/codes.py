"""Error codes of QUIC and of the TLS in it, and their names (RFC 9000 20.1, 9001 4.8, 9368)."""

from __future__ import annotations

import enum
import re
from typing import Final

__all__ = ["CRYPTO_ERROR", "TransportCode", "alert_named", "alert_of", "transport_name_of"]


class TransportCode(enum.IntEnum):
    """What QUIC itself closes a connection with (RFC 9000 20.1, RFC 9368)."""

    NO_ERROR = 0x00
    INTERNAL_ERROR = 0x01
    CONNECTION_REFUSED = 0x02
    FLOW_CONTROL_ERROR = 0x03
    STREAM_LIMIT_ERROR = 0x04
    STREAM_STATE_ERROR = 0x05
    FINAL_SIZE_ERROR = 0x06
    FRAME_ENCODING_ERROR = 0x07
    TRANSPORT_PARAMETER_ERROR = 0x08
    CONNECTION_ID_LIMIT_ERROR = 0x09
    PROTOCOL_VIOLATION = 0x0A
    INVALID_TOKEN = 0x0B
    APPLICATION_ERROR = 0x0C
    CRYPTO_BUFFER_EXCEEDED = 0x0D
    KEY_UPDATE_ERROR = 0x0E
    AEAD_LIMIT_REACHED = 0x0F
    NO_VIABLE_PATH = 0x10
    VERSION_NEGOTIATION_ERROR = 0x11


CRYPTO_ERROR: Final = 0x100
"""Added to the number of a TLS alert: codes 0x100 to 0x1ff (RFC 9001 4.8)."""

_ALERTS: Final = {
    10: "unexpected_message",
    20: "bad_record_mac",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def transport_name_of(code: int) -> str:
    """QUIC's code for people: "APPLICATION_ERROR (0xc)", "TLS no_application_protocol (0x178)"."""
    alert = alert_of(code)
    if alert is not None:
        return f"TLS {_ALERTS.get(alert, f'alert {alert}')} ({code:#x})"
    try:
        return f"{TransportCode(code).name} ({code:#x})"
    except ValueError:
        return f"transport code {code:#x}"


def alert_of(code: int) -> int | None:
    """The TLS alert in one of QUIC's codes, None when there is none."""
    return code - CRYPTO_ERROR if CRYPTO_ERROR <= code < 2 * CRYPTO_ERROR else None


_NUMBERS: Final = {name: number for number, name in _ALERTS.items()} | {"user_cancelled": 90}
_ALERT_REASON: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z0-9_]+)")


def alert_named(reason: str) -> int | None:
    """The peer's alert in OpenSSL's reason, "TLSV1_ALERT_UNKNOWN_CA" say; None when it is none."""
    found = _ALERT_REASON.fullmatch(reason)
    return None if found is None else _NUMBERS.get(found[1].lower())
