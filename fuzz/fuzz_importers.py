"""Invariant: whatever an old server's files hold, only ConfigError escapes from importing them, and what is written is
TOML with no control characters that means what it says."""

from __future__ import annotations

import tomllib

from fuzz.files import folder_of
from fuzz.origins import plan
from fuzz.words import ADDRESSES, ENDS, IMPORTS, VALUES

from gatepost.config.importers.dmail import from_dmail
from gatepost.config.importers.document import Document
from gatepost.config.importers.postfix import from_postfix
from gatepost.config.importers.qmail import from_qmail
from gatepost.errors import ConfigError

SERVERS = 3
FILES = (  # the first takes what stands before the first NUL, and so on
    ("main.cf", "transport", "tls_policy", "mynetworks", "relay_ccerts", "cert.pem"),
    ("tcp.smtp", "me", "smtproutes", "rcpthosts", "locals", "tlshosts", "databytes", "timeoutremote", "morercpthosts",
     "notlshosts", "tlsclientciphers", "tlsserverciphers", "clientcert.pem", "servercert.pem", "badmailfrom"),
    ("dmail.conf", "server.pem"),
)  # fmt: skip
WORDS = (
    b"mynetworks = 127.0.0.0/8 [::1]/128 !10.0.0.1, $x\n", b"smtp_tls_security_level = encrypt\n",
    b"smtpd_tls_cert_file=cert.pem\n", b"transport_maps = hash:transport\n", b"example.org smtp:[mx]:25\n",
    b"relayhost = [mx]:587\n", b"message_size_limit = 9\n", b"smtp_tls_policy_maps = texthash:tls_policy\n",
    b"smtp_tls_mandatory_protocols = >=TLSv1.2\n", b"mydestination = $myhostname, x\n", b".example.org:mx:25\n",
    b":relay\n", b"127.:allow,RELAYCLIENT=\"\",X='y'\n", b"1.2.3.4-9:deny\n", b"=host:allow\n", b"bind_in 1.2.3.4\n",
    b"host_domain example.org\n", b"forward_from_ip 10.*\n", b"show_tls *\n", b"msg_relay x\n", b"\0", b"${", b"{if}",
    b"inline:{a=b}", b"\xee\x80\x80", b"file:", b"\xff", b"\\\n", b"\t", *IMPORTS, *VALUES, *ADDRESSES, *ENDS,
)  # fmt: skip
SEEDS = (
    (
        b"\0\0myhostname = mx.example.org\nmydomain=example.org\nmydestination = $myhostname, localhost.$mydomain\n"
        b"mynetworks = 127.0.0.0/8\n  [::1]/128\nsmtpd_tls_cert_file = cert.pem\nsmtpd_tls_security_level = may\n"
        b"smtp_tls_policy_maps = texthash:tls_policy\ntransport_maps = texthash:transport\n"
        b"relayhost = [mx.example.net]:587\n"
        b"message_size_limit = 1000\0example.com relay:[192.0.2.1]:26\n.example.com local:\n"
        b"\0example.com secure match=.example.com\n"
        b"192.0.2.1 fingerprint match=ab:cd\n"
    ),
    (
        b'\1\0127.:allow,RELAYCLIENT=""\n10.1-3.:deny\n:allow\n\0mx.example.org\n\0example.com:[mx.example.net]:26\n'
        b":relay.example.net\n\0"
        b"example.org\n.example.net\n"
    ),
    b"\2\0host_domain example.org\nbind_in 192.0.2.1\nshow_tls *\nforward_from_ip 10.*\nmax_msg_size 1000\n# x\n",
)


def imported(choice: int, data: bytes) -> Document:
    """What an importer makes of the files."""
    names = FILES[choice]
    root = folder_of(dict(zip(names, data.split(b"\0"), strict=False)))
    (root / names[0]).touch()
    if choice == 0:
        return from_postfix(root / "main.cf")
    return from_dmail(root / "dmail.conf") if choice == 2 else from_qmail(root, root / "tcp.smtp")


def target(data: bytes) -> None:
    """Postfix, qmail or DMail."""
    told = plan(data, SERVERS)
    try:
        document = imported(told.choice, told.words)
    except ConfigError as error:
        assert str(error).isprintable()
        return
    text = document.text()
    assert all(line.isprintable() for line in text.split("\n"))
    tomllib.loads(text)
