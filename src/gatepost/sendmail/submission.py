"""Handing a message to the server, and asking it about addresses."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, cast

from gatepost.errors import DeadlineExceeded, LocalProtocolError, ProtocolError, RemoteProtocolError
from gatepost.sendmail import exits, headers
from gatepost.sendmail.driver import LocalWire
from gatepost.sendmail.exits import SendmailError
from gatepost.sendmail.locate import connect
from gatepost.sendmail.message import Message, read_ahead
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient, Submission
from gatepost.wire.smtp.exchange import Exchange, command
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import Origin

if TYPE_CHECKING:
    from gatepost.sendmail.options import Options

_SECONDS: Final = 300.0
_NAME: Final = "localhost"  # what we call ourselves: the server learns from the kernel who we are


def caller() -> tuple[str, str | None]:
    """The calling user's login name and full name."""
    import pwd

    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise SendmailError(
            f"there is no account with the user id {uid}; name a sender with -f", exits.NO_USER
        ) from None
    name = entry.pw_gecos.split(",")[0].replace("&", entry.pw_name.capitalize())
    return entry.pw_name, name or None


def submit(message: Message, sender: str, recipients: list[str], options: Options, full_name: str | None) -> int:
    """Hand a message to the server.

    :param sender: the envelope sender; a name without a domain gets the server's; empty is the null sender.
    :param recipients: as given; a name without a domain gets the server's.
    :returns: 0 when the server has it on disk for every recipient.
    :raises SendmailError: otherwise, with the code that fits.
    """
    with connect("sendmail.sock") as sock:
        wire = LocalWire(sock)
        try:
            submission = wire.run(_conversation(message, sender, recipients, options, full_name))
        except (OSError, DeadlineExceeded) as error:
            raise SendmailError(f"{error}; the message was not taken, try again later", exits.TRY_AGAIN) from None
        except LocalProtocolError as error:
            raise SendmailError(error.message, exits.DATA) from None
        except RemoteProtocolError as error:
            code = exits.TRY_AGAIN if error.temporary else exits.PROTOCOL
            raise SendmailError(_printable(error.message), code) from None
    return _judge(submission, recipients)


def _conversation(
    message: Message, sender: str, recipients: list[str], options: Options, full_name: str | None
) -> Dialogue[Submission]:
    from gatepost.wire.smtp.client import PlainClient

    client = PlainClient(_origin(), hostname=_NAME)
    yield from client.greeting()
    offered = yield from client.hello()
    sender = _qualified(sender, offered.server_name)
    recipients = [_qualified(address, offered.server_name) for address in recipients]
    if not any(field.name in (b"from", b"resent-from") for field in message.fields):
        address = sender or _qualified(caller()[0], offered.server_name)
        message.fields.insert(0, headers.Field(b"from", headers.from_field(address, full_name)))
    pieces = message.pieces()
    first, whole = read_ahead(pieces)
    submission = yield from client.submit(
        Envelope(
            sender,
            tuple(EnvelopeRecipient(address, notify=options.notify) for address in recipients),
            size=sum(map(len, first)) if whole else None,
            body=_body(first, whole, options),
            smtputf8=not all(text.isascii() for text in (sender, *recipients)),
            ret=cast('Literal["FULL", "HDRS"] | None', options.ret),
            envid=options.envid,
        ),
        cast("Iterable[bytes]", chain(first, pieces)),
    )
    yield from client.quit()
    return submission


def _origin() -> Origin:
    return Origin(("local", 0), ("local", 0), "sendmail", time.time(), "sendmail")


def _body(first: list[bytes], whole: bool, options: Options) -> Literal["7BIT", "8BITMIME"]:
    """What is long cannot be looked at to its end before it is sent: unless -B says otherwise it may hold anything."""
    if not all(piece.isascii() for piece in first):
        return "8BITMIME"
    return "7BIT" if whole or options.body == "7BIT" else "8BITMIME"


def _qualified(address: str, domain: str) -> str:
    return f"{address}@{domain}" if address and "@" not in address else address


def _judge(submission: Submission, recipients: list[str]) -> int:
    """0, or the error for what was refused."""
    refused = [(who, reply) for who, reply in zip(recipients, submission.replies, strict=True) if not reply.positive]
    if not refused:
        return 0
    taken = len(recipients) - len(refused)
    prefix = f"sent to {taken} of {len(recipients)} recipients; " if taken else "not sent; "
    if len({str(reply) for _, reply in refused}) == 1 and len(refused) > 1:
        text = f"{len(refused)} recipients refused: {refused[0][1]}"
    else:
        text = "; ".join(f"{who}: {reply}" for who, reply in refused[:10])
    raise SendmailError(_printable(prefix + text), exit_code_of(refused[0][1], submission))


def exit_code_of(reply: Reply, submission: Submission) -> int:
    """The exit code for a refusal: later, no permission, no such user, or a message that nobody takes."""
    if reply.temporary:
        return exits.TRY_AGAIN
    if reply.enhanced.startswith("5.7."):
        return exits.NO_PERMISSION
    if "RCPT" in submission.stages:
        return exits.NO_USER
    return exits.DATA


def verify(addresses: list[str]) -> int:
    """``-bv``: ask the server whether it would take mail for each address; print its answers.

    :returns: 0 when it would for all, else 67.
    :raises SendmailError: without addresses (64), or when nobody listens (75).
    """
    if not addresses:
        raise SendmailError("no addresses to verify", exits.USAGE)
    code = 0
    with connect("sendmail.sock") as sock:
        try:
            for address, reply in LocalWire(sock).run(_questions(addresses)):
                sys.stdout.write(f"{address}: {'deliverable' if reply.positive else 'undeliverable'}: {reply}\n")
                code = code if reply.positive else exits.NO_USER
        except (OSError, DeadlineExceeded) as error:
            raise SendmailError(f"the server does not answer: {error}", exits.TRY_AGAIN) from None
        except ProtocolError as error:
            raise SendmailError(_printable(error.message), exits.PROTOCOL) from None
    return code


def _questions(addresses: list[str]) -> Dialogue[list[tuple[str, Reply]]]:
    exchange = Exchange()
    greeting = yield from exchange.reply(_SECONDS, "greeting")
    if greeting.code != 220:
        raise RemoteProtocolError(f"the server refused the connection: {greeting}")
    hello = yield from exchange.ask(command(f"EHLO {_NAME}"), _SECONDS, "reply to EHLO")
    domain = hello.lines[0].split(" ", 1)[0]
    answers: list[tuple[str, Reply]] = []
    for address in _qualify_all(addresses, domain):
        path = EnvelopeRecipient(address).path
        mail = yield from exchange.ask(command("MAIL FROM:<>"), _SECONDS, "reply to MAIL")
        if mail.positive:
            answers.append(
                (address, (yield from exchange.ask(command(f"RCPT TO:<{path}>"), _SECONDS, "reply to RCPT")))
            )
        else:
            answers.append((address, mail))
        yield from exchange.ask(command("RSET"), _SECONDS, "reply to RSET")
    yield from exchange.ask(command("QUIT"), _SECONDS, "reply to QUIT")
    return answers


def _qualify_all(addresses: list[str], domain: str) -> Iterator[str]:
    for argument in addresses:
        for address in headers.addresses(argument):
            yield _qualified(address, domain)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
