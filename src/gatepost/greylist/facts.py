"""What is known of a client and of one recipient of its mail, as rules see it."""

from __future__ import annotations

from typing import Final, NamedTuple

NULL_PATH: Final = "<>"
"""Stands for the null sender of reports (RFC 5321 §4.5.5) in lists of senders."""
UNKNOWN_COUNTRY: Final = "unknown"
"""Stands for an address whose country nobody knows, in lists of countries."""


class Certificate(NamedTuple):
    """What a handshake proved of a client's certificate. Possession of its key is proved always.

    :param names: DNS names and mail addresses in it; empty unless its authority is trusted.
    :param fingerprints: the SHA-256 of it and of its public key.
    """

    names: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()


class Facts(NamedTuple):
    """What is known when a recipient is named. Claims of the client, its EHLO name above all, decide nothing.

    :param address: the client's IP address, as the kernel has it.
    :param listener: the name of the listener it came to.
    :param sender: the reverse path; empty for the null path.
    :param recipient: the forward path.
    :param tls: whether the mail comes inside TLS; None when it is not known.
    :param certificate: the client's certificate; None when it showed none.
    :param authenticated: whether the client has logged in.
    :param country: ISO 3166 code, or ``unknown``; None when nobody looked.
    :param names: what DNS calls the address, confirmed forward; None when DNS was not asked yet.
    :param hello: the EHLO name: a claim, of use only to ask its domain whether it is true (SPF of the null path).
    :param spf: what the record of ``domain`` says of the address (RFC 7208 §2.6); None when DNS was not asked yet.
    """

    address: str
    listener: str
    sender: str
    recipient: str
    tls: bool | None = False
    certificate: Certificate | None = None
    authenticated: bool = False
    country: str | None = None
    names: tuple[str, ...] | None = None
    hello: str = ""
    spf: str | None = None

    @property
    def domain(self) -> str:
        """The domain whose SPF record is asked, in lower case: the sender's, or the EHLO name for the null path."""
        return (self.sender.rpartition("@")[2] if self.sender else self.hello).lower()
