"""Gates in front of Dovecot's POP3: what mail readers do without a gate they do through it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.attacks.pop3_client import RawPOP3
from tests.interop.daemons import HOST, dovecot
from tests.interop.gates import Gates
from tests.interop.letters import Letter
from tests.interop.pop3_readers import (
    PASSWORD,
    READER,
    ROADS,
    by_hand,
    curl,
    fetched,
    fetchmail,
    getmail,
    in_maildir,
    log_on,
    mpop,
    mutt_fetches,
    put_mail,
)

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop


class Front(NamedTuple):
    """A gate for each of ``ROADS``, to one kind of backend.

    :param ports: by the names of ``ROADS``.
    :param name: in the certificate that a client sees.
    """

    ports: dict[str, int]
    ca_file: Path
    name: str


class House(NamedTuple):
    """Dovecot, its reader's mailbox, and the gates."""

    gates: Gates
    box: Path

    def front(self, backend: str) -> Front:
        """The gates to one kind of backend."""
        ports = {road: self.gates.ports[f"{road}-{backend}"] for road in ROADS}
        return Front(ports, self.gates.ca_file, "localhost")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[House]:
    """Dovecot in the clear, with STLS and with TLS from the first octet, a gate of each kind before each."""
    directory = tmp_path_factory.mktemp("gates")
    daemon, ports = dovecot(authority)
    try:
        backends: list[dict[str, object]] = [
            {
                "name": tls,
                "servers": f"127.0.0.1:{ports['pop3s' if tls == 'implicit' else 'pop3']}",
                "tls": tls,
                **({} if tls == "none" else {"ca": "ca.pem", "names": HOST}),
            }
            for tls in ("none", "starttls", "implicit")
        ]
        fronts: list[dict[str, object]] = [
            {
                "name": f"{road}-{backend['name']}",
                "protocol": "pop3",
                "backend": backend["name"],
                "tls": "implicit" if implicit else "starttls",
            }
            for road, implicit in ROADS.items()
            for backend in backends
        ]
        others = [{"name": mode, "protocol": "pop3", "backend": "none", "mode": mode} for mode in ("pass", "refuse")]
        gates = Gates(directory, authority, backends=backends, gates=[*fronts, *others])
        certificate = authority.issue("gate.example.test", "localhost", common_name="localhost")  # fetchmail wants one
        certificate.write(directory / "server.pem")
        with gates:
            yield House(gates, daemon.base / "mail" / READER)
    finally:
        daemon.close()


@pytest.fixture(params=["none", "starttls", "implicit"])
def front(request: pytest.FixtureRequest, house: House) -> Front:
    """How the gate speaks to Dovecot."""
    return house.front(str(request.param))


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> str:
    """How the client speaks to the gate."""
    return str(request.param)


@pytest.fixture
def mail(house: House) -> list[Letter]:
    """Two messages in the reader's mailbox, and nothing else."""
    shutil.rmtree(house.box, ignore_errors=True)  # with what Dovecot remembers of it
    letters = put_mail(house.box)
    for path in (house.box, *house.box.rglob("*")):
        shutil.chown(path, "mail", "mail")
    return letters


def test_message_is_fetched_octet_for_octet(front: Front, mail: list[Letter], road: str) -> None:
    """With curl, over every combination of TLS on the two sides, with the certificate of the gate."""
    for number, each in enumerate(mail, 1):
        done = curl(front, road, number)
        assert done.code == 0, done.said
        assert done.out == each.crlf


def test_all_commands_reach_dovecot(house: House, front: Front, mail: list[Letter], road: str) -> None:
    """With poplib: what is marked and not unmarked is gone from Dovecot's mailbox after QUIT, and nothing else."""
    client = log_on(front, road)
    listed = client.capa()
    assert "STLS" not in listed
    assert {"TOP", "UIDL", "USER", "RESP-CODES"} <= set(listed)
    assert not any(name.endswith("-PLUS") for name in listed.get("SASL", []))
    client.user(READER)
    client.pass_(PASSWORD)
    assert client.stat() == (2, sum(len(each.crlf) for each in mail))
    ids = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(ids)) == 2
    assert [int(line.split()[1]) for line in client.list()[1]] == [len(each.crlf) for each in mail]
    assert mail[1].token.encode() in b"".join(client.top(2, 0)[1])
    client.noop()
    client.dele(2)
    client.rset()
    client.dele(1)
    client.quit()
    (left,) = [path for folder in ("new", "cur") for path in (house.box / folder).iterdir()]
    assert left.read_bytes() == mail[1].lf


def test_fetchmail_fetches(house: House, mail: list[Letter], road: str, tmp_path: Path) -> None:
    """With UIDL, keeping what is on the server."""
    done = fetchmail(house.front("starttls"), road, tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


@pytest.mark.parametrize("method", ["user", "plain"])
def test_mpop_fetches_and_deletes(house: House, mail: list[Letter], road: str, tmp_path: Path, method: str) -> None:
    """With USER and with SASL; the mailbox is empty afterwards."""
    front = house.front("none")
    done = mpop(front, road, tmp_path, method=method, keep=False)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")
    assert [path for folder in ("new", "cur") for path in (house.box / folder).iterdir()] == []


def test_mpop_refuses_a_wrong_authority(house: House, mail: list[Letter], tmp_path: Path, wrong_ca: Path) -> None:
    """The certificate that clients check is the gate's."""
    assert mpop(house.front("none"), "pop3", tmp_path, ca=wrong_ca).code != 0
    assert in_maildir(tmp_path / "fetched") == []


def test_getmail_fetches(house: House, mail: list[Letter], tmp_path: Path) -> None:
    """TLS from the first octet on both sides."""
    done = getmail(house.front("implicit"), tmp_path)
    assert done.code == 0, done.said
    fetched(mail, tmp_path / "fetched")


def test_mutt_fetches(house: House, mail: list[Letter], road: str, tmp_path: Path) -> None:
    """It opens the mailbox and copies a message."""
    done = mutt_fetches(house.front("none"), road, tmp_path, house.gates.ca_file)
    (copied,) = [path.read_bytes() for path in [*tmp_path.glob("out/new/*"), *tmp_path.glob("out/cur/*")]]
    assert copied.partition(b"\n\n")[2] == mail[0].lf.partition(b"\n\n")[2], done.said


def test_person_with_openssl_reads_a_message(house: House, mail: list[Letter], road: str) -> None:
    """Typed by hand."""
    front = house.front("starttls")
    assert by_hand(front, road, front.name) == mail[0].crlf


def test_wrong_password_is_refused_in_dovecots_words(house: House, mail: list[Letter]) -> None:
    """With its response code."""
    client = log_on(house.front("none"), "pop3")
    client.user(READER)
    with pytest.raises(Exception, match=r"-ERR \[AUTH\] Authentication failed"):
        client.pass_("wrong")
    client.close()


# The other modes


def test_pass_lets_the_clients_tls_through_to_dovecot(house: House, mail: list[Letter]) -> None:
    """The certificate that the client checks is Dovecot's own, and the log says that the gate was blind."""
    through = Front({"pop3": house.gates.ports["pass"]}, house.gates.ca_file, HOST)
    for number, each in enumerate(mail, 1):
        done = curl(through, "pop3", number)
        assert done.code == 0, done.said
        assert done.out == each.crlf
    assert by_hand(through, "pop3", HOST) == mail[0].crlf
    house.gates.logged("gate.session", "listener=pass", "blind=yes", "outcome=closed")


def test_refuse_passes_a_login_in_the_clear(house: House, mail: list[Letter]) -> None:
    """STLS is hidden, and who wants it gets nothing; who does not logs in as at Dovecot itself."""
    through = Front({"pop3": house.gates.ports["refuse"]}, house.gates.ca_file, "localhost")
    assert curl(through, "pop3", 1).code != 0
    with RawPOP3(through.ports["pop3"]) as client:
        assert client.say(b"STLS").startswith(b"-ERR")
        assert client.log_in(READER.encode(), PASSWORD.encode()).startswith(b"+OK")
        assert client.say(b"RETR 1").startswith(b"+OK")
        assert client.message() == mail[0].crlf
        assert client.say(b"QUIT").startswith(b"+OK")
