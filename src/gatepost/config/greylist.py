"""The keys of greylisting: ``[greylist]`` and the rules before it, ``[[greylist_rule]]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from gatepost.config.entries import check_country, check_mailbox_entry
from gatepost.config.kinds import (
    AddressEntries,
    CertificateNames,
    Count,
    Duration,
    Fingerprints,
    Name,
    NameEntries,
    Switch,
    Table,
    entries_by,
    one_or_many,
)

MailboxEntries: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_mailbox_entry)]
Countries: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_country)]
SPFResults: TypeAlias = Annotated[
    tuple[Literal["pass", "fail", "softfail", "neutral", "none"], ...],
    Field(min_length=1),
    BeforeValidator(one_or_many),
]
Listeners: TypeAlias = Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(one_or_many)]
_WEEK: Final = 604800.0


def _printable(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        raise ValueError("must be printable ASCII: it is sent in a reply")
    return value


ReplyText: TypeAlias = Annotated[str, Field(min_length=1, max_length=400), BeforeValidator(_printable)]


class Greylist(Table):
    """Mail from strangers is put off once: servers come again, most programs that send spam do not (RFC 6647)."""

    enabled: Switch = Field(
        default=False, description="Whether mail from strangers is put off, at `smtp` listeners; nowhere else, ever."
    )
    listeners: Listeners | None = Field(
        default=None, description="Names of the listeners that do it; unset: every `smtp` listener."
    )
    at: Literal["rcpt", "data"] = Field(
        default="rcpt",
        description="Where it is said: at `rcpt`, for each recipient; after `data`, once for the message, for clients "
        "that break when a recipient is put off.",
    )
    delay: Duration = Field(default=300.0, gt=0, le=86400, description="Time before a sender is let in.")
    window: Duration = Field(
        default=86400.0,
        gt=0,
        le=_WEEK,
        description="Time within which it must have come again; at least 4 hours more than any delay, so that senders "
        "that retry every few hours get in.",
    )
    lifetime: Duration = Field(
        default=3110400.0,
        ge=_WEEK,
        description="Time that a sender who came again is remembered after its last mail; RFC 6647 §5 asks for a week.",
    )
    auto_allow: Count = Field(
        default=5,
        ge=0,
        le=1000,
        description="A client network is no stranger any more after so many senders and recipients of its came again; "
        "0: it always is.",
    )
    network_ipv4: Count = Field(default=24, ge=8, le=32, description="Length of the prefix that is one IPv4 client.")
    network_ipv6: Count = Field(default=64, ge=16, le=128, description="Length of the prefix that is one IPv6 client.")
    size: Count = Field(
        default=2000000,
        ge=1000,
        le=100000000,
        description="What is remembered at most; when it is full of what is not yet forgotten, strangers are let in.",
    )
    country_database: Path | None = Field(
        default=None,
        description="File in MaxMind's format (.mmdb) that tells the country of an address, for rules with "
        "`countries`; read again when it is replaced. Needs `gatepost[geo]`.",
    )


class GreylistRule(Table):
    """Who is put off, who is not, and who is refused; the first rule that matches decides everything."""

    addresses: AddressEntries | None = Field(
        default=None, alias="from", description="Addresses of the clients; unset: everybody."
    )
    exempt: AddressEntries | None = Field(
        default=None, alias="except", description="Addresses that the rule does not match."
    )
    listeners: Listeners | None = Field(default=None, description="Names of the listeners; unset: every one.")
    client_names: NameEntries | None = Field(
        default=None,
        description="Names of the client's address in DNS, `.example.com` for those below one. A name counts when it "
        "leads back to the address. Asks DNS, only when everything else of the rule matches.",
    )
    countries: Countries | None = Field(
        default=None,
        description="Countries of the client's address, as ISO 3166 codes; `unknown` where the database has none.",
    )
    senders: MailboxEntries | None = Field(
        default=None,
        description="Senders: `user@example.com`, `example.com`, `.example.com`, `user@` in every domain, `<>`, `*`.",
    )
    recipients: MailboxEntries | None = Field(default=None, description="Recipients, as in `senders`.")
    authenticated: Switch | None = Field(
        default=None, description="Whether the client has logged in; of use where a gate stands before other servers."
    )
    tls: Switch | None = Field(default=None, description="Whether the mail comes inside TLS.")
    certificate_names: CertificateNames | None = Field(
        default=None,
        description="Names of which the client's certificate, verified with `tls.client_ca`, must have one.",
    )
    certificate_fingerprint: Fingerprints | None = Field(
        default=None, description="SHA-256 of client certificates or of their public keys, in hexadecimal."
    )
    spf: SPFResults | None = Field(
        default=None,
        description="What the sender's domain (for mail without a sender the EHLO name) says of the client by SPF: "
        "`pass`, `fail`, `softfail`, `neutral`, `none`; an error is none of them. With `pass` alone and "
        '`action = "delay"` the domain stands for the client in place of its network. Asks DNS, only when everything '
        "else of the rule matches. Needs `gatepost[spf]`.",
    )
    action: Literal["skip", "delay", "refuse"] = Field(
        description="`skip`: let it in at once; `delay`: put it off; `refuse` it for good."
    )
    delay: Duration | None = Field(
        default=None, gt=0, le=86400, description="Time for `delay`; unset: `greylist.delay`."
    )
    text: ReplyText | None = Field(default=None, description="What `refuse` says; unset: that the mail is unwanted.")
