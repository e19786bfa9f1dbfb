"""Servers to talk to: a real ``gatepost serve``, and a private Postfix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.interop.letters import Arrived, Letter, letter
from tests.interop.postfix import Postfix
from tests.interop.programs import require, require_root
from tests.interop.running import Gatepost

from gatepost.testing.ca import TestAuthority, key_for
from gatepost.testing.dns import FakeDNS

ALICE, BOB, FRIEND = "alice@example.test", "bob@example.test", "friend@elsewhere.example"
PASSWORD = "wonder land%1"
StartGatepost = Callable[..., Gatepost]


@dataclass(frozen=True, slots=True)
class Road:
    """One way for a message to come in.

    :param listener: where.
    :param implicit: TLS from the first octet, otherwise STARTTLS.
    :param login: after AUTH.
    """

    listener: str
    implicit: bool
    login: bool

    def port(self, server: Gatepost) -> int:
        """Its port."""
        return server.ports[self.listener]

    def letter(self, *, attachment: int = 0) -> Letter:
        """A message that may take this road to Bob."""
        return letter(ALICE if self.login else FRIEND, BOB, attachment=attachment)

    def check(self, sent: Letter, arrived: Arrived, *, exact: bool = True, keyword: str | None = None) -> None:
        """What arrived is what was sent, octet for octet, and its trace tells how it came."""
        (received,) = arrived.received
        assert "using TLSv1." in received and " with cipher " in received and " key-exchange " in received
        assert "key-exchange unknown" not in received
        assert f" with {keyword or ('ESMTPSA' if self.login else 'ESMTPS')} id " in received
        assert (f"(authenticated as {ALICE})" in received) == self.login
        assert arrived.field("return-path") == f"<{sent.sender}>"
        assert arrived.field("delivered-to") == BOB
        if exact:
            assert arrived.original == sent.lf


ROADS = {
    "submission": Road("submission", implicit=False, login=True),
    "submissions": Road("submissions", implicit=True, login=True),
    "mx": Road("mx", implicit=False, login=False),
}


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> Road:
    """Every way for a message to come in."""
    return ROADS[request.param]


@pytest.fixture(params=["submission", "submissions"])
def login_road(request: pytest.FixtureRequest) -> Road:
    """STARTTLS and implicit TLS, with a login."""
    return ROADS[request.param]


@pytest.fixture(scope="session")
def authority() -> TestAuthority:
    """The authority that everybody trusts."""
    return TestAuthority("gatepost interoperability authority")


@pytest.fixture(scope="session")
def wrong_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that has issued nothing here."""
    path = tmp_path_factory.mktemp("wrong") / "ca.pem"
    path.write_bytes(TestAuthority("a wrong authority", key=key_for("a wrong authority")).pem)
    return path


@pytest.fixture(scope="session")
def gatepost_server(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[Gatepost]:
    """The server that the clients talk to. Its certificate names mx.example.test and localhost, not 127.0.0.1."""
    directory = tmp_path_factory.mktemp("server")
    with Gatepost(directory, authority, users={ALICE: PASSWORD, BOB: PASSWORD}) as server:
        yield server


@pytest.fixture
def start_gatepost(tmp_path: Path, authority: TestAuthority) -> Iterator[StartGatepost]:
    """Starts further servers; they are stopped, and looked at, when the test ends."""
    with ExitStack() as stack:
        count = 0

        def start(**settings: Any) -> Gatepost:
            nonlocal count
            count += 1
            directory = tmp_path / f"gatepost{count}"
            directory.mkdir()
            return stack.enter_context(Gatepost(directory, authority, **settings))

        yield start


@pytest.fixture(scope="module")
def postfix(authority: TestAuthority) -> Iterator[Postfix]:
    """A private Postfix, as mail exchanger of far.test and as a server that sends; a file's settings are its own."""
    require("postfix", "postfix")
    require_root("Postfix")
    with Postfix(authority) as running:
        yield running


@pytest.fixture
def name_server() -> Iterator[FakeDNS]:
    """A name server of our own."""
    with FakeDNS() as dns:
        yield dns
