"""``gatepost backup``, and that what it makes can take the place of the data directory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import time
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.cli import backup
from gatepost.queue.item import NewMessage, NewRecipient
from gatepost.store.sqlite.queue import SQLiteQueue


def _fill(gatepost: Gatepost, data: Path) -> bytes:
    gatepost("user", "add", "ann@x.test", "--generate")
    content = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 10000
    store = SQLiteQueue(data)
    writer = store.body_writer("q1")
    writer.write(content)
    recipients = (NewRecipient("to@y.test", "y.test", "remote"),)
    store.enqueue([NewMessage("q1", time.time(), "me@x.test", writer.finish(), len(content), recipients)])
    store.close()
    maildir = data / "mail" / "x.test" / "ann" / "Maildir"
    for folder in ("new", "cur", "tmp"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "new" / "1.a").write_text("one")
    (maildir / "cur" / "2.b:2,S").write_text("two")
    (maildir / "tmp" / "3.c").write_text("half")
    (data / "tls").mkdir()
    (data / "tls" / "self.pem").write_text("key")
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(data)  # a socket's path is short
        sock.bind("control.sock")
        os.chdir(data.parent)
    return content


def test_copy_restores_to_a_working_server(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """Queue, bodies, users, mail and keys come back when the copy is put in the data directory's place."""
    content = _fill(gatepost, data)
    done = gatepost("backup", "copy", "--json")
    assert done.code == 0, done.err
    assert (done.json["queued_messages"], done.json["users"], done.json["mail_files"]) == (1, 1, 2)
    data.rename(tmp_path / "lost")
    (tmp_path / "copy").rename(data)
    assert gatepost("queue", "show", "q1", "--content").out.encode() == content.replace(b"\r\n", b"\n")
    assert [user["address"] for user in gatepost("user", "list", "--json").json] == ["ann@x.test"]
    maildir = data / "mail" / "x.test" / "ann" / "Maildir"
    assert (maildir / "new" / "1.a").read_text() == "one"
    assert (maildir / "cur" / "2.b:2,S").read_text() == "two"
    assert list((maildir / "tmp").iterdir()) == []
    assert (data / "tls" / "self.pem").read_text() == "key"
    assert not (data / "control.sock").exists()


def test_copy_is_private_and_says_what_it_is(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """It holds mail and verifiers: nobody else may enter it. Its manifest tells when and from where it was made."""
    _fill(gatepost, data)
    assert gatepost("backup", "copy", "--without-mail").code == 0
    copy = tmp_path / "copy"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    manifest = json.loads((copy / backup.MANIFEST).read_text())
    assert manifest["data"] == str(data) and manifest["with_mail"] is False
    assert not (copy / "mail").exists()


def test_refuses_a_directory_that_holds_something(gatepost: Gatepost, data: Path, tmp_path: Path) -> None:
    """No backup is written over another one, nor into the data itself."""
    _fill(gatepost, data)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "x").write_text("")
    assert gatepost("backup", "copy").code == 73
    assert gatepost("backup", str(data / "copy")).code == 73


def test_mail_that_a_reader_moves_meanwhile_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that goes from new to cur between the listing and the copying is found where it went."""
    source, target = tmp_path / "mail", tmp_path / "copy"
    for folder in ("new", "cur", "tmp"):
        (source / "m" / folder).mkdir(parents=True)
    for number in range(3):
        (source / "m" / "new" / f"{number}.x").write_text(str(number))
    copy = shutil.copy2

    def moving(place: Path, to: Path) -> object:
        first = source / "m" / "new" / "1.x"
        if first.exists():
            first.rename(source / "m" / "cur" / "1.x:2,S")
        return copy(place, to)

    monkeypatch.setattr(shutil, "copy2", moving)
    assert backup.copy_mail(source, target, lambda _: None) == 3
    assert sorted(file.read_text() for file in target.rglob("*.x*")) == ["0", "1", "2"]
