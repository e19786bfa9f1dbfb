"""A Maildir as a POP3 maildrop: locked, a snapshot at login, deletions only in ``update`` (RFC 1939 §4 to §6).

Theory
------
* **Nothing is removed before ``update``.** Marks are in memory alone: a session that ends in any other way has changed
  nothing.
* **Each message is wholly there or wholly gone.** ``update`` removes one file after the other with ``unlink``, which is
  atomic, and then syncs the folders. Killed on the way, the messages that were reached are gone and the others are as
  they were; the client asks for the rest to be deleted again. Only when ``update`` returned are the deletions on disk.
* **Never another message's content.** Other programs rename files at any time (flags, ``new/`` to ``cur/``). A file is
  looked for under the path of the snapshot, then by its identity; it is opened only when it is the inode of the
  snapshot with the size of the snapshot. What is not found is gone, and says so.

Everything here blocks for as long as the disk takes; a service runs it in threads. One thread at a time.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Final, NamedTuple, final

from gatepost.errors import StoreError
from gatepost.mailbox import snapshot
from gatepost.mailbox.content import MessageReader
from gatepost.mailbox.filenames import parse
from gatepost.mailbox.lock import MaildropInUse, MaildropLock, acquire
from gatepost.mailbox.maildir import make_mailbox
from gatepost.mailbox.snapshot import Snapshot

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOKS: Final = 4  # listings for messages that are not where they were
_COARSE: Final = 2_000_000_000  # nanoseconds: file systems count time in steps, and over NFS by another clock
_REMOVED, _FAILED, _ELSEWHERE = "removed", "failed", "elsewhere"


@final
class MessageGone(StoreError):
    """The message is not there any more: another program removed it, or put something else in its place."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"message {identity!r} is gone: another program removed or replaced it", temporary=False)


class Updated(NamedTuple):
    """What ``update`` did: how many messages are gone, and how many could not be removed."""

    removed: int
    failed: int


@final
class Maildrop:
    """An open maildrop. Made by ``open_maildrop``; ``close`` it. Numbers count from 1 (RFC 1939 §4).

    :param root: the mailbox's directory, and a descriptor of it.
    :param lock: its lock, held.
    :param messages: its messages at login.
    """

    __slots__ = ("_descriptor", "_known", "_listed_at", "_lock", "_marked", "_marked_octets", "_messages", "root")

    def __init__(self, root: Path, descriptor: int, lock: MaildropLock, messages: Snapshot) -> None:
        self.root: Final = root
        self._descriptor = descriptor
        self._lock = lock
        self._messages: Final = messages
        self._marked: set[int] = set()  # numbers
        self._marked_octets = 0
        self._known: dict[int, str] = {}  # by inode: where files were when we looked again
        self._listed_at: list[int] = []  # the times of the folders then

    def __len__(self) -> int:
        """How many messages there were at login; the highest number."""
        return len(self._messages)

    @property
    def count(self) -> int:
        """How many are not marked as deleted."""
        return len(self._messages) - len(self._marked)

    @property
    def octets(self) -> int:
        """The octets on the wire of those that are not marked."""
        return self._messages.octets - self._marked_octets

    @property
    def marked(self) -> int:
        """How many are marked as deleted."""
        return len(self._marked)

    def __contains__(self, number: int) -> bool:
        """Whether there is a message of that number that is not marked as deleted."""
        return 1 <= number <= len(self._messages) and number not in self._marked

    def size(self, number: int) -> int:
        """The octets that a client is sent, without dot-stuffing (RFC 1939 §11)."""
        return int(self._messages.wire_sizes[number - 1])

    def file_size(self, number: int) -> int:
        """The octets of its file."""
        return int(self._messages.sizes[number - 1])

    def unique_id(self, number: int) -> str:
        """The message's unique id (RFC 1939 §7): the same for as long as the message exists."""
        return self._messages.unique_id(number - 1)

    def delete(self, number: int) -> None:
        """Mark a message as deleted; ``update`` deletes it. It is one of ours and not marked."""
        self._marked.add(number)
        self._marked_octets += self.size(number)

    def undelete(self) -> None:
        """Take all marks back (RSET)."""
        self._marked.clear()
        self._marked_octets = 0

    def open(self, number: int) -> MessageReader:
        """Open a message.

        :raises MessageGone: when it is not there any more.
        :raises StoreError: when it cannot be opened.
        """
        place = number - 1
        try:
            descriptor = self._opened(place, self._path(place))
            for _ in range(_LOOKS):  # it may be renamed again while we look
                if descriptor is not None or not self._look_again():
                    break
                descriptor = self._opened(place, self._path(place))
        except OSError as error:
            raise _failure(self.root, error) from error
        if descriptor is None:
            raise MessageGone(self._messages.identity(place))
        return MessageReader(descriptor)

    def update(self) -> Updated:
        """Delete what is marked: the UPDATE state (RFC 1939 §6). When it returns, what it removed stays removed.

        A message that is gone already counts as removed.

        :raises StoreError: when the folders cannot be read or synced: what was removed may come back after a power
            failure.
        """
        marked = len(self._marked)
        left = [number - 1 for number in sorted(self._marked)]
        touched: set[str] = set()
        failed = 0
        try:
            for _ in range(_LOOKS):
                outcomes = [(place, self._remove(place, touched)) for place in left]
                failed += sum(outcome is _FAILED for _, outcome in outcomes)
                left = [place for place, outcome in outcomes if outcome is _ELSEWHERE]
                if not left:
                    break
                self._look_again()
                left = [place for place in left if self._messages.inodes[place] in self._known]
            for folder in sorted(touched):
                self._sync(folder)
        except OSError as error:
            raise _failure(self.root, error) from error
        failed += len(left)
        self.undelete()
        return Updated(marked - failed, failed)

    def close(self) -> None:
        """Let go of the lock. Twice is once; nothing is deleted."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
            self._lock.release()

    def _path(self, place: int) -> str:
        """Where the message was last seen."""
        return self._known.get(self._messages.inodes[place]) or self._messages.paths[place]

    def _opened(self, place: int, path: str) -> int | None:
        """A descriptor of the message, if it is what stands at ``path``.

        :raises OSError: when it stands there and cannot be opened.
        """
        try:
            descriptor = os.open(path, snapshot.READ, dir_fd=self._descriptor)
        except OSError:
            if self._stands_at(place, path) is not None:
                raise
            return None
        if self._is(place, os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)
        return None

    def _is(self, place: int, status: os.stat_result) -> bool:
        messages = self._messages
        same = (status.st_ino, status.st_size) == (messages.inodes[place], messages.sizes[place])
        return same and stat.S_ISREG(status.st_mode)

    def _stands_at(self, place: int, path: str) -> os.stat_result | None:
        try:
            status = os.stat(path, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status if self._is(place, status) else None

    def _look_again(self) -> bool:
        """Learn by one listing where every message is now, if anything can have moved since the last one.

        A folder's time says whether, unless it is so young that a change may have left it as it was.
        """
        moment = [os.stat(folder, dir_fd=self._descriptor).st_mtime_ns for folder in snapshot.FOLDERS]
        if moment == self._listed_at:
            return False
        settled = time.time_ns() - max(moment) > _COARSE
        self._listed_at = moment if settled else []
        known: dict[int, str] = {}
        for folder, entries in snapshot.scan(self._descriptor):
            known.update((entry.inode(), f"{folder}/{entry.name}") for entry in entries)
        self._known = {
            inode: path
            for place, inode in enumerate(self._messages.inodes)
            if (path := known.get(inode)) is not None and self._same_message(place, path)
        }
        return True

    def _same_message(self, place: int, path: str) -> bool:
        """Whether a path with the message's inode is its own; an inode of a removed file is soon another's."""
        own = self._messages.paths[place]
        return path == own or parse(path.partition("/")[2]).identity == self._messages.identity(place)

    def _remove(self, place: int, touched: set[str]) -> str:
        """Remove a message where it was last seen, and note the folder.

        :return: ``_REMOVED``, ``_FAILED``, or ``_ELSEWHERE``: it is not there, or has another name yet. Some programs
            move with link and unlink, and killed between the two they leave a message twice.
        """
        path = self._path(place)
        try:
            status = self._stands_at(place, path)
            if status is None:
                return _ELSEWHERE
            os.unlink(path, dir_fd=self._descriptor)
        except FileNotFoundError:
            return _ELSEWHERE
        except OSError:
            return _FAILED
        touched.add(path.partition("/")[0])
        return _ELSEWHERE if status.st_nlink > 1 else _REMOVED

    def _sync(self, folder: str) -> None:
        descriptor = os.open(folder, _DIRECTORY, dir_fd=self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_maildrop(root: Path) -> Maildrop:
    """Lock a mailbox and look at it; a mailbox that is not there is made.

    :param root: its directory, see ``mailbox_root``.
    :raises MaildropInUse: when another session has it.
    :raises StoreError: when it cannot be read.
    """
    try:
        if not (root / "tmp").is_dir():
            make_mailbox(root)
        lock = acquire(root)
        try:
            descriptor = os.open(root, _DIRECTORY)
            try:
                return Maildrop(root, descriptor, lock, snapshot.take(descriptor))
            except BaseException:
                os.close(descriptor)
                raise
        except BaseException:
            lock.release()
            raise
    except MaildropInUse:
        raise
    except OSError as error:
        raise _failure(root, error) from error


def _failure(root: Path, error: OSError) -> StoreError:
    return StoreError(
        f"mailbox {root}: {error.strerror or error}",
        hint="see that the directory exists and is ours to read and write",
        temporary=True,
    )
