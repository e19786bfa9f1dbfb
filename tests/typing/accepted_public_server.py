"""The way that is meant: a handler class, hooks that return None or a reply, a login when TLS is up."""

from pathlib import Path

from gatepost.smtp import (
    Auth,
    Extension,
    Handler,
    IncomingMessage,
    Mailbox,
    RcptParameters,
    Reply,
    SecureSession,
    Server,
    Session,
)
from gatepost.wire.upgrade import TLSEvidence


class Quota(Extension):
    only_in_private = True
    verbs = ("XQUOTA",)

    async def on_verb(self, session: Session, verb: str, argument: str) -> Reply:
        return Reply(250, "2.0.0", "much")


class Hooks(Handler):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def on_secure(self, session: SecureSession, evidence: TLSEvidence) -> Reply | None:
        session.register(Quota())
        session.offer_login(Auth.from_passwords({"alice": "wonderland"}))
        return None if evidence.version == "TLSv1.3" else Reply(554, "5.7.1", "No")

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: RcptParameters) -> Reply | None:
        return None

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply | None:
        async for piece in message:
            print(len(piece), session.user if isinstance(session, SecureSession) else None)
        return None


def serve(folder: Path) -> Server:
    return Server(lambda: Hooks(folder), hostname="mx.example.test", certificate="server.pem", extensions=[Quota])
