"""Playing the client's side of a recorded session against a server, step by step."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, final

from gatepost.connecting import PlainConnection, SecureConnection
from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.record.answers import Answer, differences
from gatepost.record.escaping import shown, shown_text
from gatepost.record.script import Script, Step, verb_of
from gatepost.record.substitute import sender_of, substitute
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.plain import ClientPlain
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.stuffing import stuffed

_LINE_LIMIT: Final = 1 << 16
_LINES_LIMIT: Final = 1 << 20  # of one answer
_LITERAL_LIMIT: Final = 1 << 30
_PIECE: Final = 1 << 16


@final
@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in, where the record has only a mask."""

    user: str
    password: Secret


@final
@dataclass(frozen=True, slots=True)
class Played:
    """What became of one step.

    :param said: what the client said, for people.
    :param recorded: the answer in the record.
    :param now: the answer of this server.
    :param differs: in what they differ, in words.
    :param note: why it was left out or replaced.
    :param done: whether it was done, where it has no answer.
    """

    said: str
    recorded: Answer | None = None
    now: Answer | None = None
    differs: tuple[str, ...] = ()
    note: str = ""
    done: bool = False

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.now is None:
            return "done" if self.done else "left out"
        if self.recorded is None:
            return "new"
        return "DIFFERS" if self.differs else "same"

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "said": self.said, "verdict": self.verdict.lower(), "recorded": _facts(self.recorded),
            "now": _facts(self.now), "differences": list(self.differs), "note": self.note,
        }  # fmt: skip


def _facts(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"status": shown_text(answer.status), "lines": [shown(line) for line in answer.lines]}


class Stopped(GatepostError):
    """The replay cannot go on: the server left, or waits for something that the record does not have."""


@final
class Player:
    """Plays a script over one connection.

    :param connection: to the server; with a greeting still to come, unless the recipe heard it.
    :param login: who logs in; None leaves logins out.
    :param secretive: never log in in the clear.
    :param exact: whether another text is a difference.
    """

    def __init__(
        self,
        connection: PlainConnection | SecureConnection,
        script: Script,
        *,
        login: Login | None,
        secretive: bool,
        exact: bool,
    ) -> None:
        self.connection = connection
        self._script: Final = script
        self._login: Final = login
        self._secretive: Final = secretive
        self._exact: Final = exact
        self._sender = sender_of(b"")
        self._content_due = False  # the server said 354, or waits for a literal

    async def play(self) -> AsyncIterator[Played]:
        """Each step when it is done.

        :raises Stopped: when the rest cannot be played.
        :raises OSError: when the connection is lost; what ``gatepost.connecting`` raises besides.
        """
        for step in self._script.steps:
            played = await self._play(step)
            if played is not None:
                yield played
            if played is not None and played.now is not None:
                self._follow(step, played)

    async def _play(self, step: Step) -> Played | None:
        match step.kind:
            case "greeting":
                return self._compared(step, "(the greeting)", await self._answer(step))
            case "upgrade":
                return await self._upgrade()
            case "content":
                return await self._content(step)
            case "login":
                return await self._log_in(step)
            case "stop":
                raise Stopped(step.reason)
        if step.reason:
            return Played(shown(step.data), step.answer, note=f"not said: {step.reason}")
        return await self._line(step)

    async def _line(self, step: Step) -> Played | None:
        await self._say(step.data + b"\r\n")
        if verb_of(step.data, self._script.protocol) == b"MAIL":
            self._sender = sender_of(step.data)
        said, note = shown(step.data) or "(an empty line)", ""
        if verb_of(step.data, self._script.protocol) == b"BDAT" and self._is_mail():
            note = await self._send_chunk(step)
        if not step.answered:
            return Played(said, note=note, done=True)
        return self._compared(step, said, await self._answer(step), note)

    async def _send_chunk(self, step: Step) -> str:
        words = step.data.split()
        size = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        content, note = self._content_of(step, size)
        await self._say(content)
        return note if size else ""

    async def _content(self, step: Step) -> Played:
        what = f"({step.octets:,} octets of content)"
        if not self._content_due:
            return Played(what, step.answer, note="the server does not want it")
        content, note = self._content_of(step, step.octets)
        if self._is_mail():
            content = b"".join(stuffed((content,))) + b".\r\n"
        await self._say(content)
        self._content_due = False
        if not step.answered:
            return Played(what, note=note, done=True)
        return self._compared(step, what, await self._answer(step), note)

    async def _upgrade(self) -> Played:
        """The words were said, and the server agreed: TLS begins, by the one door."""
        if isinstance(self.connection, PlainConnection):
            self.connection = await self.connection.upgrade("raw")
        evidence = self.connection.evidence
        proved = ", ".join(filter(None, (evidence.version, evidence.cipher, evidence.group)))
        return Played("(TLS)", note=f"private: {proved}; certificate {evidence.verification.status}", done=True)

    async def _log_in(self, step: Step) -> Played:
        said = f"{shown(step.data)} (login)"
        if self._login is None:
            return Played(
                said, step.answer, note="the login was left out: its password is not in the record; --user logs in"
            )
        if self._secretive and not isinstance(self.connection, SecureConnection):
            return Played(said, step.answer, note="the login was left out: the connection is not private")
        if self._script.protocol == "pop3" and verb_of(step.data, "pop3") in (b"USER", b"PASS", b"APOP"):
            lines = [b"USER " + self._login.user.encode(), b"PASS " + self._login.password.reveal()]
        else:
            lines = self._plain(step)
        for line in lines:
            if b"\r" in line or b"\n" in line:
                raise LocalProtocolError("a user name or password with a line end cannot be said")
            await self._say(line + b"\r\n")
            now = await self._answer(Step("login", command=step.data))
            if now.refused:
                break
        return self._compared(
            step, said, now, f"logged in as {shown_text(self._login.user)}, with a password in one message"
        )

    def _plain(self, step: Step) -> list[bytes]:
        """The lines of a login by PLAIN (RFC 4616), which every server has that has passwords."""
        assert self._login is not None
        message = ClientPlain(Credentials(self._login.user, self._login.password)).initial()
        encoded = base64.b64encode(message or b"")
        if self._is_mail():
            return [b"AUTH PLAIN " + encoded]
        tag = step.data.split(b" ", 1)[0] + b" AUTHENTICATE" if self._script.protocol == "imap" else b"AUTH"
        return [tag + b" PLAIN", encoded]

    def _follow(self, step: Step, played: Played) -> None:
        """What the answer means for what comes next.

        :raises Stopped: when the record does not know how to go on from it.
        """
        now, recorded = played.now, played.recorded
        assert now is not None
        if now.status in ("421", "BYE") and not (recorded is not None and recorded.status == now.status):
            raise Stopped(f"the server says goodbye: {shown(now.lines[-1])}")
        if step.kind == "line" and now.goes_on:
            if recorded is None or not recorded.goes_on:
                raise Stopped("the server waits for more, and the record has no more for it; nothing was sent")
            self._content_due = True
        elif step.kind == "line" and recorded is not None and recorded.goes_on and self._script.protocol == "imap":
            raise Stopped("the server does not want what came next in the record")
        if _begins_tls(step, self._script.protocol) and now.refused and recorded is not None and not recorded.refused:
            raise Stopped("the server refuses to begin TLS; nothing was said in the clear that was private")

    def _compared(self, step: Step, said: str, now: Answer, note: str = "") -> Played:
        differs = differences(step.answer, now, exact=self._exact) if step.answer is not None else ()
        return Played(said, step.answer, now, differs, note)

    async def _answer(self, step: Step) -> Answer:
        reader = self._script.reading(step.command or step.data)
        for _ in range(_LINES_LIMIT):
            line = await self.connection.readline(_LINE_LIMIT)
            if not line:
                raise Stopped("the server closed the connection")
            answer = reader.feed(line)
            if answer is not None:
                return answer
            await self._pass_over(reader.literal)
        raise Stopped("the answer is too long")

    async def _pass_over(self, octets: int) -> None:
        if octets > _LITERAL_LIMIT:
            raise Stopped("the server sends a literal that is too long")
        while octets:
            piece = await self.connection.read(min(octets, _PIECE))
            if not piece:
                raise Stopped("the server closed the connection")
            octets -= len(piece)

    async def _say(self, data: bytes) -> None:
        for at in range(0, len(data), _PIECE):
            await self.connection.send(data[at : at + _PIECE])

    def _content_of(self, step: Step, octets: int) -> tuple[bytes, str]:
        """What is sent as content, and what is to be said about it."""
        if step.content is not None and len(step.content) == octets:
            return step.content, ""
        what = "content" if step.headers is None else "body"
        note = f"the {what} was not recorded: another is sent, {octets:,} octets in all"
        return substitute(octets, sender=self._sender, headers=step.headers), note

    def _is_mail(self) -> bool:
        return self._script.protocol in ("smtp", "submission")


def _begins_tls(step: Step, protocol: str) -> bool:
    return step.kind == "line" and verb_of(step.data, protocol) in (b"STARTTLS", b"STLS")
