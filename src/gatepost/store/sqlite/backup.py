"""A copy of the queue as it is at one moment, made while other processes use it.

Theory
------
The database and the folder of bodies cannot be copied at the same instant, so the order makes up for it:

1. Link every body file that is there now.
2. Copy the database: one reading transaction, one moment. This moment is the backup's.
3. Link the files that this copy names and step 1 did not see: those that came in between.
4. A file that the copy names and that is still missing was there at the copy's moment and is gone now: its message was
   delivered, or dropped, in the meantime. Leave the message out. If the live queue still names the file, it is damage,
   and the backup fails rather than hide it.
5. Remove what was linked and is not named.

Linking is as good as copying, because a body file is never changed after the commit that names it; where links are not
possible (another file system) files are copied and synced. Leases are returned in the copy: their owners are not in it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from gatepost.queue.status import BackupReport
from gatepost.store.sqlite.database import Database, sync_directory, sync_file
from gatepost.store.sqlite.faults import StoreFault, translating


def back_up(db: Database, bodies: Path, target: Path) -> BackupReport:
    """Write ``queue.db`` and ``queue/bodies`` into ``target``.

    :param target: a new or empty folder.
    :raises StoreError: it is not empty or cannot be written, or a body that the queue names is missing or cut.
    """
    copies = target / "queue" / "bodies"
    with translating(f"{target}: backing up"):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (target / "queue.db").exists() or copies.exists():
            raise StoreFault(
                f"{target}: holds a backup already", reason="exists", hint="name a new folder", temporary=False
            )
        copies.mkdir(mode=0o700, parents=True)
        for entry in list(os.scandir(bodies)):
            if entry.is_file(follow_symlinks=False):
                _link(Path(entry.path), copies / entry.name)
        db.backup_to(target / "queue.db")
        report = _complete(db, bodies, copies, target / "queue.db")
        sync_file(target / "queue.db")
        for folder in (copies, target / "queue", target):
            sync_directory(folder)
    return report


def _complete(db: Database, bodies: Path, copies: Path, path: Path) -> BackupReport:
    """Steps 3 to 5, in the copied database."""
    copy = sqlite3.connect(path, isolation_level=None)
    try:
        copy.execute("BEGIN IMMEDIATE")
        named: set[str] = set()
        finished = 0
        for sequence, message_id, name, length, _ in copy.execute(db.sql["named_bodies"]).fetchall():
            if _link(bodies / name, copies / name):
                if (copies / name).stat().st_size != length:
                    raise _damaged(f"message {message_id}: its body {name} has not {length} octets")
                named.add(name)
                continue
            if db.row("body_is_named", (name,)) is not None:
                raise _damaged(f"message {message_id}: its body {name} is missing")
            copy.execute(db.sql["drop_recipients"], (sequence,))
            copy.execute(db.sql["drop_message"], (sequence,))
            finished += 1
        copy.execute(db.sql["return_all"])
        (messages,) = copy.execute(db.sql["count_messages"]).fetchone()
        copy.execute("COMMIT")
    finally:
        copy.close()
    for entry in list(os.scandir(copies)):
        if entry.name not in named:
            Path(entry.path).unlink()
    return BackupReport(messages=messages, bodies=len(named), finished=finished)


def _link(source: Path, copy: Path) -> bool:
    """Make ``copy`` another name of the file, or a synced copy; whether there was, or is now, such a file."""
    if copy.exists():
        return True
    try:
        os.link(source, copy, follow_symlinks=False)
        return True
    except FileNotFoundError:
        return False
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(source, copy, follow_symlinks=False)
        except FileNotFoundError:
            return False
        copy.chmod(0o600)
        sync_file(copy)
        return True


def _damaged(text: str) -> StoreFault:
    return StoreFault(text, reason="damaged", hint="`gatepost queue show` and docs/queue.md, repairing")
