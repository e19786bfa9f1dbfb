"""Every key of the configuration: its type, its default, what it means.

This is the single source: the loader validates with it, ``gatepost config show`` and ``docs/configuration.md`` are
written from it. A key's description is one or two sentences for the operator. What one key can say alone is checked
here; what keys may not say together is in ``config.combinations``.

Relative paths in a file are relative to that file (``config.load`` sees to it).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from gatepost.config.combinations import impossible
from gatepost.config.gates import Backend as Backend
from gatepost.config.gates import Gate as Gate
from gatepost.config.greylist import Greylist, GreylistRule
from gatepost.config.kinds import (
    AddressEntries,
    Addresses,
    AliasName,
    AliasTargets,
    AskedCertificate,
    Bind,
    CertificateMailboxes,
    CertificateNames,
    Count,
    Domain,
    Duration,
    Endpoint,
    ExemptEntries,
    Fingerprints,
    Mailbox,
    Name,
    NameEntries,
    Nameserver,
    Size,
    Switch,
    Table,
    TLSVersion,
    one_or_many,
    seated,
)
from gatepost.config.listeners import Listener as Listener
from gatepost.config.listeners import default_listeners as default_listeners
from gatepost.config.names import system_hostname
from gatepost.config.record import Record, RecordRule
from gatepost.config.routing import RelayDomains, Route, SenderEntries
from gatepost.policy.addresses import AddressList

SYSTEM_DATA: Final = Path("/var/lib/gatepost")
SYSTEM_RUN: Final = Path("/run/gatepost")


class TLS(Table):
    """Our certificate, and what a handshake may agree on."""

    certificate: Path | None = Field(
        default=None,
        description="PEM file with the certificate and its chain, and the key too unless `key` is set. "
        "Without it and without a `[[certificate]]` the first start makes a self-signed one.",
    )
    key: Path | None = Field(
        default=None, description="PEM file with the private key, when it is not in `certificate`."
    )
    minimum: TLSVersion = Field(default="TLSv1.2", description="Oldest TLS version that is spoken.")
    maximum: TLSVersion | None = Field(default=None, description="Newest TLS version that is spoken; unset: no bound.")
    ciphers: str | None = Field(
        default=None, description="TLS 1.2 ciphers, as an OpenSSL cipher list; unset: forward secrecy and AEAD only."
    )
    suites: str | None = Field(
        default=None, description="TLS 1.3 cipher suites, separated by colons; unset: those of the TLS library."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that are trusted; unset: those of the system."
    )
    client_certificate: AskedCertificate = Field(
        default="none",
        description="Whether clients are asked for a certificate: `ask` takes them with any or none, `require` takes "
        "no mail and no login inside TLS without one that `client_ca` or a fingerprint of `[[relay]]` vouches for.",
    )
    client_ca: Path | None = Field(
        default=None,
        description="PEM file with the authorities whose client certificates are believed; unset: nobody's.",
    )
    client_crl: Path | None = Field(
        default=None,
        description="PEM file with the revocation lists of those authorities, one of each in the chain. Behind its "
        "next update a list proves nothing any more, and neither do the certificates under it.",
    )
    tickets: Count = Field(
        default=1,
        ge=0,
        le=2,
        description="TLS 1.3 session tickets sent after a full handshake, by the whole server; 0 for clients that "
        "drop the connection when one comes. Takes effect at a start.",
    )


class Certificate(Table):
    """A further certificate: shown to clients that ask for one of its names, or that need its kind of key."""

    file: Path = Field(description="PEM file with the certificate and its chain, and the key too unless `key` is set.")
    key: Path | None = Field(default=None, description="PEM file with the private key, when it is not in `file`.")


class Inbound(Table):
    """Which clients may, must and must not use TLS, and how."""

    addresses: AddressEntries | None = Field(
        default=None, alias="from", description="Addresses of the clients; unset: everybody."
    )
    listeners: Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(one_or_many)] | None = Field(
        default=None, description="Names of the listeners; unset: every one."
    )
    exempt: AddressEntries | None = Field(
        default=None, alias="except", description="Addresses that the rule does not match."
    )
    starttls: Literal["offer", "require", "deny"] | None = Field(
        default=None,
        description="`offer` it, `require` it before mail, or `deny` it: neither offered nor accepted; where TLS comes "
        "first, `deny` refuses the connection. Unset: as the listener says.",
    )
    minimum: TLSVersion | None = Field(default=None, description="Oldest TLS version spoken; unset: `tls.minimum`.")
    maximum: TLSVersion | None = Field(default=None, description="Newest TLS version spoken; unset: `tls.maximum`.")
    ciphers: str | None = Field(default=None, min_length=1, description="TLS 1.2 ciphers; unset: `tls.ciphers`.")
    suites: str | None = Field(default=None, min_length=1, description="TLS 1.3 suites; unset: `tls.suites`.")
    resumption: Switch | None = Field(default=None, description="Whether sessions may be resumed; unset: they may.")
    client_certificate: AskedCertificate | None = Field(
        default=None,
        description="Whether clients are asked for a certificate, as in `[tls]`; unset: `ask` where a `[[relay]]` rule "
        "by certificate can apply, else `tls.client_certificate`.",
    )


class Outbound(Table):
    """How other servers are approached: by destination, by the server's name and by its address."""

    to: NameEntries | None = Field(
        default=None,
        description="Domains of the mail, `.example.com` for those below one; with a smarthost, its name. "
        "Unset: every one.",
    )
    mx: NameEntries | None = Field(default=None, description="Names of servers, as in `to`; unset: every one.")
    server: AddressEntries | None = Field(default=None, description="Addresses of servers; unset: every one.")
    exempt: ExemptEntries | None = Field(
        default=None,
        alias="except",
        description="Addresses and names, of destinations or servers, that the rule does not match.",
    )
    level: (
        Annotated[Literal["none", "may", "encrypt", "fingerprint", "verify", "secure"], BeforeValidator(seated)] | None
    ) = Field(
        default=None,
        description="As `delivery.tls_level`, and `fingerprint`: a certificate of `fingerprints`; `secure`: a trusted "
        "certificate for the name of the destination, not of the MX host.",
    )
    ca: Path | None = Field(
        default=None,
        description="PEM file with the authorities trusted, or the server's own self-signed certificate; "
        "unset: `delivery.ca_file`.",
    )
    crl: Path | None = Field(
        default=None,
        description="PEM file with the revocation lists of all authorities between the server and the trusted one; "
        "where one is missing or out of date, mail waits. Unset: revocation is not looked at.",
    )
    fingerprints: Fingerprints | None = Field(
        default=None, description="SHA-256 of certificates or of public keys, in hexadecimal, for `fingerprint`."
    )
    names: CertificateNames | None = Field(
        default=None,
        description="Names of which the certificate must have one, `.example.com` for any below it; unset: the "
        "server's (`verify`), or the destination's and those below it (`secure`).",
    )
    ciphers: str | None = Field(default=None, min_length=1, description="TLS 1.2 ciphers; unset: `tls.ciphers`.")
    suites: str | None = Field(default=None, min_length=1, description="TLS 1.3 suites; unset: `tls.suites`.")
    minimum: TLSVersion | None = Field(default=None, description="Oldest TLS version spoken; unset: `tls.minimum`.")
    maximum: TLSVersion | None = Field(default=None, description="Newest TLS version spoken; unset: `tls.maximum`.")
    client_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate, chain and key that are shown when asked for."
    )
    port: Count | None = Field(default=None, ge=1, le=65535, description="Port; unset: `delivery.port`.")
    implicit: Switch | None = Field(
        default=None, description="TLS from the first byte, on port 465 unless `port` says otherwise."
    )


class Relay(Table):
    """Who may send to domains that are not ours without a login. Without an entry nobody may."""

    addresses: AddressEntries | None = Field(
        default=None,
        alias="from",
        description="Addresses of the clients; unset, in a rule by certificate: everybody.",
    )
    listeners: Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(one_or_many)] | None = Field(
        default=None, description="Names of the listeners; unset: every one for mail from servers."
    )
    certificate_email: CertificateMailboxes | None = Field(
        default=None,
        description="Mail addresses of which the client's certificate, verified with `tls.client_ca`, must be for one.",
    )
    certificate_fingerprint: Fingerprints | None = Field(
        default=None,
        description="SHA-256 of client certificates or of their public keys, in hexadecimal. Who issued such a "
        "certificate is not asked.",
    )


class Limits(Table):
    """What one peer, one session and one message may cost."""

    message_size: Size = Field(default=52428800, description="Largest message accepted, in bytes (RFC 1870).")
    recipients: Count = Field(
        default=1000, ge=100, le=100000, description="Recipients of one message (RFC 5321 asks for 100)."
    )
    errors: Count = Field(default=10, ge=1, le=1000, description="Protocol errors in a session before it is ended.")
    connections: Count = Field(default=1000, ge=1, le=1000000, description="Connections at a time, for each listener.")
    connections_per_address: Count = Field(default=50, ge=1, description="Connections at a time from one address.")
    connection_rate_per_address: Count = Field(
        default=300, ge=1, description="New connections a minute from one address."
    )
    message_rate_per_address: Count = Field(default=600, ge=1, description="Messages a minute from one address.")
    handshake_timeout: Duration = Field(default=30.0, gt=0, le=3600, description="Time for a whole TLS handshake.")
    command_timeout: Duration = Field(
        default=300.0, gt=0, le=86400, description="Time to wait for a command (RFC 5321 §4.5.3.2 asks for 5 minutes)."
    )
    data_timeout: Duration = Field(
        default=180.0,
        gt=0,
        le=86400,
        description="Time to wait for more of a message's content (RFC 5321 §4.5.3.2.5), and for a POP3 client that "
        "does not take what it asked for.",
    )
    session_timeout_before_auth: Duration = Field(
        default=600.0, gt=0, le=86400, description="Time that a submission connection has to log in."
    )
    auth_failures: Count = Field(
        default=5, ge=1, le=1000, description="Failed logins from one address before its answers are delayed."
    )
    password_memory: Duration = Field(
        default=600.0,
        ge=0,
        le=86400,
        description="Time for which a password that was found right is not checked anew by its costly hash, while the "
        "account and its password stay as they are; 0: it always is.",
    )
    pop3_login_timeout: Duration = Field(
        default=180.0, gt=0, le=86400, description="Time that a POP3 connection has to log in."
    )
    pop3_idle_timeout: Duration = Field(
        default=600.0,
        ge=600,
        le=86400,
        description="Time to wait for a POP3 client's next command after its login; no less than 10 minutes "
        "(RFC 1939 §3). Nothing is deleted when it is over.",
    )
    exempt: Addresses = Field(
        default=AddressList(("127.0.0.1", "::1")),
        description="Addresses free of the limits per address, never of the totals.",
    )
    line_ends: Literal["strict", "normalise"] = Field(
        default="strict",
        description="`strict` refuses bare CR and LF from everybody; `normalise` accepts a bare LF as a line end.",
    )
    normalise_from: Addresses = Field(
        default=AddressList(), description="Addresses of old peers whose bare LF is accepted as a line end."
    )
    received_hops: Count = Field(
        default=100, ge=10, le=1000, description="`Received:` lines in a message before it is refused as looping."
    )


class Delivery(Table):
    """How mail goes on."""

    hold: Switch = Field(default=False, description="Accept and queue mail, and deliver none.")
    smarthost: Endpoint | None = Field(
        default=None, description='Server that takes all outgoing mail, `"host:port"`; unset: deliver by MX.'
    )
    smarthost_user: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="User name for the smarthost; needs `smarthost_password_file`.",
    )
    smarthost_password_file: Path | None = Field(
        default=None, description="File whose first line is the password for the smarthost."
    )
    smarthost_tls: Literal["starttls", "implicit"] = Field(
        default="starttls", description="`starttls`: upgrade as `tls_level` says; `implicit`: TLS from the first byte."
    )
    tls_level: Literal["none", "may", "encrypt", "verify"] = Field(
        default="may",
        description="TLS towards other servers: `none`, `may` (when offered, unverified, in the clear otherwise), "
        "`encrypt` (always, unverified), `verify` (always, with a trusted certificate for the server's name).",
    )
    tls_only_listed: Switch = Field(
        default=False,
        description="Ask for TLS only where an `[[outbound]]` rule sets a `level`; everywhere else mail goes in the "
        "clear.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities trusted at `verify`; unset: `tls.ca_file`."
    )
    lifetime: Duration = Field(default=432000.0, gt=0, description="Time that a message is retried before it bounces.")
    retry_first: Duration = Field(
        default=300.0, gt=0, description="Time before the first retry; each later one waits longer."
    )
    retry_max: Duration = Field(default=14400.0, gt=0, description="Longest time between two retries.")
    concurrency: Count = Field(default=50, ge=1, le=10000, description="Outgoing connections at a time.")
    concurrency_per_destination: Count = Field(
        default=5, ge=1, le=1000, description="Outgoing connections to one destination."
    )
    messages_per_connection: Count = Field(
        default=500, ge=1, le=100000, description="Messages over one outgoing connection before a new one is opened."
    )
    connect_timeout: Duration = Field(
        default=30.0, gt=0, le=3600, description="Time to wait for an outgoing connection."
    )
    port: Count = Field(default=25, ge=1, le=65535, description="Port of the servers that MX records name.")
    resolver: (
        Annotated[tuple[Nameserver, ...], Field(min_length=1, max_length=16), BeforeValidator(one_or_many)] | None
    ) = Field(
        default=None, description="Name servers to ask, address or `address:port`; unset: those of /etc/resolv.conf."
    )
    bounce_size: Size = Field(
        default=65536,
        description="Largest message that a bounce returns whole, in bytes; of larger ones it returns the header.",
    )


class Reflector(Table):
    """An address that answers each message with how it arrived."""

    address: Mailbox | None = Field(
        default=None,
        description="The address, in one of `domains`; unset: none. Mail for it is answered, and kept nowhere.",
    )
    per_sender: Count = Field(default=6, ge=1, le=1000, description="Answers to one address within an hour.")
    total: Count = Field(default=60, ge=1, le=100000, description="Answers to everybody within an hour.")


class Metrics(Table):
    """What monitoring may read."""

    bind: Bind | None = Field(
        default=None, description="Address and port that serve `/metrics`, `/healthz` and `/readyz`; unset: none."
    )


def default_data() -> Path:
    """``SYSTEM_DATA`` for root, otherwise ``gatepost`` in the XDG state folder."""
    if os.geteuid() == 0:
        return SYSTEM_DATA
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "gatepost"


class Config(Table):
    """The whole configuration."""

    hostname: Domain = Field(
        default_factory=system_hostname,
        description="Our name in greetings, in `Received:` lines and in the self-signed certificate; "
        "unset: the system's full name.",
    )
    domains: Annotated[tuple[Domain, ...], BeforeValidator(one_or_many)] = Field(
        default_factory=lambda known: tuple(dict.fromkeys((known.get("hostname", "localhost"), "localhost"))),
        description="Mail for these is kept here; all else is relayed for users, and refused for others. "
        "Unset: `hostname` and `localhost`.",
    )
    relay_domains: RelayDomains | None = Field(
        default=None,
        description="Mail for these, `.example.com` for all below one, is taken from everybody at `smtp` listeners and "
        "sent on: for whom we are a backup MX, or stand in front. None of them is in `domains`.",
    )
    refused_senders: SenderEntries | None = Field(
        default=None,
        description="Senders whose mail is refused at `smtp` listeners: `user@example.org`, `@example.org`, "
        "`.example.org` for all below one, `file:PATH`. The null sender never is.",
    )
    data: Path = Field(
        default_factory=default_data,
        description="Directory of the queue, the accounts and the mail; unset: /var/lib/gatepost for root, "
        "else gatepost in the XDG state folder.",
    )
    run_directory: Path | None = Field(
        default=None,
        description="Directory of the local sockets `control.sock` and `sendmail.sock`; unset: /run/gatepost when "
        "`data` is /var/lib/gatepost, else `data`.",
    )
    user: str = Field(
        default="gatepost",
        pattern=r"^[A-Za-z_][-A-Za-z0-9_.]{0,31}$",
        description="Account that the workers run as, when started by root.",
    )
    workers: Count = Field(
        default=0,
        ge=0,
        le=1024,
        description="Processes that serve the listeners; 0: one for each processor that may be used.",
    )
    drain_seconds: Duration = Field(
        default=30.0, ge=0, le=3600, description="Time that sessions have to end when the server stops or reloads."
    )
    log: Literal["text", "json"] = Field(
        default="text", description="Form of the log lines: `text` (key=value) or `json`."
    )
    tls: TLS = Field(default_factory=TLS)
    certificate: tuple[Certificate, ...] = Field(default=(), max_length=1000)
    backend: tuple[Backend, ...] = Field(default=(), max_length=256)
    gate: tuple[Gate, ...] = Field(default=(), max_length=256)
    listener: tuple[Listener, ...] = Field(
        default_factory=lambda known: () if known.get("gate") else default_listeners(), max_length=256
    )
    inbound: tuple[Inbound, ...] = Field(default=(), max_length=1000)
    outbound: tuple[Outbound, ...] = Field(default=(), max_length=10000)
    relay: tuple[Relay, ...] = Field(default=(), max_length=1000)
    route: tuple[Route, ...] = Field(default=(), max_length=10000)
    limits: Limits = Field(default_factory=Limits)
    delivery: Delivery = Field(default_factory=Delivery)
    aliases: dict[AliasName, AliasTargets] = Field(
        default_factory=dict,
        description="Other names of mailboxes: `name` (in every domain of ours), `name@domain`, or `@domain` for the "
        "rest of a domain = one target or a list, each a name here or an address anywhere.",
    )
    reflector: Reflector = Field(default_factory=Reflector)
    greylist: Greylist = Field(default_factory=Greylist)
    greylist_rule: tuple[GreylistRule, ...] = Field(default=(), max_length=1000)
    record: Record = Field(default_factory=Record)
    record_rule: tuple[RecordRule, ...] = Field(default=(), max_length=1000)
    metrics: Metrics = Field(default_factory=Metrics)

    _source: Path | None = PrivateAttr(None)
    _given_data: Path | None = PrivateAttr(None)
    _place: Callable[[tuple[str | int, ...]], str] | None = PrivateAttr(None)

    @property
    def source(self) -> Path | None:
        """The main file that this was read from; None for the built-in defaults."""
        return self._source

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Everything that accepts connections: listeners, then gates. Their names are unique among all of them."""
        return (*self.listener, *self.gate)

    @property
    def gates_only(self) -> bool:
        """Whether there is nothing but gates: no mail is kept, queued or delivered here, and nobody has an account."""
        return not self.listener

    @property
    def given_data(self) -> Path | None:
        """``data`` when it was given apart from the file, as by ``--data``."""
        return self._given_data

    def remember(
        self, source: Path | None, given_data: Path | None, place: Callable[[tuple[str | int, ...]], str]
    ) -> None:
        """Called by the loader alone: what to read again on a reload, and where each key stands."""
        self._source, self._given_data, self._place = source, given_data, place

    def place(self, *key: str | int) -> str:
        """``FILE:LINE`` of a key, or of the table around it; empty for tables that were not read from a file."""
        return "" if self._place is None else self._place(key)

    @property
    def runtime(self) -> Path:
        """Where the local sockets are. Only the system's own server, the one on ``SYSTEM_DATA``, has the directory that
        every program of the machine looks in; another one beside it, on other data, would take its sockets away."""
        return self.run_directory or (SYSTEM_RUN if self.data == SYSTEM_DATA else self.data)

    @model_validator(mode="after")
    def _refuse_impossible(self) -> Config:
        problems = impossible(self.model_dump(exclude_defaults=False))
        if problems:
            text = "; ".join(f"{'.'.join(map(str, problem.key))}: {problem.text}" for problem in problems)
            raise PydanticCustomError("impossible", "{text}", {"text": text})
        return self
