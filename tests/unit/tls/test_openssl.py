"""One ticket instead of two, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest
from OpenSSL import SSL

from gatepost.tls import openssl

PROGRAM = """
import os, sys
from gatepost.tls.openssl import limit_tickets
assert "OpenSSL" not in sys.modules
print(limit_tickets(int(sys.argv[1])), "OPENSSL_CONF" in os.environ, limit_tickets(1))
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import client_side, server_side
from gatepost.tls import ClientTLS, TrustStore, client_context, server_contexts
authority = TestAuthority()
server = server_side(server_contexts([authority.issue("a.example").credential]))
client = client_side(ClientTLS(client_context(trust=TrustStore([authority.certificate])), "a.example"))
server.receive(client.outgoing())
server.advance()
client.receive(server.outgoing())
stream = client.advance()
server.receive(stream.outgoing())
out = server.advance().outgoing()
records = 0
while out:
    out = out[5 + int.from_bytes(out[3:5]):]
    records += 1
print(records)
"""


@pytest.mark.parametrize("tickets", [0, 1, 2])
def test_number_of_tickets_can_be_set_before_openssl_is_loaded(tickets: int) -> None:
    """Each ticket is a record behind the handshake; the environment is as before, and a second call does nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENSSL_CONF"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tickets)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["True", "False", "False", str(tickets)]


def test_configuration_of_the_operator_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OPENSSL_CONF that is set is left alone, and so is an OpenSSL that is loaded."""
    monkeypatch.setenv("OPENSSL_CONF", "/etc/ssl/openssl.cnf")
    assert not openssl.limit_tickets()
    monkeypatch.delenv("OPENSSL_CONF")
    assert not openssl.limit_tickets()
    assert b"NumTickets = 3" in openssl.configuration(3)


@pytest.mark.parametrize("fails", [False, True])
def test_configuration_is_there_while_openssl_reads_it_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """Neither the variable nor the descriptor is left to programs that are started later, whatever happens."""
    read: list[bytes] = []

    def loading(_: int) -> None:
        with open(os.environ["OPENSSL_CONF"], "rb") as file:
            read.append(file.read())
        if fails:
            raise MemoryError

    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    monkeypatch.setattr(openssl, "_LOADERS", ())
    monkeypatch.setattr(SSL, "Context", loading)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(MemoryError) if fails else contextlib.nullcontext():
        assert openssl.limit_tickets(2)
    assert read == [openssl.configuration(2)]
    assert "OPENSSL_CONF" not in os.environ
    assert os.listdir("/proc/self/fd") == before


def test_package_gives_its_names_when_they_are_used() -> None:
    """Every public name is there, and no other."""
    import gatepost.tls

    for name in gatepost.tls._HOME_OF:
        assert getattr(gatepost.tls, name) is not None
    with pytest.raises(AttributeError):
        gatepost.tls.nothing  # noqa: B018
