"""What fuzzing found: each of these once broke the promise that its test is named for."""

from __future__ import annotations

import tomllib
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certs.findings import examine
from gatepost.certs.incoming import read_incoming
from gatepost.config import load as loading
from gatepost.config.importers.qmail import from_qmail
from gatepost.config.lists import ListFiles
from gatepost.delivery.bounce import Fate, Subject, build
from gatepost.errors import CertificateError, ConfigError, GatepostError, LocalProtocolError, VerificationError
from gatepost.record.terminal import wrap
from gatepost.sendmail.headers import addresses
from gatepost.service.smtp.headers import Header
from gatepost.smtp.letter import Letter
from gatepost.testing.ca import TestAuthority
from gatepost.tls.clients import ClientTrust
from gatepost.tls.credential import pem_blocks
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import verify_peer

# RFC 5280 §4.2.1.6: ediPartyName, and x400Address
STRANGE_NAMES = [b"\x30\x06\xa5\x04\xa1\x02\x0c\x00", b"\x30\x04\xa3\x02\x30\x00"]
ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")
POINT_BEGINS = b"\x03\x42\x00\x04"  # a BIT STRING with an uncompressed point on P-256


@pytest.mark.parametrize("names", STRANGE_NAMES)
def test_names_of_a_kind_that_nobody_uses_are_a_verdict(names: bytes) -> None:
    """A certificate that is good but for a name that cannot be read is refused, and ends no process."""
    authority = TestAuthority()
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), names)
    leaf = authority.issue(common_name="x", extra=[(strange, False)])
    trust, at = TrustStore([authority.certificate]), authority.now.timestamp()
    with pytest.raises(VerificationError):
        verify_peer(leaf.der, trust=trust, names=(), purpose="server", at=at)
    assert ClientTrust(trust).judge(leaf.der, at).status == "untrusted"


def test_certificate_whose_key_cannot_be_read_is_refused_by_its_file(tmp_path: Path) -> None:
    """A damaged file is named, when it is installed or shown."""
    der = TestAuthority().issue("mx.example.org").der[0]
    assert POINT_BEGINS in der
    path = tmp_path / "damaged.der"
    path.write_bytes(der.replace(POINT_BEGINS, b"\x03\x42\x00\x05"))
    with pytest.raises(CertificateError, match=r"damaged\.der"):
        read_incoming([path])


def test_signature_of_an_unknown_kind_is_a_finding() -> None:
    """What nobody can check is said, not raised."""
    authority = TestAuthority()
    der = authority.issue("mx.example.org").der[0]
    odd = x509.load_der_x509_certificate(der.replace(ECDSA_WITH_SHA256, bytes.fromhex("06082a8648ce3c040302")))
    assert [each.word for each in examine([odd], at=authority.now.timestamp())] == ["malformed"]


def test_pem_of_beginnings_alone_is_read_once() -> None:
    """The time is linear: a file of a megabyte that ends nothing it begins once took minutes."""
    assert pem_blocks(b"-----BEGIN CERTIFICATE-----\n" * 37_000) == []
    whole = TestAuthority().certificate.public_bytes(Encoding.PEM)
    assert [block for _, block in pem_blocks(b"-----BEGIN CERTIFICATE-----\n" + whole + whole)] == [whole.strip()] * 2


def test_comments_in_comments_name_nobody() -> None:
    """An author's address that cannot be read beyond doubt is none, however deep it is buried."""
    assert Header(b"From: " + b"(" * 100_000 + b"\r\n\r\n").addresses(b"from") is None


def test_addresses_of_sendmail_are_read_in_linear_time() -> None:
    """Half a million words of one address once took minutes."""
    assert addresses(". " * 500_000) == ["." * 500_000]


@pytest.mark.parametrize("field", [b"(" * 10_000, b'<"@', b"()x <", b'"\\'])
@pytest.mark.parametrize("kind", ["octets", "message"])
def test_letter_with_a_header_that_cannot_be_read_is_refused_as_such(field: bytes, kind: str) -> None:
    """Whatever ``email`` raises about a field, a caller hears of it in our words."""
    octets = b"From: a@example.org\r\nTo: " + field + b"\r\n\r\n"
    message = message_from_bytes(octets, _class=EmailMessage, policy=SMTP)
    with pytest.raises(LocalProtocolError):
        Letter(octets if kind == "octets" else message)


def test_letter_reads_its_header_in_linear_time() -> None:
    """Recipients with encoded names by the thousand are no reason to wait for minutes."""
    names = b", ".join(b"=?utf-8?q?x?= <a%d@example.net>" % number for number in range(10_000))
    Letter(b"From: a@example.org\r\nTo: " + names + b"\r\n\r\n")


def test_long_line_is_wrapped_in_linear_time() -> None:
    """A recorded line of any length is shown, cell by cell, once."""
    text = "x" * 400_000
    assert "".join(wrap(text, 60)) == text
    assert wrap("one two three", 8) == ["one two", "three"]


def test_report_beyond_ascii_has_no_line_beyond_998_octets() -> None:
    """Limits count octets, not characters (RFC 6532 §3.4)."""
    subject = Subject("\u00e4@example.org", "m1", 1.0, b"Subject: x\r\n\r\n", True)
    fate = Fate("\U0001f4e7" * 500 + "@example.net", "failed", "5.1.1", "\u20ac" * 2000, "\u20ac" * 2000)
    for sender in ("\u00e4@example.org", "a@example.org"):
        subject = Subject(sender, "m1", 1.0, b"Subject: x\r\n\r\n", True)
        report = build(subject, [fate], hostname="mx.example.org", report_id="b1", now=1.0, limit=1000)
        assert max(map(len, report.content.split(b"\r\n"))) <= 998


def test_home_of_nobody_is_a_path_like_another(tmp_path: Path) -> None:
    """``~name`` of a user who does not exist is no reason to fail without a word."""
    file = tmp_path / "gatepost.toml"
    file.write_text('[tls]\ncertificate = "~nobody-has-this-name/x.pem"\nrefused = 1\n')
    with pytest.raises(ConfigError, match="refused"):
        loading.load(file)


def test_value_with_a_nul_is_a_problem_with_a_place(tmp_path: Path) -> None:
    """A NUL would end a file's name for the system, and raise where it is opened."""
    file = tmp_path / "gatepost.toml"
    file.write_text(
        'domains = ["example.org"]\n[tls]\ncertificate = "x\\u0000y"\n[[relay]]\nfrom = ["file:a\\u0000b"]\n'
    )
    with pytest.raises(ConfigError) as caught:
        loading.load(file)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{file}:3", f"{file}:5"]


def test_problems_by_the_thousand_are_told_in_linear_time() -> None:
    """Each problem is looked at once, not once for every other."""
    with pytest.raises(ConfigError) as caught:
        loading.build({"inbound": [{"listeners": [], "starttls": "offer"} for _ in range(20_000)]})
    assert len(caught.value.problems) == 20_000


def test_values_of_an_old_configuration_are_written_printable(tmp_path: Path) -> None:
    """A character that nobody sees is written as its number, and means the same when it is read."""
    (tmp_path / "badmailfrom").write_text("file:\ue000\u2028\U000e0001", "utf-8")
    text = from_qmail(tmp_path).text()
    assert all(line.isprintable() for line in text.split("\n"))
    assert tomllib.loads(text)["refused_senders"] == ["file:\ue000\u2028\U000e0001"]


def test_message_of_an_error_is_one_line_that_does_nothing(tmp_path: Path) -> None:
    """What a file or a peer said cannot write to a terminal by way of an error."""
    path = tmp_path / "list"
    path.write_bytes(b"192.0.2.\x1b[2J\n")
    with pytest.raises(ConfigError, match=r"x1b\[2J") as caught:
        ListFiles().addresses([f"file:{path}"])
    assert caught.value.message.isprintable()
    assert GatepostError("a\r\n\u202eb\udcff").message == "a\\r\\n\\u202eb\\udcff"
    assert ConfigError("x", problems=("a\nb",)).problems == ("a\\nb",)
