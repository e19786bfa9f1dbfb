"""The keys of listeners: where connections come in, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gatepost.config.kinds import Bind, Name, Table, one_or_many


class Listener(Table):
    """Where mail comes in, and how."""

    name: Name = Field(description="Name in logs, metrics and rules; lower-case letters, digits, `-` and `_`.")
    protocol: Literal["smtp", "submission", "lmtp", "pop3"] = Field(
        description="`smtp`: mail for our domains from anywhere; `submission`: mail from our users to anywhere, "
        "after a login; `lmtp`: mail for our domains from another server of ours (RFC 2033); `pop3`: our users fetch "
        "their mail (RFC 1939)."
    )
    bind: Annotated[tuple[Bind, ...], Field(min_length=1, max_length=64), BeforeValidator(one_or_many)] = Field(
        description='Addresses with ports to listen on, such as `"0.0.0.0:25"` or `"[::]:25"`.'
    )
    tls: Literal["starttls", "implicit"] = Field(
        default="starttls",
        description="`starttls`: begin in the clear and upgrade; `implicit`: TLS from the first byte.",
    )
    starttls: Literal["offer", "require", "deny"] = Field(
        default="offer",
        description="`offer` it, `require` it before mail, or `deny` it: neither offered nor accepted. "
        "Submission and POP3 listeners take a login only inside TLS whatever stands here.",
    )

    @property
    def trade(self) -> str:
        """Which processes serve it: those of a protocol, or the gate's."""
        return self.protocol


def default_listeners() -> tuple[Listener, ...]:
    """The listeners of a configuration that names none: loopback only, ports that need no root."""
    return (
        Listener(name="mx", protocol="smtp", bind=("127.0.0.1:2525", "[::1]:2525")),
        Listener(name="submission", protocol="submission", bind=("127.0.0.1:2587", "[::1]:2587")),
        Listener(name="submissions", protocol="submission", bind=("127.0.0.1:2465", "[::1]:2465"), tls="implicit"),
        Listener(name="pop3", protocol="pop3", bind=("127.0.0.1:2110", "[::1]:2110")),
        Listener(name="pop3s", protocol="pop3", bind=("127.0.0.1:2995", "[::1]:2995"), tls="implicit"),
    )
