"""``gatepost gate``: serve the gates of the configuration alone, or one that options describe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gatepost.cli.settings import Settings, common_options, pass_settings
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.config.locate import Key
    from gatepost.config.schema import Config

PROTOCOLS: Final = (
    "smtp", "submission", "lmtp", "pop3", "imap", "sieve", "nntp", "ftp", "irc", "xmpp", "xmpp-server", "ldap",
    "postgres", "mysql", "raw",
)  # fmt: skip
_NAME: Final = "gate"
_BACKEND: Final = "backend"
_RECORD_BUDGET: Final = 256 << 20  # octets: a day of a small server, and no disk full of a try
# What a key is called here.
_OPTIONS: Final = {
    ("gate", "bind"): "--bind", ("gate", "protocol"): "--protocol", ("gate", "mode"): "--mode",
    ("gate", "tls"): "--tls", ("gate", "starttls"): "--starttls", ("backend", "servers"): "--backend",
    ("backend", "tls"): "--backend-tls", ("backend", "level"): "--level", ("backend", "ca"): "--ca",
    ("backend", "names"): "--server-name", ("backend", "client"): "--client",
    ("tls", "certificate"): "--certificate", ("tls", "key"): "--key", ("hostname",): "--hostname", ("data",): "--data",
}  # fmt: skip
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command("gate", short_help="Stand in front of servers: TLS ends here.")
@click.option("--bind", "bind", metavar="ADDRESS:PORT", multiple=True, help="Where to listen; again for more.")
@click.option(
    "--backend", "servers", metavar="HOST:PORT", multiple=True, help="The server behind; again for more of its kind."
)
@click.option("--protocol", type=click.Choice(PROTOCOLS), metavar="NAME", help="What is spoken.  [default: smtp]")
@click.option(
    "--mode",
    type=click.Choice(("terminate", "pass", "refuse")),
    help="End TLS here, let the client's go through unread, or refuse it.  [default: terminate]",
)
@click.option(
    "--tls", type=click.Choice(("starttls", "implicit")), help="How clients come to TLS.  [default: starttls]"
)
@click.option(
    "--starttls", type=click.Choice(("offer", "require")), help="Whether they must come to it.  [default: offer]"
)
@click.option(
    "--backend-tls", type=click.Choice(("none", "starttls", "implicit")), help="TLS to the server.  [default: none]"
)
@click.option(
    "--level", type=click.Choice(("encrypt", "verify")), help="What of its certificate is checked.  [default: verify]"
)
@click.option("--ca", metavar="FILE", type=_FILE, help="Authorities trusted for its certificate, or that certificate.")
@click.option("--server-name", metavar="NAME", help="Name that its certificate must have; else its host name.")
@click.option(
    "--client",
    type=click.Choice(("xclient", "xforward", "proxy1", "proxy2")),
    help="How the server is told who the client is.",
)
@click.option("--certificate", metavar="FILE", type=_FILE, help="Our certificate, PEM; else a self-signed one is made.")
@click.option("--key", metavar="FILE", type=_FILE, help="Its key, when in another file.")
@click.option("--hostname", metavar="NAME", help="Our name; else the system's.")
@click.option("--greylist", is_flag=True, default=None, help="Put off strangers (smtp).")
@click.option("--record", is_flag=True, default=None, help="Write down what is said: gatepost record shows it.")
@common_options
@pass_settings
def command(settings: Settings, /, **given: Any) -> int:
    """Stand in front of servers, in the foreground: TLS ends here, and they get what was said.

    Without --bind it serves the gates of the configuration, and nothing else of it. With --bind and --backend it needs
    no configuration.

    \b
    gatepost gate
    gatepost gate --bind 0.0.0.0:25 --backend 127.0.0.1:10025 --greylist
    gatepost gate --bind 0.0.0.0:5432 --protocol postgres --backend db.internal:5432
    """
    said = {name: value for name, value in given.items() if value not in (None, ())}
    config = described(settings, said) if said else only_gates(settings.config())
    from gatepost.tls.openssl import limit_tickets

    limit_tickets(config.tls.tickets)  # first of all: it counts only before anything loads OpenSSL
    from gatepost.serve.launch import main

    code = main(config, _again(config))
    sys.stdout.flush()
    return code


def only_gates(config: Config) -> Config:
    """The gates of a configuration, without its listeners.

    :raises ConfigError: when it has none.
    """
    if not config.gate:
        where = f"{config.source}: there is no [[gate]]" if config.source else "there is no configuration file"
        raise ConfigError(
            where,
            hint="write one (docs/gate.md), or: gatepost gate --bind 127.0.0.1:2525 --backend HOST:PORT",
        )
    return config.model_copy(update={"listener": ()})


def described(settings: Settings, said: dict[str, Any]) -> Config:
    """The one gate that the options describe.

    :raises click.UsageError: when something is missing, or given twice over.
    :raises ConfigError: when it is impossible.
    """
    if settings.config_file is not None:
        raise click.UsageError("--config names a file that describes gates; leave out the options that describe one.")
    for option, name in (("--bind", "bind"), ("--backend", "servers")):
        if name not in said:
            raise click.UsageError(f"{option} is missing: where to listen is --bind, the server behind --backend.")
    if "greylist" in said and said.get("protocol", "smtp") != "smtp":
        raise click.UsageError("--greylist is for mail that comes in: --protocol smtp.")
    from gatepost.config.load import build

    return build(_tables(settings, said), _option)


def _tables(settings: Settings, said: dict[str, Any]) -> dict[str, Any]:
    from gatepost.config.schema import default_data

    gate = {"name": _NAME, "backend": _BACKEND, "bind": said["bind"], "protocol": said.get("protocol", "smtp")}
    gate |= {key: said[key] for key in ("mode", "tls", "starttls") if key in said}
    backend: dict[str, Any] = {"name": _BACKEND, "servers": said["servers"]}
    names = {"backend_tls": "tls", "level": "level", "ca": "ca", "server_name": "names", "client": "client"}
    backend |= {key: _absolute(said[name]) for name, key in names.items() if name in said}
    tables: dict[str, Any] = {"gate": [gate], "backend": [backend]}
    usual = default_data().with_name("gatepost-gate")  # out of the way of a server on the default directory
    tables["data"] = Path.cwd() / settings.data if settings.data is not None else usual
    if "hostname" in said:
        tables["hostname"] = said["hostname"]
    if tls := {key: _absolute(said[key]) for key in ("certificate", "key") if key in said}:
        tables["tls"] = tls
    if "greylist" in said:
        tables["greylist"] = {"enabled": True}
    if "record" in said:
        tables |= {"record": {"budget": _RECORD_BUDGET}, "record_rule": [{}]}
    return tables


def _absolute(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value


def _option(key: Key) -> str:
    from gatepost.config.load import written

    plain = tuple(part for part in key if isinstance(part, str))
    return next((option for known, option in _OPTIONS.items() if plain[: len(known)] == known), written(key))


def _again(config: Config) -> Callable[[], Config]:
    """How a reload reads the configuration again: options stay what they were."""
    if config.source is None:
        return lambda: config

    def load_again() -> Config:
        from gatepost.config.load import reload

        return only_gates(reload(config))

    return load_again
