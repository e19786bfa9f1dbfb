"""Fuzz the reply reader. Invariant: only ``RemoteProtocolError`` escapes, and every text that is read is printable.

Run: ``python fuzz/fuzz_smtp_reply.py [SECONDS]``. Each run has a new seed, which a failure prints.
"""

from __future__ import annotations

import random
import sys
import time

from gatepost.errors import RemoteProtocolError
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.replies import ReplyReader

SEEDS = (
    b"220 mx.example.org ESMTP\r\n",
    b"250-mx\r\n250-SIZE 1000\r\n250-AUTH PLAIN LOGIN\r\n250-LIMITS RCPTMAX=5\r\n250 STARTTLS\r\n",
    b"550-5.1.1 no\r\n550 5.1.1 such user\r\n354 go\r\n421 bye\r\n",
)


def one_input(data: bytes) -> None:
    """Read everything in ``data``, cut in two."""
    reader = ReplyReader()
    try:
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            reader.receive(piece)
            while (reply := reader.next_reply()) is not None:
                assert all(line.isprintable() for line in reply.lines)
                Capabilities(reply)
    except RemoteProtocolError:
        return


def mutate(data: bytes, source: random.Random) -> bytes:
    """Change, insert, delete and repeat a few octets."""
    octets = bytearray(data)
    for _ in range(source.randrange(1, 8)):
        at = source.randrange(len(octets) + 1)
        match source.randrange(4):
            case 0 if octets:
                octets[at % len(octets)] = source.randrange(256)
            case 1:
                octets[at:at] = source.choice((b"\r", b"\n", b"\r\n", b"-", b" ", b"\0", b"\xff", b"250-"))
            case 2:
                del octets[at : at + source.randrange(5)]
            case _:
                octets[at:at] = octets[at : at + 20] * source.randrange(1, 50)
    return bytes(octets)


def main() -> None:
    """Mutate the seeds for a while."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = time.time_ns()
    source = random.Random(seed)  # noqa: S311  # it must be repeatable
    end = time.monotonic() + seconds
    runs = 0
    data = b""
    try:
        while time.monotonic() < end:
            data = mutate(source.choice(SEEDS), source)
            one_input(data)
            runs += 1
    except BaseException:
        print(f"seed {seed}, input {data!r}", file=sys.stderr)
        raise
    print(f"{runs} inputs, nothing escaped")


if __name__ == "__main__":
    main()
