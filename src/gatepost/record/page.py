"""The two columns as one page of HTML: no script, nothing from elsewhere, readable without its style.

All that a peer said goes through ``html.escape`` here, and was made harmless before (``escaping``). A policy in the
page forbids scripts and every request, so that even a mistake in that would do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import Final

from gatepost.record.columns import Row, heading, rows
from gatepost.record.escaping import shown_text
from gatepost.record.pagestyle import STYLE
from gatepost.record.reading import Session
from gatepost.record.summary import summarise
from gatepost.record.terminal import pause

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
_WAYS: Final = {
    ("client", False): ("→", "in the clear"), ("server", False): ("←", "in the clear"),
    ("client", True): ("⇒", "private"), ("server", True): ("⇐", "private"),
}  # fmt: skip


def page(sessions: Iterable[Session]) -> Iterator[str]:
    """The page, in pieces.

    :param sessions: at least one; several get a list of them at the top.
    """
    shown = [session for session in sessions if session.events]
    title = f"Session {shown_text(shown[0].id)}" if len(shown) == 1 else f"{len(shown)} recorded sessions"
    yield from _head(title)
    if len(shown) > 1:
        yield from _contents(shown)
    for number, session in enumerate(shown, 1):
        yield from _section(number, session, alone=len(shown) == 1)
    yield "<footer>Written by gatepost. → and ← passed in the clear, ⇒ and ⇐ inside TLS.</footer>\n</body>\n</html>\n"


def _head(title: str) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"


def _contents(sessions: list[Session]) -> Iterator[str]:
    yield '<nav aria-label="Sessions">\n<ul>\n'
    for number, session in enumerate(sessions, 1):
        each = summarise(session)
        facts = heading(session)
        words = [
            facts.get("began", ""),
            facts.get("client", ""),
            each.listener,
            each.tls or "in the clear",
            each.outcome,
        ]
        yield f'<li><a href="#session-{number}">{_text(each.id)}</a> {_text(", ".join(filter(None, words)))}</li>\n'
    yield "</ul>\n</nav>\n"


def _section(number: int, session: Session, *, alone: bool) -> Iterator[str]:
    yield f'<section id="session-{number}">\n'
    if not alone:
        yield f"<h2>Session {_text(session.id)}</h2>\n"
    yield "<dl>\n"
    for name, value in heading(session).items():
        if name == "session":
            continue
        yield f'<dt>{_text(name)}</dt><dd class="{name}">{_text(value)}</dd>\n'
    yield f"</dl>\n<table>\n<caption>What was said in session {_text(session.id)}</caption>\n<thead><tr>"
    yield '<th scope="col" class="time">after</th><th scope="col">client</th><th scope="col">server</th>'
    yield '<th scope="col" class="way">passed</th></tr></thead>\n'
    for private, group in groupby(rows(session), key=_is_private):
        yield f'<tbody class="{"private" if private else "clear"}">\n'
        yield from map(_row, group)
        yield "</tbody>\n"
    yield "</table>\n</section>\n"


def _is_private(row: Row) -> bool:
    """Whether a row stands with the private ones: the moment of the upgrade is the first of them."""
    return row.private or row.tone == "upgrade"


def _row(row: Row) -> str:
    time = f'<th scope="row" title="{row.offset:.3f} s after the beginning">{_text(pause(row))}</th>'
    if row.place == "across":
        details = "".join(f"<li>{_text(each)}</li>" for each in row.details)
        more = f"<ul>{details}</ul>" if details else ""
        return f'<tr class="across {row.tone}">{time}<td colspan="3"><p>{_text(row.text)}</p>{more}</td></tr>\n'
    arrow, how = _WAYS[row.place, row.private]
    cells = {"client": "", "server": "", row.place: _said(row)}
    return (
        f'<tr class="{row.tone}">{time}'
        f'<td class="client">{cells["client"]}</td><td class="server">{cells["server"]}</td>'
        f'<td class="way"><span aria-hidden="true">{arrow}</span> {how}</td></tr>\n'
    )


def _said(row: Row) -> str:
    said = f"<code>{_text(row.text)}</code>" if row.text else ""
    if row.masked:
        said = said.replace("***", '<span class="mask">***</span>')
    if row.note:
        title = f' title="SHA-256 {_text(row.digest)}"' if row.digest else ""
        said += f'{" " if said else ""}<span class="note"{title}>[{_text(row.note)}]</span>'
    if row.quoted:
        said += f"<pre>{chr(10).join(map(_text, row.quoted))}</pre>"
    return said


def _text(text: str) -> str:
    return escape(shown_text(text), quote=True)
