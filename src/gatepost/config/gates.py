"""The keys of gates and of what is behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from gatepost.config.kinds import (
    Addresses,
    CertificateNames,
    Count,
    Duration,
    Endpoint,
    Fingerprints,
    Name,
    Table,
    one_or_many,
)
from gatepost.config.listeners import Listener
from gatepost.policy.addresses import AddressList


class Backend(Table):
    """Servers that gates lead to, one as good as another: each connection goes to the one with the fewest."""

    name: Name = Field(description="Name in logs, metrics and gates; lower-case letters, digits, `-` and `_`.")
    servers: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=64), BeforeValidator(one_or_many)] = Field(
        description='The servers, `"host:port"` each.'
    )
    tls: Literal["none", "starttls", "implicit"] = Field(
        default="none",
        description="How the gate speaks to them: in the clear (`none`: over a network that is yours alone), after "
        "`starttls`, without which nothing is said, or with `implicit` TLS, from the first byte.",
    )
    level: Literal["encrypt", "verify", "fingerprint"] = Field(
        default="verify",
        description="What of their certificate is checked, with `tls`: `encrypt`: nothing; `verify`: that a trusted "
        "authority made it out for the host name in `servers`, or for one of `names`; `fingerprint`: that it is one "
        "of `fingerprints`.",
    )
    ca: Path | None = Field(
        default=None,
        description="PEM file with the authorities trusted at `verify`, or the server's own self-signed certificate; "
        "unset: `tls.ca_file`.",
    )
    names: CertificateNames | None = Field(
        default=None,
        description="Names of which their certificate must have one, `.example.com` for any below it; unset: the host "
        "name in `servers`.",
    )
    fingerprints: Fingerprints | None = Field(
        default=None, description="SHA-256 of certificates or of public keys, in hexadecimal, for `fingerprint`."
    )
    client_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate, chain and key that are shown when asked for."
    )
    client: Literal["none", "xclient", "xforward", "proxy1", "proxy2"] = Field(
        default="none",
        description="How the servers are told who the client is: `xclient` or `xforward` (SMTP, as Postfix has them), "
        "`proxy1` or `proxy2` (the PROXY protocol, in text or binary, before anything else). They must be set up to "
        "believe it.",
    )
    health_every: Duration = Field(
        default=10.0, ge=1, le=3600, description="Time between two looks at whether a server is there."
    )
    connect_timeout: Duration = Field(
        default=10.0, gt=0, le=3600, description="Time to wait for a connection to a server."
    )
    reply_timeout: Duration = Field(default=300.0, gt=0, le=3600, description="Time to wait for an answer of a server.")
    connections: Count = Field(
        default=1000, ge=1, le=1000000, description="Connections at a time to each server, of all processes together."
    )

    @model_serializer(mode="wrap")
    def _as_written(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what decides nothing: what is shown can be read again."""
        tables: dict[str, Any] = usual(self)
        if self.tls == "none":
            tables.pop("level", None)
        return tables


class Gate(Listener):
    """Where connections come in that lead to servers behind. TLS with the client ends here."""

    protocol: Literal[
        "smtp", "submission", "lmtp", "pop3", "imap", "sieve", "nntp", "ftp", "irc", "xmpp", "xmpp-server", "ldap",
        "postgres", "mysql", "raw",
    ] = Field(  # type: ignore[assignment]  # a gate knows more of them than a listener
        description="What is spoken. `smtp`, `submission`, `lmtp`, `pop3` and `imap` are read command by command; of "
        "`sieve`, `nntp`, `ftp`, `irc`, `xmpp`, `xmpp-server`, `ldap`, `postgres` and `mysql` the gate knows the way "
        "into TLS, and passes on what is said inside; `raw` is anything inside implicit TLS."
    )  # fmt: skip
    backend: Name = Field(description="Name of the `[[backend]]` behind it.")
    mode: Literal["terminate", "pass", "refuse"] = Field(
        default="terminate",
        description="`terminate`: TLS ends here, and inside it the gate still reads; `pass`: the client's TLS goes "
        "through to the server, and the gate is blind from there on; `refuse`: STARTTLS is hidden and refused "
        'as with `starttls = "deny"`, and logins pass in the clear as the server takes them.',
    )
    xclient_from: Addresses = Field(
        default=AddressList(),
        description="Addresses of proxies in front, whose XCLIENT is believed; to all others it is not offered, and "
        "refused.",
    )
    idle_timeout: Duration = Field(
        default=3600.0,
        ge=1,
        le=604800,
        description="Time in which nothing may move, either way, of what goes through unread: opaque protocols, and "
        'TLS with `mode = "pass"`.',
    )
    proxy_from: Addresses = Field(
        default=AddressList(),
        description="Addresses of proxies in front, whose connections begin with a PROXY header, version 1 or 2; one "
        "without it is closed. From all others such a header is rubbish.",
    )

    @property
    def trade(self) -> str:
        return "gate"
