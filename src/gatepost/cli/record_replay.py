"""``gatepost record replay``: say again what a client said, to a server of yours, and see what it answers now."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import print_json, printable
from gatepost.cli.record_files import chosen, records_option
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import VerificationError

if TYPE_CHECKING:
    from gatepost.cli.record_player import Login, Played
    from gatepost.connecting import PlainConnection, SecureConnection
    from gatepost.record.answers import Answer
    from gatepost.record.reading import Session
    from gatepost.record.script import Manner, Script

DIFFERS: Final = 1
_SHOWN: Final = 12  # lines of an answer


@click.command("replay", short_help="Replay a session against a server of yours.")
@click.argument("name", metavar="ID|FILE")
@click.option("--to", "server", required=True, metavar="HOST:PORT", help="The server.")
@click.option("--starttls", "manner", flag_value="starttls", help="TLS by STARTTLS, whatever the session did.")
@click.option("--implicit", "manner", flag_value="implicit", help="TLS from the first byte, whatever the session did.")
@click.option("--plain", "manner", flag_value="plain", help="No TLS, whatever the session did.")
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), metavar="FILE", help="Trust these authorities.")
@click.option("--server-name", metavar="NAME", help="Name to ask for and to verify; else HOST.")
@click.option("--insecure-no-verify", is_flag=True, help="Go on with any certificate.")
@click.option("--user", metavar="NAME", help="Log in where the session did; passwords are not in records.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--exact", is_flag=True, help="Other texts are differences too.")
@click.option("--yes", is_flag=True, help="Send mail, and change mailboxes, on a server that is not this machine.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="For each step.",
)
@records_option
@common_options
@pass_settings
def command(
    settings: Settings,
    /,
    name: str,
    server: str,
    manner: Manner | None,
    records: tuple[Path, ...],
    user: str | None,
    password_stdin: bool,
    **given: Any,
) -> int:
    """Say to a server what the client of a recorded session said, and compare the answers.

    Reply codes are compared, and what the server says it can do; texts are shown, and count with --exact. Content that
    was not recorded is replaced by another of the same size. Logins are left out, or done anew with --user. What was
    said in one go (PIPELINING) is said line by line.

    Exits with 0 when all answers are the same, and 1 when one differs or the session could not be played to its end.

    \b
    gatepost record replay 7c38a1 --to 127.0.0.1:2525
    gatepost record replay 7c38a1 --to staging.example.org:25 --yes --exact
    """
    import asyncio

    from gatepost.record.script import adapted, script

    if (user is None) == password_stdin:
        raise click.UsageError("--user and --password-stdin go together.")
    request = _Request(server, **given)
    session = _one(_chosen(settings, records, name), name)
    play = script(session)
    play = adapted(play, manner or play.manner)
    try:
        return asyncio.run(_replay(settings, session, play, _login(user), request))
    except VerificationError as error:
        raise CommandError(
            f"the server is not verified, nothing was said to it in private: {printable(error.message)}",
            exits.UNAVAILABLE,
            hint="trust its certificate with --ca, give its name with --server-name, or --insecure-no-verify",
        ) from error


def _chosen(settings: Settings, records: tuple[Path, ...], name: str) -> list[Session]:
    """The sessions that a name means, two at most."""
    found = []
    for session in chosen(settings, records, (name,)):
        found.append(session)
        if len(found) == 2:
            break
    return found


def _one(sessions: list[Session], name: str) -> Session:
    if len(sessions) != 1:
        what = "no session" if not sessions else "more than one session"
        raise CommandError(
            f"{printable(name)} holds {what}", exits.DATA, hint="name one by its ID, with --records FILE"
        )
    return sessions[0]


def _login(user: str | None) -> Login | None:
    if user is None:
        return None
    from gatepost.cli.passwords import from_stdin
    from gatepost.cli.record_player import Login

    return Login(user, from_stdin())


@dataclass(frozen=True, slots=True)
class _Request:
    """Where the session is replayed, and how."""

    server: str
    ca_file: Path | None
    server_name: str | None
    insecure_no_verify: bool
    exact: bool
    yes: bool
    timeout: float


async def _replay(settings: Settings, session: Session, play: Script, login: Login | None, request: _Request) -> int:
    from gatepost.cli.record_player import Player, Stopped
    from gatepost.connecting import PlainConnection
    from gatepost.record.columns import count, dropped

    report = _Report(settings)
    if missing := dropped(session):
        report.remark(f"{count(missing, 'event')} of this session were dropped: it may not make sense any more")
    connection = await _connect(play, request)
    player: Player | None = None
    try:
        here = is_here(connection.origin.peer[0])
        if play.changes and not (here or request.yes):
            raise CommandError(
                f"this session sends mail or changes mailboxes, and {request.server} is not this machine",
                exits.USAGE,
                hint="--yes does it all the same",
            )
        if play.manner == "starttls" and not any(step.kind == "upgrade" for step in play.steps):
            assert isinstance(connection, PlainConnection)
            connection = await connection.upgrade(play.protocol)
            report.remark("STARTTLS is not in the record: its words were the usual ones")
        player = Player(connection, play, login=login, secretive=not here, exact=request.exact)
        try:
            async for played in player.play():
                report.add(played)
        except Stopped as stop:
            report.stop(stop.message)
    finally:
        await (player.connection if player is not None else connection).close()
    return report.finish()


async def _connect(play: Script, request: _Request) -> PlainConnection | SecureConnection:
    from gatepost.config.endpoints import parse_endpoint
    from gatepost.connecting import Connecting, connect

    try:
        host, port = parse_endpoint(request.server)
    except ValueError as error:
        raise click.UsageError(f"--to {request.server}: {error}") from None
    if play.manner == "plain" and (request.ca_file or request.server_name or request.insecure_no_verify):
        raise click.UsageError(
            "In this session there is no TLS: --ca, --server-name and --insecure-no-verify mean nothing."
        )
    given: dict[str, Any] = {
        "level": "encrypt" if request.insecure_no_verify else "verify",
        "ca_file": request.ca_file,
        "server_name": request.server_name,
        "timeout": request.timeout,
    }
    opening: Connecting[PlainConnection] | Connecting[SecureConnection]
    opening = connect(host, port, implicit=True, **given) if play.manner == "implicit" else connect(host, port, **given)
    return await opening


def is_here(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


class _Report:
    """What is shown of a replay."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._steps: list[Played] = []
        self._remarks: list[str] = []
        self._stopped = ""

    def remark(self, text: str) -> None:
        """Something about the whole."""
        self._remarks.append(text)
        if not self._settings.json:
            click.echo(f"-- {printable(text)}", err=True)

    def add(self, played: Played) -> None:
        """A step."""
        self._steps.append(played)
        if self._settings.json or (self._settings.verbosity < 0 and played.verdict != "DIFFERS"):
            return
        now = _brief(played.now)
        click.echo(f"{played.verdict:<9} {played.said}{f'  ->  {now}' if now else ''}")
        for text in played.differs:
            click.echo(f"{'':<9}   {printable(text)}")
        same_text = played.recorded is not None and played.now is not None and played.recorded.lines == played.now.lines
        if played.differs or (self._settings.verbosity > 0 and not same_text):
            _print_lines("was", played.recorded)
            _print_lines("is", played.now)
        if played.note:
            click.echo(f"{'':<9}   [{printable(played.note)}]")

    def stop(self, reason: str) -> None:
        """The rest could not be played."""
        self._stopped = reason
        if not self._settings.json:
            click.echo(f"stopped   {printable(reason)}")

    def finish(self) -> int:
        """Print the sum, and return the exit code."""
        verdicts = [played.verdict for played in self._steps]
        same, differ, left = (verdicts.count(word) for word in ("same", "DIFFERS", "left out"))
        code = DIFFERS if differ or self._stopped else 0
        if self._settings.json:
            print_json({
                "same": code == 0, "stopped": self._stopped, "remarks": self._remarks,
                "steps": [played.facts() for played in self._steps],
            })  # fmt: skip
        else:
            self._settings.say(
                f"{same} answers the same, {differ} {'differs' if differ == 1 else 'differ'}, {left} left out"
            )
        return code


def _brief(answer: Answer | None) -> str:
    """One line of an answer: the first, or where that is an untagged one the last."""
    if answer is None or not answer.lines:
        return ""
    from gatepost.record.escaping import shown

    line = answer.lines[-1] if answer.lines[0].startswith(b"* ") else answer.lines[0]
    others = len(answer.lines) - 1
    more = f" (and {others} more {'line' if others == 1 else 'lines'})" if others else ""
    return f"{shown(line)}{more}"


def _print_lines(name: str, answer: Answer | None) -> None:
    from gatepost.record.escaping import shown

    lines = answer.lines if answer is not None else ()
    for at, line in enumerate(lines[:_SHOWN]):
        click.echo(f"{'':<9}   {name if at == 0 else '':<4} {shown(line)}")
