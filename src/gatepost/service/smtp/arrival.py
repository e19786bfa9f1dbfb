"""How a message arrived, for the reflector to tell: what the kernel, the handshake and the policy know of it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection

_TEXT: Final = 255  # characters of what the peer chose
_NAMES: Final = 8


def arrival_line(connection: Connection, evidence: TLSEvidence | None, *, hello: str, user: str) -> str:
    """One line of JSON for the queue's ``origin``. It is ASCII, and what peers chose is cut.

    :param hello: what the peer called itself; a claim.
    :param user: who logged in, or empty.
    """
    terms, listener = connection.terms, connection.port.listener
    facts: dict[str, Any] = {
        "peer": connection.origin.peer[0], "listener": listener.name, "hello": hello[:_TEXT],
        "wanted": terms.wanted, "rule": terms.rule,
    }  # fmt: skip
    if user:
        facts["user"] = user[:_TEXT]
    if evidence is not None:
        facts["tls"] = _tls(evidence, "from the first octet" if listener.tls == "implicit" else "by STARTTLS")
    return json.dumps(facts)


def _tls(evidence: TLSEvidence, began: str) -> dict[str, Any]:
    verification = evidence.verification
    return {
        "version": evidence.version,
        "began": began,
        "cipher": evidence.cipher,
        "bits": evidence.bits,
        "group": evidence.group,
        "resumed": evidence.resumed,
        "server_name": (evidence.server_name or "")[:_TEXT],
        "verification": verification.status,
        "reason": verification.reason[:_TEXT],
        "names": [name[:_TEXT] for name in verification.names[:_NAMES]],
        "sha256": sha256(evidence.peer_chain[0]).hexdigest() if evidence.peer_chain else "",
    }
