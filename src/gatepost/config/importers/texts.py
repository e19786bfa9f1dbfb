"""The text of old configuration files: read with a limit, decoded so that nothing is lost, cut into lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gatepost.errors import ConfigError

SIZE_LIMIT: Final = 16 << 20


class Line(NamedTuple):
    """One line that says something, and where: ``FILE:LINE``."""

    text: str
    place: str


def read_text(path: Path) -> str:
    """The text of a file. Octets that are not UTF-8 stay apart from all that are.

    :raises ConfigError: when it cannot be read.
    """
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"{path}: cannot be read: it is no file")  # a pipe would keep us waiting
        with path.open("rb") as stream:
            octets = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name with a zero octet in it
        raise ConfigError(f"{path}: cannot be read: it is no name of a file") from error
    if len(octets) > SIZE_LIMIT:
        raise ConfigError(f"{path}: is larger than {SIZE_LIMIT >> 20} MiB")
    return octets.decode("utf-8", "surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")


def lines_of(text: str, name: str) -> Iterator[Line]:
    """The lines that are neither empty nor comments, without white space around them."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield Line(stripped, f"{name}:{number}")
