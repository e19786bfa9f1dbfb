"""Invariant: whatever a domain says in its records, asking them ends with a result of RFC 7208 after so many
questions at most, and the reason is a text."""

from __future__ import annotations

from collections import Counter

from fuzz.origins import plan
from fuzz.words import ENDS, VALUES

from gatepost.net.resolve import Lookup, RecordsAnswer
from gatepost.net.spf_record import Identity, Kind, check

QUESTIONS = 250  # RFC 7208 §4.6.4: ten terms, of ten names each, of two families
RESULTS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
WORDS = (
    b"v=spf1 ", b" -all", b" ~all", b" +mx", b" a:%{d}", b" include:", b" redirect=", b" exists:%{ir}.%{v}.x",
    b" ptr", b" ip4:192.0.2.0/24", b" ip6:2001:db8::/32", b" a/24//64", b"%{s}", b"%{l1r-}", b"%%", b"%_", b"%{p}",
    b" exp=x.y", b"\0", b"%{h}", b"%{t}", b"%{c}", b"v=spf1 include:example.org -all", b"v=spf10", b"V=SPF1", *VALUES,
    *ENDS,
)  # fmt: skip
SEEDS = tuple(
    b"\0\0" + words
    for words in (
        b"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx:mx.example.org/24 include:a.b -all\0v=spf1 a:%{d} ~all",
        b"v=spf1 exists:%{ir}.%{l1r+}._spf.%{d2} redirect=b.example\0v=spf1 ptr ?all",
        b"v=spf1 include:example.org include:example.org -all",
        b"v=spf1 a\0v=spf1 b",
        b"no record\0v=spf1 exp=x.example -all",
    )
)


def target(data: bytes) -> None:
    """Each look-up for texts takes the next one, parted by NULs; the votes say what the other ones find."""
    told = plan(data)
    texts, asked = told.words.split(b"\0"), Counter[Kind]()

    def ask(name: str, kind: Kind) -> RecordsAnswer:
        assert name.isascii()
        asked[kind] += 1
        assert asked.total() <= QUESTIONS
        if not told.yes(asked.total()):
            return RecordsAnswer(Lookup.FAILED, (), "later")
        match kind:
            case "TXT":
                return RecordsAnswer(Lookup.FOUND, (texts[asked[kind] % len(texts) - 1],))
            case "MX":
                return RecordsAnswer(Lookup.FOUND, tuple((n, f"mx{n}.example.org") for n in range(told.step)))
            case "PTR":
                return RecordsAnswer(Lookup.FOUND, tuple(f"h{n}.example.org" for n in range(told.step)))
            case _:
                return RecordsAnswer(Lookup.FOUND, ("192.0.2.7",)) if kind == "A" else RecordsAnswer(Lookup.NO_DATA)

    for address in ("192.0.2.1", "2001:db8::1"):
        asked.clear()
        found = check(Identity(address, 'a"@b', "example.org", "mx.example.org"), ask)
        assert found.result in RESULTS
        assert isinstance(found.reason, str)
