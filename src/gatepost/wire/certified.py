"""Mail addresses as certificates carry them, in the one form in which they are compared (RFC 5280 §7.5).

The domain is compared without case, the local part octet by octet: it is for the host that owns the domain to say
whether ``Alice`` is ``alice``, and a certificate for one is none for the other.
"""

from __future__ import annotations

from gatepost.wire.smtp.address import AddressSyntaxError, parse_mailbox


def canonical_mailbox(text: str) -> str | None:
    """A mail address in the form that is compared; None for what is none: with NUL, without a domain, beyond ASCII."""
    try:
        return str(parse_mailbox(text, utf8=False))
    except AddressSyntaxError:
        return None
