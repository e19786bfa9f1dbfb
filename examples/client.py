"""Begin in the clear, become private, say what was proved: python examples/client.py HOST PORT [CA_FILE]"""

import asyncio
import sys

import gatepost


async def main(host: str, port: str, ca_file: str | None = None) -> None:
    async with gatepost.connect(host, int(port), ca_file=ca_file) as plain:  # nothing is read ahead
        secure = await plain.upgrade("smtp")  # or "imap", "postgres", …, or "raw" after your own words
        print(secure.evidence.version, secure.evidence.group, secure.evidence.peer_names)
        await secure.send(b"EHLO client.example\r\n")
        print((await secure.readline()).decode(), end="")


asyncio.run(main(*sys.argv[1:]))
