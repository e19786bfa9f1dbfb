"""``gatepost backup``: a copy of everything that cannot be made again, taken while the server runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gatepost._version import __version__
from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import print_json, progress
from gatepost.cli.owner import as_owner
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from gatepost.config.schema import Config

MANIFEST: Final = "backup.json"
_MAIL: Final = "mail"
# What the stores copy themselves, and what means nothing in a copy.
_ELSEWHERE: Final = ("queue", "queue.db", "accounts.db", "greylist.db")
_PASSING: Final = ("-wal", "-shm", "-journal", "-turn", "-writer", ".sock", ".lock", ".pid")


@click.command("backup", short_help="Copy all data while the server runs.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--without-mail", is_flag=True, help="Leave the mailboxes out; queue, accounts and greylist only.")
@common_options
@pass_settings
def command(settings: Settings, directory: Path, without_mail: bool) -> None:
    """Copy queue, accounts, greylist, keys and mailboxes into DIRECTORY, which must be new or empty.

    The server may be running: the queue is copied as it is at one moment, and no message that was acknowledged before
    is missing. To restore, stop the server, put the copy in the place of the data directory, and start the server;
    docs/backup.md has the steps.
    """
    config = settings.config()
    directory = directory.absolute()
    _make(directory, config)
    shown = settings.verbosity >= 0 and not settings.json
    with as_owner(config), progress("copying", None, shown=shown) as add:
        facts = _copy(config, directory, with_mail=not without_mail, add=add)
    if settings.json:
        print_json({"directory": str(directory), **facts})
        return
    settings.say(
        f"copied to {directory}: {facts['queued_messages']} queued messages, {facts['users']} users, "
        f"{facts['mail_files']} files of mail"
    )


def _make(directory: Path, config: Config) -> None:
    """Make the directory, for the owner of the data."""
    if directory.exists() and any(directory.iterdir()):
        raise CommandError(f"{directory} is not empty", exits.CANNOT_CREATE, hint="name a new directory")
    if directory.is_relative_to(config.data.absolute()):
        raise CommandError(
            f"{directory} is inside the data directory", exits.CANNOT_CREATE, hint="name one outside of it"
        )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and config.data.exists():
        owner = config.data.stat()
        os.chown(directory, owner.st_uid, owner.st_gid)


def _copy(config: Config, target: Path, *, with_mail: bool, add: Callable[[int], Any]) -> dict[str, Any]:
    """Copy all; what was copied, for the manifest. It is written last: a directory without it is no backup."""
    facts: dict[str, Any] = {"version": __version__, "made_at": time.time(), "data": str(config.data)}
    facts |= _stores(config, target)
    facts["mail_files"] = 0
    for entry in sorted(config.data.iterdir()):
        if entry.name in _ELSEWHERE or entry.name.endswith(_PASSING) or entry.name == _MAIL:
            continue
        _tree(entry, target / entry.name, add)
    if with_mail and (config.data / _MAIL).is_dir():
        facts["mail_files"] = copy_mail(config.data / _MAIL, target / _MAIL, add)
    facts["with_mail"] = with_mail
    manifest = target / MANIFEST
    with manifest.open("w") as stream:
        json.dump(facts, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.sync()
    return facts


def _stores(config: Config, target: Path) -> dict[str, int]:
    from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore
    from gatepost.store.sqlite.queue import SQLiteQueue

    facts = {"queued_messages": 0, "users": 0}
    queue = SQLiteQueue(config.data)
    try:
        facts["queued_messages"] = queue.backup(target).messages
    finally:
        queue.close()
    if (config.data / FILE_NAME).exists():
        accounts = SQLiteAccountStore(config.data / FILE_NAME)
        try:
            accounts.backup_to(target / FILE_NAME)
            facts["users"] = len(accounts.accounts())
        finally:
            accounts.close()
    _greylist(config, target)
    return facts


def _greylist(config: Config, target: Path) -> None:
    """What greylisting remembers: without it every sender would wait once more."""
    from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist

    if (config.data / FILE_NAME).exists():
        greylist = SQLiteGreylist(config.data / FILE_NAME)
        try:
            greylist.backup_to(target / FILE_NAME)
        finally:
            greylist.close()


def _tree(source: Path, target: Path, add: Callable[[int], Any]) -> None:
    """Copy a file or a directory of them; what is neither (sockets, links) is left out."""
    mode = source.lstat().st_mode
    if stat.S_ISREG(mode):
        shutil.copy2(source, target)
        add(1)
    elif stat.S_ISDIR(mode):
        target.mkdir(mode=0o700, exist_ok=True)
        for entry in sorted(source.iterdir()):
            if not entry.name.endswith(_PASSING):
                _tree(entry, target / entry.name, add)


def copy_mail(source: Path, target: Path, add: Callable[[int], Any]) -> int:
    """Copy mailboxes while mail arrives and readers move it.

    A Maildir file never changes, but a reader renames it (from ``new`` to ``cur``, and when flags change). So ``new``
    is listed before ``cur``, a file is known by what stands before its flags, and one that is gone is looked for again.

    :returns: how many files were copied.
    """
    copied = 0
    for folder, names, _ in os.walk(source):
        here = Path(folder)
        (target / here.relative_to(source)).mkdir(mode=0o700, parents=True, exist_ok=True)
        if "cur" in names and "new" in names:
            names[:] = [name for name in names if name not in ("cur", "new", "tmp")]
            copied += _maildir(here, target / here.relative_to(source), add)
    return copied


def _maildir(source: Path, target: Path, add: Callable[[int], Any]) -> int:
    for name in ("cur", "new", "tmp"):
        (target / name).mkdir(mode=0o700, exist_ok=True)
    done: set[str] = set()
    for file in (*_listed(source / "new"), *_listed(source / "cur")):
        unique = file.name.partition(":")[0]
        if unique in done:
            continue
        for candidate in _places(source, file, unique):
            try:
                shutil.copy2(candidate, target / candidate.parent.name / candidate.name)
            except FileNotFoundError:
                continue
            done.add(unique)
            add(1)
            break
    return len(done)


def _places(source: Path, file: Path, unique: str) -> Iterator[Path]:
    """Where a file is, and then, should it be gone, where it went; three times, for a reader that is busy."""
    yield file
    for _ in range(3):
        for name in ("new", "cur"):
            yield from (each for each in _listed(source / name) if each.name.partition(":")[0] == unique)


def _listed(directory: Path) -> list[Path]:
    return [entry for entry in directory.iterdir() if entry.is_file() and not entry.is_symlink()]
