"""All levels against all behaviours of a server, end to end: what is delivered, in the clear or not, and what waits.

The rules come from a file, as an operator writes them; the queue, the worker and the sockets are real; the server is
scripted and shares no code with us. For each cell the explanation that ``gatepost explain`` gives beforehand is held
against what happened.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.delivery.scripted import Behaviour, ScriptedServer
from tests.unit.delivery.test_worker import House, Names, house, names

from gatepost.config.lists import ListFiles
from gatepost.config.load import load
from gatepost.config.policies import facts_of, outbound_policy
from gatepost.config.schema import Config
from gatepost.policy.explain import explain_outbound
from gatepost.policy.levels import DEMANDS, Answer, Fate, Level, foresee
from gatepost.policy.routes import Way
from gatepost.queue.outcome import Outcome, Protection, Result
from gatepost.testing.ca import DAY, Issued, TestAuthority, key_for, self_signed

__all__ = ["house"]  # the fixture

NAME = "mx.example.com"
AUTHORITY = TestAuthority()
STRANGER = TestAuthority("an authority that nobody trusts")
PINNED = self_signed("pinned.example")
OTHER = "00" * 32

_OFFER = Behaviour(starttls="offer")
SERVERS: dict[Answer, tuple[Behaviour, Issued]] = {
    Answer.ABSENT: (Behaviour(starttls="absent"), AUTHORITY.issue(NAME)),
    Answer.REFUSED: (Behaviour(starttls="refuse"), AUTHORITY.issue(NAME)),
    Answer.FAILED: (Behaviour(starttls="garbage"), AUTHORITY.issue(NAME)),
    Answer.INJECTED: (Behaviour(starttls="inject"), AUTHORITY.issue(NAME)),
    Answer.GOOD: (_OFFER, AUTHORITY.issue(NAME)),
    Answer.SELF_SIGNED: (_OFFER, self_signed(NAME)),
    Answer.WRONG_NAME: (_OFFER, AUTHORITY.issue("mx.elsewhere.example")),
    Answer.EXPIRED: (_OFFER, AUTHORITY.issue(NAME, not_after=AUTHORITY.now - DAY)),
    Answer.UNKNOWN_AUTHORITY: (_OFFER, STRANGER.issue(NAME)),
    Answer.RIGHT_PIN: (_OFFER, PINNED),
    Answer.WRONG_PIN: (_OFFER, self_signed("changed.example")),
}
REACHED: dict[Level, str] = {
    "may": "encrypt", "encrypt": "encrypt", "fingerprint": "fingerprint", "verify": "verify", "secure": "secure",
    "none": "none",
}  # fmt: skip


def fingerprint(issued: Issued) -> str:
    """As an operator copies it from ``openssl x509 -fingerprint -sha256``."""
    return sha256(issued.der[0]).hexdigest()


@dataclass
class Run:
    """One message to example.com: what became of it, and what the server saw."""

    outcome: Outcome
    server: ScriptedServer
    outlook: dict[str, str]

    @property
    def arrived(self) -> str:
        """How it arrived: in private, in the clear, or not at all."""
        if not self.server.messages:
            return "nothing"
        return "tls" if self.server.messages[0].tls else "clear"


def configuration(house: House, reached_at: int, text: str, **delivery: Any) -> Config:
    """A configuration from a file, for the servers of a test."""
    (house.data / "ca.pem").write_bytes(AUTHORITY.pem)
    file = house.data / "gatepost.toml"
    keys = "".join(
        f"{key} = {value}\n" for key, value in {"port": reached_at, "resolver": '["127.0.0.1:9"]', **delivery}.items()
    )
    file.write_text(
        f'hostname = "us.example.org"\ndata = "{house.data}"\n[delivery]\n{keys}'
        f'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.9:25"\n{text}'
    )
    return load(file)


def run(
    house: House, behaviour: Behaviour, issued: Issued, text: str, *, known: Names | None = None, **delivery: Any
) -> Run:
    """Deliver one message to example.com by these rules."""
    house.queue.settled.clear()
    house.put("b@example.com")
    with ScriptedServer(behaviour, issued=issued, folder=house.data) as server:
        config = configuration(house, server.port, text.replace("PORT", str(server.port)), **delivery)
        decision = outbound_policy(config, ListFiles()).decide(facts_of(config, "example.com", NAME, "127.0.0.1"))
        known = known or names((NAME, "127.0.0.1"))
        outcome = house.settle_all(config, known, 1)["b@example.com"]
    return Run(outcome, server, dict(explain_outbound(decision).outlook))


def rule(level: Level, pin: str = OTHER) -> str:
    """The rule of an operator who wants this level."""
    more = {"fingerprint": f'fingerprints = ["{pin}"]', "verify": 'ca = "ca.pem"', "secure": 'ca = "ca.pem"'}
    return f'[[outbound]]\nto = ["example.com"]\nlevel = "{level}"\n{more.get(level, "")}\n'


@pytest.mark.parametrize("answer", Answer, ids=lambda answer: str(answer.name).lower())
@pytest.mark.parametrize("level", DEMANDS)
def test_level_meets_answer(house: House, level: Level, answer: Answer) -> None:
    """Delivered in private or in the clear, or deferred with the reason; explained beforehand as it came about."""
    behaviour, issued = SERVERS[answer]
    done = run(house, behaviour, issued, rule(level, fingerprint(PINNED)))
    foreseen = foresee(level, answer)
    assert done.arrived == {Fate.PRIVATE: "tls", Fate.IN_CLEAR: "clear", Fate.WAITS: "nothing"}[foreseen.fate]
    outcome = done.outcome
    assert outcome.protection is not None
    assert outcome.protection.rule == f"outbound[0] ({house.data}/gatepost.toml:10)"
    assert outcome.protection.wanted == level
    if foreseen.fate is Fate.WAITS:
        assert outcome.result is Result.DEFERRED
        assert (outcome.enhanced, outcome.tlsrpt and outcome.tlsrpt.value) == (foreseen.enhanced, foreseen.tlsrpt)
        assert not any(command.startswith("MAIL") for command in done.server.commands)
        assert done.server.connections == 1
        assert outcome.protection.reached == "none"
    else:
        assert outcome.result is Result.DELIVERED
        assert outcome.protection.reached == ("none" if foreseen.fate is Fate.IN_CLEAR else REACHED[level])
    said = done.outlook.get(f"the server {answer.value}")
    if said is None:
        assert answer in (Answer.RIGHT_PIN, Answer.WRONG_PIN) and level != "fingerprint"
    else:
        waits = f"deferred ({foreseen.enhanced}), never sent in less"
        assert said == (waits if foreseen.fate is Fate.WAITS else foreseen.fate.value)


def test_fingerprint_may_be_that_of_the_key(house: House) -> None:
    """It then outlives a renewal with the same key."""
    spki = PINNED.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    written = ":".join(sha256(spki).hexdigest().upper()[at : at + 2] for at in range(0, 64, 2))
    assert run(house, _OFFER, PINNED, rule("fingerprint", written)).arrived == "tls"


def test_fingerprint_takes_an_expired_certificate_that_is_pinned(house: House) -> None:
    """The pin alone counts, in Postfix's meaning."""
    late = AUTHORITY.issue("old.example", not_after=AUTHORITY.now - DAY)
    assert run(house, _OFFER, late, rule("fingerprint", fingerprint(late))).arrived == "tls"


def test_ca_may_be_the_servers_own_certificate(house: House) -> None:
    """A self-signed certificate that the operator has is trusted for its name."""
    own = self_signed(NAME)
    (house.data / "own.pem").write_bytes(own.chain_pem)
    done = run(house, _OFFER, own, '[[outbound]]\nlevel = "verify"\nca = "own.pem"\n')
    assert done.arrived == "tls"


@pytest.mark.parametrize(
    ("revoked", "days", "arrived", "reason"),
    [(False, 30, "tls", ""), (True, 30, "nothing", "revoked"), (False, -1, "nothing", "CRL has expired")],
    ids=["good", "revoked", "expired list"],
)
def test_revocation_list_of_a_rule_is_looked_at(
    house: House, revoked: bool, days: int, arrived: str, reason: str
) -> None:
    """A revoked certificate proves nothing, and a list that is out of date proves nothing either."""
    authority = TestAuthority("an authority with a revocation list")
    issued = authority.issue(NAME)
    if revoked:
        authority.revoke(issued)
    (house.data / "own-ca.pem").write_bytes(authority.pem)
    crl = authority.crl(next_update=authority.now + days * DAY)
    (house.data / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    done = run(house, _OFFER, issued, '[[outbound]]\nlevel = "verify"\nca = "own-ca.pem"\ncrl = "crl.pem"\n')
    assert done.arrived == arrived
    assert reason in done.outcome.text


@pytest.mark.parametrize(("level", "arrived"), [("verify", "tls"), ("secure", "nothing")])
def test_secure_does_not_believe_the_mx_record(house: House, level: Level, arrived: str) -> None:
    """Whoever forges DNS names a server of his own, with a good certificate for it: verify is fooled, secure is not."""
    forged = names(("mx.attacker.example", "127.0.0.1"))
    done = run(house, _OFFER, AUTHORITY.issue("mx.attacker.example"), rule(level), known=forged)
    assert done.arrived == arrived


@pytest.mark.parametrize("certificate", ["example.com", "a.b.example.com", "*.example.com"])
def test_secure_takes_the_destination_and_names_below_it(house: House, certificate: str) -> None:
    """Postfix's nexthop and dot-nexthop."""
    assert run(house, _OFFER, AUTHORITY.issue(certificate), rule("secure")).arrived == "tls"


@pytest.mark.parametrize("certificate", ["notexample.com", "example.com.attacker.example", "*.com"])
def test_secure_takes_no_name_that_only_looks_like_it(house: House, certificate: str) -> None:
    """Labels count, not letters."""
    assert run(house, _OFFER, AUTHORITY.issue(certificate), rule("secure")).arrived == "nothing"


def test_common_name_alone_proves_nothing_and_the_reason_says_so(house: House) -> None:
    """RFC 9525: only subjectAltName counts. The operator of the other side can read what to change."""
    done = run(house, _OFFER, AUTHORITY.issue(common_name=NAME), rule("verify"))
    assert done.arrived == "nothing"
    assert f"its CN alone says {NAME}, and only a subjectAltName counts" in done.outcome.text


def test_names_of_a_rule_are_matched_instead(house: House) -> None:
    """For a server whose certificate has another name that the operator knows."""
    text = '[[outbound]]\nlevel = "verify"\nca = "ca.pem"\nnames = ["relay.provider.example"]\n'
    assert run(house, _OFFER, AUTHORITY.issue("relay.provider.example"), text).arrived == "tls"


def test_rule_sets_port_and_implicit_tls(house: House) -> None:
    """TLS from the first octet, at a port that no MX record knows; never in the clear."""
    text = '[[outbound]]\nmx = ["mx.example.com"]\nimplicit = true\nport = PORT\n'
    done = run(house, Behaviour(implicit=True), AUTHORITY.issue(NAME), text, port=1)
    assert done.arrived == "tls"
    assert done.outcome.protection is not None
    assert done.outcome.protection.wanted == "encrypt"


def test_rule_by_address_has_exceptions(house: House) -> None:
    """``server`` is asked of the address that is about to be connected to."""
    text = '[[outbound]]\nserver = ["127.0.0.*"]\nexcept = ["127.0.0.1"]\nlevel = "none"\n'
    assert run(house, _OFFER, AUTHORITY.issue(NAME), text).arrived == "tls"
    text = '[[outbound]]\nserver = ["127.0.0.*"]\nexcept = ["127.0.0.2"]\nlevel = "none"\n'
    assert run(house, _OFFER, AUTHORITY.issue(NAME), text).arrived == "clear"


@pytest.mark.parametrize(("to", "arrived"), [("example.com", "tls"), ("example.net", "clear")])
def test_exhaustive_mode_asks_the_listed_for_tls_and_nobody_else(house: House, to: str, arrived: str) -> None:
    """``tls_only_listed``: TLS is tried only with those for whom a rule sets a level."""
    text = f'[[outbound]]\nto = ["{to}"]\nlevel = "encrypt"\n'
    done = run(house, _OFFER, AUTHORITY.issue(NAME), text, tls_only_listed="true")
    assert done.arrived == arrived
    if arrived == "clear":
        assert done.outcome.protection is not None
        assert done.outcome.protection.rule.startswith("delivery.tls_only_listed (")


def test_versions_and_ciphers_are_those_of_the_rule(house: House) -> None:
    """For servers that break on newer versions."""
    text = '[[outbound]]\nmaximum = "TLSv1.2"\nciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"\n'
    done = run(house, _OFFER, AUTHORITY.issue(NAME), text)
    assert done.outcome.tls.startswith("TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 ")


def test_rules_that_exclude_each_other_make_mail_wait(house: House) -> None:
    """Composed of two rules, what is asked cannot be had: deferred with the reason, and not a word to the server."""
    text = '[[outbound]]\nto = ["example.com"]\nminimum = "TLSv1.3"\n[[outbound]]\nmaximum = "TLSv1.2"\n'
    done = run(house, _OFFER, AUTHORITY.issue(NAME), text)
    assert (done.outcome.result, done.server.connections) == (Result.DEFERRED, 0)
    assert "what the policy asks for cannot be had" in done.outcome.text
    assert done.outcome.protection is not None and "outbound[1]" in done.outcome.protection.rule


def test_server_that_cannot_be_approached_leaves_the_others(house: House) -> None:
    """The first MX needs a file that is gone; the second has no rule."""
    text = '[[outbound]]\nmx = ["broken.example.com"]\nlevel = "verify"\nca = "gone.pem"\n'
    known = names(("broken.example.com", "127.0.0.1"), (NAME, "127.0.0.1"))
    done = run(house, _OFFER, AUTHORITY.issue(NAME), text, known=known)
    assert done.arrived == "tls"
    assert done.outcome.remote.startswith(NAME)


def test_client_certificate_is_shown_when_it_is_asked_for(house: House) -> None:
    """The server that asks for one sees ours, and no other server does."""
    ours = AUTHORITY.issue("us.example.org", key=key_for("our client"))
    ours.write(house.data / "client.pem")
    house.put("b@example.com")
    behaviour = Behaviour(starttls="offer")
    with ScriptedServer(behaviour, issued=AUTHORITY.issue(NAME), folder=house.data) as server:
        (house.data / "ca.pem").write_bytes(AUTHORITY.pem)
        server.context.verify_mode = ssl.CERT_REQUIRED
        server.context.load_verify_locations(house.data / "ca.pem")
        text = '[[outbound]]\nto = ["example.com"]\nlevel = "encrypt"\nclient_certificate = "client.pem"\n'
        outcome = house.settle_all(configuration(house, server.port, text), names((NAME, "127.0.0.1")), 1)
    assert outcome["b@example.com"].result is Result.DELIVERED


def test_session_of_one_rule_serves_no_other(house: House) -> None:
    """Two destinations at one server, one of which asks for more: each has its own connection and level."""
    with ScriptedServer(_OFFER, issued=AUTHORITY.issue(NAME), folder=house.data) as server:
        config = configuration(house, server.port, rule("secure"))
        both = names((NAME, "127.0.0.1"))
        both._mx["example.net"] = both._mx["example.com"]
        house.put("b@example.com")
        house.put("c@example.net")
        outcomes = house.settle_all(config, both, 2)
    wanted = {address: outcome.protection for address, outcome in outcomes.items()}
    place = f"outbound[0] ({house.data}/gatepost.toml:10)"
    assert wanted["b@example.com"] == Protection("secure", "secure", place)
    assert wanted["c@example.net"] is not None and wanted["c@example.net"].wanted == "may"
    assert server.connections == 2


def test_every_attempt_is_logged_with_wanted_reached_and_rule(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side, in the one line of the attempt."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(
        "gatepost.delivery.ledger.event", lambda name, *_, **fields: lines.append({"event": name, **fields})
    )
    run(house, Behaviour(starttls="absent"), AUTHORITY.issue(NAME), rule("may"))
    (line,) = [line for line in lines if line["event"] == "delivery.attempt"]
    assert (line["wanted"], line["reached"], line["rule"]) == (
        "may", "none", f"outbound[0] ({house.data}/gatepost.toml:10)",
    )  # fmt: skip


def test_list_file_of_servers_is_taken_up_when_it_changes(house: House) -> None:
    """Without a restart; a broken one keeps what it said."""
    from gatepost.delivery.approaches import Approaches
    from gatepost.delivery.route import Hop
    from gatepost.delivery.setting import approach_of, client_files

    servers = house.data / "servers.txt"
    servers.write_text("# none yet\n")
    config = configuration(house, 25, '[[outbound]]\nserver = ["file:servers.txt"]\nlevel = "none"\n')
    now = [0.0]
    files = client_files(config)
    approaches = Approaches(config, approach_of(config, files), files, clock=lambda: now[0])

    def level() -> str:
        now[0] += 2
        target = approaches.target(Way("mx", "example.com"), Hop(NAME, 25), "192.0.2.1", "mx")
        assert target.approach is not None
        return target.approach.level

    assert level() == "may"
    servers.write_text("192.0.2.1\n")
    assert level() == "none"
    servers.write_text("192.0.2.300\n")
    assert level() == "none"
    servers.unlink()
    assert level() == "none"
    servers.write_text("192.0.2.2\n")
    assert level() == "may"
