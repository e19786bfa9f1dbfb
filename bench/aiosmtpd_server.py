"""aiosmtpd as it is measured: STARTTLS, and a handler that throws messages away or writes them durably to a Maildir.

python bench/aiosmtpd_server.py PORT SERVER.PEM discard|maildir DIRECTORY
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

_SERIAL = count()


class Discard:
    """Says 250."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        return "250 OK"


class Maildir:
    """Writes a file, syncs it and its directory in a thread, then says 250."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("tmp", "new", "cur"):
            (root / name).mkdir(parents=True)
        self.new = os.open(root / "new", os.O_RDONLY)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        await asyncio.get_running_loop().run_in_executor(None, self.keep, envelope.original_content)
        return "250 OK"

    def keep(self, content: bytes) -> None:
        name = f"{time.time():.6f}.{next(_SERIAL)}.bench"
        with (self.root / "tmp" / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (self.root / "tmp" / name).rename(self.root / "new" / name)
        os.fsync(self.new)


async def main(port: int, certificate: str, handler: Any) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()

    def made() -> SMTP:
        return SMTP(handler, hostname="mx.test", tls_context=context, data_size_limit=67108864, loop=loop)

    server = await loop.create_server(made, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    _, number, pem, kind, directory = sys.argv
    asyncio.run(main(int(number), pem, Discard() if kind == "discard" else Maildir(Path(directory) / "mail")))
