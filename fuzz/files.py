"""Files that an input becomes, in a folder that this process has to itself."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gatepost-fuzz-")


def file_of(data: bytes, name: str = "input") -> Path:
    """A file with this content, for its owner alone; the last one of its name is gone."""
    path = Path(_folder().name) / name
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def folder_of(files: dict[str, bytes]) -> Path:
    """A folder with these files, and nothing else."""
    root = Path(_folder().name) / "folder"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root
