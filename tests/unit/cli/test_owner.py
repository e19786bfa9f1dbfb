"""Working as the owner of the data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.cli.exits import CommandError
from gatepost.cli.owner import as_owner
from gatepost.config.schema import Config

NOBODY = 65534


def _config(data: Path) -> Config:
    return Config.model_validate({"hostname": "mx.test", "data": data})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_makes_files_for_the_owner_and_is_root_again(tmp_path: Path) -> None:
    """What root's command makes, the unprivileged workers can use."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == 0 and directory not in (Path("/"), Path("/tmp")):
            directory.chmod(directory.stat().st_mode | 0o011)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, NOBODY, NOBODY)
    groups = os.getgroups()
    with as_owner(_config(data)):
        assert os.geteuid() == NOBODY
        (data / "made").write_text("")
        with pytest.raises(PermissionError):
            (tmp_path / "elsewhere").write_text("")
    assert os.geteuid() == 0 and os.getegid() == 0 and os.getgroups() == groups
    made = (data / "made").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)


def test_missing_directory_is_69_unless_it_may_be_made(tmp_path: Path) -> None:
    """Commands that only look make nothing."""
    config = _config(tmp_path / "data")
    with pytest.raises(CommandError) as caught, as_owner(config):
        pass
    assert caught.value.exit_code == 69
    with as_owner(config, create=True):
        assert (tmp_path / "data").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every directory")
def test_directory_of_somebody_else_is_77(tmp_path: Path) -> None:
    """The message says whom to be."""
    (tmp_path / "data").mkdir(mode=0o000)
    with pytest.raises(CommandError) as caught, as_owner(_config(tmp_path / "data")):
        pass
    assert caught.value.exit_code == 77 and caught.value.hint
