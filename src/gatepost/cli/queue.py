"""``gatepost queue``: what waits for delivery, and what to do about it. Works with the server running or not."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import age, amount, moment, print_fields, print_json, print_table, printable
from gatepost.cli.owner import as_owner
from gatepost.cli.running import wake
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.config.schema import Config
    from gatepost.queue.status import MessageStatus, Selection
    from gatepost.store.interface import QueueStore

F = TypeVar("F", bound=Callable[..., Any])
_PAGE = 500
_HEADER_LIMIT = 1 << 20


@click.group("queue")
def command() -> None:
    """List and manage the mail that waits for delivery."""


@contextmanager
def _queue(config: Config) -> Iterator[QueueStore]:
    from gatepost.store.sqlite.queue import SQLiteQueue

    with as_owner(config):
        store = SQLiteQueue(config.data)
        try:
            yield store
        finally:
            store.close()


@command.command("list")
@click.option("--state", type=click.Choice(["queued", "leased", "deferred", "held"]), help="Only mail in this state.")
@click.option("--destination", metavar="DOMAIN", help="Only mail for this destination; `local` is mail for us.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="At most so many; 0 for all.")
@common_options
@pass_settings
def list_queue(settings: Settings, state: str | None, destination: str | None, limit: int) -> None:
    """List the queue, oldest first."""
    config = settings.config()
    with _queue(config) as store:
        messages = list(_pages(store, state, destination, limit))
        counts = store.counts()
    if settings.json:
        print_json({"messages": [_plain(message) for message in messages], "counts": dataclasses.asdict(counts)})
        return
    now = time.time()
    rows = [
        (
            message.id,
            age(now - message.received_at),
            amount(message.size),
            message.sender or "<>",
            _recipients(message),
            _state(message),
            _next(message, now),
        )
        for message in messages
    ]
    print_table(("id", "age", "size", "sender", "recipients", "state", "next try"), rows, empty="the queue is empty")
    if len(messages) < counts.messages:
        settings.say(f"{len(messages)} of {counts.messages} messages")


def _pages(store: QueueStore, state: str | None, destination: str | None, limit: int) -> Iterator[MessageStatus]:
    after = 0
    left = limit or sys.maxsize
    while left > 0:
        page = store.list(limit=min(left, _PAGE), after=after, state=state, destination=destination)
        yield from page
        if len(page) < min(left, _PAGE):
            return
        left -= len(page)
        after = page[-1].sequence


@command.command("show")
@click.argument("id_", metavar="ID")
@click.option("--header", "part", flag_value="header", help="Print the header of the message.")
@click.option("--content", "part", flag_value="content", help="Print the whole message.")
@common_options
@pass_settings
def show(settings: Settings, id_: str, part: str | None) -> None:
    """Show a message: its envelope and what became of each recipient so far."""
    config = settings.config()
    with _queue(config) as store:
        message = store.show(id_)
        if message is None:
            raise _unknown(id_)
        if part is not None:
            _print_content(store, id_, header_only=part == "header")
            return
    if settings.json:
        print_json(_plain(message))
        return
    print_fields(
        {
            "id": message.id,
            "received": f"{moment(message.received_at)} ({age(time.time() - message.received_at)} ago)",
            "sender": message.sender or "<>",
            "size": amount(message.size),
            "held": "yes" if message.hold else "no",
            "origin": message.origin,
        }
    )
    for recipient in message.recipients:
        click.echo(f"\n{printable(recipient.address)}")
        print_fields(
            {
                "  state": recipient.state,
                "  destination": recipient.destination,
                "  attempts": recipient.attempts,
                "  next try": moment(recipient.next_attempt) or "-",
                "  last answer": recipient.reply or "-",
                "  from": recipient.remote or "-",
                "  TLS": recipient.tls or "-",
            }
        )


def _print_content(store: QueueStore, id_: str, *, header_only: bool) -> None:
    """The content with plain line ends. To a terminal it goes escaped: a message may hold anything."""
    body = store.body_of(id_)
    if body is None:
        raise _unknown(id_)
    head = b""
    for piece in store.open_body(body):
        if not header_only:
            _write(piece)
            continue
        head += piece
        if b"\r\n\r\n" in head or len(head) > _HEADER_LIMIT:
            break
    if header_only:
        _write(head.partition(b"\r\n\r\n")[0] + b"\r\n")


def _write(octets: bytes) -> None:
    octets = octets.replace(b"\r\n", b"\n")
    if sys.stdout.isatty():
        text = octets.decode("utf-8", "backslashreplace")
        click.echo("\n".join(printable(line) for line in text.split("\n")), nl=False)
    else:
        sys.stdout.buffer.write(octets)


def _selection_options(function: F) -> F:
    for option in (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--destination", metavar="DOMAIN", help="All messages with a recipient there; `local` is us."),
        click.option("--all", "everything", is_flag=True, help="All messages."),
    ):
        function = option(function)
    return function


def _selection(ids: tuple[str, ...], destination: str | None, everything: bool) -> Selection:
    from gatepost.queue.status import Selection

    try:
        return Selection(ids, destination.lower() if destination else None, everything)
    except ValueError:
        raise click.UsageError("Name messages by ID, or use --destination, or --all: one of the three.") from None


def _change(settings: Settings, selection: Selection, verb: str, done: str, *, due: bool = False) -> None:
    """Change the chosen messages, wake the server when some became due, and say how many it were."""
    from gatepost.config.invocation import command_with

    config = settings.config()
    with _queue(config) as store:
        missing = [name for name in selection.ids if store.show(name) is None]
        if selection.ids and len(missing) == len(selection.ids):
            raise _unknown(missing[0])
        held = _held(store, selection) if verb == "retry" else []
        count = getattr(store, verb)(selection)
    woken = wake(config) if due and count else False
    if settings.json:
        print_json({"count": count, "missing": missing} | ({"held": held} if held else {}))
        return
    settings.say(f"{count} {'message' if count == 1 else 'messages'} {done}")
    for name in missing:
        click.echo(f"there is no message {printable(name)} in the queue", err=True)
    if held:
        release = command_with(settings.config_file, settings.data, "queue", "release", *held)
        click.echo(f"held, and not tried until released: {', '.join(held)}; {release}", err=True)
    if due and count and not woken:
        settings.detail("the server was not asked: it is not running, or it is not ours; it looks again by itself")


def _held(store: QueueStore, selection: Selection) -> list[str]:
    """Those of the messages named by ID that are held."""
    return [name for name in selection.ids if (message := store.show(name)) is not None and message.hold]


@command.command("retry")
@_selection_options
@common_options
@pass_settings
def retry(settings: Settings, ids: tuple[str, ...], destination: str | None, everything: bool) -> None:
    """Try messages again now instead of at their next time."""
    _change(settings, _selection(ids, destination, everything), "retry", "due now", due=True)


@command.command("hold")
@_selection_options
@common_options
@pass_settings
def hold(settings: Settings, ids: tuple[str, ...], destination: str | None, everything: bool) -> None:
    """Hold messages: they stay, and are not tried until they are released."""
    _change(settings, _selection(ids, destination, everything), "hold", "held")


@command.command("release")
@_selection_options
@common_options
@pass_settings
def release(settings: Settings, ids: tuple[str, ...], destination: str | None, everything: bool) -> None:
    """Release messages that are held; they are due now."""
    _change(settings, _selection(ids, destination, everything), "release", "released", due=True)


@command.command("drop")
@_selection_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_settings
def drop(settings: Settings, ids: tuple[str, ...], destination: str | None, everything: bool, yes: bool) -> None:
    """Remove messages for good. Nobody is told: neither sender nor recipient."""
    selection = _selection(ids, destination, everything)
    if not yes and not selection.ids:
        what = f"all mail for {destination}" if destination else "the whole queue"
        if not sys.stdin.isatty():
            raise CommandError(f"dropping {what} needs a yes", exits.USAGE, hint="add --yes")
        click.confirm(f"Remove {what} for good?", abort=True, err=True)
    _change(settings, selection, "drop", "removed")


def _unknown(name: str) -> CommandError:
    return CommandError(
        f"there is no message {printable(name)} in the queue",
        exits.DATA,
        hint="it may be delivered; see `gatepost queue list`",
    )


def _plain(message: MessageStatus) -> dict[str, Any]:
    return dataclasses.asdict(message)


def _recipients(message: MessageStatus) -> str:
    first = ", ".join(recipient.address for recipient in message.recipients[:2])
    more = len(message.recipients) - 2
    return f"{first} and {more} more" if more > 0 else first


def _state(message: MessageStatus) -> str:
    if message.hold:
        return "held"
    return ", ".join(dict.fromkeys(recipient.state for recipient in message.recipients))


def _next(message: MessageStatus, now: float) -> str:
    times = [recipient.next_attempt for recipient in message.recipients if recipient.next_attempt is not None]
    if message.hold or not times:
        return ""
    return f"in {age(min(times) - now)}" if min(times) > now + 1 else "now"
