"""A mail server with STARTTLS that stores what it takes in a Maildir.

python examples/smtp_server.py server.pem Maildir 2525
"""

import asyncio
import mailbox
import signal
import sys

from gatepost.smtp import Handler, IncomingMessage, Mailbox, RcptParameters, Reply, Server, Session

DOMAIN = "example.test"


class Store(Handler):
    """Made anew for each side of each connection; the Maildir is what all of them share."""

    def __init__(self, maildir: mailbox.Maildir) -> None:
        self.maildir = maildir

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: RcptParameters) -> Reply | None:
        return None if recipient.domain == DOMAIN else Reply(550, "5.7.1", "Relaying denied")

    async def on_message(self, session: Session, message: IncomingMessage) -> None:
        content = message.trace() + await message.read()
        await asyncio.to_thread(self.maildir.add, content)  # it is on the disk before the client is told 250


async def main(certificate: str, folder: str, port: str) -> None:
    maildir, stop = mailbox.Maildir(folder), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server(lambda: Store(maildir), hostname="localhost", certificate=certificate)
    async with server.listen("127.0.0.1", int(port)):
        print(f"listening on port {server.port}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
