"""Who relays through Postfix: ``mynetworks`` and ``relay_clientcerts``, where its restrictions go by them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.maincf import Parameter, Parameters, logical_lines, table_entries, table_names
from gatepost.config.importers.networks import postfix_network
from gatepost.config.importers.texts import read_text
from gatepost.errors import ConfigError

_PIN: Final = re.compile(r"(?:[0-9A-Fa-f]{2}:?){32}")


def relays(document: Document, parameters: Parameters, base: Path, file: str) -> None:
    """The rules for relaying."""
    ruling = _ruling(document, parameters)
    _by_address(document, parameters, ruling, base, file)
    _by_certificate(document, parameters, ruling, base)


def _ruling(document: Document, parameters: Parameters) -> Parameter | None:
    """The restrictions that decide about relaying; None for Postfix's own."""
    relay, recipient = (parameters.take(f"smtpd_{name}_restrictions") for name in ("relay", "recipient"))
    for each in (relay, recipient):
        if each and each.value:
            document.notice(
                each.place,
                "of the restrictions, permit_mynetworks and permit_tls_clientcerts alone are taken over: "
                f"{each.value[:200]}",
            )
    return relay if relay is None or relay.value else recipient


def _by_address(document: Document, parameters: Parameters, ruling: Parameter | None, base: Path, file: str) -> None:
    networks, style = parameters.take("mynetworks"), parameters.take("mynetworks_style")
    if networks is not None:
        entries = [entry for word in networks.words for entry in _networks(document, word, networks.place, base)]
    else:
        place = style.place if style else f"{file}: mynetworks is not set"
        entries = [Sourced(entry, place) for entry in ("127.0.0.0/8", "::1")]
        if style is None or style.value.lower() != "host":
            document.notice(
                place, "the networks of this machine's interfaces are not known here: loopback alone relays"
            )
    if not entries:
        return
    marks = [str(entry.value).startswith("!") for entry in entries]
    if marks != sorted(marks, reverse=True):
        document.notice(
            entries[0].place, "an exclusion counts wherever it stands; in Postfix only before what it is part of"
        )
    if ruling is not None and "permit_mynetworks" not in ruling.words:
        lines = ["[[relay]]", f"from = {[str(entry.value) for entry in entries]}".replace("'", '"')]
        document.withhold(
            "relay", lines, ruling.place, "the restrictions do not have permit_mynetworks: nobody relays by address"
        )
        return
    document.add("relay", {"from": listed(entries)})


def _by_certificate(document: Document, parameters: Parameters, ruling: Parameter | None, base: Path) -> None:
    """Fingerprints of SHA-256 can be taken over, whether of certificates or of public keys."""
    if ruling is not None and "permit_tls_all_clientcerts" in ruling.words:
        document.notice(
            ruling.place, "permit_tls_all_clientcerts is not taken over: name the clients in certificate_email"
        )
    maps, digest = parameters.take("relay_clientcerts"), parameters.take("smtpd_tls_fingerprint_digest")
    if maps is None or not maps.value:
        return
    if ruling is None or "permit_tls_clientcerts" not in ruling.words:
        document.notice(
            maps.place,
            "relay_clientcerts is not taken over: no restriction has permit_tls_clientcerts, so it let nobody",
        )
        return
    pins: list[Sourced] = []
    for name in table_names(maps.value):
        for entry in table_entries(document, name, maps.place, base):
            if _PIN.fullmatch(entry.key):
                pins.append(Sourced(entry.key, entry.place))
            else:
                kind = digest.value if digest else "an older digest"
                document.notice(
                    entry.place, f"{entry.key} is no fingerprint of SHA-256 (but of {kind}), and is not taken over"
                )
    if pins:
        document.add("relay", {"certificate_fingerprint": listed(pins)})


def _networks(document: Document, word: str, place: str, base: Path) -> list[Sourced]:
    """The entries that a word of ``mynetworks`` stands for."""
    mark, body = ("!", word[1:]) if word.startswith("!") else ("", word)
    if not body.startswith("/"):
        if re.match(r"[a-z]+:", body):
            document.notice(place, f"the table {body} is not taken over: name its networks")
            return []
        return [Sourced(mark + postfix_network(body), place)]
    try:
        text = read_text(base / body)
    except ConfigError as error:
        document.notice(place, f"{body} is not taken over: {error.message}")
        return []
    return [
        Sourced((mark + postfix_network(entry)).replace("!!", ""), f"{Path(body).name}:{number}")
        for number, line in logical_lines(text)
        for entry in re.split(r"[,\s]+", line)
        if entry
    ]
