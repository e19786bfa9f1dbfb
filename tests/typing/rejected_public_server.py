"""In the library's server, too: a plaintext session has no evidence and no login, and a private one needs evidence."""

from gatepost.smtp import Auth, Extension, Handler, IncomingMessage, PlainSession, Reply, SecureSession, Session
from gatepost.wire.upgrade import Origin, TLSEvidence


class Hooks(Handler):
    async def on_connect(self, session: PlainSession) -> Reply | None:
        session.offer_login(Auth(check=lambda user, password: True))  # rejected: attr-defined
        print(session.evidence)  # rejected: attr-defined
        print(session.user)  # rejected: attr-defined
        return None

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply | None:
        print(session.user)  # rejected: attr-defined
        if isinstance(session, SecureSession):
            print(session.user)
        return None

    async def on_secure(self, session: PlainSession, evidence: TLSEvidence) -> None:  # rejected: override
        return None


def private_from_plain(plain: PlainSession, evidence: TLSEvidence) -> SecureSession:
    return SecureSession(plain, evidence)  # rejected: arg-type


def private_without_evidence(origin: Origin) -> SecureSession:
    return SecureSession(origin)  # rejected: call-arg


def private_with_what_was_heard(origin: Origin, evidence: TLSEvidence, plain: PlainSession) -> SecureSession:
    return SecureSession(origin, evidence, plain.hello)  # rejected: call-arg


def login_as_an_extension(plain: PlainSession, auth: Auth) -> None:
    plain.register(auth)  # rejected: arg-type


class Answers(Extension):
    async def on_verb(self, session: Session, verb: str, argument: str) -> None:  # rejected: override
        return None
