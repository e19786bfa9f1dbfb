"""Where records are, and which sessions of them a command was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import printable
from gatepost.cli.settings import Settings

if TYPE_CHECKING:
    from gatepost.record.reading import Damaged, Session
    from gatepost.record.summary import Wanted

F = TypeVar("F", bound=Callable[..., Any])

_AMBIGUOUS: Final = 5  # of the sessions that an abbreviation fits, how many are named
_TIMES: Final = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


class _Moment(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic only in newer versions
    """A point in time: a date with or without a time, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from gatepost.config.quantities import parse_duration

        if isinstance(value, float):
            return value
        for pattern in _TIMES:
            try:
                return time.mktime(time.strptime(str(value), pattern))
            except (ValueError, OverflowError):
                continue
        try:
            return time.time() - parse_duration(str(value))
        except ValueError:
            self.fail(f"{value} is no time: write 2026-11-21, 2026-11-21T14:30, or how long ago: 2h, 3d", param, ctx)


def records_option(command: F) -> F:
    """``--records PATH``."""
    return click.option(
        "--records",
        type=click.Path(path_type=Path, exists=True),
        metavar="PATH",
        multiple=True,
        help="Read this file or directory in place of the server's records; again for more.",
    )(command)


def wanted_options(command: F) -> F:
    """``--listener``, ``--client``, ``--since``, ``--until``, ``--failed``."""
    for option in (
        click.option("--failed", is_flag=True, help="Only sessions in which something was refused or went wrong."),
        click.option("--until", metavar="TIME", type=_Moment(), help="Only those that began before."),
        click.option(
            "--since",
            metavar="TIME",
            type=_Moment(),
            help="Only those that began then or later: 2026-11-21T14:30, or 2h.",
        ),
        click.option(
            "--client", "clients", metavar="ADDRESS", multiple=True, help="Only clients from this address or network."
        ),
        click.option("--listener", "listeners", metavar="NAME", multiple=True, help="Only sessions of this listener."),
    ):
        command = option(command)
    return command


def wanted(
    listeners: tuple[str, ...], clients: tuple[str, ...], since: float | None, until: float | None, failed: bool
) -> Wanted:
    """What ``wanted_options`` said.

    :raises click.UsageError: for what is no list of addresses.
    """
    from gatepost.policy.addresses import AddressList
    from gatepost.record.summary import Wanted

    try:
        addresses = AddressList(clients) if clients else None
    except ValueError as error:
        raise click.UsageError(f"--client: {error}") from None
    return Wanted(listeners, addresses, since, until, failed)


def places(settings: Settings, records: tuple[Path, ...]) -> list[Path]:
    """Where to read.

    :param records: what ``--records`` said.
    :raises CommandError: when nothing was ever recorded there.
    """
    if records:
        return list(records)
    from gatepost.record.configured import directory_of

    directory = directory_of(settings.config())
    if not directory.exists():
        raise CommandError(
            f"nothing was recorded: there is no {directory}",
            exits.UNAVAILABLE,
            hint="[[record_rule]] in the configuration says what is; --records reads files from elsewhere",
        )
    return [directory]


def read(where: list[Path]) -> Iterator[Session]:
    """All sessions there. What is damaged is passed over, and said on standard error."""
    from gatepost.record.reading import sessions

    yield from sessions(where, damaged=complain)


def complain(damaged: Damaged) -> None:
    """Say which line could not be read."""
    click.echo(f"gatepost: {printable(damaged)}", err=True)


def chosen(settings: Settings, records: tuple[Path, ...], names: tuple[str, ...]) -> Iterator[Session]:
    """The sessions that arguments name: by their ID, by its beginning, or all that a file holds.

    :raises CommandError: when there is none, or more than one, of such a name.
    """
    files = [Path(name) for name in names if _is_file(name)]
    ids = [name for name in names if not _is_file(name)]
    if ids:
        yield from _by_name(places(settings, records), ids)
    if files:
        yield from read(files)


def _is_file(name: str) -> bool:
    return ("/" in name or "." in name) and Path(name).is_file()


def _by_name(where: list[Path], names: list[str]) -> Iterator[Session]:
    found: dict[str, dict[str, Session]] = {name: {} for name in names}
    for session in read(where):
        for name, sessions in found.items():
            if session.id.startswith(name) and len(sessions) <= _AMBIGUOUS:
                sessions[session.id] = session
    for name, sessions in found.items():
        if name in sessions:
            yield sessions[name]
        elif len(sessions) == 1:
            yield from sessions.values()
        elif not sessions:
            raise CommandError(
                f"there is no session {printable(name)} in the records",
                exits.DATA,
                hint="see `gatepost record list`",
            )
        else:
            some = ", ".join(printable(each) for each in list(sessions)[:_AMBIGUOUS])
            raise CommandError(
                f"several sessions begin with {printable(name)}: {some}", exits.USAGE, hint="write more of it"
            )
