"""How this program is called again for the same server: for the commands that are printed as advice."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gatepost.config.schema import Config

NAME: Final = "gatepost"


def program() -> str:
    """``gatepost`` when the shell finds this very program under that name, else its path."""
    own = Path(sys.argv[0] if sys.argv else "")
    if own.name != NAME or not own.is_file():
        return NAME  # run as a library or as a module: there is no better name
    found = shutil.which(NAME)
    return NAME if found and Path(found).samefile(own) else str(own.absolute())


def command(config: Config, *words: str) -> str:
    """A command line for the shell that acts on the server of this configuration, wherever it is typed.

    :param words: the command and its arguments.
    """
    data = config.given_data
    if data is None and config.source is None:
        data = config.data
    return command_with(config.source, data, *words)


def command_with(file: Path | None, data: Path | None, *words: str) -> str:
    """A command line with ``--config`` and ``--data`` where they were given, their paths absolute."""
    options = [] if file is None else ["--config", str(file.absolute())]
    options += [] if data is None else ["--data", str(data.absolute())]
    return shlex.join([program(), *words, *options])


def here(config: Config, hint: str) -> str:
    """A hint whose commands, as ```gatepost user list```, act on the server of this configuration."""
    return re.sub(r"`gatepost ([a-z][a-z ]*)`", lambda found: f"`{command(config, *found[1].split())}`", hint)
