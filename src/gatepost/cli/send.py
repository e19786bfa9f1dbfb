"""``gatepost send``: submit one message to a server, over STARTTLS or implicit TLS, logged in."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.manner import manner_hint
from gatepost.cli.output import print_json, printable, progress
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.cli.tracing import trace_options, traced
from gatepost.errors import GatepostError, VerificationError

if TYPE_CHECKING:
    from gatepost.net.trace import TraceLevel
    from gatepost.wire.sasl.secret import Secret
    from gatepost.wire.smtp.envelope import Envelope, Submission
    from gatepost.wire.upgrade import TLSEvidence

PASSWORD_VARIABLE: Final = "GATEPOST_PASSWORD"  # noqa: S105  (the name of a variable)
_HINTS: Final = {
    "self-signed": "if that is the server's own certificate, trust it with --ca-file",
    "untrusted": "if you know its authority, trust it with --ca-file",
    "wrong-name": "if you know that this is the server, give the certificate's name with --server-name",
}
_PORTS: Final = {"starttls": 587, "implicit": 465}


@dataclass(slots=True)
class Request:
    """What is to be sent, where, and as whom."""

    host: str
    port: int
    implicit: bool
    server_name: str
    verify: bool
    ca_file: Path | None
    user: str | None
    password: Secret | None
    timeout: float


@click.command("send", short_help="Submit a message to a server.")
@click.argument("file", default="-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--server", required=True, metavar="HOST[:PORT]", help="Server; port 587, or 465 with --implicit.")
@click.option("--implicit", is_flag=True, help="TLS from the first byte instead of STARTTLS.")
@click.option("--user", metavar="NAME", help="Log in as this user.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"File whose first line is the password. Otherwise ${PASSWORD_VARIABLE}, otherwise it is asked for.",
)
@click.option("--password-keyring", is_flag=True, help="Take the password from the keyring, where HOST is its service.")
@click.option("--from", "sender", metavar="ADDRESS", help="Envelope sender; otherwise that of the header.")
@click.option(
    "--to", "recipients", metavar="ADDRESS", multiple=True, help="Recipient, again for more; else the header's."
)
@click.option("--subject", help="Subject for a message that has none.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Trust these authorities."
)
@click.option("--server-name", metavar="NAME", help="Name in the server's certificate, when it is not HOST.")
@click.option("--insecure-no-verify", is_flag=True, help="Take any certificate: whoever is in between can read along.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="For each step.",
)
@trace_options
@common_options
@pass_settings
def command(
    settings: Settings,
    /,
    file: Path,
    recipients: tuple[str, ...],
    sender: str | None,
    subject: str | None,
    trace: TraceLevel | None,
    trace_file: Path | None,
    **given: Any,
) -> int:
    """Submit a message from FILE, or from standard input.

    TLS is always used, and the server's certificate verified. The message has its header, an empty line, and its text;
    what submission servers add (Date, Message-ID) may be missing.

    \b
    gatepost send --server mx.example.org --user me@example.org --to you@example.net message.eml
    """
    request = _request(**given)
    with contextlib.ExitStack() as stack:
        stack.enter_context(traced(trace, trace_file))
        stream = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        envelope, pieces = _prepare(stream, sender or request.user, recipients, subject)
        total = None if stream is sys.stdin.buffer else file.stat().st_size
        add = stack.enter_context(progress("sending", total, shown=settings.verbosity >= 0 and not settings.json))
        evidence, submission = _deliver(request, envelope, _counted(pieces, add), settings)
    return _report(settings, envelope, submission, evidence)


def _request(
    server: str,
    implicit: bool,
    user: str | None,
    password_file: Path | None,
    password_keyring: bool,
    ca_file: Path | None,
    server_name: str | None,
    insecure_no_verify: bool,
    timeout: float,
) -> Request:
    from gatepost.config.endpoints import parse_endpoint

    try:
        host, port = parse_endpoint(server, default_port=_PORTS["implicit" if implicit else "starttls"])
    except ValueError as error:
        raise click.UsageError(f"--server: {error}") from None
    if insecure_no_verify and ca_file is not None:
        raise click.UsageError("--insecure-no-verify takes any certificate; leave --ca-file out.")
    if password_keyring and (user is None or password_file is not None):
        raise click.UsageError("--password-keyring needs --user, and excludes --password-file.")
    password = None if user is None else _password(user, password_file, host if password_keyring else "")
    return Request(host, port, implicit, server_name or host, not insecure_no_verify, ca_file, user, password, timeout)


def _password(user: str, file: Path | None, service: str) -> Secret:
    from gatepost.cli import passwords
    from gatepost.wire.sasl.secret import Secret

    if file is not None:
        return passwords.from_file(file)
    if service:
        return passwords.from_keyring(service, user)
    if from_environment := os.environ.get(PASSWORD_VARIABLE):
        return Secret(os.fsencode(from_environment))
    return passwords.prompted(f"Password for {user}", twice=False)


def _prepare(
    stream: BinaryIO, sender: str | None, recipients: tuple[str, ...], subject: str | None
) -> tuple[Envelope, Iterator[bytes]]:
    """Read the header, decide the envelope, and read ahead far enough to know what the content needs."""
    from gatepost.sendmail import headers
    from gatepost.sendmail.message import Message, read_ahead
    from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient

    message = Message(stream, dot_ends=False)
    named = list(recipients) or headers.recipients(message.fields)
    message.fields = headers.without_bcc(message.fields)
    authors = [a for field in message.fields if field.name == b"from" for a in headers.addresses(field.text)]
    sender = sender if sender is not None else next(iter(authors), None)
    if not named:
        raise CommandError("no recipients", exits.USAGE, hint="name them with --to, or in the header")
    if sender is None:
        raise CommandError("no sender", exits.USAGE, hint="name it with --from, or in the header")
    if not authors and sender:
        message.fields.insert(0, headers.Field(b"from", headers.from_field(sender, None)))
    if subject is not None and not any(field.name == b"subject" for field in message.fields):
        message.fields.append(headers.Field(b"subject", headers.subject_field(subject)))
    pieces = message.pieces()
    first, whole = read_ahead(pieces)
    eightbit = not whole or not all(map(bytes.isascii, first))
    try:
        envelope = Envelope(
            "" if sender == "<>" else sender,
            tuple(EnvelopeRecipient(address) for address in dict.fromkeys(named)),
            size=sum(map(len, first)) if whole else None,
            body="8BITMIME" if eightbit else "7BIT",
            smtputf8=not all(text.isascii() for text in (sender, *named)),
        )
    except GatepostError as error:
        raise CommandError(error.message, exits.DATA, hint="write addresses as name@domain") from None
    return envelope, chain(first, pieces)


def _counted(pieces: Iterable[bytes], add: Any) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        add(len(piece))


def _deliver(
    request: Request, envelope: Envelope, pieces: Iterable[bytes], settings: Settings
) -> tuple[TLSEvidence, Submission]:
    from gatepost.smtp.blocking import BlockingClient
    from gatepost.wire.smtp.refusals import AuthenticationRefused, Refused

    try:
        with BlockingClient(
            request.host,
            request.port,
            implicit=request.implicit,
            ca_file=request.ca_file,
            server_name=request.server_name,
            level="verify" if request.verify else "encrypt",
            timeout=request.timeout,
        ) as client:
            evidence = client.evidence
            assert evidence is not None
            settings.detail(_described(evidence))
            if request.user is not None and request.password is not None:
                client.login(request.user, request.password)
            return evidence, client.submit(envelope, pieces)
    except VerificationError as error:
        error.hint = _HINTS.get(error.reason, error.hint)
        raise
    except AuthenticationRefused as error:
        raise CommandError(printable(error.message), exits.NO_PERMISSION, hint=error.hint) from error
    except Refused as error:
        code = exits.TRY_AGAIN if error.temporary else exits.UNAVAILABLE
        raise CommandError(printable(error.message), code) from error
    except GatepostError as error:
        error.hint = manner_hint(error, implicit=request.implicit) or error.hint
        raise
    except OSError as error:
        where = f"{request.host} port {request.port}"
        raise CommandError(
            f"cannot reach {where}: {error.strerror or error}",
            exits.exit_code(error) if exits.exit_code(error) != exits.IO else exits.UNAVAILABLE,
        ) from error


def _described(evidence: TLSEvidence) -> str:
    return printable(
        f"{evidence.version} {evidence.cipher} {evidence.group or ''}: certificate {evidence.verification.status}"
    )


def _report(settings: Settings, envelope: Envelope, submission: Submission, evidence: TLSEvidence) -> int:
    """Say what became of each recipient; the exit code tells the worst of it."""
    answers = list(zip((recipient.address for recipient in envelope.recipients), submission.replies, strict=True))
    if settings.json:
        print_json(
            {
                "delivered": submission.delivered,
                "recipients": [
                    {"address": who, "code": reply.code, "enhanced": reply.enhanced, "text": " ".join(reply.lines)}
                    for who, reply in answers
                ],
                "tls": {
                    "version": evidence.version,
                    "cipher": evidence.cipher,
                    "group": evidence.group,
                    "verification": evidence.verification.status,
                },
            }
        )
    for who, reply in answers:
        if not reply.positive:
            click.echo(f"gatepost: {printable(who)}: refused: {printable(reply)}", err=True)
        elif settings.verbosity > 0:
            click.echo(f"{printable(who)}: {printable(reply)}", err=True)
    refused = [reply for _, reply in answers if not reply.positive]
    if refused:
        from gatepost.sendmail.submission import exit_code_of

        return max(exit_code_of(reply, submission) for reply in refused)
    last = submission.final or submission.replies[0]
    settings.say(f"sent to {len(answers)} recipient{'s' if len(answers) != 1 else ''}: {printable(last)}")
    return 0
