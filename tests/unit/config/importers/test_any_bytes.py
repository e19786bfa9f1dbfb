"""Whatever bytes the old files hold: no importer ends with anything but ConfigError, and every document loads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatepost.config.importers.dmail import from_dmail
from gatepost.config.importers.document import Document
from gatepost.config.importers.postfix import from_postfix
from gatepost.config.importers.qmail import from_qmail
from gatepost.config.load import load
from gatepost.errors import ConfigError
from gatepost.testing.ca import self_signed

_DMAIL = (
    "show_tls", "require_tls", "require_tls_out", "require_tls_except", "dpop_allow_ssl", "host_domain", "vdomain",
    "dns_host", "forward_from_ip", "work_path", "#include",
)  # fmt: skip
_POSTFIX = (
    "myhostname", "mydestination", "mynetworks", "smtpd_tls_security_level", "smtp_tls_security_level",
    "smtp_tls_policy_maps", "smtpd_tls_protocols", "smtp_tls_exclude_ciphers", "relayhost", "inet_interfaces",
    "smtpd_tls_cert_file", "smtpd_tls_chain_files", "smtpd_tls_CAfile", "relay_clientcerts", "message_size_limit",
    "maximal_queue_lifetime", "smtpd_relay_restrictions", "smtp_tls_secure_cert_match", "smtpd_tls_req_ccert",
)  # fmt: skip
_QMAIL = (
    "me", "locals", "rcpthosts", "virtualdomains", "smtproutes", "badmailfrom", "servercert.pem", "clientcert.pem",
    "clientca.pem", "clientcrl.pem", "tlsclients", "tlsclientciphers", "tlsserverciphers", "databytes",
    "queuelifetime", "tlshosts/a.example.pem", "notlshosts/a.example", "tlshosts/exhaustivelist",
)  # fmt: skip
_PIECES = (
    b"10.0.0.*", b"10.0.0.0/8", b"!10.0.0.1", b"*", b",", b" ", b":", b"=", b"/", b"$", b"${", b"{", b"}", b"?",
    b"[::1]",
    b"inline:{a.example=", b"secure match=", b"encrypt", b"may", b"fingerprint", b"yes", b"a.example", b"-", b"\n",
    b"\n ",
    b"#", b"\"", b"\\", b"\r\n", b"\x00", b"\xff\xfe", b"\xe2\x80\xa8", b"99999999999999999999", b"aNULL",
    b"DES-CBC3-SHA",
    b":allow,RELAYCLIENT=\"\"", b"TLSCIPHERS=", b"\xef\xbb\xbf", b"file:x", b"@", b"permit_tls_clientcerts",
    b"/dev/null",
    b"tls", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN X509 CRL-----\n", b".", b"..", b"http",
)  # fmt: skip
CERTIFICATE = self_signed("a.example")
_bytes = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join),
    st.sampled_from([CERTIFICATE.chain_pem, CERTIFICATE.chain_pem + CERTIFICATE.key_pem, CERTIFICATE.key_pem[:-40]]),
)
_settings = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _holds(make: Callable[[], Document], directory: Path) -> None:
    try:
        text = make().text()
    except ConfigError:
        return
    file = directory / "imported.toml"
    file.write_text(text)
    load(file)
    assert all(line.isprintable() for line in text.split("\n"))


def _lines(names: tuple[str, ...], equals: bytes) -> st.SearchStrategy[bytes]:
    known = st.builds(lambda name, value: name.encode() + equals + value, st.sampled_from(names), _bytes)
    return st.lists(st.one_of(known, _bytes), max_size=6).map(b"\n".join)


@_settings
@given(_lines(_DMAIL, b" "))
@example(b"#include \0")
@example(b"work_path " + b"x" * 5000)
@example(b"#include " + b"x" * 5000)
def test_any_dmail_conf_makes_a_document_that_loads(content: bytes) -> None:
    """Settings with any values, and no settings at all."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "dmail.conf"
        file.write_bytes(content)
        _holds(lambda: from_dmail(file), Path(directory))


@_settings
@given(_lines(_POSTFIX, b" = "))
@example(b"smtpd_tls_chain_files = " + b"x" * 5000 + b"\nsmtp_tls_policy_maps = hash:\0, hash:" + b"y" * 5000)
@example(b"smtpd_tls_cert_file = \0\nsmtpd_tls_CAfile = \0\nmynetworks = /\0, /" + b"z" * 5000)
@example(b"smtp_tls_cert_file = " + b"x" * 5000 + b"\nsmtp_tls_CAfile = " + b"x" * 5000)
def test_any_main_cf_makes_a_document_that_loads(content: bytes) -> None:
    """Parameters with any values, and no parameters at all."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "main.cf"
        file.write_bytes(content)
        _holds(lambda: from_postfix(file), Path(directory))


@_settings
@given(st.dictionaries(st.sampled_from(_QMAIL), _bytes, max_size=6), st.none() | _bytes)
def test_any_control_directory_makes_a_document_that_loads(files: dict[str, bytes], rules: bytes | None) -> None:
    """Files with any content, rules for clients with any content."""
    with tempfile.TemporaryDirectory() as directory:
        control = Path(directory) / "control"
        for name, content in files.items():
            (control / name).parent.mkdir(parents=True, exist_ok=True)
            (control / name).write_bytes(content)
        tcprules = Path(directory) / "tcp.smtp"
        tcprules.write_bytes(rules or b"")
        _holds(lambda: from_qmail(control, None if rules is None else tcprules), Path(directory))
