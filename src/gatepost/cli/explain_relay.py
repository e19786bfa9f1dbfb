"""What ``gatepost explain relay`` finds: what a running server decides about a client and its certificate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gatepost.config.lists import ListFiles
from gatepost.config.policies import ground_of, inbound_policy, relay_policy, relayed_domains
from gatepost.config.schema import Config, Listener
from gatepost.policy.explain import Explanation, explain_relay
from gatepost.policy.inbound import InboundDecision
from gatepost.policy.relay import NOTHING, Shown

_WORTH: Final = {
    "trusted": "the certificate verifies with client_ca",
    "pinned": "the certificate is known by its fingerprint; what it says of itself is not believed",
}


def explanations(
    config: Config, address: str, certificate: Path | None, listeners: Iterable[Listener]
) -> list[Explanation]:
    """One explanation for each listener.

    :param address: the client's; empty when it is not known.
    :param certificate: a PEM file with its certificate, or None.
    :raises ConfigError: when a list cannot be read.
    :raises CertificateError: when the file, ``client_ca`` or ``client_crl`` cannot be read.
    """
    files = ListFiles()
    policy, inbound = relay_policy(config, files), inbound_policy(config, files)
    offered = None if certificate is None else _judged(config, certificate)
    found = []
    for listener in listeners:
        decision = inbound.decide(address, ground_of(config, listener)) if address else None
        unasked = "" if decision is None else _unasked(decision)
        shown = NOTHING if unasked else offered
        notes = tuple(_notes(offered, unasked, asks=decision is not None and policy.certified))
        decided = policy.decide(address, listener.name, shown)
        relayed = relayed_domains(config).entries if listener.protocol == "smtp" else ()
        found.append(explain_relay(decided, certificate=str(certificate or ""), notes=notes, relayed=relayed))
    return found


def _judged(config: Config, path: Path) -> Shown:
    """The certificate as a server would see it: the first of the file is the client's, the others are its chain."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from gatepost.service.certified import client_trust, shown
    from gatepost.tls.credential import certificates_in

    chain = tuple(each.public_bytes(Encoding.DER) for each in certificates_in(path))
    return shown(chain, client_trust(config).judge(chain))


def _unasked(decision: InboundDecision) -> str:
    """Why this client is not asked for a certificate; empty when it is."""
    if decision.starttls == "deny":
        return f"TLS is denied to this client, by {decision.decision.settings['starttls'].source}"
    if decision.handshake.client_certificate == "none":
        source = decision.decision.settings["client_certificate"].source
        return f"this client is not asked for a certificate, by {source}"
    return ""


def _notes(offered: Shown | None, unasked: str, *, asks: bool) -> Iterable[str]:
    if offered is not None:
        yield _WORTH.get(offered.status, f"the certificate proves nothing: {offered.reason}")
        yield f"it is for {', '.join(offered.mailboxes) or 'no mail address'}; its SHA-256 is {offered.fingerprints[0]}"
        if unasked:
            yield unasked
    elif asks:
        yield unasked or "this client is asked for a certificate: --certificate FILE says what one would do"
