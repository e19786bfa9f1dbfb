"""Invariant: whatever stands in a configuration's file, only ConfigError escapes, its problems are printable lines with
their places, and what was read is written as what is read again."""

from __future__ import annotations

import tomllib

from fuzz.files import folder_of
from fuzz.words import ENDS, TOML, VALUES

from gatepost.config.load import load
from gatepost.config.locate import locate
from gatepost.config.show import plain, toml
from gatepost.errors import ConfigError

WORDS = (
    *TOML, *VALUES, *ENDS, b"~/x", b"~nobody-here/x", b'"~nobody-here"', b"\\", b'certificate = "', b"crl = ",
    b"file:~x",
)  # fmt: skip
SEEDS = (
    (
        b'hostname = "mx.example.org"\ndomains = ["example.org", "b\xc3\xbccher.example"]\n[tls]\n'
        b'certificate = "x.pem"\n'
        b'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = ["127.0.0.1:2525", "[::1]:2525"]\n'
        b'[[inbound]]\nfrom = ["192.0.2.0/24", "!192.0.2.1"]\nstarttls = "require"\n'
    ),
    (
        b'[delivery]\nsmarthost = "mx.example.net:587"\nlifetime = "5d"\n[limits]\nmessage_size = "50 MiB"\n'
        b'[[outbound]]\nto = [".example.com", "*"]\nlevel = "verify"\nfingerprints = []\n[[route]]\nto = "*"\n'
        b'via = "mx"\n'
    ),
    (
        b'[greylist]\nenabled = true\n[[greylist_rule]]\nsender = ["<>", "a@"]\naction = "pass"\n[record]\n'
        b'budget = "1 GiB"\n'
        b'[[record_rule]]\nfrom = "*"\nfraction = 0.5\n[[relay]]\nfrom = "file:x"\n'
    ),
    (
        b'[[backend]]\nname = "b"\nservers = "127.0.0.1:143"\n[[gate]]\nname = "g"\nprotocol = "imap"\n'
        b'backend = "b"\nbind = ":1143"\n'
    ),
    b'a.b = {c = 1, "d" = [1, 2,]}\n"""x"""\n',
)


def target(data: bytes) -> None:
    """As the main file, and as one beside it."""
    root = folder_of({"gatepost.toml": data})
    try:
        config = load(root / "gatepost.toml")
    except ConfigError as error:
        assert str(error).isprintable()
        assert all(len(problem.splitlines()) == 1 for problem in error.problems)
        try:
            text = data.decode()
            tomllib.loads(text)
        except (ValueError, RecursionError):
            return
        assert all(line >= 1 for line in locate(text).values())
        return
    written = toml(plain(config))
    (root / "again.toml").write_text(written)
    assert plain(load(root / "again.toml")) == plain(config)
