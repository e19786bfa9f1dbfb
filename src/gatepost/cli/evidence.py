"""What a handshake proved, in lines for people, for ``gatepost connect``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from gatepost.certs.evidence import chain_facts
from gatepost.cli.output import printable

if TYPE_CHECKING:
    from gatepost.wire.upgrade import TLSEvidence, Verification

# The word that says what failed (``tls.verify``), and what the user of this command can do about it.
_ADVICE: Final = {
    "self-signed": "if it is the server's own certificate: pin it with --pin, or trust it with --ca-file",
    "untrusted": "if you know its authority, trust that with --ca-file; or the server does not send its intermediates",
    "wrong-name": "if you know that this is the server, give the certificate's name with --server-name",
    "wrong-fingerprint": "ask its operator whether the certificate was renewed; then pin the new one",
    "expired": "the server's operator must renew it",
    "not-yet-valid": "is this machine's clock right?",
    "no-certificate": "the server has none to show; only --insecure-no-verify goes on",
}
_WIDTH: Final = 14


def verdict_of(verification: Verification) -> tuple[str, str]:
    """What failed: the stable word, and the words for people."""
    word, _, text = verification.reason.partition(": ")
    return (word, text) if text else ("", verification.reason or f"the certificate is {verification.status}")


def summary(
    evidence: TLSEvidence, server: str, problem: tuple[str, str] | None, *, pinned: bool = False
) -> Iterator[str]:
    """The lines.

    :param server: whom we connected to.
    :param problem: what ``verdict_of`` says, or None when it is verified.
    :param pinned: whether a fingerprint was asked for, and not the chain.
    """
    bits = f"{evidence.bits} bits"
    yield _line("server", server)
    yield _line("version", evidence.version + (", resumed" if evidence.resumed else ""))
    yield _line("cipher", f"{evidence.cipher}, {bits}")
    yield _line("group", evidence.group or "(unknown)")
    yield _line("server name", evidence.server_name or "(none)")
    yield _line("ALPN", evidence.alpn or "(none)")
    chain = chain_facts(evidence.peer_chain, time.time())
    for depth, facts in enumerate(chain):
        yield from _certificate(depth, facts)
    if not chain:
        yield _line("certificate", "(none)")
    if problem is None:
        yield _line("verified", "the certificate is a pinned one" if pinned else "chain and name are good")
    else:
        yield _line("NOT VERIFIED", problem[1])
        if advice := _ADVICE.get(problem[0]):
            yield _line("", advice)


def _certificate(depth: int, facts: dict[str, Any]) -> Iterator[str]:
    if "subject" not in facts:
        yield _line(f"certificate {depth}", "cannot be read")
        yield _line("  SHA-256", facts["sha256"])
        return
    yield _line(f"certificate {depth}", facts["subject"])
    if depth == 0:
        yield _line("  names", ", ".join(facts["names"]) or "(none)")
    yield _line("  issuer", "itself" if facts["self_signed"] else facts["issuer"])
    left = facts["days_left"]
    when = f"{left} days left" if left >= 0 else f"expired {-left} days ago"
    yield _line("  valid", f"{facts['not_before']} to {facts['not_after']} ({when})")
    yield _line("  key", f"{facts['key']}, signed with {facts['signature']}")
    yield _line("  SHA-256", facts["sha256"])
    if depth == 0:
        yield _line("  key SHA-256", facts["public_key_sha256"])
    for fault in facts["faults"]:
        yield _line("  FAULT", fault)


def _line(name: str, value: str) -> str:
    return f"{name + (':' if name else ''):<{_WIDTH}} {printable(value)}"
