"""Properties of notifications over hostile input: they always parse, and nothing of it escapes its field."""

from __future__ import annotations

import email
import email.policy
from typing import Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepost.delivery.bounce import Fate, Subject, build

TEXT = st.text(max_size=2000)
HOSTILE = st.one_of(
    TEXT, st.sampled_from(["\r\n\r\n--", "a\r\nAction: delivered", "\x00", "+0D+0A", "\ud800", "é" * 900])
)
CONTENT = st.one_of(
    st.binary(max_size=3000),
    st.binary(max_size=500).map(lambda raw: b"Subject: x\r\n\r\n" + raw),
    st.just(b"\r\n"),
)
FATES = st.builds(
    Fate, address=HOSTILE, action=st.sampled_from(["failed", "delayed", "delivered", "relayed"]), status=HOSTILE,
    reason=HOSTILE, diagnostic=HOSTILE, remote=HOSTILE, tls=HOSTILE, orcpt=st.none() | HOSTILE, original=HOSTILE,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@example("a@b.example", b"", [Fate("a@b.example", "failed", "5.0.0", "no", orcpt="¡;x")], None, None, 0)
@given(
    sender=HOSTILE.filter(bool), content=CONTENT, fates=st.lists(FATES, min_size=1, max_size=3),
    ret=st.sampled_from(["FULL", "HDRS", None]), envid=st.none() | HOSTILE, limit=st.integers(0, 4000),
)  # fmt: skip
def test_report_always_has_three_parts_and_no_foreign_field(
    sender: str, content: bytes, fates: list[Fate], ret: Literal["FULL", "HDRS"] | None, envid: str | None, limit: int
) -> None:
    """Whatever senders and servers wrote, a reader sees three parts and only the fields that we write."""
    subject = Subject(sender, "q1", 0.0, content, True, ret, envid)
    made = build(subject, fates, hostname="mx.test", report_id="r1", now=1.0, limit=limit)
    message = email.message_from_bytes(made.content, policy=email.policy.compat32)
    assert message.get_content_type() == "multipart/report"
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert len(parts) == 3
    if not made.eightbit:
        assert made.content.isascii()
    head = made.content.split(b"\r\n\r\n", 1)[0].decode()
    allowed = (
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "\tbound",
        "Content-Transfer-Encoding",
    )  # fmt: skip
    assert all(line.startswith(allowed) for line in head.split("\r\n"))
    status = made.content.split(b"delivery-status\r\n", 1)[1].split(b"\r\n--=_", 1)[0]
    names = {line.split(b":")[0] for line in status.split(b"\r\n") if line}
    assert names <= {
        b"Content-Description", b"Content-Transfer-Encoding", b"Reporting-MTA", b"Original-Envelope-Id",
        b"Arrival-Date", b"Original-Recipient", b"Final-Recipient", b"Action", b"Status", b"Remote-MTA",
        b"Diagnostic-Code", b"Last-Attempt-Date", b"Will-Retry-Until", b"X-Gatepost-TLS",
    }  # fmt: skip
    assert status.count(b"\r\nAction: ") == len(fates)
