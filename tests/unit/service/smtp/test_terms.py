"""What clients at different addresses are offered, with real sockets: each loopback address is another client.

For each client the explanation that ``gatepost explain`` gives is held against what the client sees.
"""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw

from gatepost.config.lists import ListFiles
from gatepost.config.policies import ground_of, inbound_policy, relay_policy
from gatepost.errors import ConfigError
from gatepost.observe import logs
from gatepost.policy.inbound import Handshake
from gatepost.service.policies import Policies, policies_of, variants_of
from gatepost.testing.server import MailServer

LISTENERS = [
    {"name": "mx", "protocol": "smtp", "bind": "127.0.0.1:0"},
    {"name": "other", "protocol": "smtp", "bind": "127.0.0.1:0", "starttls": "deny"},
    {"name": "submission", "protocol": "submission", "bind": "127.0.0.1:0"},
    {"name": "submissions", "protocol": "submission", "bind": "127.0.0.1:0", "tls": "implicit"},
]
RULES: dict[str, Any] = {
    "inbound": [
        {"from": "127.0.0.2", "starttls": "deny"},
        {"from": ["127.0.0.0/29"], "except": ["127.0.0.5"], "listeners": ["mx"], "starttls": "require"},
        {"from": "127.0.0.6", "listeners": ["other"], "starttls": "offer"},
        {"from": "127.0.0.10", "maximum": "TLSv1.2"},
        {"from": "127.0.0.11", "minimum": "TLSv1.3"},
        {"from": "127.0.0.12", "maximum": "TLSv1.2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {"from": "127.0.0.13", "suites": "TLS_CHACHA20_POLY1305_SHA256", "resumption": False},
    ],
    "relay": [{"from": ["127.0.0.20", "127.0.0.21"], "listeners": ["mx"]}, {"from": "127.0.0.22"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data"), listener=LISTENERS, **RULES) as server:
        yield server


class Sessions:
    """The summary lines of connections that have ended."""

    def __init__(self) -> None:
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()

    def event(self, name: str, *_: object, **fields: Any) -> None:
        """Stands in for the log."""
        if name == "smtp.session":
            self._lines.put(fields)

    def of(self, client: Raw) -> dict[str, Any]:
        """The line of this client's connection; closes it and waits for the server to have seen that."""
        port = client.plain.getsockname()[1] if client.plain.fileno() >= 0 else client.sock.getsockname()[1]
        client.close()
        while (line := self._lines.get(timeout=10))["rport"] != port:
            pass
        return line


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """What the log says of connections."""
    found = Sessions()
    monkeypatch.setattr(logs, "event", found.event)
    return found


def wanted(server: MailServer, address: str, listener: str) -> str:
    """What the explanation says."""
    config = server.config
    settings = next(each for each in config.listener if each.name == listener)
    return inbound_policy(config, ListFiles()).decide(address, ground_of(config, settings)).wanted


@pytest.mark.parametrize(
    ("address", "listener", "says"),
    [
        ("127.0.0.1", "mx", "require"),
        ("127.0.0.2", "mx", "deny"),
        ("127.0.0.5", "mx", "offer"),
        ("127.0.0.8", "mx", "offer"),
        ("127.0.0.1", "other", "deny"),
        ("127.0.0.6", "other", "offer"),
        ("127.0.0.6", "mx", "require"),
        ("127.0.0.8", "other", "deny"),
    ],
)
def test_client_sees_what_the_rules_say_for_its_address(
    server: MailServer, sessions: Sessions, address: str, listener: str, says: str
) -> None:
    """deny: hidden, and 502 5.5.1; require: 530 5.7.0 to mail; offer: listed, and mail is taken without it."""
    assert wanted(server, address, listener) == says
    with Raw(server.ports[listener], source=address) as client:
        hidden = b"STARTTLS" not in client.say(b"EHLO x.example")
        mail = client.say(b"MAIL FROM:<a@b.example>")
        assert hidden is (says == "deny")
        assert mail.startswith(b"530 5.7.0" if says == "require" else b"250")
        client.say(b"RSET")
        if says == "deny":
            assert client.say(b"STARTTLS").startswith(b"502 5.5.1")
            assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
        else:
            client.say(b"STARTTLS")
            client.start_tls(server.ca_file)
            client.say(b"EHLO x.example")
            assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
        client.say(b"QUIT")
        line = sessions.of(client)
    assert (line["wanted"], line["got"]) == (says, "none" if says == "deny" else "starttls")
    assert line["rule"] == {"127.0.0.8": "listener", "127.0.0.5": "listener"}.get(address, line["rule"])


def test_rule_stands_in_the_connections_line(server: MailServer, sessions: Sessions) -> None:
    """The one that decided, or the listener."""
    for address, rule in (("127.0.0.2", "inbound[0]"), ("127.0.0.8", "listener")):
        with Raw(server.ports["mx"], source=address) as client:
            assert sessions.of(client)["rule"] == rule


def test_denied_tls_ends_a_connection_that_begins_with_it(server: MailServer, sessions: Sessions) -> None:
    """Not a word, and the log has the reason and the rule; others are served."""
    before = server.total("smtp_connections_refused_total", reason="policy")
    with Raw(server.ports["submissions"], source="127.0.0.2", greeted=False) as client:
        assert client.rest() == b""
        line = sessions.of(client)
    assert line["outcome"] == "the policy denies TLS, and this listener knows nothing else"
    assert (line["wanted"], line["got"], line["rule"]) == ("deny", "none", "inbound[0]")
    assert server.total("smtp_connections_refused_total", reason="policy") == before + 1
    with Raw(server.ports["submissions"], source="127.0.0.3", greeted=False) as client:
        client.start_tls(server.ca_file)
        assert client.reply().startswith(b"220")


def test_denied_tls_at_submission_takes_no_login_at_all(server: MailServer) -> None:
    """No password in the clear, whatever a rule says."""
    with Raw(server.ports["submission"], source="127.0.0.2") as client:
        assert b"AUTH" not in client.say(b"EHLO x.example")
        assert client.say(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0")
        assert client.say(b"AUTH PLAIN AGEAYgBj").startswith(b"5")


def handshake(server: MailServer, address: str, listener: str = "mx", **limits: Any) -> ssl.SSLSocket:
    """An upgrade from an address by a client with limits of its own."""
    context = ssl.create_default_context(cafile=server.ca_file)
    for key, value in limits.items():
        setattr(context, key, value)
    client = Raw(server.ports[listener], source=address)
    client.say(b"EHLO x.example")
    client.say(b"STARTTLS")
    return context.wrap_socket(client.plain, server_hostname="localhost")


@pytest.mark.parametrize(
    ("address", "version", "cipher"),
    [
        ("127.0.0.9", "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        ("127.0.0.10", "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("127.0.0.11", "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        ("127.0.0.12", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("127.0.0.13", "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_tls_is_spoken_as_the_rules_say(server: MailServer, address: str, version: str, cipher: str) -> None:
    """Versions, ciphers and suites by address; the same on every listener."""
    for listener in ("mx", "submission"):
        with handshake(server, address, listener) as private:
            assert private.version() == version
            found = private.cipher()
            assert found is not None and found[0] == cipher


@pytest.mark.parametrize(
    ("address", "limits"),
    [
        ("127.0.0.10", {"minimum_version": ssl.TLSVersion.TLSv1_3}),
        ("127.0.0.11", {"maximum_version": ssl.TLSVersion.TLSv1_2}),
    ],
)
def test_other_versions_fail_the_handshake(server: MailServer, address: str, limits: dict[str, Any]) -> None:
    """A client that speaks none of the versions allowed at its address gets none; elsewhere it is served."""
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        handshake(server, address, **limits)
    with handshake(server, "127.0.0.9", **limits):
        pass


@pytest.mark.parametrize(("address", "resumed"), [("127.0.0.10", True), ("127.0.0.14", True), ("127.0.0.13", False)])
def test_sessions_are_resumed_where_the_rules_let_them(server: MailServer, address: str, resumed: bool) -> None:
    """Off for one address, on for the others."""
    context = ssl.create_default_context(cafile=server.ca_file)
    session = None
    for expected in (False, resumed):
        with Raw(server.ports["mx"], source=address) as client:
            client.say(b"EHLO x.example")
            client.say(b"STARTTLS")
            private = context.wrap_socket(client.plain, server_hostname="localhost", session=session)
            client.sock = private
            assert private.session_reused is expected
            client.say(b"EHLO x.example")  # a TLS 1.3 ticket comes with the first reply
            client.say(b"QUIT")
            session = private.session


def test_session_of_one_rule_does_not_resume_under_another(server: MailServer) -> None:
    """A ticket is worth nothing where TLS is spoken by other rules: a check is never skipped by resuming."""
    context = ssl.create_default_context(cafile=server.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for address in ("127.0.0.10", "127.0.0.12"):
        with Raw(server.ports["mx"], source=address) as client:
            client.say(b"EHLO x.example")
            client.say(b"STARTTLS")
            private = context.wrap_socket(client.plain, server_hostname="localhost", session=session)
            client.sock = private
            assert not private.session_reused
            client.say(b"QUIT")
            session = private.session


STRANGER = b"RCPT TO:<victim@elsewhere.example>"


@pytest.mark.parametrize(
    ("address", "listener", "allowed", "tls"),
    [
        ("127.0.0.20", "mx", True, False),
        ("127.0.0.20", "mx", True, True),
        ("127.0.0.21", "mx", True, True),
        ("127.0.0.22", "mx", True, False),
        ("127.0.0.23", "mx", False, False),
        ("127.0.0.23", "mx", False, True),
        ("127.0.0.20", "other", False, False),
        ("127.0.0.22", "other", True, False),
    ],
)
def test_relay_is_for_those_whom_a_rule_names(
    server: MailServer, sessions: Sessions, address: str, listener: str, allowed: bool, tls: bool
) -> None:
    """In the clear and inside TLS; everybody else is refused, as the explanation says."""
    assert relay_policy(server.config, ListFiles()).decide(address, listener).allowed is allowed
    with Raw(server.ports[listener], source=address) as client:
        if tls:
            client.upgrade(server.ca_file)
        else:
            client.say(b"EHLO x.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")
        assert client.say(STRANGER).startswith(b"250" if allowed else b"550 5.7.1")
        client.say(b"QUIT")
        line = sessions.of(client)
    which = "relay[1]" if address == "127.0.0.22" else "relay[0]"
    assert line["relay"] == (which if allowed else "")


def test_relay_rules_do_not_stand_in_for_a_login(server: MailServer) -> None:
    """A submission listener asks for one, whoever comes."""
    with Raw(server.ports["submission"], source="127.0.0.22") as client:
        client.upgrade(server.ca_file)
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"530 5.7.0")


def test_local_socket_is_under_no_rule(tmp_path: Path) -> None:
    """A program of this machine has no address."""
    with MailServer(tmp_path, inbound=[{"starttls": "require"}]) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(server.sendmail_socket))
            assert sock.recv(1000).startswith(b"220")
            sock.sendall(b"EHLO x\r\nMAIL FROM:<alice@example.test>\r\nQUIT\r\n")
            heard = b"".join(iter(lambda: sock.recv(1000), b""))
        assert b"\r\n250 2.1.0" in heard


def test_no_rules_cost_nothing(tmp_path: Path) -> None:
    """Without rules nothing is looked up: every client has the same terms."""
    with MailServer(tmp_path) as server:
        assert policies_of(server.config, {}) is None


def config_with(server: MailServer, **rules: Any) -> Any:
    """The server's configuration with other rules."""
    return server.config.model_validate({**server.config.model_dump(), "inbound": [], "relay": [], **rules})


def test_connections_that_are_turned_away_are_not_open(tmp_path: Path) -> None:
    """By a rule, or by a limit: the gauge is where it was."""
    limits = {"connection_rate_per_address": 1, "exempt": ["127.0.0.1"]}
    with MailServer(tmp_path, listener=LISTENERS, limits=limits, **RULES) as server:
        with Raw(server.ports["submissions"], source="127.0.0.2", greeted=False) as client:
            assert client.rest() == b""
        for expected in (b"220", b"421"):
            with Raw(server.ports["mx"], source="127.0.0.3") as client:
                assert client.greeting.startswith(expected)
                client.say(b"QUIT")
                client.rest()
    for listener in ("mx", "submissions"):
        assert server.total("smtp_connections_open", listener=listener) == 0


def test_contexts_are_made_before_the_fork(server: MailServer) -> None:
    """One set for each way of speaking TLS that an address can come to, and the workers use those."""
    credentials = next(iter(server.shared.contexts.values())).credentials
    made = variants_of(server.config, credentials)
    assert set(made) == {
        Handshake(maximum="TLSv1.2"),
        Handshake(minimum="TLSv1.3"),
        Handshake(maximum="TLSv1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
        Handshake(suites="TLS_CHACHA20_POLY1305_SHA256", resumption=False),
    }
    policies = Policies(server.config, made)
    usual = server.shared.contexts["mx"]
    decision = policies.inbound.decide("127.0.0.10", ground_of(server.config, server.config.listener[0]))
    assert policies.contexts(decision, usual) is made[decision.handshake]


def test_rules_that_cannot_be_are_refused_before_the_start(server: MailServer) -> None:
    """Versions that exclude each other, with the address and both rules; ciphers that do not exist, with the rule."""
    credentials = next(iter(server.shared.contexts.values())).credentials
    crossed = config_with(
        server,
        inbound=[{"from": "10.0.0.0/8", "minimum": "TLSv1.3"}, {"from": "10.1.0.0/16", "maximum": "TLSv1.2"}],
    )
    with pytest.raises(ConfigError, match=r"10\.1\.0\.0 at listener mx .* from inbound\[0\], .* from inbound\[1\]"):
        variants_of(crossed, credentials)
    unknown = config_with(server, inbound=[{"ciphers": "DES-CBC3-SHA"}])
    with pytest.raises(ConfigError, match=r"inbound\[0\]: .*DES-CBC3-SHA"):
        variants_of(unknown, credentials)


def test_list_files_are_taken_up_when_they_change(server: MailServer, tmp_path: Path) -> None:
    """A new generation of decisions; a file that is broken, or gone, keeps what it said."""
    listed = tmp_path / "denied.txt"
    listed.write_text("192.0.2.1  # a friend\n\n# nobody else\n")
    config = config_with(server, inbound=[{"from": [f"file:{listed}", "192.0.2.9"], "starttls": "deny"}])
    policies = policies_of(config, {})
    assert policies is not None
    ground = ground_of(config, config.listener[0])

    def denied(address: str) -> bool:
        assert policies is not None
        policies.look()
        return policies.inbound.decide(address, ground).starttls == "deny"

    assert (denied("192.0.2.1"), denied("192.0.2.2"), denied("192.0.2.9")) == (True, False, True)
    generation = policies.generation
    listed.write_text("192.0.2.2\n!192.0.2.9\n")
    assert (denied("192.0.2.1"), denied("192.0.2.2"), denied("192.0.2.9")) == (False, True, False)
    assert policies.generation is not generation
    for broken in ("192.0.2.500\n", None):
        listed.unlink() if broken is None else listed.write_text(broken)
        assert denied("192.0.2.2")


def test_contradiction_that_a_list_brings_about_refuses_tls_for_now(server: MailServer, tmp_path: Path) -> None:
    """Nothing is spoken that a rule rules out, and the client is not sent into the clear."""
    listed = tmp_path / "old.txt"
    listed.write_text("192.0.2.1\n")
    config = config_with(
        server, inbound=[{"from": "10.0.0.0/8", "minimum": "TLSv1.3"}, {"from": f"file:{listed}", "maximum": "TLSv1.2"}]
    )
    usual = server.shared.contexts["mx"]
    policies = Policies(config, variants_of(config, usual.credentials))
    listed.write_text("10.0.0.1\n")
    policies.look()
    decision = policies.inbound.decide("10.0.0.1", ground_of(config, config.listener[0]))
    assert policies.contexts(decision, usual) is None


def test_starttls_is_refused_for_now_where_tls_cannot_be_spoken(tmp_path: Path) -> None:
    """454, and the keyword stays: RFC 3207 §4."""
    crossed = [{"from": "127.0.0.3", "minimum": "TLSv1.3"}, {"from": "127.0.0.3", "maximum": "TLSv1.2"}]
    with MailServer(tmp_path, inbound=crossed) as server:
        with Raw(server.ports["mx"], source="127.0.0.3") as client:
            assert b"STARTTLS" in client.say(b"EHLO x.example")
            assert client.say(b"STARTTLS").startswith(b"454 4.7.0")
        with Raw(server.ports["submissions"], source="127.0.0.3", greeted=False) as client:
            assert client.rest() == b""
        with Raw(server.ports["mx"], source="127.0.0.4") as client:
            client.upgrade(server.ca_file)
