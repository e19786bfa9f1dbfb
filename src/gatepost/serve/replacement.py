"""Certificates over time: files that were replaced are taken up without being asked, the end of each is announced, and
the keys that protect session tickets do not live for ever.

SECURITY: looks at the files with ``stat``, with the supervisor's rights; ``preparation.prepare`` reads them, as at
a reload, and what is wrong with them is found there, before a worker is touched.
"""

from __future__ import annotations

import time
from typing import Any, Final, final

from gatepost.certs.configured import needs_self_signed
from gatepost.certs.findings import DAY, EXPIRY_WARNING_DAYS
from gatepost.certs.watch import POLL_SECONDS, Watch
from gatepost.errors import GatepostError
from gatepost.observe.logs import event
from gatepost.serve.preparation import Prepared

TICKET_KEYS_SECONDS: Final = 7 * DAY  # RFC 9325 §3.4: changed regularly; they live as long as the contexts
_REPEAT_SECONDS: Final = 3600.0


@final
class Replacement:
    """Says when to load the certificates again, and remembers when that failed.

    :param poll: seconds between two looks at the files.
    """

    __slots__ = (
        "_asked", "_interrupted", "_keys_until", "_poll", "_repeat_at", "_warn_at", "_warned", "_watch", "trouble",
    )  # fmt: skip

    def __init__(self, poll: float = POLL_SECONDS) -> None:
        self._watch = Watch(poll)
        self._poll: Final = poll
        self._asked = self._interrupted = False
        self._keys_until = self._repeat_at = self._warn_at = 0.0
        self._warned: Prepared | None = None
        self.trouble: dict[str, Any] | None = None
        """Why replaced files are not in use, for status: ``since``, ``files``, ``reason``, ``hint``."""

    @property
    def next_at(self) -> float:
        """When ``due`` has something to do again, on the monotonic clock."""
        return self._watch.next_at

    def due(self, prepared: Prepared, now: float) -> bool:
        """Whether files were replaced that are to be loaded now, or ticket keys are old: loading makes new contexts,
        and with them new keys. Warns of certificates that expire, once a day.

        :param prepared: what is in force.
        :param now: of the monotonic clock.
        """
        if prepared is not self._warned:
            self._keys_until = now + TICKET_KEYS_SECONDS
        if prepared is not self._warned or now >= self._warn_at:
            self._warned, self._warn_at = prepared, now + DAY
            if _warn_of_expiry(prepared) and needs_self_signed(prepared.config):
                return True  # loading makes our own anew
        changed = [str(path) for path in self._watch.changed(prepared.files, now)]
        if changed:
            event("certificate.replaced", "notice", files=" ".join(changed))
            self._asked = True
            self.trouble = {"since": time.time(), "files": changed}
            return True
        if now >= self._keys_until:
            self._keys_until = now + _REPEAT_SECONDS  # when loading fails, the earlier ones stay meanwhile
            event("certificate.ticket-keys", age_days=round(TICKET_KEYS_SECONDS / DAY))
            return True
        if self._watch.same:
            self.trouble = None
        elif self.trouble is not None and now >= self._repeat_at:
            self._complain(now)
        return False

    def refused(self, error: GatepostError, now: float) -> None:
        """A reload failed; when it was ours, say that the earlier certificates stay, and again every hour."""
        if self._asked and self.trouble is not None:
            self._asked = self._interrupted = False
            self.trouble |= {"reason": error.message, "hint": error.hint}
            self._complain(now)

    def interrupted(self, now: float) -> None:
        """A reload did not come about though the files are good: a worker was killed. When it was ours, load them again
        at once; when that is cut short too, at the pace of the looks, so that workers that always die cost little.
        """
        if self._asked:
            self._watch.again(now + self._poll if self._interrupted else now)
            self._asked, self._interrupted, self.trouble = False, True, None

    def accepted(self) -> None:
        """A reload is in force: everything that is there is in use."""
        self._asked = self._interrupted = False
        self.trouble = None

    def _complain(self, now: float) -> None:
        assert self.trouble is not None
        self._repeat_at = now + _REPEAT_SECONDS
        event(
            "certificate.refused",
            "error",
            files=" ".join(self.trouble["files"]),
            reason=self.trouble.get("reason"),
            hint=self.trouble.get("hint") or None,
            effect="the earlier certificates stay in use",
        )


def expiry_warning(fact: dict[str, Any], at: float) -> str:
    """What to say of a certificate that expires within three weeks, or has expired; empty for others.

    :param fact: of ``Prepared.facts``.
    :param at: now, in seconds since the epoch.
    """
    left = (fact["not_after"] - at) / DAY
    if left >= EXPIRY_WARNING_DAYS:
        return ""
    return f"expires in {left:.0f} days" if left >= 1 else "expires within a day" if left > 0 else "has expired"


def _warn_of_expiry(prepared: Prepared) -> bool:
    """Log what expires; whether anything does."""
    at, found = time.time(), False
    for fact in prepared.facts.get("certificates", ()):
        if text := expiry_warning(fact, at):
            found = True
            event(
                "certificate.expires",
                "error" if fact["not_after"] <= at else "warning",
                name=fact["name"],
                path=fact["path"],
                warning=text,
                not_after=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fact["not_after"])),
            )
    return found
