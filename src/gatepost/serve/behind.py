"""What a person who started gates is told: what is behind each, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from gatepost.certs.configured import needs_self_signed
from gatepost.config.invocation import command, program
from gatepost.config.schema import Backend, Config, Gate
from gatepost.net.listen import show
from gatepost.observe.shared import BoundListener
from gatepost.serve.selfsigned import SELF_SIGNED

_UPGRADES: Final = {
    "pop3": "STLS", "ftp": "AUTH TLS", "ldap": "StartTLS", "postgres": "SSLRequest", "mysql": "SSLRequest",
}  # fmt: skip
_BACKEND_TLS: Final = {"none": "in the clear", "starttls": "with STARTTLS", "implicit": "with TLS"}
_TRIED: Final = 3  # gates for which a command is printed


def manner(gate: Gate, config: Config) -> str:
    """One gate in a few words: what is spoken, what is behind."""
    backend = next((each for each in config.backend if each.name == gate.backend), None)
    return f"{gate.protocol}, {_privacy(gate)}; behind it {_servers(gate, backend)}"


def _privacy(gate: Gate) -> str:
    if gate.mode == "pass" and gate.tls == "implicit":
        return "TLS from the start"
    if gate.mode == "pass":
        return _UPGRADES.get(gate.protocol, "STARTTLS")
    if gate.tls == "implicit":
        return "TLS from the start"
    if gate.mode == "refuse" or gate.starttls == "deny":
        return "no TLS"
    upgrade = _UPGRADES.get(gate.protocol, "STARTTLS")
    return f"{upgrade} required" if gate.starttls == "require" else upgrade


def _servers(gate: Gate, backend: Backend | None) -> str:
    if backend is None:
        return gate.backend
    way = "the client's own TLS goes through unread" if gate.mode == "pass" else _BACKEND_TLS[backend.tls]
    return f"{', '.join(backend.servers)}, {way}"


def heading(config: Config) -> str:
    """What stands where a server of mail says for whom it keeps mail."""
    behind = {server for gate in config.gate for each in config.backend if each.name == gate.backend
              for server in each.servers}  # fmt: skip
    return f"stands in front of {len(behind)} {'server' if len(behind) == 1 else 'servers'} as {config.hostname}"


def to_try(config: Config, listeners: Sequence[BoundListener]) -> list[str]:
    """Commands that work as they stand, for the first few gates."""
    trust = f" --ca-file {shlex.quote(str(config.data / SELF_SIGNED))}" if needs_self_signed(config) else ""
    lines = []
    for listener in listeners:
        gate = listener.settings
        if not isinstance(gate, Gate) or not listener.sockets:
            continue
        if gate.mode != "terminate" or gate.starttls == "deny":
            continue  # whose certificate is shown is not ours to say, or there is none
        host, port = listener.sockets[0].getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        way = "--implicit" if gate.tls == "implicit" else f"--starttls {gate.protocol}"
        # An XMPP server is asked for the domain, which the certificate names, too.
        lines.append(
            f"  {shlex.quote(program())} connect {show((host, port))} {way} --server-name {config.hostname}{trust}"
        )
    lines = lines[:_TRIED]
    if config.record_rule:
        lines.append(f"  {command(config, 'record', 'list')}")
    return lines
