"""The options of ``sendmail``, read the way it always did: letters may be joined, values may be attached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gatepost.sendmail.exits import USAGE, SendmailError

_WITH_VALUE: Final = frozenset("ABCFLNORVXbdfhopr")
# Accepted in silence: they concern how another sendmail queues, and cron, mailx and PHP pass them by habit.
_HARMLESS: Final = frozenset("GmnU")
_MODES: Final = frozenset("mspvi")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


@dataclass(slots=True)
class Options:
    """What the command line said.

    :param mode: ``m`` send a message, ``s`` speak SMTP on standard input, ``p`` print the queue, ``v`` verify
        addresses, ``i`` initialise aliases, ``q`` try the queue again.
    :param sender: the envelope sender; None for the calling user.
    :param dot_ends: whether a line with a single dot ends the message.
    :param notify: when to report delivery (RFC 3461 §4.1), upper case; None when it was not said.
    :param ret: how much a report returns (RFC 3461 §4.3), ``FULL`` or ``HDRS``, or None.
    """

    mode: str = "m"
    recipients: list[str] = field(default_factory=list)
    from_headers: bool = False
    dot_ends: bool = True
    sender: str | None = None
    full_name: str | None = None
    notify: frozenset[str] | None = None
    ret: str | None = None
    envid: str | None = None
    body: str | None = None
    verbose: bool = False
    warnings: list[str] = field(default_factory=list)


def parse(name: str, arguments: list[str]) -> Options:
    """Read the command line.

    :param name: what the program was called as; ``mailq`` and ``newaliases`` are modes of their own.
    :raises SendmailError: for a usage that cannot be understood (64).
    """
    options = Options(mode={"mailq": "p", "newaliases": "i"}.get(name, "m"))
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            options.recipients += rest
            break
        if len(argument) < 2 or not argument.startswith("-"):
            options.recipients.append(argument)
        elif argument.startswith("--"):
            options.warnings.append(f"ignoring {argument}")
        else:
            _letters(argument[1:], rest, options)
    return options


def _letters(letters: str, rest: list[str], options: Options) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter == "q":  # its value is never a word of its own
            options.mode = "q"
            if letters:
                options.warnings.append(f"ignoring the interval of -q{letters}: the queue is run by gatepost serve")
            return
        if letter in _WITH_VALUE:
            if not letters and not rest:
                raise SendmailError(f"option -{letter} needs a value", USAGE)
            _value(letter, letters or rest.pop(0), options)
            return
        _flag(letter, options)


def _flag(letter: str, options: Options) -> None:
    if letter == "t":
        options.from_headers = True
    elif letter == "i":
        options.dot_ends = False
    elif letter == "v":
        options.verbose = True
    elif letter not in _HARMLESS:
        options.warnings.append(f"ignoring -{letter}")


def _value(letter: str, value: str, options: Options) -> None:
    if letter in "fr":
        options.sender = value
    elif letter == "F":
        options.full_name = value
    elif letter == "b":
        if value not in _MODES:
            raise SendmailError(f"-b{value} is not offered here; the server is `gatepost serve`", USAGE)
        options.mode = value
    elif letter == "N":
        options.notify = _notify(value)
    elif letter == "R":
        options.ret = {"full": "FULL", "hdrs": "HDRS"}.get(value.lower())
        if options.ret is None:
            raise SendmailError(f"-R {value}: write full or hdrs", USAGE)
    elif letter == "V":
        options.envid = value
    elif letter == "B":
        options.body = {"7bit": "7BIT", "8bitmime": "8BITMIME"}.get(value.lower())
        if options.body is None:
            raise SendmailError(f"-B {value}: write 7BIT or 8BITMIME", USAGE)
    elif letter == "o":
        if value == "i" or value == "i=true":
            options.dot_ends = False
    elif letter == "O":
        if value.lower().replace(" ", "") in ("ignoredots", "ignoredots=true"):
            options.dot_ends = False
    else:
        options.warnings.append(f"ignoring -{letter} {value}")


def _notify(value: str) -> frozenset[str]:
    words = frozenset(word.strip().upper() for word in value.split(","))
    if words == {"NEVER"}:
        return words
    if not words <= _NOTIFY:
        raise SendmailError(f"-N {value}: write never, or some of success,failure,delay", USAGE)
    return words
