"""``sendmail``, ``mailq`` and ``newaliases``: the local commands that programs have called to send mail since 1983.

They hand the message to a running gatepost over a local socket and spool nothing themselves: when nobody listens they
say so and exit with 75 (try again), which cron, PHP, git and mailx know how to treat.

SECURITY: runs with the rights of whoever calls it, and is never set-user-id. It reads standard input, connects to one
local socket, and writes no file. The server learns from the kernel (SO_PEERCRED) which user that is.

These start often, so this package imports nothing but ``gatepost.errors`` and ``gatepost.wire``.
"""

from __future__ import annotations

import sys

from gatepost.sendmail.exits import INTERRUPTED, SendmailError


def main(argv: list[str] | None = None) -> None:
    """The entry point: chooses by the name it was called with, runs, and exits with a code of sysexits.h."""
    program, *arguments = sys.argv if argv is None else argv
    name = program.rpartition("/")[2].removesuffix(".py")
    try:
        from gatepost.sendmail.modes import run

        code = run(name, arguments)
        sys.stdout.flush()
    except SendmailError as error:
        sys.stderr.write(f"{name}: {error.message}\n")
        code = error.exit_code
    except BrokenPipeError:
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
