"""An SMTP extension of one's own: a verb, XQUOTA, that exists inside TLS and is unknown before.

    python examples/extension.py

The program is server and client at once, and prints what the client sees.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import gatepost
from gatepost.smtp import Auth, Extension, Handler, IncomingMessage, Reply, SecureSession, Server, Session
from gatepost.testing import TestAuthority

QUOTAS = {"alice": "17 of 100 MB"}


class Quota(Extension):
    """Say how much room a user has left."""

    only_in_private = True
    keywords = ("XQUOTA",)
    verbs = ("XQUOTA",)

    async def on_verb(self, session: Session, verb: str, argument: str) -> Reply:
        if not isinstance(session, SecureSession) or session.user is None:
            return Reply(530, "5.7.0", "Log in first")
        return Reply(250, "2.0.0", QUOTAS[session.user])


class Sink(Handler):
    """Offers the extension and a login as soon as TLS is up, by what the handshake proved."""

    async def on_secure(self, session: SecureSession, evidence: gatepost.TLSEvidence) -> Reply | None:
        if evidence.version != "TLSv1.3":
            return Reply(554, "5.7.1", "TLS 1.3 is asked for here")
        session.register(Quota())
        session.offer_login(Auth.from_passwords({"alice": "wonderland"}))
        return None

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply:
        return Reply(554, "5.7.1", "No mail is taken here")


async def reply(connection: gatepost.PlainConnection | gatepost.SecureConnection, command: bytes = b"") -> list[str]:
    """Say a command, and read the lines of its reply."""
    if command:
        await connection.send(command + b"\r\n")
    lines = [await connection.readline()]
    while lines[-1][3:4] == b"-":
        lines.append(await connection.readline())
    return [line.decode().strip() for line in lines]


async def main() -> None:
    """Serve, and look."""
    authority = TestAuthority()
    with tempfile.TemporaryDirectory() as directory:
        ca_file = Path(directory, "ca.pem")
        ca_file.write_bytes(authority.pem)
        certificate = authority.issue("localhost").write(Path(directory, "server.pem"))
        server = Server(Sink, hostname="localhost", certificate=certificate)
        async with (
            server.listen("127.0.0.1", 0),
            gatepost.connect("localhost", server.port, ca_file=ca_file) as plain,
        ):
            await reply(plain)  # the greeting
            print("in the clear:", *await reply(plain, b"XQUOTA"))
            await reply(plain, b"EHLO client.example")
            await reply(plain, b"STARTTLS")
            secure = await plain.upgrade("raw")
            print("inside TLS:", "250 XQUOTA" in await reply(secure, b"EHLO client.example"))
            print("before the login:", *await reply(secure, b"XQUOTA"))
            await reply(secure, b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=")
            print("after it:", *await reply(secure, b"XQUOTA"))
            await secure.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
