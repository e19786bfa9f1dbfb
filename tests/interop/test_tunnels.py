"""Whole sessions: a client of the distribution, ``serve_protocol``, ``connect``, and a server of the distribution.

What stands between the two ends TLS on both sides and knows the protocol of the upgrade alone; whatever is said inside
is passed on. The session works to its end only when both halves of a recipe leave the peers where they should be.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from tests.interop.daemons import HOST
from tests.interop.patience import PATIENCE
from tests.interop.programs import require
from tests.interop.started import Running

import gatepost
from gatepost.net.listen import bind
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import ServerContexts, server_contexts

pytestmark = pytest.mark.interop


@dataclass(frozen=True, slots=True)
class Session:
    """A client that does something useful, and how it is seen that it did.

    :param recipe: the protocol.
    :param daemon: the server behind it.
    :param package: where the client comes from; the program is the first word of the command.
    :param command: ``{port}``, ``{ca}`` and ``{dir}`` stand for a port, the CA file, and a directory of its own.
    :param printed: what it prints when the server has answered.
    :param env: variables.
    :param given: its standard input.
    """

    recipe: str
    daemon: str
    package: str
    command: str
    printed: str
    env: Mapping[str, str] = field(default_factory=dict)
    given: bytes = b""


_CURL: Final = "curl --silent --show-error --ssl-reqd --max-time 60 --cacert {ca} "
SESSIONS: Final[Mapping[str, Session]] = {
    "psql": Session(
        "postgres", "postgres", "postgresql-client", "psql -X -A -t -c select(6*7)", "42", env={
            "PGHOST": "localhost", "PGPORT": "{port}", "PGUSER": "postgres", "PGDATABASE": "postgres",
            "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "{ca}",
        },
    ),
    "mariadb": Session(
        "mysql", "mariadb", "mariadb-client-core", "mariadb --no-defaults -h localhost --protocol=tcp -P {port} "
        "-u root --ssl --ssl-ca={ca} --ssl-verify-server-cert --connect-timeout=60 -N -e select(6*7)", "42",
    ),
    "ldapsearch": Session(
        "ldap", "slapd", "ldap-utils", "ldapsearch -ZZ -x -LLL -H ldap://127.0.0.1:{port} -s base -o nettimeout=60 +",
        "supportedLDAPVersion: 3", env={"LDAPTLS_CACERT": "{ca}", "LDAPTLS_REQCERT": "demand"},
    ),
    "curl imap": Session(
        "imap", "dovecot", "curl", _CURL + "imap://u:secret@localhost:{port}/ -X NOOP -v", "OK NOOP completed",
    ),
    "curl pop3": Session(
        "pop3", "dovecot", "curl", _CURL + "pop3://u:secret@localhost:{port}/ -v", "+OK 0 messages",
    ),
    "swaks": Session(
        "smtp", "postfix", "swaks", "swaks --server localhost --port {port} --tls --tls-verify --tls-ca-path {ca} "
        "--from a@b.example --to carol@far.test --timeout 60", "250 2.0.0 Ok: queued as",
    ),
    "sieve-connect": Session(
        "sieve", "dovecot", "sieve-connect", "sieve-connect -s localhost -p {port} -u u --tlscafile {ca} --nosrv "
        "--exec {dir}/commands --passwordfd 0 --debug", 'OK "Logged in."', given=b"secret\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def contexts(authority: TestAuthority) -> ServerContexts:
    return server_contexts([authority.issue("localhost", "127.0.0.1").credential])


@pytest.fixture(scope="module")
def running(authority: TestAuthority, request: pytest.FixtureRequest) -> Iterator[Running]:
    servers = Running(authority, lambda: request.getfixturevalue("postfix"))
    yield servers
    servers.close()


Connection = gatepost.SecureConnection


async def pass_on(source: Connection, target: Connection) -> None:
    """Everything that one side says, until it has said it all."""
    while data := await source.read(timeout=PATIENCE):
        await target.send(data)


async def through_a_tunnel(
    session: Session, behind_it: tuple[str, int], contexts: ServerContexts, ca_file: Path, place: Path
) -> str:
    """Run the client against ``serve_protocol``, with the server behind; what the client printed."""

    async def tunnel(outside: Connection) -> None:
        name, port = behind_it
        behind = gatepost.connect("127.0.0.1", port, ca_file=ca_file, server_name=name, timeout=PATIENCE)
        async with behind as plain:
            inside = await plain.upgrade(session.recipe)
            ways = [asyncio.create_task(pass_on(outside, inside)), asyncio.create_task(pass_on(inside, outside))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    failures: list[Exception] = []
    with bind(("127.0.0.1", 0)) as listener:
        served = asyncio.create_task(
            gatepost.serve_protocol(
                session.recipe, listener, contexts, tunnel, hostname=HOST, timeout=PATIENCE, failed=failures.append
            )
        )
        try:
            return await run_client(session, listener.getsockname()[1], ca_file, place)
        except AssertionError as error:
            error.add_note(f"what failed in the tunnel: {failures}")
            raise
        finally:
            served.cancel()
            await asyncio.gather(served, return_exceptions=True)


async def run_client(session: Session, port: int, ca_file: Path, place: Path) -> str:
    """Run the client to its end."""
    values = {"port": str(port), "ca": str(ca_file), "dir": str(place)}
    (place / "commands").write_text("list\nquit\n")
    program, *arguments = session.command.format_map(values).split()
    environment = {key: value.format_map(values) for key, value in session.env.items()}
    process = await asyncio.create_subprocess_exec(
        require(program, session.package), *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, cwd=place, env={**os.environ, "HOME": str(place), **environment},
    )  # fmt: skip
    try:
        async with asyncio.timeout(2 * PATIENCE):
            out, _ = await process.communicate(session.given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = out.decode(errors="replace")
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("name", SESSIONS)
def test_whole_session_passes_through_a_tunnel_of_both_halves(
    name: str, running: Running, contexts: ServerContexts, authority: TestAuthority, tmp_path: Path
) -> None:
    """The client verifies the tunnel, the tunnel verifies the server, and the server's answer arrives."""
    session = SESSIONS[name]
    require(session.command.split()[0], session.package)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    behind_it = running.port(session.daemon, session.recipe)
    said = asyncio.run(through_a_tunnel(session, behind_it, contexts, ca_file, tmp_path))
    assert session.printed in said, said
