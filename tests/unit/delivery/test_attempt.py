"""Promises of one attempt: what each TLS level accepts, and what it never falls back to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.delivery.scripted import Behaviour, ScriptedServer

from gatepost.delivery.attempt import Approach, Target, open_session
from gatepost.delivery.route import Hop, Kind
from gatepost.delivery.session import Session
from gatepost.delivery.trouble import Trouble
from gatepost.policy.levels import Level
from gatepost.queue.outcome import Outcome, Result, ResultType
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import client_context
from gatepost.tls.trust import TrustStore
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.timeouts import ClientTimeouts

NAME = "mx.example.com"
AUTHORITY = TestAuthority()
QUICK = ClientTimeouts(greeting=2, hello=2, starttls=2, mail=2, recipient=2, data=2, final=2, quit=1)


def approach(level: Level, *, implicit: bool = False, password: str = "") -> Approach:
    """How the server is approached: trusting the test authority."""
    credentials = Credentials("user", Secret(password)) if password else None
    context = client_context(trust=TrustStore([AUTHORITY.certificate]))
    return Approach("us.gatepost.test", level, context, implicit, credentials, 2.0, 2.0, QUICK)


def server(folder: Path, behaviour: Behaviour, *, name: str = NAME) -> ScriptedServer:
    """A server with a certificate for a name."""
    return ScriptedServer(behaviour, issued=AUTHORITY.issue(name), folder=folder)


def target(running: ScriptedServer, kind: Kind = "mx") -> Target:
    """That server, as the mail exchanger it claims to be."""
    return Target(Hop(NAME, running.port), running.address, kind)


def opened(running: ScriptedServer, how: Approach, kind: Kind = "mx") -> tuple[str, bool]:
    """Open a session and end it: how it was secured, and whether TLS is on."""

    async def go() -> tuple[str, bool]:
        session: Session = await open_session(target(running, kind), how)
        await session.quit()
        return session.tls, session.evidence is not None

    return asyncio.run(go())


def refused(running: ScriptedServer, how: Approach, kind: Kind = "mx") -> Outcome:
    """The outcome of an attempt that must not succeed."""
    with pytest.raises(Trouble) as caught:
        opened(running, how, kind)
    return caught.value.outcome


@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
def test_attempt_uses_tls_where_it_is_offered(tmp_path: Path, level: Level) -> None:
    """Every level but none goes private when it can."""
    with server(tmp_path, Behaviour(starttls="offer")) as running:
        tls, private = opened(running, approach(level))
    assert private
    assert tls.startswith("TLSv1.3 ")
    assert "verified" in tls.split()


def test_attempt_at_none_never_asks_for_tls(tmp_path: Path) -> None:
    """The operator said so."""
    with server(tmp_path, Behaviour(starttls="offer")) as running:
        assert opened(running, approach("none")) == ("", False)
    assert "STARTTLS" not in running.commands


def test_attempt_at_may_goes_on_in_the_clear_where_tls_is_not_offered(tmp_path: Path) -> None:
    """On the same connection: nothing failed."""
    with server(tmp_path, Behaviour(starttls="absent")) as running:
        assert opened(running, approach("may")) == ("", False)
    assert running.connections == 1


@pytest.mark.parametrize("kind", ["refuse", "garbage", "hang"])
def test_attempt_at_may_retries_in_the_clear_on_a_new_connection(tmp_path: Path, kind: str) -> None:
    """Never on the connection whose upgrade failed (RFC 3207 §4)."""
    with server(tmp_path, Behaviour(starttls=kind)) as running:
        assert opened(running, approach("may")) == ("", False)
    assert running.connections == 2
    assert running.commands.count("STARTTLS") == 1


def test_attempt_at_may_accepts_any_certificate(tmp_path: Path) -> None:
    """Encryption without authentication is better than none (RFC 7435), and the log tells the difference."""
    with server(tmp_path, Behaviour(starttls="offer"), name="other.example") as running:
        tls, private = opened(running, approach("may"))
    assert private
    assert "verified" not in tls.split()


@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
def test_attempt_never_downgrades_after_an_injection(tmp_path: Path, level: Level) -> None:
    """Plaintext behind the go-ahead is an attack: the host fails, for now, and nothing is said in the clear."""
    with server(tmp_path, Behaviour(starttls="inject")) as running:
        outcome = refused(running, approach(level))
    assert outcome.result is Result.DEFERRED
    assert outcome.tlsrpt is ResultType.VALIDATION_FAILURE
    assert running.connections == 1


@pytest.mark.parametrize("level", ["encrypt", "verify"])
@pytest.mark.parametrize("kind", ["absent", "refuse", "garbage", "hang"])
def test_attempt_that_must_be_private_waits_instead(tmp_path: Path, level: Level, kind: str) -> None:
    """However TLS fails, the message is deferred with the reason, and never sent in less."""
    with server(tmp_path, Behaviour(starttls=kind)) as running:
        outcome = refused(running, approach(level))
    assert outcome.result is Result.DEFERRED
    assert outcome.enhanced == ("4.7.4" if kind in ("absent", "refuse") else "4.7.5")
    wanted = ResultType.STARTTLS_NOT_SUPPORTED if kind in ("absent", "refuse") else ResultType.VALIDATION_FAILURE
    assert outcome.tlsrpt is wanted
    assert running.connections == 1
    assert not any(command.startswith("MAIL") for command in running.commands)


def test_attempt_at_verify_refuses_another_name(tmp_path: Path) -> None:
    """A good certificate for somebody else proves nothing; the TLSRPT type says which check failed."""
    with server(tmp_path, Behaviour(starttls="offer"), name="other.example") as running:
        outcome = refused(running, approach("verify"))
    assert (outcome.result, outcome.enhanced) == (Result.DEFERRED, "4.7.5")
    assert outcome.tlsrpt is ResultType.CERTIFICATE_HOST_MISMATCH
    assert running.connections == 1


def test_attempt_at_encrypt_accepts_another_name(tmp_path: Path) -> None:
    """Must be private, need not be proved."""
    with server(tmp_path, Behaviour(starttls="offer"), name="other.example") as running:
        assert opened(running, approach("encrypt"))[1]


def test_attempt_logs_in_inside_tls_only(tmp_path: Path) -> None:
    """With implicit TLS and with STARTTLS; the password is right, so the session opens."""
    for implicit in (False, True):
        behaviour = Behaviour(starttls="absent" if implicit else "offer", password="secret", implicit=implicit)
        with server(tmp_path, behaviour) as running:
            assert opened(running, approach("verify", implicit=implicit, password="secret"), "smarthost")[1]
        assert any(command.startswith("AUTH PLAIN") for command in running.commands)


@pytest.mark.parametrize("kind", ["absent", "refuse", "garbage"])
def test_attempt_never_sends_a_password_in_the_clear(tmp_path: Path, kind: str) -> None:
    """Not even at may: there is no second try without TLS."""
    with server(tmp_path, Behaviour(starttls=kind, password="secret")) as running:
        outcome = refused(running, approach("may", password="secret"), "smarthost")
    assert outcome.result is Result.DEFERRED
    assert not any(command.startswith("AUTH") for command in running.commands)


def test_attempt_with_a_wrong_password_waits(tmp_path: Path) -> None:
    """The operator can mend it; mail must not bounce meanwhile."""
    with server(tmp_path, Behaviour(starttls="offer", password="secret")) as running:
        outcome = refused(running, approach("verify", password="wrong"), "smarthost")
    assert (outcome.result, outcome.code, outcome.enhanced) == (Result.DEFERRED, 535, "4.7.8")


@pytest.mark.parametrize(
    ("behaviour", "result", "enhanced"),
    [
        (Behaviour(greeting=b"554 5.7.1 go away\r\n"), Result.DEFERRED, "4.7.1"),
        (Behaviour(greeting=b"421 4.3.2 busy\r\n"), Result.DEFERRED, "4.3.2"),
        (Behaviour(greeting=b""), Result.DEFERRED, "4.4.2"),
        (Behaviour(greeting=b"250 odd\r\n"), Result.DEFERRED, "4.5.0"),
        (Behaviour(greeting=b"220 a\r\n220 b\r\n"), Result.DEFERRED, "4.5.0"),
        (Behaviour(ehlo=b"550 5.7.1 no\r\n"), Result.FAILED, "5.7.1"),
        (Behaviour(ehlo=b"421 4.7.0 no\r\n"), Result.DEFERRED, "4.7.0"),
        (Behaviour(ehlo=b"250-half\r\n"), Result.DEFERRED, "4.4.2"),
    ],
)
def test_attempt_judges_a_refusal_of_service(
    tmp_path: Path, behaviour: Behaviour, result: Result, enhanced: str
) -> None:
    """A 5xx greeting means the next server; a 5xx to EHLO and HELO means never; nonsense and silence mean later."""
    with server(tmp_path, behaviour) as running:
        outcome = refused(running, approach("may"))
    assert (outcome.result, outcome.enhanced) == (result, enhanced)
    assert outcome.remote == f"{NAME}[127.0.0.1]:{running.port}"


def test_attempt_recognises_itself(tmp_path: Path) -> None:
    """A mail exchanger with our own name is us: mail would go round for ever. A smarthost may have any name."""
    ours = b"250-us.gatepost.test\r\n250 PIPELINING\r\n"
    with server(tmp_path, Behaviour(ehlo=ours)) as running:
        outcome = refused(running, approach("none"))
        assert opened(running, approach("none"), "smarthost") == ("", False)
    assert (outcome.result, outcome.enhanced) == (Result.FAILED, "5.4.6")


def test_attempt_reports_a_port_where_nobody_listens(tmp_path: Path) -> None:
    """No connection is temporary, and says so in the words of the system."""
    with server(tmp_path, Behaviour()) as running:
        gone = target(running)
    with pytest.raises(Trouble) as caught:
        asyncio.run(open_session(gone, approach("may")))
    outcome = caught.value.outcome
    assert (outcome.result, outcome.enhanced) == (Result.DEFERRED, "4.4.1")
    assert "refused" in outcome.text


def test_approach_key_tells_apart_what_must_not_be_shared() -> None:
    """Level, trust, login and name are all part of what a connection is kept under."""
    keys = [approach("may").key, approach("verify").key, approach("may", implicit=True).key]
    keys += [approach("may", password="x").key, approach("may").key]
    assert len(set(keys)) == len(keys)
