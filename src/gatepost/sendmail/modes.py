"""What ``sendmail`` can be asked to do, one function a mode."""

from __future__ import annotations

import os
import sys

from gatepost.sendmail import options as command_line
from gatepost.sendmail.exits import USAGE, SendmailError
from gatepost.sendmail.options import Options

_USAGE = """\
usage: {name} [option]... [recipient]...   send the message on standard input
  -t             take the recipients from To, Cc and Bcc as well
  -f ADDRESS     envelope sender (-r is the same)
  -F NAME        full name of the sender
  -i, -oi        a line with a single dot does not end the message
  -N WORDS       report: never, or some of success,failure,delay
  -R full|hdrs   how much a report returns
  -V ID          envelope identifier for reports
  -bs            speak SMTP on standard input and output
  -bp, mailq     print the queue
  -bv            verify the addresses
  -q             try the queue again now
The message goes to a running gatepost: to the socket that $GATEPOST_SENDMAIL_SOCKET
names, else to that of the system or of the calling user.
"""


def run(name: str, arguments: list[str]) -> int:
    """Do what the command line asks for.

    :param name: what the program was called as.
    :returns: the exit code.
    :raises SendmailError: when it cannot be done; the error has the exit code.
    """
    if arguments[:1] == ["--help"]:
        sys.stdout.write(_USAGE.format(name=name))
        return 0
    options = command_line.parse(name, arguments)
    for warning in options.warnings:
        sys.stderr.write(f"{name}: warning: {warning}\n")
    if options.mode == "m":
        return _send(options)
    if options.mode == "s":
        from gatepost.sendmail.relay import relay

        return relay()
    if options.mode == "v":
        from gatepost.sendmail.submission import verify

        return verify(options.recipients)
    if options.mode == "i":
        sys.stdout.write("aliases are in the [aliases] table of gatepost.toml; `gatepost reload` reads it again\n")
        return 0
    from gatepost.sendmail.queue import flush, print_queue

    return print_queue() if options.mode == "p" else flush()


def _send(options: Options) -> int:
    from gatepost.sendmail import headers
    from gatepost.sendmail.message import Message
    from gatepost.sendmail.submission import caller, submit

    if not options.recipients and not options.from_headers:
        raise SendmailError("no recipients; name them, or use -t to take them from the header", USAGE)
    message = Message(sys.stdin.buffer, dot_ends=options.dot_ends)
    recipients = [address for argument in options.recipients for address in headers.addresses(os.fsdecode(argument))]
    if options.from_headers:
        recipients += headers.recipients(message.fields)
        message.fields = headers.without_bcc(message.fields)
        if not recipients:
            raise SendmailError("the header names no recipients", USAGE)
    sender, full_name = caller() if options.sender is None else (options.sender.strip().strip("<>"), None)
    return submit(message, sender, list(dict.fromkeys(recipients)), options, options.full_name or full_name)
