"""``gatepost``: the group of commands, and how its errors end the program."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final, NoReturn

import click

from gatepost._version import __version__
from gatepost.cli import exits
from gatepost.cli.settings import common_options
from gatepost.errors import ConfigError, GatepostError

# Name of a command: the module that has it, under the same name (``list`` in ``queue`` is the command's own affair).
COMMANDS: Final = {
    "serve": "serve",
    "gate": "gate",
    "reload": "reload",
    "status": "status",
    "connect": "connect",
    "send": "send",
    "queue": "queue",
    "user": "user",
    "cert": "cert",
    "config": "config",
    "explain": "explain",
    "greylist": "greylist",
    "record": "record",
    "import": "import_",
    "backup": "backup",
    "completion": "completion",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"gatepost.cli.{COMMANDS[cmd_name]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1) if args else []
            if not near:
                raise
            raise click.UsageError(f'There is no command "{args[0]}"; did you mean {near[0]}?', ctx) from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes are those of sysexits.h: 64 usage, 65 data, 69 unavailable, 74 input or output, 75 try again, "
    "77 no permission, 78 configuration.",
)
@click.version_option(__version__, prog_name="gatepost", message="%(prog)s %(version)s")
@common_options
def gatepost() -> None:
    """A mail server around STARTTLS.

    Without --config the file is ./gatepost.toml, then /etc/gatepost/gatepost.toml; without either the built-in
    defaults serve on this machine alone.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point of ``gatepost``: runs a command and exits with its code."""
    try:
        result = gatepost.main(arguments, prog_name="gatepost", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = exits.USAGE
    except click.UsageError as error:
        _complain(error.format_message() + _where_help(error))
        code = exits.USAGE
    except click.Abort:
        click.echo("", err=True)
        code = exits.INTERRUPTED
    except click.ClickException as error:
        _complain(error.format_message())
        code = exits.IO if isinstance(error, click.FileError) else exits.USAGE
    except BrokenPipeError:
        # Whoever read our output has stopped: keep the interpreter from flushing into it. (click exits with 1 too.)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except ConfigError as error:
        for problem in error.problems or (exits.described(error),):
            _complain(problem)
        code = exits.CONFIG
    except (GatepostError, OSError) as error:
        _complain(exits.described(error))
        code = exits.exit_code(error)
    except Exception as error:
        if os.environ.get("GATEPOST_TRACEBACK"):
            raise
        _complain(f"internal error: {type(error).__name__}: {error}: please report it, with GATEPOST_TRACEBACK=1 set")
        code = exits.SOFTWARE
    sys.exit(code)


def _where_help(error: click.UsageError) -> str:
    return f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""


def _complain(text: str) -> None:
    from gatepost.cli.output import printable

    click.echo(f"gatepost: {printable(' '.join(text.split()))}", err=True)
