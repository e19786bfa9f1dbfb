"""The attacker has an account on the machine: the recorder is to write where it must not, or its reader to choke."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gatepost.cli.main import main
from gatepost.record import compression, reading
from gatepost.record.reading import FileReader
from gatepost.record.shelf import Shelf

_PRECIOUS = b"what stands in the queue's database is not to be touched" * 4


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_directory_in_which_others_may_write_is_not_used(tmp_path: Path, mode: int) -> None:
    """Goal: files of his own where the recorder looks for its own, before it was there."""
    directory = tmp_path / "records"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(OSError, match="other accounts"):
        Shelf(directory, budget=1000)
    assert list(directory.iterdir()) == []


def test_directory_of_another_account_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: to be the owner of what is recorded, and to change it."""
    directory = tmp_path / "records"
    directory.mkdir(mode=0o700)
    ours = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    if ours == 0:
        os.chown(directory, 2, 2)
    with pytest.raises(OSError, match="another account"):
        Shelf(directory, budget=1000)


def test_count_of_what_is_used_is_never_written_into_another_file(tmp_path: Path) -> None:
    """Goal: twenty digits over the beginning of a database, by a hard link that bears the name of the count."""
    precious = tmp_path / "queue.db"
    precious.write_bytes(_PRECIOUS)
    directory = tmp_path / "records"
    directory.mkdir(mode=0o700)
    os.link(precious, directory / ".usage")
    with pytest.raises(OSError, match="not the recorder's"):
        Shelf(directory, budget=1000)
    assert precious.read_bytes() == _PRECIOUS


class _Bomb:
    """Stands for the library: each octet is thirty thousand, as Zstandard can make it."""

    ZstdError = ValueError
    largest = 0

    class ZstdDecompressor:
        def decompressobj(self) -> _Bomb.Stream:
            return _Bomb.Stream()

    class Stream:
        eof = False

        def decompress(self, data: bytes) -> bytes:
            _Bomb.largest = max(_Bomb.largest, len(data) * 30_000)
            return b"\n" * min(len(data) * 30_000, 1 << 16)


def test_file_that_grows_without_end_is_read_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the memory of whoever looks at records, by some octets that become gigabytes."""
    found: tuple[Any, bool] = (_Bomb, False)
    monkeypatch.setattr(compression, "_find", lambda: found)
    path = tmp_path / "bomb.jsonl.zst"
    path.write_bytes(b"x" * 20_000)
    assert list(FileReader(path).read()) == []
    assert 0 < _Bomb.largest <= reading.LINE_LIMIT


_HOSTILE = "<script>alert(1)</script>\x1b[2J\x07\u009b2J\u202e\"'&--></style>\r\n\U000e0001"


def _forged(folder: Path) -> Path:
    """A file of records that somebody else made: every word in it is an attack, and some times no calendar has."""
    path = folder / "forged.jsonl"
    with path.open("w", encoding="ascii") as file:
        for at, moment in enumerate((0, -1e9, 1.7e9, 9.9e11, -9.9e11)):
            common = {"s": f"s{at}{_HOSTILE}", "t": moment}
            address = [_HOSTILE, 25]
            events: tuple[dict[str, object], ...] = (
                {"e": "open", "v": 1, "listener": _HOSTILE, "protocol": _HOSTILE, "client": address, "local": address,
                 "side": "gate"},
                {"e": "line", "from": "client", "text": _HOSTILE, "masked": True},
                {"e": "data", "from": "client", "octets": 10**50, "sha256": _HOSTILE, "content": _HOSTILE * 99},
                {"e": "upgrade", "side": "client", "version": _HOSTILE, "names": [_HOSTILE], "server": _HOSTILE},
                {"e": "decision", "what": _HOSTILE, "verdict": _HOSTILE, "rule": _HOSTILE, "subject": _HOSTILE},
                {"e": "blind", "reason": _HOSTILE, "server": _HOSTILE},
                {"e": "close", "outcome": _HOSTILE, "seconds": 1.0},
            )  # fmt: skip
            for serial, event in enumerate(events, 1):
                file.write(json.dumps({**event, **common, "n": serial}) + "\n")
    return path


@pytest.mark.parametrize(
    "command", [["list", "--records"], ["show"], ["show", "--json"], ["export", "--html", "--records"]]
)
def test_forged_records_are_read_and_do_nothing_to_whoever_reads_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Goal: the terminal or the browser of an operator, or that he sees nothing behind the one line that is odd."""
    path = _forged(tmp_path)
    page = tmp_path / "page.html"
    ending = ["--output", str(page)] if "--html" in command else []
    with pytest.raises(SystemExit) as ended:
        main(["record", *command, str(path), *ending, "--data", str(tmp_path)])
    out, err = capfd.readouterr()
    assert ended.value.code == 0, err
    shown = page.read_text() if ending else out
    assert "s2" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "<script" not in shown or not ending
