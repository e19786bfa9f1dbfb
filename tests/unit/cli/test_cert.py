"""``gatepost cert``: each command does what it says, and each thing that is given by mistake has its own error."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)

from gatepost.certs import load_combined
from gatepost.certs.keys import key_pem
from gatepost.certs.request import make_request
from gatepost.testing.ca import CLIENT_ONLY, DAY, Issued, TestAuthority, key_for, self_signed
from gatepost.testing.server import MailServer

NAME = "mx.test"  # the hostname of the configuration
ROOT = TestAuthority("the root")
MIDDLE = ROOT.intermediate("the intermediate")
KEY = key_for("the server's own key")
GOOD = MIDDLE.issue(NAME, key=KEY)
OTHER = key_for("somebody else's key")
RSA_ROOT = TestAuthority("an RSA root", key=key_for("an RSA root", "rsa2048"))
OLD = b"what stood there before\n"
Cert = Callable[..., Any]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def place(tmp_path: Path, gatepost: Cert) -> Path:
    """A directory with an authority, a key, and a certificate in use."""
    (tmp_path / "ca.pem").write_bytes(ROOT.pem + RSA_ROOT.pem)
    (tmp_path / "privkey.pem").write_bytes(key_pem(KEY))
    (tmp_path / "server.pem").write_bytes(OLD)
    with (tmp_path / "gatepost.toml").open("a") as out:
        out.write('[tls]\ncertificate = "server.pem"\nca_file = "ca.pem"\n')
    return tmp_path


def _installed(place: Path) -> tuple[x509.Certificate, ...]:
    loaded = load_combined(place / "server.pem")
    return (loaded.certificate, *loaded.chain)


# -- install: what it takes


def _pem_reversed() -> bytes:
    return (
        b"Dear customer,\r\n" + pem(MIDDLE.certificate, GOOD.certificate).replace(b"\n", b"\r\n") + b"\r\nRegards\r\n"
    )


def _pem_with_root() -> bytes:
    return pem(ROOT.certificate, GOOD.certificate, MIDDLE.certificate)


def _pkcs7_der() -> bytes:
    return pkcs7.serialize_certificates([MIDDLE.certificate, GOOD.certificate], Encoding.DER)


def _pkcs7_pem() -> bytes:
    return pkcs7.serialize_certificates([MIDDLE.certificate, GOOD.certificate], Encoding.PEM)


def _pkcs7_labelled_as_a_certificate() -> bytes:
    return _pkcs7_pem().replace(b"PKCS7", b"CERTIFICATE")


def _bare_base64() -> bytes:
    return base64.encodebytes(_pkcs7_der())


def _pkcs12(passphrase: bytes | None = None, *, key: Any = KEY) -> bytes:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, GOOD.certificate, [MIDDLE.certificate], how)


@pytest.mark.parametrize(
    "sent",
    [_pem_reversed, _pem_with_root, _pkcs7_der, _pkcs7_pem, _pkcs7_labelled_as_a_certificate, _bare_base64, _pkcs12],
)
def test_install_takes_every_form_and_writes_the_chain_in_order(
    gatepost: Cert, place: Path, sent: Callable[[], bytes]
) -> None:
    """Whatever the form and the order: key, leaf, intermediate, no root, mode 0600."""
    (place / "answer").write_bytes(sent())
    done = gatepost("cert", "install", "answer")
    assert done.code == 0, done.err
    assert _installed(place) == (GOOD.certificate, MIDDLE.certificate)
    assert (place / "server.pem").stat().st_mode & 0o777 == 0o600
    assert not [each for each in os.listdir(place) if each.startswith(".")]


def test_install_takes_one_file_a_certificate(gatepost: Cert, place: Path) -> None:
    """DER files, the intermediate first."""
    (place / "ca.crt").write_bytes(der(MIDDLE.certificate))
    (place / "mine.cer").write_bytes(der(GOOD.certificate))
    assert gatepost("cert", "install", "ca.crt", "mine.cer").code == 0
    assert _installed(place) == (GOOD.certificate, MIDDLE.certificate)


def test_install_opens_pkcs12_with_its_passphrase(gatepost: Cert, place: Path) -> None:
    """The passphrase comes from standard input, the key from the file itself."""
    (place / "privkey.pem").unlink()
    (place / "answer.pfx").write_bytes(_pkcs12(b"secret"))
    done = gatepost("cert", "install", "answer.pfx", "--passphrase-stdin", "--json", stdin=b"secret\n")
    assert done.code == 0, done.err
    assert done.json["written"] and done.json["key_from"] == "answer.pfx" and done.json["chain"] == 2
    assert _installed(place) == (GOOD.certificate, MIDDLE.certificate)


def test_install_renews_with_the_key_in_use(gatepost: Cert, place: Path) -> None:
    """Where the key stayed the same the file in use has it; of two certificates for it the newer one is installed."""
    GOOD.write(place / "new.pem").replace(place / "server.pem")
    (place / "privkey.pem").unlink()
    newer = MIDDLE.issue(NAME, key=KEY, not_after=MIDDLE.now + 200 * DAY)
    (place / "answer.pem").write_bytes(pem(GOOD.certificate, newer.certificate, MIDDLE.certificate))
    done = gatepost("cert", "install", "answer.pem")
    assert done.code == 0, done.err
    assert _installed(place)[0] == newer.certificate
    assert "not needed, and left out" in done.err


def test_install_says_what_is_due_soon(gatepost: Cert, place: Path) -> None:
    """A certificate that expires within three weeks is installed with a warning."""
    soon = MIDDLE.issue(NAME, key=KEY, not_after=MIDDLE.now + 5 * DAY)
    (place / "answer.pem").write_bytes(pem(*soon.chain))
    done = gatepost("cert", "install", "answer.pem")
    assert done.code == 0
    assert "expires on" in done.err


def test_install_dry_run_writes_nothing(gatepost: Cert, place: Path) -> None:
    """Everything is checked, the old file stays."""
    (place / "answer.pem").write_bytes(pem(*GOOD.chain))
    done = gatepost("cert", "install", "answer.pem", "--dry-run")
    assert (done.code, (place / "server.pem").read_bytes()) == (0, OLD)
    assert "would be written" in done.out


# -- install: what it refuses, each with the old file untouched


def _issued(**how: Any) -> bytes:
    names = how.pop("names", (NAME,))
    return pem(*MIDDLE.issue(*names, key=how.pop("key", KEY), **how).chain)


def _weak_signature() -> bytes:
    return pem(RSA_ROOT.issue(NAME, key=KEY, broken_hash="sha1").certificate)


def _old_intermediate() -> bytes:
    # Expired, and with the key of one that issues: the leaf itself is good.
    key = key_for("an old intermediate")
    old = ROOT.issue(key=key, not_after=ROOT.now - DAY).certificate
    above = TestAuthority("an old intermediate", issuer=ROOT, key=key)
    builder = x509.CertificateBuilder(
        issuer_name=ROOT.certificate.subject,
        subject_name=above.certificate.subject,
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=ROOT.now - 20 * DAY,
        not_valid_after=old.not_valid_after_utc,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    assert isinstance(ROOT.key, ec.EllipticCurvePrivateKey)
    from cryptography.hazmat.primitives.hashes import SHA256

    return pem(above.issue(NAME, key=KEY).certificate, builder.sign(ROOT.key, SHA256()))


def _private_root() -> bytes:
    private = TestAuthority("a private root")
    return pem(private.issue(NAME, key=KEY).certificate, private.certificate)


def _self_signed_pair() -> bytes:
    mine = self_signed(NAME)
    return mine.chain_pem + mine.key_pem


def _encrypted_key() -> bytes:
    return pem(*GOOD.chain) + KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))


def _weak_key() -> bytes:
    weak = key_for("a weak key", "rsa1024")
    return _issued(key=weak) + key_pem(weak)


def _crl() -> bytes:
    return MIDDLE.crl().public_bytes(Encoding.PEM)


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing in it": (lambda: b" \n", "is empty"),
    "a web page": (lambda: b"<html><body>Your order</body></html>", "neither PEM, DER, PKCS#7 nor PKCS#12"),
    "far too much": (lambda: bytes(2 << 20), "larger than"),
    "a certificate cut off": (lambda: pem(*GOOD.chain)[:-60], "is cut off"),
    "a certificate damaged": (
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "certificate cannot be parsed",
    ),
    "the request": (lambda: make_request(KEY, [NAME]), "is a request, not a certificate"),
    "the request in DER": (
        lambda: x509.load_pem_x509_csr(make_request(KEY, [NAME])).public_bytes(Encoding.DER),
        "is a request, not a certificate",
    ),
    "a revocation list": (_crl, "is a revocation list"),
    "a revocation list in DER": (lambda: MIDDLE.crl().public_bytes(Encoding.DER), "is a revocation list"),
    "a foreign block": (lambda: b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n", "DH PARAMETERS"),
    "a bundle with nothing": (lambda: _pkcs7_der()[:40], "PKCS#7 bundle without certificates"),
    "a bundle that needs a passphrase": (lambda: _pkcs12(b"secret"), "PKCS#12 needs its passphrase"),
    "the key alone": (lambda: key_pem(KEY), "there is a key and no certificate"),
    "an encrypted key": (_encrypted_key, "the private key is encrypted"),
    "a certificate of another key": (lambda: _issued(key=OTHER), "no key matches"),
    "authorities alone": (lambda: pem(MIDDLE.certificate, ROOT.certificate), "the server's own is missing"),
    "a certificate that expired": (lambda: _issued(not_after=MIDDLE.now - DAY), "the certificate expired on"),
    "a certificate of tomorrow": (lambda: _issued(not_before=MIDDLE.now + DAY), "is not valid before"),
    "a certificate of another name": (lambda: _issued(names=("www.test",)), "is for www.test, not for mx.test"),
    "a name in the subject alone": (lambda: _issued(names=(), common_name=NAME), "in its subject alone"),
    "a certificate for clients": (lambda: _issued(usages=CLIENT_ONLY), "is not for a TLS server"),
    "a weak key": (_weak_key, "too weak: RSA of 1024 bits"),
    "a weak signature": (_weak_signature, "signed with SHA-1"),
    "no intermediate": (lambda: pem(GOOD.certificate), "the chain is incomplete"),
    "an intermediate that expired": (_old_intermediate, "the intermediate CN=an old intermediate expired on"),
    "a root that nobody knows": (_private_root, "not among the trusted authorities"),
    "a self-signed certificate": (_self_signed_pair, "is self-signed"),
}


@pytest.mark.parametrize(("sent", "words"), WRONG.values(), ids=WRONG)
def test_install_refuses_and_leaves_the_old_file(
    gatepost: Cert, place: Path, sent: Callable[[], bytes], words: str
) -> None:
    """Each mistake has an error of its own, in one line; not a byte on the disk changes."""
    (place / "answer").write_bytes(sent())
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    done = gatepost("cert", "install", "answer")
    assert done.code == 65, done.err
    (complaint,) = done.complaints
    assert words in complaint
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before


def test_install_errors_differ() -> None:
    """No two mistakes share their words, but where they are the same in two encodings."""
    words = [words for name, (_, words) in WRONG.items() if "DER" not in name]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.pem",), 65, "missing.pem: no such file"),
        ((".",), 65, "cannot be read: Is a directory"),
        (("good.pem", "--key", "missing.key"), 65, "missing.key: no such file"),
        (("good.pem", "--key", "good.pem"), 65, "holds no private key"),
        (("good.pem", "--key", "other.key"), 65, "than that of other.key"),
        (("good.pem", "--ca-file", "missing.pem"), 65, "missing.pem: no such file"),
        (("good.pem", "--name", "www.test"), 65, "not for www.test"),
        (("good.pem", "--name", "not a name"), 65, "is not a host name"),
        (("good.pem", "--output", "."), 64, "is a directory"),
        (("good.pem", "--output", "none/server.pem"), 73, "cannot be written"),
    ],
)
def test_install_refuses_what_it_cannot_use(
    gatepost: Cert, place: Path, arguments: Sequence[str], code: int, words: str
) -> None:
    """Files and options that do not fit, each with its exit code."""
    (place / "good.pem").write_bytes(pem(*GOOD.chain))
    (place / "other.key").write_bytes(key_pem(OTHER))
    done = gatepost("cert", "install", *arguments)
    assert (done.code, (place / "server.pem").read_bytes()) == (code, OLD)
    assert words in done.err


def test_install_refuses_without_any_key(gatepost: Cert, place: Path) -> None:
    """The request's key was lost: the error says where it was."""
    (place / "privkey.pem").unlink()
    (place / "answer.pem").write_bytes(pem(*GOOD.chain))
    done = gatepost("cert", "install", "answer.pem")
    assert (done.code, (place / "server.pem").read_bytes()) == (65, OLD)
    assert "there is no private key" in done.err and "--key" in done.err


def test_install_refuses_a_wrong_passphrase(gatepost: Cert, place: Path) -> None:
    """It is not a damaged certificate: the error names the passphrase."""
    (place / "answer.pfx").write_bytes(_pkcs12(b"secret"))
    done = gatepost("cert", "install", "answer.pfx", "--passphrase-stdin", stdin=b"guess\n")
    assert (done.code, (place / "server.pem").read_bytes()) == (65, OLD)
    assert "the passphrase is wrong" in done.err


def test_install_refuses_a_file_whose_key_is_configured_elsewhere(gatepost: Cert, place: Path) -> None:
    """The server would go on reading ``tls.key``: a new key in the combined file would not be used."""
    (place / "tls.key").write_bytes(key_pem(OTHER))
    with (place / "gatepost.toml").open("a") as out:
        out.write('key = "tls.key"\n')
    (place / "answer.pem").write_bytes(pem(*GOOD.chain))
    done = gatepost("cert", "install", "answer.pem")
    assert (done.code, (place / "server.pem").read_bytes()) == (65, OLD)
    assert "remove that `key`" in done.err
    (place / "tls.key").write_bytes(key_pem(KEY))
    assert gatepost("cert", "install", "answer.pem").code == 0


def test_install_takes_an_authority_of_ones_own(gatepost: Cert, place: Path) -> None:
    """A private root and a self-signed certificate are installed when they are named."""
    private = TestAuthority("a private root")
    (place / "root.pem").write_bytes(private.pem)
    (place / "answer.pem").write_bytes(pem(private.issue(NAME, key=KEY).certificate))
    assert gatepost("cert", "install", "answer.pem", "--ca-file", "root.pem").code == 0
    (place / "mine.pem").write_bytes(_self_signed_pair())
    assert gatepost("cert", "install", "mine.pem", "--ca-file", "mine.pem").code == 0


# -- new and request


@pytest.mark.parametrize(
    ("option", "key"), [((), "ECDSA P-256"), (("--rsa",), "RSA 3072"), (("--ed25519",), "Ed25519")]
)
def test_new_makes_a_file_that_serves(gatepost: Cert, tmp_path: Path, option: Sequence[str], key: str) -> None:
    """Each kind of key; names, wildcards and addresses; mode 0600; with itself as authority it verifies."""
    done = gatepost("cert", "new", NAME, "*.example.test", "192.0.2.1", *option, "--output", "x.pem", "--json")
    assert done.code == 0, done.err
    assert (done.json["key"], done.json["names"]) == (key, [NAME, "*.example.test", "192.0.2.1"])
    assert (tmp_path / "x.pem").stat().st_mode & 0o777 == 0o600
    shown = gatepost("cert", "show", "x.pem", "--ca-file", "x.pem", "--server-name", "a.example.test", "--json")
    assert (shown.code, shown.json["verified"], shown.json["private_key"]) == (0, True, f"{key}, matches")


def test_new_never_replaces_a_file_unasked(gatepost: Cert, place: Path) -> None:
    """Without --force the old file stays; with it a new one takes its place."""
    done = gatepost("cert", "new")
    assert (done.code, (place / "server.pem").read_bytes()) == (73, OLD)
    assert "--force" in done.err
    assert gatepost("cert", "new", "--force").code == 0
    assert load_combined(place / "server.pem").names == (NAME,)


@pytest.mark.parametrize("name", ["not a name", "*.test", "*", "a.*.test", ""])
def test_new_refuses_what_is_no_name(gatepost: Cert, place: Path, name: str) -> None:
    """Nothing is written."""
    done = gatepost("cert", "new", name, "--output", "x.pem")
    assert (done.code, (place / "x.pem").exists()) == (65, False)


def test_request_asks_for_what_was_said(gatepost: Cert, tmp_path: Path) -> None:
    """By flags: request and key, both 0600, the request signed by the key; installed, its answer serves."""
    done = gatepost(
        "cert", "request", NAME, "*.example.test", "--country", "de", "--organization", "Exämple", "--email", "a@x.test"
    )
    assert done.code == 0, done.err
    request = x509.load_pem_x509_csr((tmp_path / "request.pem").read_bytes())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == f"CN={NAME},O=Exämple,C=DE"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME, "*.example.test"]
    assert names.get_values_for_type(x509.RFC822Name) == ["a@x.test"]
    for file in ("request.pem", "privkey.pem"):
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o600
    private = TestAuthority("an authority that signs requests")
    answer = _answer(private, request)
    (tmp_path / "answer.pem").write_bytes(pem(answer))
    (tmp_path / "root.pem").write_bytes(private.pem)
    done = gatepost("cert", "install", "answer.pem", "--ca-file", "root.pem")
    assert done.code == 0, done.err
    assert load_combined(tmp_path / "server.pem").certificate == answer


def _answer(authority: TestAuthority, request: x509.CertificateSigningRequest) -> x509.Certificate:
    from cryptography.hazmat.primitives.hashes import SHA256

    builder = x509.CertificateBuilder(
        issuer_name=authority.certificate.subject,
        subject_name=request.subject,
        public_key=request.public_key(),
        serial_number=99,
        not_valid_before=authority.now - DAY,
        not_valid_after=authority.now + timedelta(days=90),
    )
    for extension in request.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    return builder.sign(authority.key, SHA256())


def test_request_asks_questions(gatepost: Cert, tmp_path: Path) -> None:
    """Interactive: an empty answer is what was proposed, or nothing."""
    answers = b"mx.test, www.test\nExample\n\nBerlin\n\nDE\n"
    done = gatepost("cert", "request", "--ask", stdin=answers)
    assert done.code == 0, done.err
    request = x509.load_pem_x509_csr((tmp_path / "request.pem").read_bytes())
    assert request.subject.rfc4514_string() == "CN=mx.test,O=Example,L=Berlin,C=DE"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.test", "www.test"]


def test_request_never_replaces_a_key_unasked(gatepost: Cert, place: Path) -> None:
    """The key of a request that was sent is not lost to a second request."""
    before = (place / "privkey.pem").read_bytes()
    done = gatepost("cert", "request")
    assert (done.code, (place / "privkey.pem").read_bytes()) == (73, before)
    assert not (place / "request.pem").exists()


def test_request_may_keep_the_key(gatepost: Cert, place: Path) -> None:
    """A renewal with the same key keeps the pins that others have of it."""
    assert gatepost("cert", "request", "--key", "privkey.pem").code == 0
    request = x509.load_pem_x509_csr((place / "request.pem").read_bytes())
    assert request.public_key() == KEY.public_key()
    (place / "weak.pem").write_bytes(key_pem(key_for("a weak key", "rsa1024")))
    done = gatepost("cert", "request", "--key", "weak.pem", "--force")
    assert done.code == 65 and "too weak" in done.err


@pytest.mark.parametrize(
    "arguments", [("--country", "Germany"), ("--organization", "x" * 65), ("bad name",), ("--email", "ä@x.test")]
)
def test_request_refuses_what_cannot_stand_in_one(gatepost: Cert, tmp_path: Path, arguments: Sequence[str]) -> None:
    """And writes nothing."""
    assert gatepost("cert", "request", *arguments).code == 65
    assert not (tmp_path / "request.pem").exists() and not (tmp_path / "privkey.pem").exists()


@pytest.mark.parametrize("arguments", [("new", "--rsa", "--ed25519"), ("request", "--key", "k", "--rsa")])
def test_options_that_exclude_each_other_are_refused(gatepost: Cert, arguments: Sequence[str]) -> None:
    """With the usage exit code."""
    assert gatepost("cert", *arguments).code == 64


# -- show


def test_show_tells_of_a_file(gatepost: Cert, place: Path) -> None:
    """Names, dates, key, chain, fingerprints, and the verdict as exit code."""
    GOOD.write(place / "good.pem")
    done = gatepost("cert", "show", "good.pem", "--server-name", NAME)
    assert done.code == 0, done.err
    for words in (NAME, "ECDSA P-256, matches", "CN=the intermediate", "verified: chain and name are good"):
        assert words in done.out
    (place / "mixed.pem").write_bytes(pem(GOOD.certificate) + key_pem(OTHER))
    done = gatepost("cert", "show", "mixed.pem", "--json")
    assert (done.code, done.json["verified"]) == (69, False)
    assert "incomplete" in done.json["verdict"] and "DOES NOT MATCH" in done.json["private_key"]


def test_show_refuses_what_is_no_certificate(gatepost: Cert, place: Path) -> None:
    """A key alone, nothing at all, a name that is neither file nor server."""
    assert gatepost("cert", "show", "privkey.pem").code == 65
    assert gatepost("cert", "show", "./missing.pem").code == 65
    assert gatepost("cert", "show", "a b").code == 64
    assert gatepost("cert", "show", "x.test", "--starttls", "smtp", "--implicit").code == 64


@pytest.fixture
def server(tmp_path: Path, server_log: Path) -> Iterator[MailServer]:
    """A server with a certificate of an authority of its own."""
    (tmp_path / "served").mkdir()
    with MailServer(tmp_path / "served") as running:
        yield running


def test_show_tells_of_a_server(gatepost: Cert, place: Path, server: MailServer) -> None:
    """Over STARTTLS and implicit TLS; the verdict is for the name that was asked."""
    name = server.config.hostname
    for listener, option in (("mx", ("--starttls", "smtp")), ("submissions", ("--implicit",))):
        where = f"127.0.0.1:{server.ports[listener]}"
        arguments = ("cert", "show", where, *option, "--server-name", name, "--ca-file", str(server.ca_file), "--json")
        done = gatepost(*arguments)
        assert (done.code, done.json["verified"]) == (0, True), done.err
        assert name in done.json["chain"][0]["names"] and done.json["tls"].startswith("TLSv1.3")
    done = gatepost("cert", "show", f"127.0.0.1:{server.ports['mx']}", "--json")
    assert (done.code, done.json["verified"]) == (69, False)


def test_show_says_when_nobody_answers(gatepost: Cert, place: Path) -> None:
    """One line and 69."""
    done = gatepost("cert", "show", "127.0.0.1:1", "--timeout", "2")
    assert done.code == 69 and len(done.complaints) == 1


# -- check


def _use(place: Path, issued: Issued, name: str = "server.pem") -> None:
    (place / name).unlink(missing_ok=True)
    issued.write(place / name)


def _words(done: Any) -> set[tuple[str, str]]:
    return {(each["severity"], each["word"]) for one in done.json["certificates"] for each in one["findings"]}


def test_check_finds_nothing_wrong_with_a_good_one(gatepost: Cert, place: Path) -> None:
    """Exit code 0, and a line for each thing that is configured."""
    _use(place, GOOD)
    done = gatepost("cert", "check", "--json")
    assert (done.code, done.json["ok"], _words(done)) == (0, True, set()), done.out
    assert [each["setting"] for each in done.json["certificates"]] == ["tls.certificate", "tls.ca_file"]


@pytest.mark.parametrize(
    ("days", "code", "found"),
    [
        (22, 0, set()),
        (20, 1, {("warning", "expires-soon")}),
        (-1, 78, {("error", "expired")}),
    ],
)
def test_check_warns_three_weeks_before_the_end(
    gatepost: Cert, place: Path, days: int, code: int, found: set[tuple[str, str]]
) -> None:
    """Nothing before, 1 from 21 days on, 78 when it has expired."""
    _use(place, MIDDLE.issue(NAME, key=KEY, not_after=MIDDLE.now + days * DAY))
    done = gatepost("cert", "check", "--json")
    assert (done.code, _words(done)) == (code, found)
    assert ("server.pem" in gatepost("cert", "check", "-q").out) == (code != 0)


def _readable(place: Path) -> None:
    (place / "server.pem").chmod(0o644)


def _without_intermediate(place: Path) -> None:
    (place / "server.pem").write_bytes(pem(GOOD.certificate) + key_pem(KEY))


def _wrong_order(place: Path) -> None:
    root = ROOT.intermediate("another intermediate").certificate
    (place / "server.pem").write_bytes(pem(GOOD.certificate, root, MIDDLE.certificate) + key_pem(KEY))


def _wrong_name(place: Path) -> None:
    _use(place, MIDDLE.issue("www.test", key=KEY))


def _other_key(place: Path) -> None:
    (place / "server.pem").write_bytes(pem(*GOOD.chain) + key_pem(OTHER))


def _no_key(place: Path) -> None:
    (place / "server.pem").write_bytes(pem(*GOOD.chain))


def _missing(place: Path) -> None:
    (place / "server.pem").unlink()


def _sha1(place: Path) -> None:
    _use(place, RSA_ROOT.issue(NAME, key=KEY, broken_hash="sha1"))


def _rsa1024(place: Path) -> None:
    _use(place, MIDDLE.issue(NAME, key=key_for("a weak key", "rsa1024")))


def _own(place: Path) -> None:
    _use(place, self_signed(NAME))


def _old_authorities(place: Path) -> None:
    (place / "ca.pem").write_bytes(pem(ROOT.issue(key=OTHER, not_after=ROOT.now - DAY).certificate))


@pytest.mark.parametrize(
    ("spoil", "code", "found"),
    [
        (_readable, 78, ("error", "permissions")),
        (_without_intermediate, 78, ("error", "incomplete")),
        (_wrong_order, 78, ("error", "unordered")),
        (_wrong_name, 78, ("error", "wrong-name")),
        (_other_key, 78, ("error", "key-mismatch")),
        (_no_key, 78, ("error", "no-key")),
        (_missing, 78, ("error", "unusable")),
        (_sha1, 78, ("error", "weak-signature")),
        (_rsa1024, 78, ("error", "weak-key")),
        (_own, 0, ("note", "self-signed")),
        (_old_authorities, 78, ("error", "authority-expired")),
    ],
)
def test_check_finds(
    gatepost: Cert, place: Path, spoil: Callable[[Path], None], code: int, found: tuple[str, str]
) -> None:
    """Each fault has its word; text and JSON agree in the exit code."""
    _use(place, GOOD)
    spoil(place)
    done = gatepost("cert", "check", "--json")
    assert done.code == code, done.out
    assert found in _words(done)
    assert gatepost("cert", "check").code == code


def test_check_looks_at_every_certificate(gatepost: Cert, place: Path) -> None:
    """Those beside the first one too: one that is never shown, and a default without the host's name."""
    _use(place, MIDDLE.issue("www.test", key=KEY))
    _use(place, GOOD, "second.pem")
    _use(place, GOOD, "third.pem")
    with (place / "gatepost.toml").open("a") as out:
        out.write('[[certificate]]\nfile = "second.pem"\n[[certificate]]\nfile = "third.pem"\n')
    done = gatepost("cert", "check", "--json")
    assert (done.code, _words(done)) == (1, {("warning", "not-default"), ("warning", "never-shown")})


def test_check_passes_before_the_first_start(gatepost: Cert) -> None:
    """The self-signed certificate that will be made is no fault."""
    done = gatepost("cert", "check", "--json")
    assert (done.code, _words(done)) == (0, {("note", "not-made")})


def test_status_warns_of_what_expires(gatepost: Cert) -> None:
    """The words for status and log, by the days that are left."""
    from gatepost.serve.replacement import expiry_warning

    at = time.time()
    said = {days: expiry_warning({"not_after": at + days * 86400}, at) for days in (22, 20, 0.5, -1)}
    assert said == {22: "", 20: "expires in 20 days", 0.5: "expires within a day", -1: "has expired"}
