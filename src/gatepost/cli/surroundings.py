"""What a configuration names, looked at on this machine: certificates, ports, directories, the user."""

from __future__ import annotations

import errno
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gatepost.config.endpoints import format_endpoint, parse_bind
from gatepost.errors import CertificateError, GatepostError

if TYPE_CHECKING:
    from gatepost.config.schema import Config


def survey(config: Config) -> list[str]:
    """Everything that would keep the server from starting here, one line each; ``gatepost config check`` knows the
    aliases' faults already."""
    found = [
        *(f"{_where(config)}: {text}" for text in _certificate(config)),
        *(f"{_where(config)}: {text}" for text in _prepared(config)),
        *(f"{_where(config)}: {text}" for text in _rules(config)),
        *(f"{_where(config)}: {text}" for text in _data(config)),
        *(f"{_where(config)}: {text}" for text in _ports(config)),
    ]
    return list(dict.fromkeys(found))


def _where(config: Config) -> str:
    return str(config.source) if config.source else "built-in defaults"


def _certificate(config: Config) -> Iterator[str]:
    from gatepost.certs.configured import named_certificates, needs_self_signed
    from gatepost.serve.preparation import exposed_keys
    from gatepost.tls.credential import load_credential

    if needs_self_signed(config):
        return  # the first start makes one
    for named in named_certificates(config):
        try:
            load_credential(named.file, named.key)
        except CertificateError as error:
            yield f"{named.setting}: {error.message}"
    yield from exposed_keys(config)


def _prepared(config: Config) -> Iterator[str]:
    """What a start would find while it prepares, and a password that others may read."""
    from gatepost.record.configured import check_recording
    from gatepost.serve.preparation import check_clients, check_delivery, check_handshake
    from gatepost.service.greylisting import check_greylisting

    for check in (check_handshake, check_clients, check_delivery, check_greylisting, check_recording):
        try:
            check(config)
        except GatepostError as error:
            yield error.message
    path = config.delivery.smarthost_password_file
    if path is not None and path.exists() and path.stat().st_mode & 0o077:
        yield f"delivery.smarthost_password_file: {path}: others may read it; chmod 600 {path}"


def _rules(config: Config) -> Iterator[str]:
    """List files of rules; versions of several rules that exclude each other."""
    from gatepost.config.lists import ListFiles
    from gatepost.config.policies import ground_of, inbound_policy, refused_senders, relay_policy

    try:
        relay_policy(config, ListFiles())
        refused_senders(config, ListFiles())
        policy = inbound_policy(config, ListFiles())
        for decision in policy.handshakes(ground_of(config, each) for each in config.listeners).values():
            if not decision.handshake.possible:
                yield f"{decision.rule}: {decision.facts.address} can speak no version of TLS that they leave"
    except GatepostError as error:
        yield error.message


def _data(config: Config) -> Iterator[str]:
    wanted = {"data": config.data} | ({"run_directory": config.runtime} if config.runtime != config.data else {})
    for key, directory in wanted.items():
        nearest = next((path for path in (directory, *directory.parents) if path.exists()), Path("/"))
        if not nearest.is_dir():
            yield f"{key}: {nearest} is not a directory"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield f"{key}: {nearest} may not be written by this user"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(config.user)
        except KeyError:
            if "user" in config.model_fields_set:
                yield f'user: there is no account "{config.user}"; make it with `useradd --system {config.user}`'


def _served(config: Config) -> set[str]:
    """The addresses that the running server of this configuration has bound, when there is one."""
    from gatepost.cli.running import ask

    try:
        listeners = ask(config, "status").get("listeners")
    except GatepostError:
        return set()
    return {str(text) for each in listeners or () for text in each.get("addresses") or ()}


def _ports(config: Config) -> Iterator[str]:
    served = _served(config)
    binds = [(f'listener "{each.name}"', text) for each in config.listeners for text in each.bind]
    if config.metrics.bind:
        binds.append(("metrics.bind", config.metrics.bind))
    for owner, text in binds:
        host, port = parse_bind(text)
        if format_endpoint(host, port) in served:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
                sock.listen(1)
        except OSError as error:
            yield f"{owner}: cannot listen on {text}: {_reason(error, port)}"


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use (is the server running already?)"
    if error.errno == errno.EACCES and port < 1024:
        return "ports below 1024 need root, CAP_NET_BIND_SERVICE or socket activation"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address"
    return error.strerror or str(error)
