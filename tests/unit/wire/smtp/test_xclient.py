"""XCLIENT and XFORWARD: reading them strictly, and saying them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.xclient import ATTRIBUTES, NOTHING_TOLD, Told, listed, parse, words

ANN = Told("2001:db8::9", 25000, "mail.far.example", "ESMTP", "far.example", "ann+x@far.example")
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40).filter(lambda text: text[:1] != "[")


def test_list_names_what_is_read() -> None:
    """In the form that Postfix has."""
    assert listed("XCLIENT") == "XCLIENT NAME ADDR PORT PROTO HELO LOGIN"
    assert listed("XFORWARD") == "XFORWARD NAME ADDR PORT PROTO HELO SOURCE"


def test_what_is_said_is_what_is_read() -> None:
    """xtext and the prefix of IPv6 included."""
    line = words("XCLIENT", ANN, ATTRIBUTES["XCLIENT"])
    assert line == (
        "NAME=mail.far.example ADDR=IPV6:2001:db8::9 PORT=25000 PROTO=ESMTP HELO=far.example LOGIN=ann+2Bx@far.example"
    )
    assert parse("XCLIENT", line) == ANN


def test_only_what_the_server_lists_is_said_and_all_of_it() -> None:
    """What is not known is said to be unknown: the server would take its own view of us for it."""
    assert words("XCLIENT", Told("192.0.2.1"), {"ADDR", "NAME", "OTHER"}) == "NAME=[UNAVAILABLE] ADDR=192.0.2.1"
    assert words("XFORWARD", Told(source="LOCAL"), {"SOURCE"}) == "SOURCE=LOCAL"


def test_what_is_not_named_stays() -> None:
    """Attributes may come in several commands."""
    assert parse("XCLIENT", "ADDR=192.0.2.1 name=[unavailable]", ANN) == Told(
        "192.0.2.1", 25000, "", "ESMTP", "far.example", "ann+x@far.example"
    )
    assert parse("XCLIENT", "PORT=[UNAVAILABLE] DESTADDR=192.0.2.2", ANN).port == 0
    assert parse("XCLIENT", "ADDR=[TEMPUNAVAIL]", ANN).address == ""
    assert parse("XFORWARD", "IDENT=x SOURCE=remote") == Told(source="REMOTE")


@pytest.mark.parametrize(
    "argument",
    [
        "", "ADDR", "ADDR=", "ADDR=1.2.3", "ADDR=1.2.3.4.5", "ADDR=::1", "ADDR=IPV6:1.2.3.4", "ADDR=IPV6:::g",
        "ADDR=IPV6:fe80::1%25eth0", "ADDR=010.1.1.1", "PORT=65536", "PORT=000001", "PORT=+2B1", "PORT=٢٥",
        "PROTO=LMTP", "NAME=a+20b", "NAME=a+0D+0A", "HELO=a+", "HELO=a=b", "LOGIN=+00", "LOGIN=ö", "WHO=me",
        "ADDR=192.0.2.1 ADDR=192.0.2.1", "SOURCE=LOCAL", "NAME=" + "a" * 256,
    ],
)  # fmt: skip
def test_malformed_attributes_are_refused(argument: str) -> None:
    """501, whoever says it."""
    with pytest.raises(CommandSyntaxError) as refused:
        parse("XCLIENT", argument)
    assert refused.value.code == 501


def test_login_is_no_attribute_of_xforward() -> None:
    """It changes nobody's rights."""
    with pytest.raises(CommandSyntaxError):
        parse("XFORWARD", "LOGIN=ann")


@pytest.mark.parametrize("name", ["a\r\nb", "a\nb", "ö", "\0"])
def test_no_value_breaks_a_line(name: str) -> None:
    """What the wire cannot say is not said."""
    with pytest.raises(LocalProtocolError):
        words("XCLIENT", Told(helo=name), {"HELO"})


@given(TEXT, TEXT, TEXT, st.integers(0, 65535), st.ip_addresses())
def test_every_client_can_be_told(
    name: str, helo: str, login: str, port: int, address: IPv4Address | IPv6Address
) -> None:
    """And is understood; IPv4 in IPv6 is IPv4."""
    told = Told(str(address), port, name, "SMTP", helo, login)
    plain = getattr(address, "ipv4_mapped", None) or address
    heard = parse("XCLIENT", words("XCLIENT", told, ATTRIBUTES["XCLIENT"]), NOTHING_TOLD)
    assert heard == replace(told, address=str(plain))
