"""``gatepost cert show``: a certificate in a file, or the one that a server shows, with the verdict on it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli import exits
from gatepost.cli.cert_options import bad_input, trust_of
from gatepost.cli.exits import CommandError
from gatepost.cli.manner import manner_hint
from gatepost.cli.output import print_fields, print_json, printable
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.cli.target import Target, find_target, starttls_option
from gatepost.errors import CertificateError, GatepostError

if TYPE_CHECKING:
    from cryptography import x509

    from gatepost.tls.contexts import ClientTLS
    from gatepost.tls.trust import TrustStore
    from gatepost.wire.dialogue import Dialogue
    from gatepost.wire.upgrade import Origin, TLSEvidence


@click.command("show", short_help="Show a certificate, in a file or of a server.")
@click.argument("target", metavar="FILE|HOST[:PORT]")
@starttls_option
@click.option("--implicit", is_flag=True, help="TLS from the first byte: ports such as 465.")
@click.option("--server-name", metavar="NAME", help="Name to ask for and to verify; else HOST.")
@click.option("--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="Trust these authorities.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0.1), default=20.0, show_default=True)
@common_options
@pass_settings
def command(
    settings: Settings,
    target: str,
    starttls: str | None,
    implicit: bool,
    server_name: str | None,
    ca_file: Path | None,
    timeout: float,
) -> int:
    """Show names, issuer, dates, key, chain and fingerprints, and whether a peer that verifies would accept it.

    What is no file is a server; without --starttls or --implicit the port decides, and STARTTLS in SMTP is the default.
    Every protocol that gatepost connect knows can be asked.
    Exits with 0 when it verifies and 69 when it does not.

    \b
    gatepost cert show server.pem
    gatepost cert show mx.example.org:25
    gatepost cert show mail.example.org --implicit
    """
    if starttls and implicit:
        raise click.UsageError("--starttls and --implicit exclude each other.")
    trust = trust_of(settings.config(), ca_file)
    if not starttls and not implicit and (Path(target).exists() or "/" in target):
        return _show_file(settings, Path(target), server_name, trust)
    return _show_server(settings, target, starttls, implicit, server_name, trust, timeout)


def _show_file(settings: Settings, path: Path, name: str | None, trust: TrustStore) -> int:
    from gatepost.certs.incoming import read_incoming
    from gatepost.certs.keys import described
    from gatepost.tls.credential import public_octets

    try:
        incoming = read_incoming([path])
    except CertificateError as error:
        raise bad_input(error) from error
    if not incoming.certificates:
        raise CommandError(f"{path}: holds a key and no certificate", exits.DATA)
    verdict = _verdict(incoming.certificates, name, trust)
    extra: dict[str, Any] = {"file": str(path)}
    if incoming.keys:
        key = incoming.keys[0][0]
        same = public_octets(key.public_key()) == public_octets(incoming.certificates[0].public_key())
        extra["private_key"] = f"{described(key)}, {'matches' if same else 'DOES NOT MATCH the first certificate'}"
    return _show(settings, incoming.certificates, extra, verdict)


def _verdict(chain: list[x509.Certificate], name: str | None, trust: TrustStore) -> tuple[bool, str]:
    from gatepost.certs.findings import examine

    found = examine(chain, at=time.time(), names=[name] if name else [], trust=trust)
    bad = [each.text for each in found if each.severity == "error" or each.word == "self-signed"]
    return (not bad, "; ".join(bad) or ("chain and name are good" if name else "the chain is good"))


def _show_server(
    settings: Settings,
    target: str,
    starttls: str | None,
    implicit: bool,
    server_name: str | None,
    trust: TrustStore,
    timeout: float,
) -> int:
    from gatepost.tls.contexts import ClientTLS, client_context
    from gatepost.tls.credential import read_certificate

    try:
        found = find_target(target, starttls, implicit=implicit, default="smtp")
    except click.UsageError as error:
        raise click.UsageError(f"{error.message}; and there is no such file") from None
    host, port = found.host, found.port
    tls = ClientTLS(client_context(trust=trust), server_name or host, level="encrypt")
    evidence = _connect(found, tls, timeout=timeout)
    if not evidence.peer_chain:
        raise CommandError(f"{host} port {port} showed no certificate", exits.UNAVAILABLE)
    try:
        chain = [read_certificate(der) for der in evidence.peer_chain]
    except ValueError as error:
        raise CommandError(f"{host} port {port} showed what cannot be read: {error}", exits.UNAVAILABLE) from None
    verification = evidence.verification
    good = verification.status == "verified"
    extra = {
        "server": f"{host} port {port}",
        "tls": f"{evidence.version} {evidence.cipher} {evidence.group or ''}".rstrip(),
    }
    return _show(settings, chain, extra, (good, "chain and name are good" if good else verification.reason))


def _connect(target: Target, tls: ClientTLS, *, timeout: float) -> TLSEvidence:
    from gatepost.net.blocking import BlockingWire

    host, port, implicit = target.host, target.port, target.implicit
    try:
        with BlockingWire(host, port, tls=tls, connect_seconds=timeout, handshake_seconds=timeout) as wire:
            return wire.handshake() if implicit else wire.run(_upgrade(wire.origin, target, tls, timeout))
    except OSError as error:
        code = exits.exit_code(error)
        raise CommandError(
            f"cannot reach {host} port {port}: {error.strerror or error}",
            exits.UNAVAILABLE if code == exits.IO else code,
        ) from error
    except GatepostError as error:
        hint = manner_hint(error, implicit=implicit) or error.hint
        raise CommandError(printable(error.message), exits.UNAVAILABLE, hint=hint) from error


def _upgrade(origin: Origin, target: Target, tls: ClientTLS, timeout: float) -> Dialogue[TLSEvidence]:
    from gatepost.net.ownname import own_name
    from gatepost.wire.dialogue import upgrade
    from gatepost.wire.recipes.recipe import ClientTerms

    terms = ClientTerms(own_name(), tls.server_name or target.host, timeout)
    return (yield from upgrade((yield from target.recipe.client(origin, terms))))


def _show(settings: Settings, chain: list[x509.Certificate], extra: dict[str, Any], verdict: tuple[bool, str]) -> int:
    from gatepost.certs.describe import describe

    at = time.time()
    facts = [describe(each, at) for each in chain]
    good, reason = verdict
    if settings.json:
        print_json(extra | {"verified": good, "verdict": reason, "chain": facts})
        return 0 if good else exits.UNAVAILABLE
    leaf = facts[0]
    print_fields(
        extra
        | {
            "names": ", ".join(leaf["names"]) or "(none)",
            "subject": leaf["subject"],
            "issuer": "itself" if leaf["self_signed"] else leaf["issuer"],
            "valid": f"{leaf['not_before']} to {leaf['not_after']} ({_left(leaf['days_left'])})",
            "key": leaf["key"],
            "signature": leaf["signature"],
            "SHA-256": leaf["sha256"],
            "public key SHA-256": leaf["public_key_sha256"],
            "chain": "; ".join(f"{each['subject']} (until {each['not_after'][:10]})" for each in facts[1:])
            or "(alone)",
            "verdict": f"{'verified' if good else 'NOT verified'}: {reason}",
        }
    )
    return 0 if good else exits.UNAVAILABLE


def _left(days: int) -> str:
    return f"{days} days left" if days >= 0 else f"expired {-days} days ago"
