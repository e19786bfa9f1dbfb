"""Invariant: what a peer or a file said is one line that does nothing where it is shown: in logs, traces, records,
tables, errors; and JSON stays JSON."""

from __future__ import annotations

import io
import json
import re

from fuzz.words import ADDRESSES, ENDS, REPLIES, XML

from gatepost.accounts.verifiers import printable as printable_name
from gatepost.config.importers.document import printable as printable_value
from gatepost.errors import ConfigError, GatepostError
from gatepost.net.trace import Ended, Said, UpgradeFailed
from gatepost.observe.lines import json_line, quote, text_line
from gatepost.observe.tracing import JSONTrace, TextTrace, escaped
from gatepost.record.escaping import shown, shown_line, shown_text
from gatepost.record.terminal import wrap
from gatepost.wire.smtp.replies import printable
from gatepost.wire.witness import hidden_command, hidden_fault, shown_fault

WORDS = (
    *REPLIES, *XML, *ADDRESSES, *ENDS, b"\x1b[2J", b"\xc2\x9b", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xed\xa0\x80",
    b"AUTH ", b"PASS x",
)  # fmt: skip
SEEDS = (b"220 mx\r\nPASS secret\r\n\x1b[31mred", "b\u00fccher \u202e \u2028".encode(), b"\xff\xfe\0")
LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*")
KNOWN = frozenset({"EHLO", "MAIL", "QUIT"})


def target(data: bytes) -> None:
    """Every way to show it."""
    text = data.decode("utf-8", "surrogateescape")
    latin = data.decode("latin-1")
    for line in (
        escaped(data), shown_line(data), shown_text(text), shown_text(latin), quote(text), printable(data),
        printable_name(latin), printable_value(text), GatepostError(text).message,
        ConfigError("x", problems=(text,)).problems[0],
        text_line("event", "info", {"said": text, "octets": data, "n": 1}, "mx", "now").removesuffix("\n"),
    ):  # fmt: skip
        assert LINE.fullmatch(line), line
    assert all(LINE.fullmatch(part) for part in shown(data).split("\n"))
    assert json.loads(json_line("event", "info", {"said": text, "octets": data}, '"process":"mx",', '{"time":"now",'))
    assert "".join(wrap(shown_line(data), 20)).replace(" ", "") == shown_line(data).replace(" ", "")
    for secretive in (False, True):
        known = data[:4].upper().decode("latin-1") in KNOWN
        hidden_command(data, known=known, login=False, secretive=secretive)
        hidden_fault(data, words=KNOWN, secretive=secretive)
        assert len(shown_fault(data, words=KNOWN, secretive=secretive)) <= 132
    events = (
        Said(at=1.0, connection="c1", side="client", direction="sent", data=data, private=False, masked=False),
        UpgradeFailed(at=1.0, connection="c1", side="client", reason=latin, alert="", hint=""),
        Ended(at=1.0, connection="c1", side="client", direction="received", reason=latin),
    )
    text_out, json_out = io.StringIO(), io.StringIO()
    for event in events:
        TextTrace(text_out, colour=False)(event)
        JSONTrace(json_out)(event)
    assert all(LINE.fullmatch(line) for line in text_out.getvalue().split("\n"))
    assert all(json.loads(line) for line in json_out.getvalue().split("\n")[:-1])
