"""Invariant: whatever certificates a peer shows, the verdict is a Verification or a VerificationError, names that are
told are printable, and only what is in the certificate is believed of it."""

from __future__ import annotations

import contextlib
import warnings

from fuzz.certified import AT, authority, elements, leaves
from fuzz.origins import plan, seeds
from fuzz.words import CERTIFICATE
from OpenSSL import crypto

from gatepost.certs.evidence import chain_facts
from gatepost.errors import VerificationError
from gatepost.tls.clients import ClientTrust
from gatepost.tls.credential import end_point_binding, read_certificate
from gatepost.tls.names import certificate_mailboxes
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import Purpose, claimed_names, match_fingerprint, verify_peer

WORDS = CERTIFICATE
SEEDS = seeds(*(b"".join(leaf.der) for leaf in leaves()), choices=3)
PURPOSES: tuple[Purpose | None, ...] = ("server", "client", None)
NAMES = ((), ("mx.example.org", "192.0.2.1"), (".example.org",))


def judge(chain: tuple[bytes, ...], names: tuple[str, ...], purpose: Purpose | None) -> None:
    """The verdict, where the leaf is trusted for itself, so that all of it is looked at; and where it is not."""
    trust = TrustStore([authority().certificate])
    with contextlib.suppress(VerificationError):
        found = verify_peer(chain, trust=trust, names=names, purpose=purpose, at=AT)
        assert chain[0] in {leaf.der[0] for leaf in leaves()}, "a certificate that nobody signed is believed"
        assert found.status == ("verified" if names else "trusted")
    try:
        itself = TrustStore([read_certificate(chain[0])])
    except (ValueError, IndexError, crypto.Error):
        return  # OpenSSL, which hands chains over, cannot have read it
    for store in (itself, TrustStore([authority().certificate, read_certificate(chain[0])])):
        try:
            found = verify_peer(chain, trust=store, names=names, purpose=purpose, at=AT)
        except VerificationError as error:
            assert str(error).isprintable()
        else:
            assert all(name.isprintable() for name in found.names)


def target(data: bytes) -> None:
    """Everything that is asked of a peer's chain."""
    told = plan(data, 3)
    chain = elements(told.words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge(chain, NAMES[told.votes % 3], PURPOSES[told.choice])
        assert all(name.isprintable() for name in claimed_names(chain))
        verdict = ClientTrust(TrustStore([authority().certificate]), frozenset({"0" * 64})).judge(chain, AT)
        assert all(name.isprintable() for name in verdict.names)
        with contextlib.suppress(VerificationError):
            match_fingerprint(chain, ())
        chain_facts(chain, AT)
        with contextlib.suppress(ValueError, IndexError):
            certificate = read_certificate(chain[0])
            end_point_binding(certificate)
            assert all(text.isprintable() for text in certificate_mailboxes(certificate))
