"""The parameters of MAIL and RCPT (RFC 5321 §4.1.1.11, RFC 1870, 6152, 6531, 3461, 4954).

Values that travel as xtext (RFC 3461 §4) are decoded here, and checked again after decoding: what hides behind
``+0D+0A`` goes no further.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal

from gatepost.errors import ProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from gatepost.wire.smtp.reply import Reply

_SIZE_DIGITS: Final = 20  # RFC 1870 §3
_ENVID_LIMIT: Final = 100  # RFC 3461 §4.4
_ORCPT_LIMIT: Final = 500  # RFC 3461 §4.2
# RFC 3461 §4: xtext = *( xchar / hexchar )
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
# RFC 3461 §4.2: original-recipient-address = addr-type ";" xtext; RFC 6533 §3 for the type utf-8
_ORCPT: Final = re.compile(r"([A-Za-z0-9-]+);(.+)")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


class CommandSyntaxError(ProtocolError):
    """A command's argument cannot be read. ``reply`` is what to answer."""

    def __init__(self, refusal: Reply) -> None:
        super().__init__(str(refusal), code=refusal.code, enhanced=refusal.enhanced)
        self.reply: Final = refusal


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 §4) to printable ASCII.

    :raises CommandSyntaxError: when it is no xtext, or hides what is not printable ASCII.
    """
    if not _XTEXT.fullmatch(text):
        raise CommandSyntaxError(reply.SYNTAX)
    plain = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not (plain.isascii() and plain.isprintable()):
        raise CommandSyntaxError(reply.SYNTAX)
    return plain


def mail_parameters(text: str, *, smtputf8: bool, auth: bool, extra: Collection[str] = ()) -> MailParameters:
    """Read what stands behind the path of MAIL.

    :param smtputf8: whether SMTPUTF8 is offered.
    :param auth: whether AUTH is offered, and so its parameter (RFC 4954 §5).
    :param extra: the parameters that extensions define.
    :raises CommandSyntaxError: for an unknown parameter (555) or a value that cannot be (501).
    """
    if not text:
        return NO_MAIL_PARAMETERS
    size: int | None = None
    body: Literal["7BIT", "8BITMIME"] = "7BIT"
    utf8 = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid = original = None
    others: list[tuple[str, str]] = []
    for keyword, value in _split(text):
        if keyword == "SIZE":
            size = _size(value)
        elif keyword == "BODY":
            body = _body(value)
        elif keyword == "SMTPUTF8" and smtputf8 and not value:
            utf8 = True
        elif keyword == "RET" and value.upper() in ("FULL", "HDRS"):
            ret = "FULL" if value.upper() == "FULL" else "HDRS"
        elif keyword == "ENVID" and 0 < len(value) <= _ENVID_LIMIT:
            envid = decode_xtext(value)
        elif keyword == "AUTH" and auth and value:
            original = decode_xtext(value)
        elif keyword in extra:
            others.append((keyword, value))
        else:
            known = keyword in ("RET", "ENVID") or (keyword == "SMTPUTF8" and smtputf8) or (keyword == "AUTH" and auth)
            raise CommandSyntaxError(reply.SYNTAX if known else reply.UNKNOWN_PARAMETER)
    return MailParameters(size, body, utf8, ret, envid, original, tuple(others))


def rcpt_parameters(text: str, extra: Collection[str] = ()) -> RcptParameters:
    """Read what stands behind the path of RCPT.

    :param extra: the parameters that extensions define.
    :raises CommandSyntaxError: for an unknown parameter (555) or a value that cannot be (501).
    """
    if not text:
        return NO_RCPT_PARAMETERS
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    others: list[tuple[str, str]] = []
    for keyword, value in _split(text):
        if keyword == "NOTIFY":
            notify = _notify(value)
        elif keyword == "ORCPT":
            orcpt = _orcpt(value)
        elif keyword in extra:
            others.append((keyword, value))
        else:
            raise CommandSyntaxError(reply.UNKNOWN_PARAMETER)
    return RcptParameters(notify, orcpt, tuple(others))


def _split(text: str) -> list[tuple[str, str]]:
    """Keyword in upper case and value of each parameter (RFC 5321 §4.1.2: esmtp-param), each keyword once."""
    parameters: list[tuple[str, str]] = []
    for word in text.split():
        keyword, equals, value = word.partition("=")
        if not keyword or "=" in value or (equals and not value):
            raise CommandSyntaxError(reply.SYNTAX)
        parameters.append((keyword.upper(), value))
    if len(parameters) > 1 and len({keyword for keyword, _ in parameters}) < len(parameters):
        raise CommandSyntaxError(reply.SYNTAX)
    return parameters


def _size(value: str) -> int:
    if not 0 < len(value) <= _SIZE_DIGITS or not value.isascii() or not value.isdigit():
        raise CommandSyntaxError(reply.SYNTAX)
    return int(value)


def _body(value: str) -> Literal["7BIT", "8BITMIME"]:
    upper = value.upper()
    if upper == "7BIT":
        return "7BIT"
    if upper == "8BITMIME":
        return "8BITMIME"
    raise CommandSyntaxError(reply.SYNTAX)


def _notify(value: str) -> frozenset[str]:
    words = value.upper().split(",")
    notify = frozenset(words)
    if len(words) == len(notify) and (notify == {"NEVER"} or notify <= _NOTIFY):
        return notify
    raise CommandSyntaxError(reply.SYNTAX)


def _orcpt(value: str) -> str:
    match = _ORCPT.fullmatch(value)
    if match is None or len(value) > _ORCPT_LIMIT:
        raise CommandSyntaxError(reply.SYNTAX)
    kind = match[1].lower()
    if kind == "utf-8":  # RFC 6533 §3: utf-8-addr-unitext becomes utf-8-addr-xtext, which is printable ASCII
        return "utf-8;" + _BEYOND_ASCII.sub(lambda found: f"\\x{{{ord(found[0]):X}}}", match[2])
    return f"{kind};{decode_xtext(match[2])}"
