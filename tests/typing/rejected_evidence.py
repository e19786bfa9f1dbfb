"""Evidence cannot be made up: only a completed handshake mints it."""

from gatepost.wire.upgrade import TLSEvidence, Verification

forged = TLSEvidence(  # rejected: call-arg
    "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, None, None, (), Verification("verified"), False, None, None
)
TLSEvidence(
    "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, None, None, (), Verification("verified"), False, None, None,
    _mint=object(),  # rejected: arg-type
)  # fmt: skip


def change(evidence: TLSEvidence) -> None:
    evidence.verification = Verification("verified")  # rejected: misc
