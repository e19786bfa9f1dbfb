"""Files that hold keys: written whole or not at all, readable by the owner alone, on the disk when the call returns."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from gatepost.errors import CertificateError


def write_secret(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file with mode 0600. A crash leaves the old file or the new one, never half of either.

    A file that is replaced keeps its owner, where we may give files away; a link stays one, and what it points to is
    replaced.

    :param replace: False never overwrites a file, also one that appears meanwhile.
    :raises CertificateError: when it cannot be written, or is there and may not be replaced.
    """
    if path.is_symlink():
        path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as out:
                _keep_owner(path, out.fileno())
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            if replace:
                temporary.replace(path)
            else:
                path.hardlink_to(temporary)  # unlike a rename it fails when the name is taken
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError as error:
        raise CertificateError(f"{path}: is there already", hint="--force replaces it") from error
    except OSError as error:
        raise CertificateError(f"{path}: cannot be written: {error.strerror}") from error


def _keep_owner(path: Path, file: int) -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            old = path.stat()
            os.fchown(file, old.st_uid, old.st_gid)


def exposure(path: Path) -> str:
    """Who else may read or change a file with a key, as words for a message; empty when nobody may.

    Reading by the group is left to the operator: distributions have groups for it.

    :raises OSError: when the file cannot be looked at.
    """
    mode = path.stat().st_mode
    if mode & 0o007:
        return "everybody on this machine may read or change it"
    if mode & 0o020:
        return "its group may change it"
    parent = path.resolve().parent.stat().st_mode
    if parent & 0o022 and not parent & 0o1000:
        return "others may replace it: its directory is writable for them"
    return ""
