"""Noticing that a file was replaced, by looking at it now and then.

No signal, no inotify: a file is what ``stat`` says of it, links followed, so that a link that is pointed elsewhere
counts. A change is reported when it has stood still for a moment, so that a key and a certificate which are replaced
one after the other are seen together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias, final

POLL_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 1.0

Signature: TypeAlias = tuple[int, ...] | None
Signatures: TypeAlias = Mapping[Path, Signature]


def signature(path: Path) -> Signature:
    """What changes when a file is replaced, rewritten, or given other permissions; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid, found.st_gid)


def signatures(paths: Iterable[Path]) -> dict[Path, Signature]:
    """The signatures of files. Take them before the files are read: what changes meanwhile is then noticed."""
    return {path: signature(path) for path in paths}


@final
class Watch:
    """Compares files with what was read of them.

    :param poll: seconds between two looks.
    :param settle: seconds that a change must stand still.
    """

    __slots__ = ("_poll", "_seen", "_settle", "_tried", "next_at")

    def __init__(self, poll: float = POLL_SECONDS, settle: float = SETTLE_SECONDS) -> None:
        self._poll: Final = poll
        self._settle: Final = min(settle, poll)
        self._seen: dict[Path, Signature] | None = None
        self._tried: dict[Path, Signature] | None = None
        self.next_at = 0.0

    def changed(self, loaded: Signatures, now: float) -> list[Path]:
        """Look, when it is time; the files that differ from what was loaded, once for each change.

        :param loaded: what is in use.
        :param now: of the monotonic clock.
        """
        if now < self.next_at:
            return []
        found = signatures(loaded)
        seen, self._seen = self._seen, found
        self.next_at = now + self._poll
        if found == dict(loaded):
            self._tried = None
            return []
        if found == self._tried:
            return []
        if found != seen:
            self.next_at = now + self._settle
            return []
        self._tried = found
        return [path for path, each in found.items() if each != loaded[path]]

    def again(self, at: float) -> None:
        """Report the same change once more: what was done about it was cut short.

        :param at: when to look for it, of the monotonic clock.
        """
        self._tried = None
        self.next_at = at

    @property
    def same(self) -> bool:
        """Whether, at the last look, everything was as it was loaded."""
        return self._tried is None
