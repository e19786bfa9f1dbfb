"""Invariant: whatever a file of records holds, lines that cannot be read are told and passed over, nothing escapes from
showing and playing what can be read, and what is shown does nothing where it is shown."""

from __future__ import annotations

import re

from fuzz.files import file_of
from fuzz.origins import plan, seeds
from fuzz.words import ENDS, JSON

from gatepost.errors import GatepostError
from gatepost.record.columns import heading, rows
from gatepost.record.compression import Compressor
from gatepost.record.events import Closed, Data, FileBegins, Line, Opened, Upgraded, to_line
from gatepost.record.page import page
from gatepost.record.reading import Damaged, sessions
from gatepost.record.script import adapted, script
from gatepost.record.summary import summarise
from gatepost.record.terminal import Columns, headed, plain

_EVENTS = (
    FileBegins(role="mx", pid=1, at=1.0),
    Opened(
        session="s", at=1.0, serial=1, listener="mx", protocol="smtp", client=("192.0.2.1", 1), local=("192.0.2.2", 25)
    ),
    Line(session="s", at=1.0, serial=2, speaker="server", data=b"220 hi"),
    Line(session="s", at=1.0, serial=3, speaker="client", data=b"EHLO a"),
    Line(session="s", at=1.0, serial=4, speaker="server", data=b"250-mx"),
    Line(session="s", at=1.0, serial=5, speaker="server", data=b"250 STARTTLS"),
    Upgraded(session="s", at=1.0, serial=6, side="client", version="TLSv1.3", cipher="c"),
    Line(session="s", at=1.0, serial=7, private=True, speaker="client", data=b"AUTH PLAIN ***", masked=True),
    Line(session="s", at=1.0, serial=8, private=True, speaker="client", data=b"\xff\x1b[2J<script>", cut=9),
    Data(
        session="s",
        at=1.0,
        serial=9,
        private=True,
        speaker="client",
        octets=9,
        headers=b"A: x\r\n",
        content=b"A: x\r\n\r\n",
    ),
    Closed(session="s", at=1.0, serial=10, outcome="quit", seconds=1.0),
)
_LINES = b"".join(to_line(event) for event in _EVENTS)
WORDS = (*JSON, *ENDS, *(to_line(event) for event in _EVENTS), b"pop3", b"imap", b"smtp")
SEEDS = seeds(_LINES, _LINES.replace(b'"smtp"', b'"pop3"'), _LINES.replace(b'"smtp"', b'"imap"'), choices=2)
HARMLESS = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*")


def target(data: bytes) -> None:
    """As it is, or compressed: told in columns, as a page, in a line, and played."""
    told = plan(data, 2)
    octets = told.words
    if told.choice:
        compressor = Compressor()
        octets = compressor.add(octets) + compressor.finish()[: told.votes]
    path = file_of(octets, "record.jsonl.zst" if told.choice else "record.jsonl")
    damaged: list[Damaged] = []
    found = list(sessions([path], damaged=damaged.append))
    assert all(str(each).isprintable() for each in damaged)
    assert HARMLESS.fullmatch("".join(page(found)))
    for session in found:
        columns = Columns(width=60)
        for row in rows(session):
            for line in plain(columns.draw(row)):
                assert line.rstrip("\n").isprintable()
        for line in plain(headed(heading(session))):
            assert line.rstrip("\n").isprintable()
        assert all(cell.isprintable() for cell in summarise(session).cells())
        try:
            adapted(script(session), "starttls")
        except GatepostError:
            continue
