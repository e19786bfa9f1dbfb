"""Every setting of the two old servers: given what ``gatepost import`` makes of it, a real client and a real next hop
see what the old documents promise, and ``gatepost explain`` says the same of the same configuration."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import RFC822Name
from tests.interop.imported import DECISIONS, HIDDEN, OFFERED, REQUIRED, Hop, Imported, Seen, listen
from tests.interop.patience import until
from tests.interop.postfix import Postfix
from tests.interop.programs import require, require_root

from gatepost.policy.levels import Answer
from gatepost.testing.ca import CLIENT_ONLY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.dns import FakeDNS

pytestmark = pytest.mark.interop

SERVERS = TestAuthority("an authority for servers")
CLIENTS = TestAuthority("an authority of qmail's clients")
OURS = CLIENTS.issue("mx.example.test", common_name="mx.example.test")
ANN = CLIENTS.issue(RFC822Name("ann@client.test"), key=key_for("Ann"), usages=CLIENT_ONLY)
LOST = CLIENTS.issue(RFC822Name("ann@client.test"), key=key_for("a key that Ann lost"), usages=CLIENT_ONLY)
EVE = CLIENTS.issue(RFC822Name("eve@client.test"), key=key_for("Eve"), usages=CLIENT_ONLY)
CLIENTS.revoke(LOST)
ANN_HERE = "ann@example.test"
RELAYED, ELSEWHERE = 0, "dave@elsewhere.test"  # swaks: 0 is taken, 24 a refused recipient
REFUSED = 24
_NO_STLS, _NO_LOGIN = 64, 67  # curl
AES, CHACHA = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"

HOPS = {
    "clear.test": Hop("127.0.1.1", None),
    "tls.test": Hop("127.0.1.2", self_signed("mx.tls.test")),
    "exempt.test": Hop("127.0.1.9", None),
    "free.test": Hop("127.0.2.1", None),
    "free-tls.test": Hop("127.0.2.2", self_signed("mx.free-tls.test")),
    "pin.test": Hop("127.0.3.1", SERVERS.issue(common_name="mx.pin.test")),
    "changed.test": Hop("127.0.3.2", SERVERS.issue("mx.changed.test", key=key_for("a new key"))),
    "ca.test": Hop("127.0.3.3", SERVERS.issue("mx.ca.test"), ("smtpd_tls_protocols=TLSv1.2",)),
    "cn.test": Hop("127.0.3.4", SERVERS.issue(common_name="mx.cn.test")),
    "not.test": Hop("127.0.3.5", self_signed("mx.not.test")),
    "routed.test": Hop("127.0.3.6", None),  # smtproutes has another host for it, which offers TLS
    "direct.wide.test": Hop("127.0.3.7", None),
}


@pytest.fixture(scope="module")
def next_hops(authority: TestAuthority) -> Iterator[Postfix]:
    """A Postfix that listens at the address of each hop."""
    require("postfix", "postfix")
    require_root("Postfix")
    with Postfix(authority) as running:
        listen(running, CLIENTS, HOPS)
        for hop in HOPS.values():
            until(partial(_answers, hop.address, running.port), what=f"{hop.address} answers", log=running.log)
        yield running


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, next_hops: Postfix) -> Iterator[dict[str, Imported]]:
    """One server for each old one; ``listed`` is qmail with an exhaustive list and no certificate."""
    with ExitStack() as stack:
        names = stack.enter_context(FakeDNS())
        for domain, hop in HOPS.items():
            names.add(domain, "MX", f"10 mx.{domain}.")
            names.add(f"mx.{domain}", "A", hop.address)
        added = {"delivery": {"port": next_hops.port, "resolver": [names.nameserver]}}
        made: dict[str, Imported] = {}
        writers: dict[str, Callable[[Path], tuple[str | Path, ...]]] = {
            "dmail": _dmail, "qmail": partial(_qmail, next_hops.port), "listed": _listed,
        }  # fmt: skip
        for name, write in writers.items():
            directory = tmp_path_factory.mktemp(name)
            made[name] = Imported(directory, SERVERS, write(directory), added, {ANN_HERE: "a word of Ann"})
            stack.enter_context(made[name])
        yield made


def _dmail(directory: Path) -> tuple[str | Path, ...]:
    (directory / "dmail.conf").write_text(
        "host_domain example.test\n"
        "show_tls 127.0.0.2,127.0.0.3, 127.0.5.*\n"
        "require_tls 127.0.0.3,127.0.0.4\n"
        "require_tls_out 127.0.1.*\n"
        "require_tls_except 127.0.1.9\n"
        "dpop_allow_ssl 127.0.0.2,127.0.0.3\n"
        "dpop_require_ssl 127.0.0.3\n"
        "forward_from_ip 127.0.0.6\n"
    )
    SERVERS.issue("mx.example.test").write(directory / "server.pem", key_first=True)
    return "dmail", directory / "dmail.conf"


def _qmail(port: int, directory: Path) -> tuple[str | Path, ...]:
    files: dict[str, bytes] = {
        "me": b"mx.example.test\n", "locals": b"example.test\n", "rcpthosts": b"example.test\npassed.test\n",
        "morercpthosts": b".more.test\n", "badmailfrom": b"spammer@bad.test\n@worse.test\n",
        "smtproutes": f".wide.test:127.0.3.5:{port}\ndirect.wide.test:\nrouted.test:[127.0.3.5]:{port}\n".encode(),
        "servercert.pem": OURS.chain_pem + OURS.key_pem, "clientcert.pem": OURS.key_pem + OURS.chain_pem,
        "clientca.pem": CLIENTS.pem, "clientcrl.pem": CLIENTS.crl().public_bytes(Encoding.PEM),
        "tlsclients": b"ann@client.test\n", "rsa512.pem": b"old\n", "dh512.pem": b"old\n",
        "tlsserverciphers": f"DES-CBC3-SHA:{AES}\n".encode(), "tlsclientciphers": f"RC4-SHA:{CHACHA}\n".encode(),
        "tlshosts/mx.pin.test.pem": _shown("pin.test").chain_pem,
        "tlshosts/mx.changed.test.pem": self_signed("mx.changed.test").chain_pem,
        "tlshosts/mx.ca.test.pem": SERVERS.pem, "tlshosts/mx.cn.test.pem": SERVERS.pem, "notlshosts/mx.not.test": b"",
    }  # fmt: skip
    rules = (
        '127.0.0.2:allow,RELAYCLIENT=""\n127.0.0.3:allow,DENY_TLS="1"\n'
        f'127.0.0.4:allow,TLSCIPHERS="{CHACHA}"\n127.0.0.5:allow,SMTPS="1"\n:allow\n'
    )
    return _control(directory, files, rules)


def _listed(directory: Path) -> tuple[str | Path, ...]:
    files = {
        "me": b"mx.example.test\n", "locals": b"example.test\n", "rcpthosts": b"example.test\n",
        "tlshosts/exhaustivelist": b"", "tlshosts/mx.ca.test.pem": SERVERS.pem,
    }  # fmt: skip
    return _control(directory, files, '127.0.0.2:allow,RELAYCLIENT=""\n')


def _control(directory: Path, files: dict[str, bytes], rules: str) -> tuple[str | Path, ...]:
    for name, content in files.items():
        (directory / "control" / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / "control" / name).write_bytes(content)
    (directory / "tcp.smtp").write_text(rules)
    return "qmail", directory / "control", "--tcprules", directory / "tcp.smtp"


def _shown(domain: str) -> Issued:
    certificate = HOPS[domain].certificate
    assert certificate is not None
    return certificate


# -- clients


@pytest.mark.parametrize(
    ("server", "setting", "address", "seen"),
    [
        ("dmail", "show_tls", "127.0.0.2", OFFERED),
        ("dmail", "show_tls with a wildcard", "127.0.5.77", OFFERED),
        ("dmail", "on no list", "127.0.0.5", HIDDEN),
        ("dmail", "require_tls and show_tls", "127.0.0.3", REQUIRED),
        ("dmail", "require_tls alone", "127.0.0.4", REQUIRED),
        ("qmail", "servercert.pem", "127.0.0.6", OFFERED),
        ("qmail", "DENY_TLS", "127.0.0.3", HIDDEN),
        ("listed", "no servercert.pem", "127.0.0.6", HIDDEN),
    ],
)
def test_client_is_offered_tls_by_its_address(
    servers: dict[str, Imported], server: str, setting: str, address: str, seen: Seen
) -> None:
    """Offered, hidden or required; where it is offered swaks gets it, and explain says the same."""
    running = servers[server]
    assert running.look(address) == seen, setting
    assert DECISIONS[running.inbound(address)["starttls"]] == seen, setting
    done = running.swaks(address, "--tls", "--quit-after", "FROM", to="carol@example.test")
    assert (done.code == 0) == seen.offered, done.said


def test_server_pem_is_the_certificate_that_clients_see(servers: dict[str, Imported]) -> None:
    """Of DMail in one file, key first; of qmail servercert.pem."""
    for name, authority in (("dmail", SERVERS), ("qmail", CLIENTS)):
        ca = servers[name].directory / "that.pem"
        ca.write_bytes(authority.pem)
        done = servers[name].swaks(
            "127.0.0.2", "--tls", "--tls-verify", "--tls-ca-path", ca, "--quit-after", "FROM", to="carol@example.test"
        )
        assert done.code == 0, done.said


@pytest.mark.parametrize(
    ("setting", "address", "starttls"),
    [
        ("dpop_allow_ssl", "127.0.0.2", "offer"), ("dpop_require_ssl", "127.0.0.3", "require"),
        ("on neither list", "127.0.0.5", "deny"),
    ],
)  # fmt: skip
def test_pop_client_is_offered_tls_by_its_address(
    servers: dict[str, Imported], setting: str, address: str, starttls: str
) -> None:
    """curl reads its mailbox over STLS where it is offered, and nowhere in the clear."""
    server = servers["dmail"]
    assert server.curl(address, "--ssl-reqd").code == (_NO_STLS if starttls == "deny" else 0), setting
    assert server.curl(address).code == _NO_LOGIN, setting
    assert server.inbound(address, "pop3")["starttls"] == starttls


@pytest.mark.parametrize(
    ("setting", "address", "cipher"), [("TLSCIPHERS", "127.0.0.4", CHACHA), ("tlsserverciphers", "127.0.0.6", AES)]
)
def test_ciphers_go_by_address(servers: dict[str, Imported], setting: str, address: str, cipher: str) -> None:
    """openssl gets the cipher of the list and not the other one; TLSCIPHERS counts before tlsserverciphers."""
    server = servers["qmail"]
    other = AES if cipher == CHACHA else CHACHA
    assert server.cipher(address, f"{other}:{cipher}") == cipher, setting
    assert server.cipher(address, other) == "", setting
    assert server.inbound(address)["ciphers"] == cipher


def test_smtps_is_tls_from_the_first_octet(servers: dict[str, Imported]) -> None:
    """On the port that stands for 465."""
    server = servers["qmail"]
    done = server.swaks("127.0.0.5", "--tls-on-connect", "--quit-after", "FROM", to="c@example.test", listener="smtps")
    assert done.code == 0, done.said
    (found,) = server.ask("explain", "inbound", "127.0.0.5", "--listener", "smtps")
    assert found["decision"] == "implicit: TLS from the first octet"


@pytest.mark.parametrize(
    ("server", "setting", "address", "relays"),
    [
        ("dmail", "forward_from_ip", "127.0.0.6", True), ("dmail", "nothing", "127.0.0.2", False),
        ("qmail", "RELAYCLIENT", "127.0.0.2", True), ("qmail", "nothing", "127.0.0.6", False),
    ],
)  # fmt: skip
def test_relaying_goes_by_address(
    servers: dict[str, Imported], server: str, setting: str, address: str, *, relays: bool
) -> None:
    """A recipient elsewhere is taken from those listed, and refused to others."""
    done = servers[server].swaks(address, "--quit-after", "RCPT", to=ELSEWHERE)
    assert done.code == (RELAYED if relays else REFUSED), f"{setting}: {done.said}"
    assert servers[server].relays(address) == relays


@pytest.mark.parametrize(
    ("setting", "certificate", "relays"),
    [("tlsclients", ANN, True), ("not in tlsclients", EVE, False), ("clientcrl.pem", LOST, False)],
)
def test_relaying_goes_by_certificate(
    servers: dict[str, Imported], tmp_path: Path, setting: str, certificate: Issued, *, relays: bool
) -> None:
    """swaks shows its certificate: the address in it decides, and a revoked one proves nothing."""
    file = certificate.write(tmp_path / "client.pem")
    done = servers["qmail"].swaks(
        "127.0.0.6", "--tls", "--tls-cert", file, "--tls-key", file, "--quit-after", "RCPT", to=ELSEWHERE
    )
    assert done.code == (RELAYED if relays else REFUSED), f"{setting}: {done.said}"
    assert servers["qmail"].relays("--certificate", file) == relays


@pytest.mark.parametrize(
    ("setting", "recipient", "taken"),
    [
        ("rcpthosts", "dave@passed.test", True), ("rcpthosts, below", "dave@x.passed.test", False),
        ("morercpthosts with a dot", "dave@x.more.test", True), ("in neither", ELSEWHERE, False),
    ],
)  # fmt: skip
def test_mail_for_rcpthosts_is_taken_from_everybody(
    servers: dict[str, Imported], setting: str, recipient: str, *, taken: bool
) -> None:
    """From a client that may not relay, and for no other domain."""
    done = servers["qmail"].swaks("127.0.0.6", "--quit-after", "RCPT", to=recipient)
    assert done.code == (RELAYED if taken else REFUSED), f"{setting}: {done.said}"
    assert not servers["qmail"].relays("127.0.0.6")


@pytest.mark.parametrize(
    ("sender", "refused"),
    [("spammer@bad.test", True), ("other@bad.test", False), ("any@worse.test", True), ("<>", False)],
)
def test_badmailfrom_is_refused(servers: dict[str, Imported], sender: str, *, refused: bool) -> None:
    """By address and by domain; qmail said so at RCPT, here it is said at MAIL."""
    done = servers["qmail"].swaks("127.0.0.6", "--from", sender, "--quit-after", "FROM", to="carol@example.test")
    assert (done.code != 0) == refused, done.said
    assert ("550 5.7.1" in done.said) == refused, done.said


# -- servers


@dataclass(frozen=True, slots=True)
class Sent:
    """What becomes of mail for a domain.

    :param server: which imported one sends it.
    :param answer: what the next hop does.
    :param tls: whether it arrives over TLS; None when it waits.
    :param words: of the Received line, or of the reason for which it waits.
    """

    server: str
    domain: str
    answer: Answer
    tls: bool | None
    words: tuple[str, ...] = ()


SENT = {
    "require_tls_out": Sent("dmail", "clear.test", Answer.ABSENT, None, ("4.7.4",)),
    "require_tls_out where TLS is offered": Sent("dmail", "tls.test", Answer.SELF_SIGNED, True),
    "require_tls_except": Sent("dmail", "exempt.test", Answer.ABSENT, False),
    "not in require_tls_out": Sent("dmail", "free.test", Answer.ABSENT, False),
    "not in require_tls_out where TLS is offered": Sent("dmail", "free-tls.test", Answer.SELF_SIGNED, True),
    "tlshosts with the server's certificate": Sent("qmail", "pin.test", Answer.RIGHT_PIN, True),
    "tlshosts with another certificate": Sent("qmail", "changed.test", Answer.WRONG_PIN, None, ("4.7.5",)),
    "tlshosts with an authority": Sent("qmail", "ca.test", Answer.GOOD, True, (f"TLSv1.2 with cipher {CHACHA}",)),
    "tlshosts with an authority, CN alone": Sent(
        "qmail", "cn.test", Answer.WRONG_NAME, None, ("4.7.5", "subjectAltName")
    ),
    "notlshosts": Sent("qmail", "not.test", Answer.SELF_SIGNED, False),
    "clientcert.pem": Sent(
        "qmail", "free-tls.test", Answer.SELF_SIGNED, True, ('Client CN "mx.example.test"', "verified OK")
    ),
    "smtproutes": Sent("qmail", "routed.test", Answer.SELF_SIGNED, True),
    "smtproutes without a relay": Sent("qmail", "direct.wide.test", Answer.ABSENT, False),
    "exhaustivelist": Sent("listed", "free-tls.test", Answer.SELF_SIGNED, False),
    "exhaustivelist, on it": Sent("listed", "ca.test", Answer.GOOD, True, ("did not present a certificate",)),
}  # fmt: skip


@pytest.mark.parametrize("setting", SENT)
def test_server_is_approached_as_the_old_one_did(
    servers: dict[str, Imported], next_hops: Postfix, setting: str
) -> None:
    """Over TLS, in the clear, or not yet; Postfix writes into the message how it came, and explain foresaw it."""
    row = SENT[setting]
    server = servers[row.server]
    token = f"token{list(SENT).index(setting)}."
    client = "127.0.0.6" if row.server == "dmail" else "127.0.0.2"
    done = server.swaks(client, "--header", f"Subject: {token}", to=f"carol@{row.domain}")
    assert done.code == 0, done.said
    foreseen = server.foreseen(row.domain, HOPS[row.domain].address, row.answer)
    if row.tls is None:
        waits = until(lambda: _waiting(server, row.domain), what=f"{setting}: it waits", log=server.log)
        assert all(word in waits for word in row.words), waits
        assert foreseen.startswith("deferred"), foreseen
        return
    arrived = next_hops.arrived(token)
    received = arrived.received[0]
    assert ("using TLSv1." in received) == row.tls, received
    assert all(word in received for word in row.words), received
    assert ("over TLS" in foreseen) == row.tls and foreseen.startswith("delivered"), foreseen


def _waiting(server: Imported, domain: str) -> str | None:
    """What is said of a message for a domain that waits."""
    for message in server.queue():
        for recipient in message["recipients"]:
            if recipient["address"].endswith(f"@{domain}") and recipient["state"] == "deferred":
                return str(recipient)
    return None
