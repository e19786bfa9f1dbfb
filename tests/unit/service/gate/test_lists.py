"""What a gate lists, word for word: in every mode, before TLS and inside it, whatever the server behind has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.pop3_client import RawPOP3
from tests.attacks.raw import Raw
from tests.unit.service.gate import pop3_behind
from tests.unit.service.gate.smtp_behind import Behind
from tests.unit.service.gate.smtp_gate import hello

from gatepost.testing.gate import RunningGates

NOT_PASSED = ("AUTH PLAIN EXTERNAL SCRAM-SHA-256-PLUS", "XODD 1", "ETRN", "BINARYMIME", "REQUIRETLS")


class Case(NamedTuple):
    """One gate.

    :param server: the server speaks STARTTLS.
    :param backend: how the gate speaks to it.
    :param gate: keys of the gate.
    :param before: what is listed in the clear; None where there is no such phase.
    :param inside: what is listed inside the client's TLS; None where it does not come to that.
    """

    server: bool
    backend: str
    gate: dict[str, str]
    before: str | None
    inside: str | None


def ids(case: Case) -> str:
    words = (*(f"{key} {value}" for key, value in case.gate.items()), f"server {case.server}", case.backend)
    return ", ".join(words)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, folder: Path, protocol: str, name: str, case: Case, **backend: Any) -> RunningGates:
    table = {"name": "front", "protocol": protocol, "backend": "mail", **case.gate}
    mail = {"name": "mail", "servers": [name], "health_every": "1h", "tls": case.backend, **backend}
    return stack.enter_context(RunningGates(folder, [table], [mail]))


def words(text: str) -> list[bytes]:
    """Lines, as they are written in the tables."""
    return [word.strip().encode() for word in text.split("|")]


# SMTP. The server lists SIZE 5000, 8BITMIME and DSN in the clear, CHUNKING and AUTH besides inside TLS.

SMTP_CLEAR = ("SIZE 5000", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", *NOT_PASSED)
SMTP_PRIVATE = (*SMTP_CLEAR, "CHUNKING")
PLAIN = "PIPELINING|SIZE 5000|ENHANCEDSTATUSCODES|8BITMIME|DSN|LIMITS RCPTMAX=1000"
WITH_TLS = "PIPELINING|SIZE 5000|STARTTLS|ENHANCEDSTATUSCODES|8BITMIME|DSN|LIMITS RCPTMAX=1000"
WITH_LOGIN = "PIPELINING|SIZE 5000|AUTH PLAIN|ENHANCEDSTATUSCODES|8BITMIME|DSN|LIMITS RCPTMAX=1000"
# Behind TLS to the server its list is another one, and the check has heard it before the client comes.
MORE_WITH_TLS = "PIPELINING|SIZE 5000|STARTTLS|ENHANCEDSTATUSCODES|8BITMIME|DSN|CHUNKING|LIMITS RCPTMAX=1000"
MORE_WITH_LOGIN = "PIPELINING|SIZE 5000|AUTH PLAIN|ENHANCEDSTATUSCODES|8BITMIME|DSN|CHUNKING|LIMITS RCPTMAX=1000"
SMTP = (
    Case(False, "none", {}, WITH_TLS, WITH_LOGIN),
    Case(True, "none", {}, WITH_TLS, WITH_LOGIN),
    Case(True, "starttls", {}, MORE_WITH_TLS, MORE_WITH_LOGIN),
    Case(False, "none", {"tls": "implicit"}, None, WITH_LOGIN),
    Case(True, "starttls", {"tls": "implicit"}, None, MORE_WITH_LOGIN),
    Case(False, "none", {"starttls": "require"}, WITH_TLS, WITH_LOGIN),
    Case(True, "none", {"mode": "refuse"}, WITH_LOGIN, None),
    Case(True, "starttls", {"mode": "refuse"}, MORE_WITH_LOGIN, None),
    Case(True, "none", {"starttls": "deny"}, PLAIN, None),  # passwords are heard in the clear with "refuse" alone
    Case(
        True, "none", {"mode": "pass"}, WITH_TLS, "|".join(SMTP_PRIVATE)
    ),  # the server's own, which the gate cannot see
    Case(False, "none", {"mode": "pass"}, PLAIN, None),
)


@pytest.mark.parametrize("case", SMTP, ids=ids)
def test_whole_list_of_ehlo(tmp_path: Path, stack: ExitStack, case: Case) -> None:
    """STARTTLS as the mode says and never inside TLS; the rest is what gate and server both can do."""
    behind = stack.enter_context(Behind(SMTP_CLEAR, starttls=case.server, private=SMTP_PRIVATE))
    ca = behind.tls(tmp_path)
    front = start(stack, tmp_path, "smtp", behind.name, case, **({} if case.backend == "none" else {"ca": str(ca)}))
    passed = case.gate.get("mode") == "pass"
    with Raw(front.port("front"), greeted=case.before is not None) as client:
        if case.before is None:
            client.start_tls(front.ca_file)
            client.reply()
            assert hello(client) == words(case.inside or "")
            return
        assert hello(client) == words(case.before)
        assert hello(client) == words(case.before), "the same when it is asked for again"
        answer = client.say(b"STARTTLS")
        assert answer.startswith(b"220" if case.inside else b"502"), answer
        if case.inside:
            client.start_tls(ca if passed else front.ca_file)
            assert hello(client) == words(case.inside)
            if not passed:
                assert client.say(b"STARTTLS").startswith(b"50")
                assert hello(client) == words(case.inside)


# POP3. Its server lists the same in the clear and inside TLS.

POP3_LISTED = (
    "TOP", "UIDL", "RESP-CODES", "USER", "EXPIRE NEVER", "UTF8", "LANG", "XODD",
    "SASL PLAIN SCRAM-SHA-256-PLUS EXTERNAL",
)  # fmt: skip
OWN = "RESP-CODES|PIPELINING|TOP|UIDL|EXPIRE NEVER"
POP3 = (
    Case(False, "none", {}, OWN + "|STLS", OWN + "|USER|SASL PLAIN"),
    Case(True, "none", {}, OWN + "|STLS", OWN + "|USER|SASL PLAIN"),
    Case(True, "starttls", {}, OWN + "|STLS", OWN + "|USER|SASL PLAIN"),
    Case(False, "none", {"tls": "implicit"}, None, OWN + "|USER|SASL PLAIN"),
    Case(True, "starttls", {"tls": "implicit"}, None, OWN + "|USER|SASL PLAIN"),
    Case(False, "none", {"starttls": "require"}, OWN + "|STLS", OWN + "|USER|SASL PLAIN"),
    Case(True, "none", {"mode": "refuse"}, OWN + "|USER|SASL PLAIN", None),
    Case(True, "starttls", {"mode": "refuse"}, OWN + "|USER|SASL PLAIN", None),
    Case(True, "none", {"starttls": "deny"}, OWN, None),
    Case(True, "none", {"mode": "pass"}, OWN + "|STLS", "|".join((*POP3_LISTED, "STLS"))),
    Case(False, "none", {"mode": "pass"}, OWN, None),
)


def capa(client: RawPOP3) -> list[bytes]:
    assert client.say(b"CAPA").startswith(b"+OK")
    return sorted(client.lines())


@pytest.mark.parametrize("case", POP3, ids=ids)
def test_whole_list_of_capa(tmp_path: Path, stack: ExitStack, case: Case) -> None:
    """STLS as the mode says and never inside TLS; logins where they may be; nothing that the gate would break."""
    behind = stack.enter_context(pop3_behind.Behind(listed=POP3_LISTED, starttls=case.server))
    ca = behind.tls(tmp_path)
    front = start(stack, tmp_path, "pop3", behind.name, case, **({} if case.backend == "none" else {"ca": str(ca)}))
    passed = case.gate.get("mode") == "pass"
    with RawPOP3(front.port("front"), greeted=case.before is not None) as client:
        if case.before is None:
            client.start_tls(front.ca_file)
            client.reply()
            assert capa(client) == sorted(words(case.inside or ""))
            return
        assert capa(client) == sorted(words(case.before))
        assert capa(client) == sorted(words(case.before)), "the same when it is asked for again"
        answer = client.say(b"STLS")
        assert answer.startswith(b"+OK" if case.inside else b"-ERR"), answer
        if case.inside:
            client.start_tls(ca if passed else front.ca_file)
            assert capa(client) == sorted(words(case.inside))
            if not passed:
                assert client.say(b"STLS").startswith(b"-ERR")
                assert capa(client) == sorted(words(case.inside))


# IMAP. What the gate does not know passes, as the server lists it and in its order.

BLOCKED = b"COMPRESS=DEFLATE UNAUTHENTICATE AUTH=EXTERNAL AUTH=SCRAM-SHA-256-PLUS"
IMAP_LISTED = b"IMAP4rev1 LITERAL+ IDLE STARTTLS X-ODD AUTH=PLAIN " + BLOCKED
CLEAR = b"IMAP4rev1 LITERAL+ IDLE X-ODD STARTTLS LOGINDISABLED"
PRIVATE = b"IMAP4rev1 LITERAL+ IDLE X-ODD AUTH=PLAIN"
THROUGH = b"IMAP4rev1 LITERAL+ IDLE STARTTLS X-ODD LOGINDISABLED"
DENIED = b"IMAP4rev1 LITERAL+ IDLE X-ODD LOGINDISABLED"


@pytest.mark.parametrize(
    ("gate", "before", "inside"),
    [
        ({}, CLEAR, PRIVATE),
        ({"starttls": "require"}, CLEAR, PRIVATE),
        ({"tls": "implicit"}, None, PRIVATE),
        ({"mode": "refuse"}, PRIVATE, None),
        ({"starttls": "deny"}, DENIED, None),
        ({"mode": "pass"}, THROUGH, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("greets", [False, True])
def test_whole_list_of_capability(
    tmp_path: Path, stack: ExitStack, gate: dict[str, str], before: bytes | None, inside: bytes | None, greets: bool
) -> None:
    """In the answer to CAPABILITY, in the greeting and in the answer to a login: STARTTLS never inside TLS."""
    code = b"[CAPABILITY %b] " % IMAP_LISTED
    answers = {b"LOGIN": b"%TAG OK " + code + b"in\r\n"}
    greeting = b"* OK " + (code if greets else b"") + b"hello\r\n"
    server = stack.enter_context(ScriptedIMAP(answers, greeting=greeting, listed=IMAP_LISTED))
    table = {"name": "front", "protocol": "imap", "backend": "mail", **gate}
    front = stack.enter_context(RunningGates(tmp_path, [table], [server.backend]))
    with RawIMAP(front.port("front"), greeted=before is not None) as client:
        if before is not None:
            assert greeted_with(client.greeting) in ((before,) if greets else (None, before))
            assert asked(client) == before
            if inside is not None:
                client.upgrade(front.ca_file)
        else:
            client.start_tls(front.ca_file)
            assert greeted_with(client.reply()) in ((inside,) if greets else (None, inside))
        if inside is not None:
            assert asked(client) == inside
            assert client.say(b"s STARTTLS").startswith(b"s BAD")
        due = inside or before or b""
        login = client.say(b"l LOGIN ann secret")
        if due.endswith(b"LOGINDISABLED"):
            assert login.startswith(b"l NO [PRIVACYREQUIRED]")
        else:
            assert login == b"l OK [CAPABILITY %b] in" % due
        assert asked(client) == due


def asked(client: RawIMAP) -> bytes:
    """What CAPABILITY is answered with."""
    line = client.say(b"c CAPABILITY")
    assert client.reply().startswith(b"c OK")
    assert line.startswith(b"* CAPABILITY ")
    return line.removeprefix(b"* CAPABILITY ")


def greeted_with(greeting: bytes) -> bytes | None:
    """The list in a greeting; None where it has none."""
    _, found, rest = greeting.partition(b"[CAPABILITY ")
    return rest.partition(b"]")[0] if found else None
