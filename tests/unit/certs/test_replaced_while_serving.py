"""Certificates that are replaced under a running server: taken up without a signal, and without a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gatepost.certs.keys import key_pem
from gatepost.testing.ca import DAY, Issued, TestAuthority, key_for
from gatepost.tls.contexts import client_context
from gatepost.tls.trust import TrustStore

Serve = Callable[..., Any]
NAME = "mx.example.test"
CLIENTS = 6
REPLACEMENTS = 4


class Crowd:
    """Clients that connect, upgrade, say EHLO and QUIT, again and again; every failure is kept."""

    def __init__(self, server: Any, trust: TrustStore) -> None:
        self.failures: list[BaseException] = []
        self.seen: dict[bytes, int] = {}
        self.resumed = 0
        self._server = server
        self._trust = trust
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        context = client_context(trust=self._trust)
        while not self._end.is_set():
            try:
                wire, client = self._server.connect(context)
                with wire:
                    wire.run(client.quit())
            except BaseException as error:  # noqa: BLE001 - the point is that there is none
                self.failures.append(error)
                continue
            with self._lock:
                if client.evidence.resumed:
                    self.resumed += 1
                else:
                    leaf = client.evidence.peer_chain[0]
                    self.seen[leaf] = self.seen.get(leaf, 0) + 1


def test_replacement_under_load_loses_no_connection(serve: Serve, authority: TestAuthority) -> None:
    """Four replacements while six clients connect without pause: no connection fails, and an old session goes on."""
    certificates = [authority.issue(NAME, key=key_for(f"key {number}")) for number in range(REPLACEMENTS + 1)]
    server = serve(server_pem=certificates[0])
    trust = TrustStore([authority.certificate])
    old_wire, old_client = server.connect(client_context(trust=trust))
    with Crowd(server, trust) as crowd:
        for number, issued in enumerate(certificates[1:], 1):
            server.replace("server.pem", issued)
            server.until(lambda number=number: len(server.events("server.reloaded")) >= number)
            server.until(lambda issued=issued: issued.der[0] in crowd.seen)
            server.until(lambda issued=issued: _shown(server, authority) == issued.der[0])
    assert crowd.failures == []
    assert set(crowd.seen) == {issued.der[0] for issued in certificates}
    assert crowd.resumed > 0
    with old_wire:
        assert old_client.evidence.peer_chain == certificates[0].der
        assert old_wire.run(old_client.reset()).code == 250
        old_wire.run(old_client.quit())
    assert not server.events("worker.died") and not server.events("server.error")


def _shown(server: Any, authority: TestAuthority) -> bytes:
    wire, client = server.connect(client_context(trust=TrustStore([authority.certificate])))
    with wire:
        leaf: bytes = client.evidence.peer_chain[0]
    return leaf


def test_broken_replacement_keeps_the_old_one_and_says_so(serve: Serve, authority: TestAuthority) -> None:
    """The log has an error, status the reason; the old certificate serves; a good file is then taken up."""
    first, second = authority.issue(NAME), authority.issue(NAME, key=key_for("the second"))
    server = serve(server_pem=first)
    expired = authority.issue(NAME, not_after=authority.now - DAY)
    mismatch = first.chain_pem + key_pem(key_for("the second"))
    for number, (broken, words) in enumerate(
        [(b"not a certificate", "holds no certificate"), (expired, "expired on"), (mismatch, "does not match")], 1
    ):
        server.replace("server.pem", broken)
        refused = server.until(
            lambda number=number: len(found := server.events("certificate.refused")) >= number and found
        )
        assert (refused[-1]["severity"], len(refused)) == ("error", number)
        assert words in refused[-1]["reason"]
        assert words in server.status()["certificates_refused"]["reason"]
        assert _shown(server, authority) == first.der[0]
    server.replace("server.pem", second)
    server.until(lambda: server.events("server.reloaded"))
    server.until(lambda: server.status()["certificates_refused"] is None)
    server.until(lambda: _shown(server, authority) == second.der[0])


def test_replacement_takes_up_no_other_change(serve: Serve, authority: TestAuthority) -> None:
    """A configuration that is being edited is not put in force by a new certificate."""
    server = serve(server_pem=authority.issue(NAME))
    config: Path = server.directory / "gatepost.toml"
    config.write_text("half of an ed")
    second = authority.issue(NAME, key=key_for("the second"))
    server.replace("server.pem", second)
    server.until(lambda: server.events("server.reloaded"))
    server.until(lambda: _shown(server, authority) == second.der[0])


def test_workers_with_the_new_certificate_do_not_wait_for_the_next_look(
    serve: Serve, authority: TestAuthority, tmp_path: Path
) -> None:
    """A replacement is in force when it was seen, however seldom the files are looked at."""
    second = authority.issue(NAME, key=key_for("the second"))
    server = serve(second.write(tmp_path / "new.pem"), server_pem=authority.issue(NAME))
    server.until(lambda: server.events("server.reloaded") or server.events("server.reload-refused"))
    assert not server.events("server.reload-refused")
    server.until(lambda: _shown(server, authority) == second.der[0])


def test_expiry_is_announced_in_log_and_status(serve: Serve, authority: TestAuthority) -> None:
    """From 21 days before the end: a warning at the start, and in status."""
    soon: Issued = authority.issue(NAME, not_after=authority.now + 20 * DAY)
    server = serve(server_pem=soon)
    (line,) = server.until(lambda: server.events("certificate.expires"))
    assert (line["severity"], line["name"]) == ("warning", NAME)
    (fact,) = server.status()["certificates"]
    assert fact["warning"].startswith("expires in") and fact["key"] == "ECDSA P-256"
