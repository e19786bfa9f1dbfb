"""Invariant: whatever other programs put into a mailbox, names of files are read, sizes are believed only as they were
written, unique ids are those of RFC 1939, and a name of a user never leads out of the mailboxes."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from fuzz.origins import cut, plan
from fuzz.words import ADDRESSES, ENDS

from gatepost.accounts.expansion import AliasRules
from gatepost.accounts.names import OurDomains, storable
from gatepost.errors import LocalProtocolError
from gatepost.mailbox import filenames, names, sizes
from gatepost.mailbox.lineends import LineEndCounter
from gatepost.store.accounts import Entry

UNIQUE = re.compile(r"[!-~]{1,70}")
DOMAINS = OurDomains(["example.org", "b\u00fccher.example"])
WORDS = (
    b",S=12", b",W=13", b":2,FS", b":2,", b"=", b"1700000000.M1P2.host", b"/", b"..", b"~", b"+x", b"%", b"\n",
    b"9" * 19, b"gatepost sizes 1 little\n", b"\0\0\0\0\0\0\0\1", *ADDRESSES, *ENDS,
)  # fmt: skip
SEEDS = tuple(
    bytes((choice, 0)) + words
    for choice, words in (
        (0, b"1700000000.M1P2.host,S=1234,W=1260:2,FS"), (0, b"x,W=1,S=2"), (0, b"\xff:2,S"),
        (1, sizes.SizeMemory([("a", 1, 2, 3, 4), ("b", 5, 6, 7, 8)]).encode()),
        (2, b"alice+lists@Example.ORG"), (2, "j\u00fcrgen@b\u00fccher.example".encode()), (2, b"../../etc/passwd"),
        (3, b"a\nb\r\nc\r"), (2, b"a@example.org\0b\nc@elsewhere.example\0a"),
    )
)  # fmt: skip


def name_of_file(text: str) -> None:
    """One name of a file."""
    name = filenames.parse(text)
    assert name.size is None or 0 <= name.size < 10**18
    assert name.wire_size is None or 0 <= name.wire_size < 10**18
    assert filenames.seconds_of(name.identity) >= 0
    assert UNIQUE.fullmatch(filenames.unique_id(name.identity))
    assert UNIQUE.fullmatch(filenames.unique_id(name.identity, 1, 2))


def remembered(data: bytes) -> None:
    """A file of sizes."""
    memory = sizes.decode(data)
    if len(memory):
        assert sizes.decode(memory.encode()).encode() == memory.encode()
    memory.find("a", 1, 2, 3)


def name_of_user(text: str) -> None:
    """A name that somebody gave, and aliases."""
    local, domain = DOMAINS.split(text)
    assert domain.endswith(".") or (local, domain) == DOMAINS.split(f"{local}@{domain}")
    if storable(text):
        with suppress(LocalProtocolError):
            root = names.mailbox_root(Path("/data"), f"{local}@{domain}")
            assert root.is_relative_to("/data") and ".." not in root.parts
            assert all(len(part.encode()) <= 255 for part in root.parts)
    lines = [line.split("\n") for line in text.split("\0") if line]
    aliases = {line[0]: tuple(line[1:]) for line in lines if line[1:]}
    with suppress(ValueError):
        rules = AliasRules(DOMAINS, aliases)
        rules.problems()
        rules.resolve(local, domain, lambda address: Entry(False))


def target(data: bytes) -> None:
    """One of them."""
    told = plan(data, 4)
    text = told.words.decode("utf-8", "surrogateescape")
    match told.choice:
        case 0:
            name_of_file(text.replace("/", "").replace("\0", ""))
        case 1:
            remembered(told.words)
        case 2:
            name_of_user(text)
        case _:
            counter = LineEndCounter()
            stored = b"".join(counter.convert(cut(told.words, told.step)))
            assert stored == told.words.replace(b"\r\n", b"\n")
            assert (counter.stored, counter.on_wire) == (len(stored), len(stored) + stored.count(b"\n"))
