"""Run fuzz targets: coverage-guided with atheris where it is installed, with random octets otherwise.

Usage: ``python fuzz/run.py [TARGET [SECONDS]]``
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
WORDS = (
    *(b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b" ", b"\0", b"\xff", b"\xc3\xa9"),
    *(b"<", b">", b"@", b'"', b"\\", b"=", b"+", b"a", b"1", b"xn--", b"[IPv6:::1]", b"[192.0.2.1]", b"postmaster"),
    *(b"EHLO a\r\n", b"LHLO a\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n", b"RSET\r\n"),
    *(b"BDAT 3\r\n", b"BDAT 2 LAST\r\n", b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"\x16\x03\x01"),
    *(b"AUTH PLAIN AGE=\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b"FROM:<", b"TO:<", b"SIZE=", b"ORCPT=rfc822;", b"NOTIFY="),
    *(b"CAPA\r\n", b"STLS\r\n", b"USER a\r\n", b"PASS b\r\n", b"STAT\r\n", b"LIST\r\n", b"RETR 1\r\n", b"TOP 1 0\r\n"),
    *(b"UIDL\r\n", b"DELE 1\r\n", b"+OK\r\n", b"+OK 1 1\r\n", b"-ERR [AUTH]\r\n", b"+ \r\n", b"1 1\r\n", b"A: b\r\n"),
    *(b"a NOOP\r\n", b"a LOGIN b c\r\n", b"a APPEND x {3}\r\n", b"a APPEND x {3+}\r\n", b"a AUTHENTICATE PLAIN\r\n"),
    *(b"a IDLE\r\n", b"DONE\r\n", b"a STARTTLS\r\n", b"a LOGOUT\r\n", b"{3}\r\n", b"~{3}\r\n", b"{3}", b"{0+}\r\n"),
    *(b"* OK x\r\n", b"a OK x\r\n", b"a NO x\r\n", b"+ x\r\n", b"* BYE\r\n", b"* 1 FETCH (X {3}\r\n", b"* PREAUTH\r\n"),
)


def load(name: str) -> Callable[[bytes], None]:
    """The target of one file."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"fuzz_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target: Callable[[bytes], None] = getattr(module, "target", None) or module.one_input
    return target


def draw(chance: random.Random) -> bytes:
    """Some octets: words of the protocol, and a few that are none."""
    parts = [
        chance.choice(WORDS) if chance.random() < 0.9 else chance.randbytes(chance.randrange(8))
        for _ in range(chance.randrange(30))
    ]
    return b"".join(parts)


def run_random(name: str, seconds: float, seed: int) -> None:
    """Random octets until the time is over; the input that broke the invariant is printed."""
    target, chance = load(name), random.Random(seed)  # noqa: S311  # it must be repeatable
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = draw(chance)
        try:
            target(data)
        except BaseException:
            print(f"{name}: broken by {data!r} (seed {seed})", file=sys.stderr)
            raise
        runs += 1
    print(f"{name}: {runs} inputs, nothing found")


def main(arguments: list[str]) -> None:
    """Run what was named, or everything."""
    names = arguments[:1] or sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))
    seconds = float(arguments[1]) if len(arguments) > 1 else 5.0
    if len(names) == 1 and importlib.util.find_spec("atheris") is not None:
        atheris = importlib.import_module("atheris")
        atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], load(names[0]))
        atheris.Fuzz()
        return
    for name in names:
        run_random(name, seconds, seed=time.time_ns())


if __name__ == "__main__":
    main(sys.argv[1:])
