"""Mailboxes and paths."""

from __future__ import annotations

import time

import pytest

from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox, parse_mailbox, parse_path, to_a_labels


@pytest.mark.parametrize(
    ("path", "local", "domain"),
    [
        ("<a@b.C>", "a", "b.c"),
        ("<First.Last+tag@Example.ORG.>", "First.Last+tag", "example.org"),
        ("<@a.example,@b.example:c@d.example>", "c", "d.example"),
        ("<@[IPv6:::1]:a@b>", "a", "b"),
        ('<"a b"@c>', "a b", "c"),
        ('<"a@b"@c.d>', "a@b", "c.d"),
        (r'<"a\"\\b"@c>', 'a"\\b', "c"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("<a@[ipv6:2001:DB8::1]>", "a", "[IPv6:2001:db8::1]"),
        ("<a%b@c>", "a%b", "c"),
        ("<a!b@c>", "a!b", "c"),
        ("<a@under_score.example>", "a", "under_score.example"),
        ("<" + "l" * 64 + "@" + ("d" * 61 + ".") * 4 + "example>", "l" * 64, ("d" * 61 + ".") * 4 + "example"),
    ],
)
def test_path_means_its_mailbox(path: str, local: str, domain: str) -> None:
    """What is legal is read, source routes are dropped, the domain is in lower case without a trailing dot."""
    assert parse_path(path, utf8=False) == Mailbox(local, domain)


def test_null_path_is_nobody() -> None:
    """``<>`` is None."""
    assert parse_path("<>", utf8=False) is None


@pytest.mark.parametrize("spelling", ["postmaster", "Postmaster", "POSTMASTER"])
def test_postmaster_needs_no_domain(spelling: str) -> None:
    """RFC 5321 §4.5.1: the one mailbox without a domain, in any case."""
    assert parse_path(f"<{spelling}>", utf8=False) == Mailbox("postmaster", "")


@pytest.mark.parametrize(
    "path",
    [
        "a@b",
        "<a@b",
        "a@b>",
        "<a>",
        "<@b>",
        "<a@>",
        "<a@b@c>",
        "<a@b>c@d>",
        "<a@b>@c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a b@c>",
        "<a@b c>",
        "<a@-b>",
        "<a@b->",
        "<a@b..c>",
        "<a@.b>",
        "<a@b.-c>",
        "<a@1.2.3.4>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.4.5]>",
        "<a@[IPv6:zz]>",
        "<a@[x]>",
        '<"a@b>',
        '<"a"b@c>',
        '<a"b"@c>',
        "<a\r\nb@c>",
        "<a\x00@c>",
        "<@a:>",
        "<@a>",
        "<@:a@b>",
        "<@a,b:c@d>",
        "<a@b\x85>",
        "<a@b\u2028>",
        "<a@" + "d" * 64 + ">",
        "<a@" + "d." * 128 + "e>",
        "<" + "l" * 257 + "@b>",
        "<a@b,c@d>",
        "<;cmd@b;>",
        "<>x",
        "",
        "<",
        ">",
    ],
)
def test_path_refuses_what_is_no_address(path: str) -> None:
    """Everything else raises, with 501."""
    with pytest.raises(AddressSyntaxError) as caught:
        parse_path(path, utf8=True)
    assert caught.value.code == 501


def test_path_beyond_ascii_needs_smtputf8() -> None:
    """Without the extension it is refused with 5.6.7, with it the U-label has an A-label."""
    with pytest.raises(AddressSyntaxError) as caught:
        parse_path("<ü@faß.de>", utf8=False)
    assert caught.value.enhanced == "5.6.7"
    mailbox = parse_path("<ü@faß.de>", utf8=True)
    assert mailbox is not None
    assert (str(mailbox), mailbox.ascii_domain, mailbox.ascii) == ("ü@faß.de", "xn--fa-hia.de", False)


@pytest.mark.parametrize(
    ("u_label", "a_label"), [("bücher.example", "xn--bcher-kva.example"), ("例え.テスト", "xn--r8jz45g.xn--zckzah")]
)
def test_domain_has_its_a_labels(u_label: str, a_label: str) -> None:
    """IDNA 2008, not 2003."""
    assert to_a_labels(u_label) == a_label


@pytest.mark.parametrize(
    "domain", ["\u0301a.example", "a\u00adb.example", "ａ.example", "☃.example", "-é.example", "é" * 60]
)
def test_domain_refuses_what_idna_2008_does_not_allow(domain: str) -> None:
    """Marks first, invisible characters, full-width forms, symbols, and what grows too long."""
    with pytest.raises(AddressSyntaxError):
        parse_mailbox(f"a@{domain}")


@pytest.mark.parametrize("utf8", [False, True])
def test_longest_address_is_read_and_one_octet_more_is_not(utf8: bool) -> None:
    """RFC 5321 §4.5.3.1: 255 octets of a domain, 63 of a label; 256 of a local part, by octets and not by letters."""
    domain = ".".join(["d" * 63] * 4)  # 255 octets
    local = "ü" * 128 if utf8 else "l" * 256
    assert parse_path(f"<{local}@{domain}>", utf8=utf8) == Mailbox(local, domain)
    for text in (f"l{local}@c", f"a@{domain[:-1]}.dd", f"a@{'d' * 64}.c"):
        with pytest.raises(AddressSyntaxError):
            parse_path(f"<{text}>", utf8=utf8)


@pytest.mark.parametrize("text", ['"a b"@c', r'"a\"b"@c', "a.b@c", '"a@b"@c', '"."@c', '""@c'])
def test_mailbox_is_written_as_it_is_read(text: str) -> None:
    """The written form means the same mailbox."""
    mailbox = parse_mailbox(text)
    assert parse_mailbox(str(mailbox)) == mailbox


def test_mailbox_is_quoted_only_where_it_must_be() -> None:
    """A needless quotation disappears."""
    assert str(parse_mailbox('"plain"@c')) == "plain@c"


@pytest.mark.no_cover  # it measures time, and a tracer takes some
@pytest.mark.parametrize("piece", ["a.", ".", "@a,", '"\\', "-", "<", "[", "é"])
def test_parser_is_linear_on_hostile_paths(piece: str) -> None:
    """No expression backtracks through a long hostile path."""
    text = "<" + piece * 20000 + ">"
    began = time.process_time()
    with pytest.raises(AddressSyntaxError):
        parse_path(text, utf8=True)
    assert time.process_time() - began < 0.5
