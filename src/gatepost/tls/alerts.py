"""TLS alerts: their names (RFC 8446 §6, RFC 7301 §3.2), and how to write one before a TLS object exists."""

from __future__ import annotations

from typing import Final

ALERT_NAMES: Final[dict[int, str]] = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
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
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}

DECODE_ERROR: Final = 50
NO_APPLICATION_PROTOCOL: Final = 120

_ALERT_RECORD: Final = 21
_FATAL: Final = 2


def fatal_alert(number: int) -> bytes:
    """One fatal alert in a plaintext record of its own (RFC 8446 §5.1 and §6)."""
    return bytes((_ALERT_RECORD, 3, 3, 0, 2, _FATAL, number))


def sent_alert(octets: bytes) -> str:
    """The name of the plaintext alert that ends ``octets``, or an empty string: an encrypted one cannot be read."""
    record = octets[-7:]
    if len(record) == 7 and record[0] == _ALERT_RECORD and record[1] == 3 and record[3:5] == b"\x00\x02":
        return ALERT_NAMES.get(record[6], f"alert {record[6]}")
    return ""


def received_alert(reason: str) -> str:
    """The alert that the peer sent, from OpenSSL's reason (``tlsv1 alert unknown ca``), or an empty string."""
    _, marker, name = reason.partition(" alert ")
    return name.replace(" ", "_") if marker else ""
