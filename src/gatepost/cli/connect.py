"""``gatepost connect``: a terminal, or a script's pipe, on a connection that becomes private by any recipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.manner import manner_hint
from gatepost.cli.output import print_json, printable
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.cli.target import Target, find_target, starttls_option
from gatepost.cli.tracing import keylog_option, keylog_to, trace_options, traced
from gatepost.errors import CertificateError, GatepostError, LocalProtocolError, VerificationError

if TYPE_CHECKING:
    from gatepost.cli.terminal import Input, Manner
    from gatepost.connecting import PlainConnection, SecureConnection
    from gatepost.tls.contexts import ClientTLS
    from gatepost.wire.upgrade import TLSEvidence

UNVERIFIED: Final = 1
_GREETS_INSIDE: Final = frozenset({"sieve"})  # RFC 5804 §2.2: the server speaks first, behind STARTTLS too
_SECONDS: Final = click.FloatRange(min=0.0)


@dataclass(slots=True)
class Request:
    """What is wanted.

    :param insecure: go on whatever the certificate is.
    """

    target: Target
    tls: ClientTLS
    pins: tuple[str, ...]
    insecure: bool
    plain_first: bool
    timeout: float
    manner: Manner


@click.command("connect", short_help="Talk to a server through TLS, after STARTTLS of any protocol.")
@click.argument("server", metavar="HOST[:PORT]")
@starttls_option
@click.option("--implicit", is_flag=True, help="TLS from the first byte: ports such as 465 and 993.")
@click.option("--plain-first", is_flag=True, help="Talk in the clear first; a line .starttls begins TLS.")
@click.option("--server-name", metavar="NAME", help="Name to ask for and to verify; else HOST.")
@click.option("--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="Trust these authorities.")
@click.option("--pin", "pins", metavar="SHA256", multiple=True, help="Take only this certificate or public key.")
@click.option(
    "--client-certificate", type=click.Path(path_type=Path), metavar="FILE", help="Our own, PEM, with chain and key."
)
@click.option("--client-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key, when in another file.")
@click.option("--alpn", metavar="NAME", multiple=True, help="Protocol to offer by ALPN, again for more.")
@click.option(
    "--level", type=click.Choice(["may", "encrypt", "verify"]), default="verify", show_default=True,
    help="may and encrypt go on with any certificate.",
)  # fmt: skip
@click.option("--insecure-no-verify", is_flag=True, help="The same as --level encrypt.")
@click.option(
    "--line-end", type=click.Choice(["crlf", "lf", "asis"]), default="crlf", show_default=True,
    help="What ends a line that is sent.",
)  # fmt: skip
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    help="For each step.",
)
@click.option(
    "--wait", metavar="SECONDS", type=_SECONDS, default=5.0, show_default=True,
    help="After the end of input: how long the peer may be silent before we close.",
)  # fmt: skip
@click.option(
    "--pace", metavar="SECONDS", type=_SECONDS, default=0.5, show_default=True,
    help="In scripts: how long to wait for the answer to a line before the next; 0 sends at once.",
)  # fmt: skip
@trace_options
@keylog_option
@common_options
@pass_settings
def command(settings: Settings, /, **given: Any) -> int:
    """Connect, become private, show what was proved, and let you talk.

    What the server says goes to standard output; all else goes to standard error. Input that is no terminal is sent
    line by line, at the pace of the answers. With --json the evidence is printed and the connection closed.

    Exits with 0 when the certificate was verified, and 1 when it was not and you went on all the same. Without leave to
    go on nothing is sent to such a server, and the code is 69.

    \b
    gatepost connect mail.example.org --starttls imap
    gatepost connect mail.example.org:465 --trace handshake
    printf 'EHLO me\\nQUIT\\n' | gatepost connect mx.example.org --starttls smtp
    """
    import asyncio

    trace, trace_file, keylog = given.pop("trace"), given.pop("trace_file"), given.pop("keylog")
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(keylog_to(keylog))
        request = _request(settings, observable=trace == "handshake", keylog=write, **given)
        stack.enter_context(traced(trace, trace_file))
        stack.enter_context(_explained(request))
        return asyncio.run(_run(settings, request))


def _request(
    settings: Settings,
    server: str,
    starttls: str | None,
    implicit: bool,
    plain_first: bool,
    server_name: str | None,
    ca_file: Path | None,
    pins: tuple[str, ...],
    client_certificate: Path | None,
    client_key: Path | None,
    alpn: tuple[str, ...],
    level: str,
    insecure_no_verify: bool,
    line_end: Literal["crlf", "lf", "asis"],
    timeout: float,
    wait: float,
    pace: float,
    **tls: Any,
) -> Request:
    from gatepost.cli.terminal import Manner
    from gatepost.tls.contexts import ClientTLS, client_context
    from gatepost.tls.credential import load_credential
    from gatepost.tls.sessions import SessionCache
    from gatepost.tls.trust import TrustStore

    target = find_target(server, starttls, implicit=implicit, default="raw" if plain_first else None)
    if plain_first and implicit:
        raise click.UsageError("--plain-first and --implicit exclude each other.")
    if client_key is not None and client_certificate is None:
        raise click.UsageError("--client-key needs --client-certificate.")
    if plain_first and settings.json:
        raise click.UsageError("--json prints the evidence and does not talk; leave --plain-first out.")
    try:
        credential = None if client_certificate is None else load_credential(client_certificate, client_key)
        trust = TrustStore.load(ca_file) if ca_file is not None or not pins else TrustStore()
        context = client_context(credential=credential, trust=trust, sessions=SessionCache(0), **tls)
        settings_of_tls = ClientTLS(context, server_name or target.host, level="encrypt", alpn=alpn)
    except (CertificateError, LocalProtocolError) as error:
        raise CommandError(error.message, exits.DATA, hint=error.hint) from error
    insecure = insecure_no_verify or level != "verify"
    manner = Manner(line_end, wait=wait, pace=pace, timeout=timeout)
    return Request(target, settings_of_tls, tuple(map(_pin, pins)), insecure, plain_first, timeout, manner)


def _pin(text: str) -> str:
    pin = text.replace(":", "").lower()
    if len(pin) != 64 or not set(pin) <= set("0123456789abcdef"):
        raise click.UsageError(f"--pin: {text!r} is no SHA-256: 64 hexadecimal digits")
    return pin


@contextlib.contextmanager
def _explained(request: Request) -> Iterator[None]:
    """What goes wrong on the network, with its exit code and what to do."""
    host, port = request.target.host, request.target.port
    try:
        yield
    except CommandError:
        raise
    except GatepostError as error:
        hint = manner_hint(error, implicit=request.target.implicit) or error.hint
        raise CommandError(printable(error.message), exits.exit_code(error), hint=hint) from error
    except OSError as error:
        code = exits.exit_code(error)
        raise CommandError(
            f"{host} port {port}: {error.strerror or error}", exits.UNAVAILABLE if code == exits.IO else code
        ) from error


async def _run(settings: Settings, request: Request) -> int:
    from gatepost.cli.terminal import Input
    from gatepost.connecting import PlainConnection, SecureConnection
    from gatepost.net.dial import dial
    from gatepost.net.ownname import own_name
    from gatepost.wire.recipes.recipe import ClientTerms

    target, seconds, source = request.target, request.timeout, Input(sys.stdin, upgrade_line=request.plain_first)
    wire = await dial(
        target.host, target.port, dialer="connect", tls=request.tls, connect_seconds=seconds, handshake_seconds=seconds
    )
    try:
        if target.implicit:
            await wire.handshake()
            code = await _in_private(settings, request, SecureConnection(wire, seconds), source)
        else:
            name = request.tls.server_name or target.host
            plain = PlainConnection(wire, seconds, ClientTerms(own_name(), name, seconds))
            if request.plain_first:
                code = await _plain_first(settings, request, plain, source)
            else:
                secure = await plain.upgrade(target.recipe)
                code = await _in_private(settings, request, secure, source)
        await wire.finish(seconds)
        return code
    finally:
        source.close()
        wire.close()
        wire.abort()


async def _in_private(settings: Settings, request: Request, secure: SecureConnection, source: Input) -> int:
    from gatepost.cli.terminal import talk

    code = _judge(settings, request, secure.evidence)
    if settings.json:
        return code
    _invite(settings, private=True)
    greeting = request.target.implicit or (request.target.recipe.name in _GREETS_INSIDE and not request.plain_first)
    return await talk(secure, source, request.manner, greeting=greeting) or code


async def _plain_first(settings: Settings, request: Request, plain: PlainConnection, source: Input) -> int:
    from gatepost.cli.terminal import UPGRADE, talk

    _invite(settings, private=False)
    code = await talk(plain, source, request.manner, greeting=True)
    if not source.upgrade_asked:
        _tell(settings, "the connection was never private")
        return code or UNVERIFIED
    _tell(settings, f"{UPGRADE}: TLS begins")
    return await _in_private(settings, request, await plain.upgrade("raw"), source)


def _judge(settings: Settings, request: Request, evidence: TLSEvidence) -> int:
    """Show what was proved; 0 when that is enough, ``UNVERIFIED`` when we may go on without.

    :raises CommandError: when we may not.
    """
    from gatepost.cli.evidence import summary, verdict_of
    from gatepost.tls.verify import match_fingerprint

    problem: tuple[str, str] | None
    try:
        verification = match_fingerprint(evidence.peer_chain, request.pins) if request.pins else evidence.verification
        problem = None if verification.status in ("verified", "pinned") else verdict_of(verification)
    except VerificationError as error:
        problem = (error.reason, error.message)
    if settings.json:
        from gatepost.certs.evidence import evidence_facts

        print_json(
            {
                "server": request.target.text,
                "protocol": request.target.recipe.name,
                "implicit": request.target.implicit,
                "verified": problem is None,
                "verdict": problem[1] if problem else "",
                "tls": evidence_facts(evidence, time.time()),
            }
        )
    elif settings.verbosity >= 0:
        for line in summary(evidence, request.target.text, problem, pinned=bool(request.pins)):
            click.echo(line, err=True)
    if problem is None:
        return 0
    if request.insecure or settings.json:
        return UNVERIFIED if request.insecure else exits.UNAVAILABLE
    raise CommandError(
        f"the server is not verified, nothing was sent: {printable(problem[1])}",
        exits.UNAVAILABLE,
        hint="to go on all the same: --insecure-no-verify",
    )


def _invite(settings: Settings, *, private: bool) -> None:
    if not sys.stdin.isatty():
        return
    more = "" if private else "; .starttls on a line of its own begins TLS"
    _tell(settings, f"connected, {'in private' if private else 'IN THE CLEAR'}; Ctrl-D ends your side{more}")


def _tell(settings: Settings, text: str) -> None:
    if settings.verbosity >= 0:
        click.echo(f"-- {text}", err=True)
