"""Alerts by name."""

from __future__ import annotations

from gatepost.tls.alerts import fatal_alert, received_alert, sent_alert


def test_alert_that_we_write_is_read_back() -> None:
    """The last record of what was sent."""
    assert sent_alert(b"before" + fatal_alert(120)) == "no_application_protocol"
    assert sent_alert(fatal_alert(77)) == "alert 77"
    assert sent_alert(b"") == ""
    assert sent_alert(b"\x17\x03\x03\x00\x02ab") == ""


def test_alert_of_the_peer_is_named_as_openssl_words_it() -> None:
    """`tlsv1 alert unknown ca` and the like."""
    assert received_alert("tlsv1 alert unknown ca") == "unknown_ca"
    assert received_alert("no shared cipher") == ""
