"""``gatepost config check`` and ``gatepost config show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gatepost.cli import exits
from gatepost.cli.output import print_json
from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from gatepost.config.schema import Config

_LOOKED_AT = 1 << 20  # octets of a file with a certificate


@click.group("config")
def command() -> None:
    """Check the configuration, or show what is in effect."""


@command.command("check")
@click.option("--full", is_flag=True, help="Check certificates, ports and the data directory too.")
@common_options
@pass_settings
def check(settings: Settings, full: bool) -> int:
    """Look for every problem in the configuration, without starting.

    Exits with 0 when there is none and 78 when there are some. With --full it also looks at what the configuration
    names: run it as the user that starts the server. Without, files need not be there; a client certificate that is
    there must have its key with it.
    """
    from gatepost.config.load import load_with_sources

    try:
        config, sources = load_with_sources(settings.config_file, data=settings.data)
    except ConfigError as error:
        if not settings.json:
            raise
        print_json({"ok": False, "problems": list(error.problems)})
        return exits.CONFIG
    problems = [*_alias_problems(config), *_keyless(config)]
    if full:
        from gatepost.cli.surroundings import survey

        problems += survey(config)
    files = [str(file) for file in sources.files]
    if settings.json:
        print_json({"ok": not problems, "files": files, "problems": problems})
        return exits.CONFIG if problems else 0
    if problems:
        raise ConfigError("the configuration cannot be used here", problems=tuple(problems))
    settings.say(f"{' + '.join(files) or 'The built-in defaults'}: no problems")
    return 0


def _alias_problems(config: Config) -> list[str]:
    from gatepost.serve.preparation import check_aliases

    try:
        check_aliases(config)
    except ConfigError as error:
        where = config.place("aliases") or "built-in defaults"
        return [f"{where}: {problem}" for problem in error.problems or (error.message,)]
    return []


def _keyless(config: Config) -> list[str]:
    """Client certificates that are there without their keys; what is not there, or not ours to read, is no matter."""
    problems = []
    named = [("outbound", at, rule.client_certificate) for at, rule in enumerate(config.outbound)]
    named += [("backend", at, backend.client_certificate) for at, backend in enumerate(config.backend)]
    for table, at, file in named:
        try:
            content = b"" if file is None else _beginning(file)
        except OSError:
            continue
        if b"-----BEGIN CERTIFICATE-----" in content and b"PRIVATE KEY-----" not in content:
            where = f"{config.place(table, at)}: {table}[{at}].client_certificate"
            problems.append(f"{where}: {file} holds no private key: put the key into the same file")
    return problems


def _beginning(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_LOOKED_AT)


@command.command("show")
@click.option("--defaults", is_flag=True, help="Show the built-in defaults, whatever the file says.")
@click.option("--changed", is_flag=True, help="Show only what differs from the defaults.")
@common_options
@pass_settings
def show(settings: Settings, defaults: bool, changed: bool) -> None:
    """Show the configuration in effect, as TOML that can be read again.

    Passwords are never shown: the configuration names the files that hold them.
    """
    if defaults and changed:
        raise click.UsageError("--defaults and --changed exclude each other.")
    from gatepost.config.schema import Config
    from gatepost.config.show import differences, plain, toml

    base = plain(Config())
    tables: dict[str, Any] = base if defaults else plain(settings.config())
    if changed:
        tables = differences(tables, base)
    if settings.json:
        print_json(tables)
    elif tables:
        click.echo(toml(tables), nl=False)
    else:
        click.echo("nothing differs from the defaults", err=True)
