"""What a domain says of an address in its SPF record (RFC 7208), by ``pyspf`` and with answers of ours.

``pyspf`` knows the language of records; what DNS says is asked of the caller, so its own resolver is never used. It
keeps the limits of RFC 7208 §4.6.4: ten look-ups, two that find nothing, ten names of an MX or PTR answer. On top of
that the size of a record is bounded: its parser takes time by the square of a long term. ``pyspf`` is imported only
when a record is looked at.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from gatepost.errors import ConfigError
from gatepost.net.resolve import Lookup, RecordsAnswer

Result: TypeAlias = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
"""RFC 7208 §2.6."""
Kind: TypeAlias = Literal["A", "AAAA", "MX", "PTR", "TXT"]
Ask: TypeAlias = Callable[[str, Kind], RecordsAnswer]

RECORD_OCTETS: Final = 4096  # RFC 7208 §3.4 recommends 450
TERM_OCTETS: Final = 512  # a domain name has 253 at most
_NAME_OCTETS: Final = 253
_RECORD: Final = re.compile(rb"v=spf1(?: |$)", re.IGNORECASE)
# RFC 7208 §4.3: a multi-label domain name; anything else has no record, and DNS is not asked.
_DOMAIN: Final = re.compile(r"(?=.{1,253}\.?$)(?:[A-Za-z0-9_-]{1,63}\.)+[A-Za-z0-9_-]{1,63}\.?")
_OF_SENDER: Final = re.compile(r"%\{[slh]", re.IGNORECASE)


class Identity(NamedTuple):
    """Whose mail comes from where: what a record is asked about (RFC 7208 §2.4).

    :param address: the client's.
    :param local: of the sender; ``postmaster`` for mail without one.
    :param domain: of the sender, as A-labels; for mail without one the EHLO name.
    :param hello: the EHLO name, for records that go by it.
    """

    address: str
    local: str
    domain: str
    hello: str = ""


class Vouched(NamedTuple):
    """What the domain says.

    :param reason: the term that decided, or what is wrong; what stands there the domain's owner wrote.
    :param general: whether it holds for every sender and EHLO name of the domain.
    """

    result: Result
    reason: str = ""
    general: bool = True


def check_installed() -> None:
    """See that SPF can be asked for, and load what it takes: call it before any thread does.

    :raises ConfigError: when ``pyspf`` is not there.
    """
    try:
        _library()
    except ImportError as error:
        raise ConfigError("the library pyspf is not installed", hint="install gatepost[spf]") from error


def _library() -> Any:
    if "spf" not in sys.modules:
        with warnings.catch_warnings():  # compiling it gives some, about its own doctests
            warnings.simplefilter("ignore")
            import_module("spf")
    return import_module("spf")


def check(identity: Identity, ask: Ask) -> Vouched:
    """Evaluate the record of a domain (``check_host()``, RFC 7208 §4).

    :param ask: gives the records of a name; whatever it raises is passed on.
    """
    if not _DOMAIN.fullmatch(identity.domain):
        return Vouched("none", "the name is no domain")
    query = _query(identity, ask)
    result, _, text = query.check()
    reason = str(query.mechanism or "") if result in ("pass", "fail", "softfail", "neutral") else str(text)
    return Vouched(cast(Result, result), reason.removeprefix("SPF "), query.general)


def _query(identity: Identity, ask: Ask) -> Any:
    spf = _library()
    base: Any = spf.query

    class Query(base):  # type: ignore[misc]  # pyspf has no types
        """One evaluation, with DNS answers from ``ask``."""

        def __init__(self) -> None:
            super().__init__(i=identity.address, s=f"{identity.local}@{identity.domain}", h=identity.hello)
            self.l, self.o = identity.local, identity.domain  # a quoted local part may have an @ of its own
            self.d = identity.domain
            self.general = True
            self.mechanism = None
            self.answers: dict[tuple[str, Kind], RecordsAnswer] = {}

        def dns(self, name: Any, qtype: Kind, cnames: object = None, ignore_void: bool = False) -> list[Any]:
            """The records of a name; aliases are followed by the resolver."""
            wanted = str(name).removesuffix(".").lower()
            if not wanted.isascii():  # RFC 8616 §4: a term with such a local part does not match
                return []
            if (answer := self.answers.get((wanted, qtype))) is None:
                answer = self.answers[wanted, qtype] = ask(wanted, qtype)
            if answer.status is Lookup.FAILED:
                raise spf.TempError(answer.detail)
            if not answer.records and not ignore_void:
                self.void_lookups += 1
                if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                    raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} look-ups found nothing")
            return [_joined(record) for record in answer.records]

        def dns_txt(self, domainname: str, rr: str = "TXT", ignore_void: bool = False) -> list[bytes]:
            """The texts of a name, where one that is a record is of a size that can be looked at."""
            texts = [strings[0] for strings in self.dns(domainname, "TXT", ignore_void=ignore_void)]
            for text in texts:
                if _RECORD.match(text) and _too_large(text):
                    raise spf.PermError(f"the record of {domainname} is too large")
            return texts

        def expand(self, s: str, stripdot: bool = True) -> str:
            """Expand macros, and cut names that became too long on their left (RFC 7208 §7.3)."""
            if _OF_SENDER.search(s):
                self.general = False
            text = str(super().expand(s, stripdot))
            while stripdot and len(text) > _NAME_OCTETS and "." in text:
                text = text.partition(".")[2]
            return text

        def get_explanation(self, spec: str) -> None:
            """Nobody is told why: the domain's words are not asked for."""

    return Query()


def _joined(record: object) -> object:
    return (record,) if isinstance(record, bytes) else record


def _too_large(record: bytes) -> bool:
    return len(record) > RECORD_OCTETS or any(len(term) > TERM_OCTETS for term in record.split(b" "))
