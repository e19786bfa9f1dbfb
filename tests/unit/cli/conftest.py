"""What the tests of the commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from gatepost.cli.main import main
from gatepost.observe import logs


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """What the command complained about."""
        return [line for line in self.err.splitlines() if line.startswith("gatepost: ")]

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Gatepost = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def gatepost(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Gatepost:
    """Runs ``gatepost`` in this process, with a configuration of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gatepost.config.files.SYSTEM", tmp_path / "none.toml")
    (tmp_path / "gatepost.toml").write_text(f'hostname = "mx.test"\ndomains = ["x.test"]\ndata = "{data}"\n')

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, out, err)

    return run


@pytest.fixture
def server_log(tmp_path: Path) -> Iterator[Path]:
    """A log file for a server in this process: on standard error it would write over what a command says there."""
    path = tmp_path / "server.log"
    with path.open("wb") as out:
        logs.setup(descriptor=out.fileno())
        yield path
        logs.teardown()
