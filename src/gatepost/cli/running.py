"""Asking the server that is running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.errors import ConfigError, GatepostError

if TYPE_CHECKING:
    from gatepost.config.schema import Config


def control_socket(config: Config) -> Path:
    """Where the server's control socket is."""
    return config.runtime / "control.sock"


def ask(config: Config, command: str, **arguments: object) -> dict[str, Any]:
    """Ask the running server.

    :raises CommandError: when none is running (69), we may not ask (77), or it refuses (what it says).
    """
    from gatepost.serve.control import ControlError, request

    path = control_socket(config)
    try:
        answer = request(path, {"command": command, **arguments})
    except ControlError as error:
        code = exits.NO_PERMISSION if "permission denied" in error.message else exits.UNAVAILABLE
        hint = error.hint
        if "no server answers" in error.message:
            from gatepost.config.invocation import command as command_line

            hint = f"start it: {command_line(config, 'serve')}; is it this data directory?"
        raise CommandError(error.message, code, hint=hint) from error
    if answer.get("ok") is False:
        problems = answer.get("problems")
        if isinstance(problems, list) and problems:
            raise ConfigError(str(answer.get("error")), problems=tuple(map(str, problems)))
        code = exits.UNAVAILABLE if problems is None else exits.CONFIG  # a certificate it cannot use, for one
        raise CommandError(str(answer.get("error") or "the server refused"), code, hint=str(answer.get("hint") or ""))
    return answer


def wake(config: Config) -> bool:
    """Tell the running server that the queue was changed; whether there was one to tell."""
    try:
        ask(config, "queue-wake")
    except GatepostError:
        return False
    return True
