"""No part of a password is in a record, whatever the client says, in which protocol, and however it is cut."""

from __future__ import annotations

import base64
import itertools
import random
import string
from collections.abc import Callable
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.record.recording import leaked, recorded

from gatepost.testing.tls import evidence
from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.relay import ClearServer
from gatepost.wire.pop3 import events as pop3_events
from gatepost.wire.pop3.profile import ServerProfile as POP3Profile
from gatepost.wire.pop3.reply import Reply as POP3Reply
from gatepost.wire.pop3.server import SecureServer as POP3Server
from gatepost.wire.smtp import events, reply
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import SecureServer
from gatepost.wire.upgrade import Origin, TLSEvidence
from gatepost.wire.witness import Witness

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 25), "mx", 0.0, "c1")
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "SCRAM-SHA-256", "OAUTHBEARER")
CUTS = st.lists(st.integers(0, 2000), max_size=12)
# Long, and with what Base64 and xtext write differently.
ALPHABET = string.ascii_letters + string.digits + "+/=-_ä"
# By chance, not by choice: a chosen one would be found in a time, or be one of the words of a protocol.
PASSWORDS = st.builds(
    lambda seed, length: "".join(random.Random(seed).choices(ALPHABET, k=length)).encode(),
    st.integers(0, 1 << 64),
    st.integers(12, 24),
)
QUIET = settings(
    max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


@cache
def proof() -> TLSEvidence:
    """The evidence of one handshake, for all sessions."""
    return evidence()


def plain(password: bytes) -> bytes:
    return b64(b"\0alice@example.test\0" + password)


def bearer(password: bytes) -> bytes:
    return b64(b"user=alice@example.test\x01auth=Bearer " + password + b"\x01\x01")


Words = Callable[[bytes], bytes]
SMTP: list[Words] = [
    lambda p: b"AUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"auth plain " + plain(p) + b"\r\n",
    lambda p: b"  AuTh PLAIN " + plain(p) + b"\r\n",
    lambda p: b"\tAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"AUTH\tPLAIN\t" + plain(p) + b"\r\n",
    lambda p: b"AUTH   PLAIN   " + plain(p) + b"\r\n",
    lambda p: b"AUTH " + plain(p) + b"\r\n",
    lambda p: b"AUTH " + p + b"\r\n",
    lambda p: b"AUTH PLAIN\r\n" + plain(p) + b"\r\n",
    lambda p: b"AUTH LOGIN\r\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"AUTH LOGIN " + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b" AUTH LOGIN\r\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"AUHT LOGIN\r\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"AUTH LOGIN\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"AUTH CRAM-MD5\r\n" + b64(b"alice " + p) + b"\r\n",
    lambda p: b"AUTH XOAUTH2 " + bearer(p) + b"\r\n",
    lambda p: b"AUTH OAUTHBEARER\r\n" + bearer(p) + b"\r\n*\r\n",
    lambda p: b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=alice,r=" + p) + b"\r\n" + b64(b"c=biws,p=" + p) + b"\r\n",
    lambda p: b"AUTH NONSENSE " + plain(p) + b"\r\n" + plain(p) + b"\r\n",
    lambda p: b"AUTH PLAIN " + plain(p) + b"\rx\r\n",
    lambda p: b"AUTH PLAIN " + plain(p) + b"\n\r\n",
    lambda p: b"NOOP\rAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"NOOP\nAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"AUTH PLAIN " + plain(p) * 900 + b"\r\n",
    lambda p: b"PASS " + p + b"\r\n",
    lambda p: b"LOGIN alice " + p + b"\r\n",
    lambda p: b"AUTH LOGIN\r\n" + p + b"\r\n" + p + b"\r\n",
    lambda p: b"AUTH PLAIN =\r\n" + p + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx: y\r\n\r\nz\r\n.\r\nAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nBDAT 5 LAST\r\nz: y\nAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"BDAT 3\r\nabcAUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"EHLO client.example\r\nNOOP\r\n",
]
POP3: list[Words] = [
    lambda p: b"USER alice\r\nPASS " + p + b"\r\n",
    lambda p: b"user alice\r\npass " + p + b"\r\n",
    lambda p: b"USER alice\r\n PASS " + p + b"\r\n",
    lambda p: b"USER alice\r\nPASS  " + p + b" \r\n",
    lambda p: b"USER alice\r\nPASS " + p + b" and more\r\n",
    lambda p: b"USER alice\r\nPSAS " + p + b"\r\n",
    lambda p: b"USER alice\r\n" + p + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"PASS " + p + b"\r\n",
    lambda p: b"PASS\t" + p + b"\r\n",
    lambda p: b"PASS " + p + b"\nSTAT\r\n",
    lambda p: b"PASS " + p * 30 + b"\r\n",
    lambda p: b"USER alice\r\nPASS \xff" + p + b"\r\n",
    lambda p: b"APOP alice " + p + b"\r\n",
    lambda p: b"AUTH PLAIN " + plain(p) + b"\r\n",
    lambda p: b"AUTH PLAIN\r\n" + plain(p) + b"\r\n",
    lambda p: b"AUTH LOGIN\r\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"auth login\r\n" + p + b"\r\n" + p + b"\r\n",
    lambda p: b"AUTH XOAUTH2 " + bearer(p) + b"\r\n",
    lambda p: b"NOOP\rPASS " + p + b"\r\n",
    lambda p: b"CAPA\r\n",
]
IMAP: list[Words] = [
    lambda p: b"a1 LOGIN alice " + p + b"\r\n",
    lambda p: b'a1 login "alice" "' + p + b'"\r\n',
    lambda p: b"a1 LOGIN {5}\r\nalice {%d}\r\n%b\r\n" % (len(p), p),
    lambda p: b"a1 LOGIN {5+}\r\nalice {%d+}\r\n%b\r\n" % (len(p), p),
    lambda p: b"a1 LOGIN alice {%d+}\r\n%b\r\n" % (len(p), p),
    lambda p: b"a1 AUTHENTICATE PLAIN " + plain(p) + b"\r\n",
    lambda p: b"a1 AUTHENTICATE PLAIN\r\n" + plain(p) + b"\r\n",
    lambda p: b"a1 authenticate login\r\n" + b64(b"alice") + b"\r\n" + b64(p) + b"\r\n",
    lambda p: b"a1 AUTHENTICATE XOAUTH2 " + bearer(p) + b"\r\n",
    lambda p: b"a1 LOGNI alice " + p + b"\r\n",
    lambda p: b"LOGIN alice " + p + b"\r\n",
    lambda p: b"a1 " + p + b"\r\n",
    lambda p: p + b"\r\n",
    lambda p: b" a1 LOGIN alice " + p + b"\r\n",
    lambda p: b"a1 LOGIN alice " + p + b"\rNOOP\r\n",
    lambda p: b"a1 LOGIN alice " + p + b"\0\r\n",
    lambda p: b"a1 NOOP\ra2 LOGIN alice " + p + b"\r\n",
    lambda p: b"a1 NOOP\r\na2 CAPABILITY\r\n",
]


def scripts(words: list[Words]) -> st.SearchStrategy[list[Words]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """A stream, cut somewhere."""
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at) if end > start]


def _smtp(data: list[bytes], verdicts: list[int], witness: Witness) -> None:
    profile = ServerProfile(hostname="mx.example.test", auth_mechanisms=MECHANISMS, max_errors=50)
    engine = SecureServer(ORIGIN, proof(), profile)
    engine.witness = witness
    chosen = iter(verdicts * 50)
    engine.greet()
    for piece in (b"EHLO a\r\n", *data):
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            match event:
                case events.AuthRequested() | events.AuthResponse():
                    verdict = next(chosen)
                    if verdict == 0:
                        engine.challenge(b"challenge")
                    elif verdict == 1 and engine.identity is None:
                        engine.authenticated("alice")
                    else:
                        engine.answer(reply.AUTH_MECHANISM)
                case events.Mail():
                    engine.answer(reply.SENDER_OK)
                case events.Recipient():
                    engine.answer(reply.RECIPIENT_OK)
                case events.ContentBegins():
                    engine.answer(reply.DATA_GO_AHEAD)
                case events.ContentEnds() if event.refusal is None:
                    engine.answer(reply.OK)
                case _:
                    pass
        engine.outgoing()


def _pop3(data: list[bytes], verdicts: list[int], witness: Witness) -> None:
    profile = POP3Profile(hostname="mx.example.test", auth_mechanisms=MECHANISMS, max_errors=50)
    engine = POP3Server(ORIGIN, proof(), profile)
    engine.witness = witness
    chosen = iter(verdicts * 50)
    engine.greet()
    for piece in data:
        engine.receive(piece)
        while (event := engine.next_event()) is not None:
            if isinstance(event, pop3_events.AuthRequested | pop3_events.AuthResponse) and next(chosen) == 0:
                engine.challenge(b"challenge")
            elif engine.waiting:
                engine.answer(POP3Reply(False, "No"))
        engine.outgoing()


def _imap(data: list[bytes], verdicts: list[int], witness: Witness) -> None:
    engine = ClearServer(
        ORIGIN, Profile(hostname="mx.example.test", capabilities=(b"IMAP4rev1", b"LITERAL+")), logins=True
    )
    engine.watch(witness)
    engine.opened(Opening(b"* OK ready\r\n", (b"IMAP4rev1", b"LITERAL+", b"AUTH=PLAIN", b"AUTH=LOGIN")), greet=True)
    chosen = iter(verdicts * 50)
    for piece in data:
        engine.receive(piece)
        for _ in range(8):
            while engine.next_event() is not None:
                pass
            if not engine.to_server():
                break
            # The server asks for more, or refuses and repeats what it was told.
            engine.receive_from_server(b"+ challenge\r\n" if next(chosen) else b"a1 BAD Error\r\n")
        engine.outgoing()


@QUIET
@given(PASSWORDS, scripts(SMTP), CUTS, st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_no_smtp_login_leaves_its_password(
    password: bytes, script: list[Words], cuts: list[int], verdicts: list[int]
) -> None:
    """SMTP: every mechanism, every case and place of AUTH, in pieces, pipelined, misspelt and behind content."""
    witness, shelved = recorded(content="full")
    _smtp(pieces(b"".join(words(password) for words in script), cuts), verdicts, witness)
    witness.close("quit")
    assert not leaked(shelved.text, password), shelved.text


@QUIET
@given(PASSWORDS, scripts(POP3), CUTS, st.lists(st.integers(0, 1), min_size=1, max_size=6))
def test_no_pop3_login_leaves_its_password(
    password: bytes, script: list[Words], cuts: list[int], verdicts: list[int]
) -> None:
    """POP3: PASS, APOP and AUTH in every way, and a password in place of a command."""
    witness, shelved = recorded(content="full", protocol="pop3")
    _pop3(pieces(b"".join(words(password) for words in script), cuts), verdicts, witness)
    witness.close("quit")
    assert not leaked(shelved.text, password), shelved.text


@QUIET
@given(PASSWORDS, scripts(IMAP), CUTS, st.lists(st.integers(0, 1), min_size=1, max_size=6))
def test_no_imap_login_leaves_its_password(
    password: bytes, script: list[Words], cuts: list[int], verdicts: list[int]
) -> None:
    """IMAP: LOGIN with atoms, strings and literals, AUTHENTICATE, and what is no command."""
    witness, shelved = recorded(content="full", protocol="imap")
    _imap(pieces(b"".join(words(password) for words in script), cuts), verdicts, witness)
    witness.close("quit")
    assert not leaked(shelved.text, password), shelved.text


def test_search_finds_what_it_looks_for() -> None:
    """A password in any of the shapes that are searched for is found."""
    secret = b"correct-horse=9"
    for text in (
        secret[3:10],
        b64(b"\0user\0" + secret),
        b64(b"x" + secret + b"yy"),
        b64(b"xx" + secret),
        b"correct-horse+3D9",
        secret.hex().encode(),
    ):
        assert leaked(b"before " + text + b" behind", secret), text
    assert not leaked(b"AUTH PLAIN ***", secret)
