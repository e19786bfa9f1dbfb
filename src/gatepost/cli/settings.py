"""What every command takes, before its name or behind it: ``--config``, ``--data``, ``--json``, ``-v``, ``-q``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gatepost.config.schema import Config

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What the common options said.

    :param json: print JSON for programs in place of text for people.
    :param verbosity: -1 with ``-q``, 0, or how many ``-v`` there were.
    """

    config_file: Path | None = None
    data: Path | None = None
    json: bool = False
    verbosity: int = 0

    def config(self) -> Config:
        """Read the configuration.

        :raises ConfigError: with every problem.
        """
        from gatepost.config.load import load

        return load(self.config_file, data=self.data)

    def say(self, text: str) -> None:
        """Tell people what was done; silent with ``-q`` and with ``--json``."""
        if self.verbosity >= 0 and not self.json:
            click.echo(text)

    def detail(self, text: str) -> None:
        """Tell people more, with ``-v``, on standard error."""
        if self.verbosity > 0:
            click.echo(text, err=True)


def _take(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = context.ensure_object(Settings)
    if parameter.name == "config_file" and value is not None:
        settings.config_file = value
    elif parameter.name == "data" and value is not None:
        settings.data = value
    elif parameter.name == "json" and value:
        settings.json = True
    elif parameter.name == "verbose" and value:
        settings.verbosity += value
    elif parameter.name == "quiet" and value:
        settings.verbosity = -1


def common_options(command: F) -> F:
    """Add the common options to a command; it finds them with ``pass_settings``."""
    path = click.Path(path_type=Path)
    options = (
        click.option("--config", "config_file", metavar="FILE", type=path, help="Configuration file.", **_quiet()),
        click.option(
            "--data", "data", metavar="DIR", type=path, help="Data directory, whatever the file says.", **_quiet()
        ),
        click.option("--json", "json", is_flag=True, help="Print JSON.", **_quiet()),
        click.option("-v", "--verbose", "verbose", count=True, help="Say more.", **_quiet()),
        click.option(
            "-q", "--quiet", "quiet", is_flag=True, help="Say only what is asked for, and errors.", **_quiet()
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _quiet() -> dict[str, Any]:
    return {"expose_value": False, "callback": _take}


pass_settings = click.make_pass_decorator(Settings, ensure=True)
