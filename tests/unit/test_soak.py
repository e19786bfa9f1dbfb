"""The soak's books: what counts as lost, and what does not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

SOAK = Path(__file__).parents[2] / "soak"
TOKENS = [f"{number:016x}" for number in range(8)]
USER, FRIEND = "user0@mx.test", "friend0@elsewhere.test"


@pytest.fixture
def accounting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """soak/accounting.py, which is a script's neighbour and in no package."""
    monkeypatch.syspath_prepend(str(SOAK))
    return importlib.import_module("accounting")


def _mail(data: Path, name: str, token: str, sender: str) -> None:
    folder = data / "mail" / "mx.test" / "user0" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"Return-Path: <{sender}>\nSubject: x\nX-Soak: {token}\n\nbody\n")


def test_books_know_where_every_acknowledged_message_is(accounting: Any, tmp_path: Path) -> None:
    """Delivered, relayed, fetched, bounced and waiting are five good ends; nowhere is the bad one."""
    book = accounting.Book()
    delivered, relayed, fetched, bounced, waiting, lost, perhaps, strange = TOKENS
    book.acknowledged = {
        (delivered, USER), (relayed, FRIEND), (fetched, USER), (bounced, FRIEND), (waiting, FRIEND), (lost, USER),
        (perhaps, USER),
    }  # fmt: skip
    _mail(tmp_path, "1", delivered, "a@b.test")
    _mail(tmp_path, "2", bounced, "")
    _mail(tmp_path, "3", strange, "a@b.test")
    book.relayed[relayed, FRIEND] = 2
    book.fetched[fetched, USER] = 1
    book.perhaps_fetched = {(perhaps, USER)}
    found = accounting.balance(book, tmp_path, {(waiting, FRIEND)})
    assert found.lost == ((lost, USER),)
    assert (found.acknowledged, found.delivered, found.relayed, found.bounced, found.waiting) == (7, 3, 1, 1, 1)
    assert (found.duplicates, found.twice_relayed, found.unasked) == (0, 1, 1)


def test_message_that_is_there_twice_is_counted(accounting: Any, tmp_path: Path) -> None:
    """Twice in the mailbox, and in the mailbox as well as fetched."""
    book = accounting.Book()
    book.acknowledged = {(token, USER) for token in TOKENS[:2]}
    for name in ("1", "2"):
        _mail(tmp_path, name, TOKENS[0], "a@b.test")
    _mail(tmp_path, "3", TOKENS[1], "a@b.test")
    book.fetched[TOKENS[1], USER] = 1
    found = accounting.balance(book, tmp_path, set())
    assert (found.lost, found.duplicates) == ((), 2)
