"""The server half of each recipe, with the driver for accepted sockets, against clients of the distribution.

A client has passed when its first protected message was read, and both sides say the same of what protects it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from tests.interop.patience import PATIENCE
from tests.interop.programs import require
from tests.ports import free_port

from gatepost.net.listen import bind
from gatepost.net.serve_dialogue import upgrade_accepted
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import ServerContexts, server_contexts
from gatepost.wire.recipes.recipe import ServerTerms
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import TLSEvidence

pytestmark = pytest.mark.interop

_CAPABILITIES: Final = (
    b'"IMPLEMENTATION" "gatepost"\r\n"SASL" "PLAIN"\r\n"SIEVE" ""\r\n"VERSION" "1.0"\r\nOK "go on"\r\n'
)


@dataclass(frozen=True, slots=True)
class Client:
    """A client, and what it says first inside TLS.

    :param recipe: the protocol.
    :param package: where the program comes from; the program is the first word of the command.
    :param command: ``{port}``, ``{ca}`` and ``{dir}`` stand for a port, the CA file, and a directory of its own.
    :param first: what must be in its first protected message.
    :param said: what it prints about TLS, with our evidence's ``{version}``, ``{cipher}`` and ``{bits}``; or nothing.
    :param version: the version of TLS that it was told to use, where it prints nothing.
    :param given: its standard input.
    :param env: variables.
    :param files: files that it reads: name and text.
    :param say: what is said first inside TLS where the server begins.
    """

    recipe: str
    package: str
    command: str
    first: bytes
    said: str = ""
    version: str = ""
    given: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    say: bytes = b""


_CURL: Final = "curl --verbose --ssl-reqd --max-time 30 --cacert {ca} "
_SWAKS: Final = (
    "swaks --server localhost --port {port} --tls --tls-verify --tls-ca-path {ca} --to a@b.example --ehlo c.example "
    "--timeout 30 "
)
_CURL_SAID: Final = "SSL connection using {version} / {cipher}"


def _openssl(protocol: str, more: str = "") -> Client:
    command = (
        "openssl s_client -connect localhost:{port} -CAfile {ca} -verify_return_error -verify_hostname localhost "
        f"-brief -starttls {protocol} {more}"
    )
    said = "Protocol version: {version}\nCiphersuite: {cipher}"
    return Client(protocol, "openssl", command, b"hello\n", said, given=b"hello\n")


CLIENTS: Final[Mapping[str, Client]] = {
    "openssl smtp": _openssl("smtp"),
    "openssl lmtp": _openssl("lmtp"),
    "openssl pop3": _openssl("pop3"),
    "openssl imap": _openssl("imap"),
    "openssl sieve": _openssl("sieve"),
    "openssl nntp": _openssl("nntp"),
    "openssl ftp": _openssl("ftp"),
    "openssl irc": _openssl("irc"),
    "openssl xmpp": _openssl("xmpp", "-xmpphost localhost"),
    "openssl xmpp-server": _openssl("xmpp-server", "-xmpphost localhost"),
    "openssl ldap": _openssl("ldap"),
    "openssl postgres": _openssl("postgres"),
    "openssl mysql": _openssl("mysql"),
    "curl smtp": Client(
        "submission", "curl", _CURL + "smtp://localhost:{port} --mail-from a@b.example --mail-rcpt c@d.example -T -",
        b"EHLO ", _CURL_SAID, given=b"Subject: x\r\n\r\n",
    ),
    "curl pop3": Client("pop3", "curl", _CURL + "pop3://u:p@localhost:{port}/", b"CAPA\r\n", _CURL_SAID),
    "curl imap": Client("imap", "curl", _CURL + "imap://u:p@localhost:{port}/", b" CAPABILITY\r\n", _CURL_SAID),
    "curl ftp": Client("ftp", "curl", _CURL + "ftp://u:p@localhost:{port}/", b"USER u\r\n", _CURL_SAID),
    "swaks smtp": Client(
        "smtp", "swaks", _SWAKS, b"EHLO c.example\r\n", "TLS started with cipher {version}:{cipher}",
    ),
    "swaks lmtp": Client(
        "lmtp", "swaks", _SWAKS + "--protocol LMTP", b"LHLO c.example\r\n",
        "TLS started with cipher {version}:{cipher}",
    ),
    "psql": Client(
        "postgres", "postgresql-client", "psql -X -c select", b"user\0alice\0", version="TLSv1.2", env={
            "PGHOST": "localhost", "PGPORT": "{port}", "PGUSER": "alice", "PGDATABASE": "wonder",
            "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "{ca}", "PGSSLMAXPROTOCOLVERSION": "TLSv1.2",
        },
    ),
    "mariadb": Client(
        "mysql", "mariadb-client-core", "mariadb --no-defaults -h localhost --protocol=tcp -P {port} -u alice --ssl "
        "--ssl-ca={ca} --ssl-verify-server-cert --tls-version=TLSv1.2 --connect-timeout=30 -e select",
        b"alice\0", version="TLSv1.2",
    ),
    "ldapsearch": Client(
        "ldap", "ldap-utils", "ldapsearch -ZZ -x -H ldap://127.0.0.1:{port} -b dc=example -o nettimeout=30", b"\x30",
        version="TLSv1.2", env={
            "LDAPTLS_CACERT": "{ca}", "LDAPTLS_REQCERT": "demand",
            "LDAPTLS_CIPHER_SUITE": "NORMAL:-VERS-ALL:+VERS-TLS1.2",
        },
    ),
    "sieve-connect": Client(
        "sieve", "sieve-connect", "sieve-connect -s localhost -p {port} -u alice --tlscafile {ca} --nosrv --list "
        "--passwordfd 0 --debug", b'NOOP "STARTTLS-RESYNC-CAPA"\r\n', "TLS activated here [{bits} bits]",
        given=b"wonderland\n", say=_CAPABILITIES,
    ),
    "fetchmail pop3": Client(
        "pop3", "fetchmail", "fetchmail -f {dir}/rc --pidfile {dir}/pid --nosyslog -v -v", b"CAPA\r\n",
        "{version}", files={
            "rc": 'poll localhost protocol pop3 port {port} user "u" password "p" sslproto "TLS1.2+" sslcertck '
            'sslcertfile "{ca}" mda "/bin/true"\n'
        },
    ),
    "fetchmail imap": Client(
        "imap", "fetchmail", "fetchmail -f {dir}/rc --pidfile {dir}/pid --nosyslog -v -v", b" CAPABILITY\r\n",
        "{version}", files={
            "rc": 'poll localhost protocol imap port {port} user "u" password "p" sslproto "TLS1.2+" sslcertck '
            'sslcertfile "{ca}" mda "/bin/true"\n'
        },
    ),
    "mutt smtp": Client(
        "submission", "mutt", "mutt -n -F {dir}/muttrc -s x a@b.example", b"EHLO ", version="TLSv1.2", files={
            "muttrc": "set smtp_url=smtp://localhost:{port}\nset ssl_force_tls\nset ssl_use_tlsv1_3=no\n"
            "set certificate_file={ca}\nset from=c@d.example\nset copy=no hostname=client.example\n"
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def contexts(authority: TestAuthority) -> ServerContexts:
    return server_contexts([authority.issue("localhost", "127.0.0.1", common_name="localhost").credential])


@pytest.fixture(scope="module")
def ca_file(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_bytes(authority.pem)
    return path


def started(client: Client, port: int, place: Path) -> subprocess.Popen[bytes]:
    """Start the client. Its input is a file: it ends where it ends."""
    values = {"port": str(port), "ca": str(place / "ca.pem"), "dir": str(place)}
    for name, text in client.files.items():
        (place / name).touch(mode=0o600)
        (place / name).write_text(text.format_map(values))
    (place / "in").write_bytes(client.given)
    program, *arguments = client.command.format_map(values).split()
    environment = {key: value.format_map(values) for key, value in client.env.items()}
    with (place / "in").open("rb") as given, (place / "out").open("wb") as out:
        return subprocess.Popen(
            [require(program, client.package), *arguments], stdin=given, stdout=out, stderr=out, cwd=place,
            env={**os.environ, "HOME": str(place), **environment}, start_new_session=True,
        )  # fmt: skip


async def served(client: Client, contexts: ServerContexts, place: Path) -> tuple[TLSEvidence, bytes]:
    """Listen, start the client, serve its first connection, and read its first protected message."""
    loop, port = asyncio.get_running_loop(), free_port()
    with bind(("127.0.0.1", port)) as listener:
        process = started(client, port, place)
        try:
            async with asyncio.timeout(PATIENCE):
                sock, _ = await loop.sock_accept(listener)
            listener.close()
            accepted = await upgrade_accepted(
                loop, sock, RECIPES[client.recipe], contexts, terms=ServerTerms("localhost", PATIENCE)
            )
            if client.say:
                await accepted.send(client.say)
            first = b""
            while client.first not in first and (data := await accepted.receive(PATIENCE)):
                first += data
            accepted.close()
            process.wait(PATIENCE)
            return accepted.evidence, first
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", CLIENTS)
def test_server_half_reads_the_first_protected_message(
    name: str, contexts: ServerContexts, ca_file: Path, tmp_path: Path
) -> None:
    """The client verifies our certificate; what it says of TLS, or was told to use, is what our evidence says."""
    client = CLIENTS[name]
    (tmp_path / "ca.pem").write_bytes(ca_file.read_bytes())
    try:
        evidence, first = asyncio.run(served(client, contexts, tmp_path))
    except Exception as error:
        error.add_note((tmp_path / "out").read_text(errors="replace"))
        raise
    said = (tmp_path / "out").read_text(errors="replace")
    assert client.first in first, said
    if client.version:
        assert evidence.version == client.version, said
    assert client.said.format(version=evidence.version, cipher=evidence.cipher, bits=evidence.bits) in said, said


def test_every_recipe_that_speaks_has_a_client_here() -> None:
    """A new recipe is shown against a real client."""
    assert {client.recipe for client in CLIENTS.values()} == set(RECIPES) - {"raw"}
