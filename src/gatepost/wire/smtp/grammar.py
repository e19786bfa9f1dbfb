"""The arguments of commands (RFC 5321 §4.1.1, RFC 3030 §2, RFC 4954 §4).

Every expression here is linear: repetitions are possessive or bounded, and none is nested in another that can match the
same text.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection
from typing import Final

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox, parse_path
from gatepost.wire.smtp.events import Mail, Recipient
from gatepost.wire.smtp.parameters import CommandSyntaxError, mail_parameters, rcpt_parameters
from gatepost.wire.smtp.reply import Reply

HELLO_LIMIT: Final = 255  # RFC 5321 §4.5.3.1.2
CHUNK_DIGITS: Final = 12  # RFC 3030 §2 sets no limit; a terabyte will do

# RFC 5321 §4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">", read as far as its end: a ">" may stand in a quoted string.
_PATH: Final = r'(<(?:[^"<>\s]|"(?:[^"\\]|\\.)*+")*+>)'
# RFC 5321 §4.1.1.2 and §4.1.1.3. A blank behind the colon is no part of the grammar and common.
_MAIL: Final = re.compile(rf"(?i:FROM): *+{_PATH}(?: +(.*))?")
_RCPT: Final = re.compile(rf"(?i:TO): *+{_PATH}(?: +(.*))?")
# RFC 3030 §2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF
_BDAT: Final = re.compile(rf"([0-9]{{1,{CHUNK_DIGITS}}})(?: +((?i:LAST)))?")
# RFC 4422 §3.1: sasl-mech = 1*20mech-char; RFC 4954 §4: an initial response behind it
_AUTH: Final = re.compile(r"([A-Za-z0-9_-]{1,20})(?: +([!-~]+))?")

_SENDER_UTF8: Final = Reply(550, "5.6.7", "An address beyond ASCII needs SMTPUTF8")  # RFC 6531 §3.5
_RECIPIENT_UTF8: Final = Reply(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8")


def parse_hello(argument: str) -> str:
    """The name in HELO, EHLO or LHLO: one printable word, nothing more is believed of it.

    :raises CommandSyntaxError: when there is none, or more than one.
    """
    name = argument.strip(" ")
    if not name or len(name) > HELLO_LIMIT or " " in name or not name.isascii():
        raise CommandSyntaxError(reply.SYNTAX)
    return name


def parse_mail(argument: str, *, smtputf8: bool, auth: bool, extra: Collection[str] = ()) -> Mail:
    """What stands behind ``MAIL``.

    :param smtputf8: whether SMTPUTF8 is offered.
    :param auth: whether AUTH is offered.
    :param extra: the parameters that extensions define.
    :raises CommandSyntaxError: when it cannot be read.
    """
    match = _MAIL.fullmatch(argument)
    if match is None:
        raise CommandSyntaxError(reply.BAD_SENDER)
    params = mail_parameters(match[2] or "", smtputf8=smtputf8, auth=auth, extra=extra)
    sender = _path(match[1], utf8=params.smtputf8, malformed=reply.BAD_SENDER, beyond=_SENDER_UTF8)
    if sender is not None and not sender.domain:
        raise CommandSyntaxError(reply.BAD_SENDER)
    return Mail(sender, params)


def parse_rcpt(argument: str, *, utf8: bool, extra: Collection[str] = ()) -> Recipient:
    """What stands behind ``RCPT``.

    :param utf8: whether the transaction uses SMTPUTF8.
    :param extra: the parameters that extensions define.
    :raises CommandSyntaxError: when it cannot be read, or names nobody.
    """
    match = _RCPT.fullmatch(argument)
    if match is None:
        raise CommandSyntaxError(reply.BAD_RECIPIENT)
    params = rcpt_parameters(match[2] or "", extra)
    mailbox = _path(match[1], utf8=utf8, malformed=reply.BAD_RECIPIENT, beyond=_RECIPIENT_UTF8)
    if mailbox is None:
        raise CommandSyntaxError(reply.BAD_RECIPIENT)
    return Recipient(mailbox, params)


def parse_bdat(argument: str) -> tuple[int, bool]:
    """The octets of a chunk, and whether it is the last.

    :raises CommandSyntaxError: when it cannot be read: nobody knows then where the chunk ends.
    """
    match = _BDAT.fullmatch(argument)
    if match is None:
        raise CommandSyntaxError(reply.SYNTAX)
    return int(match[1]), match[2] is not None


def parse_auth(argument: str) -> tuple[str, bytes | None]:
    """The mechanism in upper case, and the initial response, if there is one.

    :raises CommandSyntaxError: when it cannot be read.
    """
    match = _AUTH.fullmatch(argument)
    if match is None:
        raise CommandSyntaxError(reply.SYNTAX)
    initial = match[2]
    if initial is None:
        return match[1].upper(), None
    return match[1].upper(), b"" if initial == "=" else decode_base64(initial.encode("ascii"))


def decode_base64(line: bytes) -> bytes:
    """Decode a base64 line (RFC 4648 §4): nothing outside the alphabet, padding where it is due and nowhere else.

    :raises CommandSyntaxError: when it is not that.
    """
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error as error:
        raise CommandSyntaxError(reply.AUTH_BASE64) from error


def _path(text: str, *, utf8: bool, malformed: Reply, beyond: Reply) -> Mailbox | None:
    try:
        return parse_path(text, utf8=utf8)
    except AddressSyntaxError as error:
        raise CommandSyntaxError(beyond if error.enhanced == "5.6.7" else malformed) from error
