"""``gatepost import``: the configuration of an old server as a commented ``gatepost.toml``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.cli.output import print_json
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.config.importers.document import Document

_FILE = click.Path(path_type=Path, dir_okay=False)


def _output(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--output", type=_FILE, metavar="FILE", help="Write to this file, which must not exist; else to the screen."
    )
    return option(command)


@click.group("import", short_help="Make a gatepost.toml of an old server's configuration.")
def command() -> None:
    """Make a commented gatepost.toml of the configuration of DMail, qmail or Postfix.

    Behind each line stands the file and line that it came from. What cannot be taken over is named, in the file and on
    standard error. Nothing of the old server is changed. See docs/migrating.md.
    """


@command.command("dmail", short_help="DMail's dmail.conf.")
@click.argument("file", type=_FILE)
@_output
@common_options
@pass_settings
def dmail(settings: Settings, file: Path, output: Path | None) -> int:
    """Import FILE, a dmail.conf, and the server.pem in its work directory."""
    from gatepost.config.importers.dmail import from_dmail

    return _finish(settings, from_dmail(file), output)


@command.command("qmail", short_help="The control directory of qmail with STARTTLS.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--tcprules", type=_FILE, metavar="FILE", help="The text of tcpserver's rules, such as tcp.smtp.")
@_output
@common_options
@pass_settings
def qmail(settings: Settings, directory: Path, tcprules: Path | None, output: Path | None) -> int:
    """Import DIR, the control directory of qmail with the STARTTLS patch, such as /var/qmail/control."""
    from gatepost.config.importers.qmail import from_qmail

    return _finish(settings, from_qmail(directory, tcprules), output)


@command.command("postfix", short_help="Postfix's main.cf.")
@click.argument("file", metavar="MAIN_CF", type=_FILE)
@_output
@common_options
@pass_settings
def postfix(settings: Settings, file: Path, output: Path | None) -> int:
    """Import MAIN_CF, Postfix's main.cf, and the text of the tables that its TLS settings name.

    master.cf is not read.
    """
    from gatepost.config.importers.postfix import from_postfix

    return _finish(settings, from_postfix(file), output)


def _finish(settings: Settings, document: Document, output: Path | None) -> int:
    """Write the document, and say what has to be looked at."""
    text = document.text()
    problems = _problems(text)
    if output is not None:
        _write(output, text)
    if settings.json:
        print_json({"output": output, "toml": text, "notices": document.notices, "problems": problems})
    else:
        if output is None:
            click.echo(text, nl=False)
        for line in (*document.notices, *problems):
            click.echo(f"gatepost: {line}", err=True)
        if output is not None:
            settings.say(
                f"{output}: written; `gatepost --config {output} config check --full` looks at it on this machine"
            )
    return exits.CONFIG if problems else 0


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as error:
        raise CommandError(f"{path}: is there already, and is not overwritten", exits.CANNOT_CREATE) from error
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}", exits.CANNOT_CREATE) from error


def _problems(text: str) -> list[str]:
    """What our own loader has against the document: nothing, unless a setting was read wrongly."""
    from gatepost.config.load import load

    with tempfile.TemporaryDirectory(prefix="gatepost-") as directory:
        file = Path(directory) / "gatepost.toml"
        file.write_text(text, encoding="utf-8")
        try:
            load(file)
        except ConfigError as error:
            return [f"the document does not load: {problem.removeprefix(directory)}" for problem in error.problems]
    return []
