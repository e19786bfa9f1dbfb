"""What a client writes in a SASL exchange."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.auth_lines import AUTH_LINE_LIMIT, auth_command, response_line


@pytest.mark.parametrize(
    ("initial", "line"),
    [(None, b"AUTH PLAIN\r\n"), (b"", b"AUTH PLAIN =\r\n"), (b"\0a\0b", b"AUTH PLAIN AGEAYg==\r\n")],
)
def test_auth_command_has_the_initial_response_in_base64(initial: bytes | None, line: bytes) -> None:
    """RFC 4954 §4, RFC 5034 §4: an empty one is an equals sign, which none is not."""
    assert auth_command("PLAIN", initial) == line


@pytest.mark.parametrize("name", ["", "plain", "A B", "PLAIN\r\nQUIT", "A" * 21])
def test_auth_command_refuses_what_is_no_name_of_a_mechanism(name: str) -> None:
    """RFC 4422 §3.1: up to twenty capitals, digits, hyphens and underscores."""
    with pytest.raises(LocalProtocolError, match="mechanism"):
        auth_command(name, None)


def test_responses_have_the_length_of_a_line_at_most() -> None:
    """RFC 4954 §4: with its CRLF a line has no more than 12288 octets; an initial response, none behind AUTH either."""
    fits = b"x" * ((AUTH_LINE_LIMIT - 4) // 4 * 3)
    assert len(response_line(fits)) == AUTH_LINE_LIMIT - 2
    with pytest.raises(LocalProtocolError, match="longer than a line"):
        response_line(fits + b"x")
    with pytest.raises(LocalProtocolError, match="longer than"):
        auth_command("PLAIN", fits)
