"""A server that runs on what ``gatepost import`` made of old files, and next hops at addresses of their own."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.postfix import Postfix
from tests.interop.programs import Done, require, run
from tests.interop.running import GATEPOST, Gatepost, Tables
from tests.ports import free_port

from gatepost.policy.levels import Answer
from gatepost.testing.ca import Issued, TestAuthority

HERE = "127.0.0.1"


class Imported(Gatepost):
    """``gatepost serve`` on an imported configuration. As docs/migrating.md says, a file in ``conf.d`` adds what the
    old files cannot say; here also ports that a test may have, in place of 25 and 465.

    :param command: of ``gatepost import``, without its name.
    :param added: the tables of the file in ``conf.d``.
    """

    def __init__(
        self,
        directory: Path,
        authority: TestAuthority,
        command: tuple[str | Path, ...],
        added: Tables,
        users: Mapping[str, str],
    ) -> None:
        self._command = command
        self._added = added
        super().__init__(directory, authority, users=users)

    def configure(self, tables: Tables | None = None, keys: Mapping[str, object] | None = None) -> None:
        """Import, put in the ports, and add what the old files cannot say."""
        words = (*GATEPOST, "import", *self._command, "--output", self.config)
        done = run(words)
        assert done.code == 0, done.said
        text = self.config.read_text()
        for port, name in {25: "mx", 465: "smtps", 110: "pop3"}.items():
            self.ports.setdefault(name, free_port())
            text = text.replace(f'"0.0.0.0:{port}"', f'"{HERE}:{self.ports[name]}"')
        assert "0.0.0.0" not in text
        self.config.write_text(text)
        super().configure(self._added, keys)  # writes a whole file with listeners of its own: its head is what we want
        added = (
            self.config.read_text().partition("[[listener]]")[0].replace('[tls]\n"certificate" = "server.pem"\n', "")
        )
        self.config.write_text(text)
        (self.directory / "conf.d").mkdir(exist_ok=True)
        (self.directory / "conf.d" / "here.toml").write_text(added)

    def look(self, address: str) -> Seen:
        """What a client at an address is offered, in the clear."""
        with smtplib.SMTP(HERE, self.ports["mx"], timeout=30, source_address=(address, 0)) as client:
            client.ehlo("client.test")
            offered = client.has_extn("starttls")
            taken = client.docmd("MAIL", "FROM:<ann@client.test>")[0]
        with smtplib.SMTP(HERE, self.ports["mx"], timeout=30, source_address=(address, 0)) as client:
            client.ehlo("client.test")
            granted = client.docmd("STARTTLS")[0]
            if granted == 220:
                client.close()
        return Seen(offered, taken, granted)

    def swaks(self, address: str, *words: str | Path, to: str, listener: str = "mx") -> Done:
        """swaks from an address."""
        command: list[str | Path] = [require("swaks", "swaks"), "--server", f"{HERE}:{self.ports[listener]}"]
        command += ["--local-interface", address, "--ehlo", "client.test", "--from", "ann@client.test", "--to", to]
        return run([*command, *words])

    def cipher(self, address: str, offered: str) -> str:
        """The TLS 1.2 cipher that ``openssl s_client`` agrees on from an address; empty when there is none."""
        command = [
            require("openssl", "openssl"),
            "s_client",
            "-connect",
            f"{HERE}:{self.ports['mx']}",
            "-bind",
            address,
        ]
        done = run([*command, "-starttls", "smtp", "-tls1_2", "-cipher", offered, "-brief"], given=b"QUIT\r\n")
        lines = [line for line in done.said.splitlines() if line.startswith("Ciphersuite: ")]
        return lines[0].removeprefix("Ciphersuite: ") if lines else ""

    def curl(self, address: str, *words: str) -> Done:
        """curl lists a mailbox by POP3, from an address."""
        user, password = next(iter(self.users.items()))
        place = f"{self.hostname}:{self.ports['pop3']}"
        command = [require("curl", "curl"), "--silent", "--show-error", "--interface", address, "--max-time", "30"]
        command += ["--resolve", f"{place}:{HERE}", "--cacert", str(self.ca_file), "--user", f"{user}:{password}"]
        return run([*command, *words, f"pop3://{place}/"])

    def inbound(self, address: str, listener: str = "mx") -> dict[str, Any]:
        """What ``explain`` says of a client: the settings."""
        (found,) = self.ask("explain", "inbound", address, "--listener", listener)
        return {key: each["value"] for key, each in found["settings"].items()}

    def relays(self, *words: str | Path) -> bool:
        """What ``explain`` says of relaying."""
        found = self.ask("explain", "relay", *map(str, words), "--listener", "mx")
        return bool(found[0]["settings"]["relay"]["value"])

    def foreseen(self, domain: str, address: str, answer: Answer) -> str:
        """What ``explain`` says becomes of mail for a domain whose server behaves in a way."""
        (found,) = self.ask("explain", "outbound", f"carol@{domain}", "--mx", f"mx.{domain}", "--ip", address)
        (then,) = [each["then"] for each in found["outlook"] if each["when"] == f"the server {answer.value}"]
        return str(then)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw: whether STARTTLS is offered, and the replies to MAIL and to STARTTLS in the clear."""

    offered: bool
    mail: int
    starttls: int


HIDDEN, OFFERED, REQUIRED = Seen(False, 250, 502), Seen(True, 250, 220), Seen(True, 530, 220)
DECISIONS = {"deny": HIDDEN, "offer": OFFERED, "require": REQUIRED}


@dataclass(frozen=True, slots=True)
class Hop:
    """A mail exchanger.

    :param address: its own.
    :param certificate: what it shows; None offers no STARTTLS.
    :param options: further parameters of its smtpd.
    """

    address: str
    certificate: Issued | None
    options: tuple[str, ...] = ()


def listen(postfix: Postfix, clients: TestAuthority, hops: Mapping[str, Hop]) -> None:
    """Make Postfix the exchanger of several domains, each at an address of its own; all mail is Carol's."""
    (postfix.base / "clients.pem").write_bytes(clients.pem)
    lines = []
    for domain, hop in hops.items():
        options = [*hop.options, f"smtpd_tls_security_level={'may' if hop.certificate else 'none'}"]
        options += ["smtpd_tls_ask_ccert=yes", f"smtpd_tls_CAfile={postfix.base}/clients.pem"]
        if hop.certificate is not None:
            file = hop.certificate.write(postfix.base / f"{domain}.pem", key_first=True)
            options.append(f"smtpd_tls_chain_files={file}")
        words = " ".join(f"-o {option}" for option in options)
        lines.append(f"{hop.address}:{postfix.port} inet n - n - - smtpd {words}\n")
    with (postfix.base / "conf" / "master.cf").open("a") as stream:
        stream.writelines(lines)
    postfix.set(virtual_mailbox_domains=", ".join(hops), virtual_mailbox_maps="static:carol/")
