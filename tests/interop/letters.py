"""The messages that are sent, and what is found of them in a mailbox."""

from __future__ import annotations

import base64
import email
import email.policy
import random
import re
import secrets
import textwrap
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

MEGABYTE = 1 << 20
# What transport has to carry unharmed: lines with dots, trailing blanks, empty lines, octets beyond ASCII, long lines.
_AWKWARD = (
    b".",
    b"..",
    b".leading dot",
    b"trailing blanks  \t ",
    b"From here a mailbox file would be escaped",
    b"\xc3\xa4\xc3\xb6\xc3\xbc beyond ASCII",
    b"QUIT",
    b"x" * 998,
    b"",
    b"",
    b"the last line but one is empty",
    b"",
    b".",
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send.

    :param token: stands in its subject and nowhere else.
    :param lf: its octets with LF line ends.
    """

    token: str
    sender: str
    recipient: str
    lf: bytes

    @property
    def crlf(self) -> bytes:
        """Its octets as they travel."""
        return self.lf.replace(b"\n", b"\r\n")

    def write(self, directory: Path, *, crlf: bool = False) -> Path:
        """Write it to a file."""
        path = directory / f"{self.token}.eml"
        path.write_bytes(self.crlf if crlf else self.lf)
        return path


def letter(sender: str, recipient: str, *, attachment: int = 0) -> Letter:
    """A message with everything that is awkward to carry.

    :param attachment: octets of random data that are attached.
    """
    token = "token" + secrets.token_hex(8)
    head = textwrap.dedent(f"""\
        From: A Sender <{sender}>
        To: <{recipient}>
        Subject: {token}
        Date: Thu, 01 Jan 2026 12:00:00 +0000
        Message-ID: <{token}@example.test>
        MIME-Version: 1.0
        """)
    if not attachment:
        head += "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
        return Letter(token, sender, recipient, head.encode() + b"\n" + b"\n".join(_AWKWARD) + b"\n")
    head += 'Content-Type: multipart/mixed; boundary="border"\n'
    encoded = base64.encodebytes(random.Random(token).randbytes(attachment))
    parts = (
        b"\n--border\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
        b"\n".join(_AWKWARD),
        b"\n--border\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n",
        b'Content-Disposition: attachment; filename="random.bin"\n\n',
        encoded,
        b"--border--\n",
    )
    return Letter(token, sender, recipient, head.encode() + b"".join(parts))


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message in a mailbox."""

    path: Path

    @property
    def content(self) -> bytes:
        """The whole file."""
        return self.path.read_bytes()

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header, unfolded: names in lower case."""
        header = self.content.partition(b"\n\n")[0].decode("utf-8", "surrogateescape")
        unfolded = re.sub(r"\n[ \t]+", " ", header)
        pairs = (line.partition(":") for line in unfolded.split("\n"))
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    @property
    def received(self) -> list[str]:
        """The ``Received:`` fields, the newest first."""
        return [value for name, value in self.fields if name == "received"]

    def field(self, wanted: str) -> str:
        """The first field of a name."""
        return next(value for name, value in self.fields if name == wanted)

    @property
    def original(self) -> bytes:
        """What was sent: the file without the trace fields at its top."""
        return _TRACE.sub(b"", self.content)

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return email.message_from_bytes(self.content, policy=email.policy.default)


_TRACE = re.compile(
    rb"\A(?:(?:Return-Path|Delivered-To|X-Original-To|Received):[^\n]*\n(?:[ \t][^\n]*\n)*)+", re.IGNORECASE
)


def find(mailbox: Path, token: str) -> Arrived | None:
    """The message in a Maildir whose header has the token."""
    wanted = token.encode()
    for folder in ("new", "cur"):
        for path in sorted((mailbox / folder).glob("*")):
            with path.open("rb") as stream:
                if wanted in stream.read(16384).partition(b"\n\n")[0]:
                    return Arrived(path)
    return None
