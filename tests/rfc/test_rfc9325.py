"""The TLS profile, where no attack test shows it."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from pydantic import ValidationError

from gatepost.config.schema import TLS, Inbound, Outbound
from gatepost.errors import HandshakeError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import carry, client_side, private_pair, run_handshake, server_side
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.trust import TrustStore

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
CREDENTIAL = AUTHORITY.issue(NAME).credential
SERVER = server_contexts([CREDENTIAL])
CLIENT = client_context(trust=TrustStore([AUTHORITY.certificate]))


@pytest.mark.parametrize("newest", ["TLSv1", "TLSv1.1"])
def test_client_speaks_no_version_below_1_2(newest: str) -> None:
    """RFC 9325 §3.1.1: a server that can do no better gets no handshake."""
    old = server_contexts([CREDENTIAL], TLSProfile(minimum="TLSv1", maximum=newest, ciphers="ALL"))
    with pytest.raises(HandshakeError) as caught:
        run_handshake(server_side(old), client_side(ClientTLS(CLIENT, NAME, "may")))
    assert caught.value.alert == "protocol_version"


@pytest.mark.parametrize("table", [TLS, Inbound, Outbound])
@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1.1"])
def test_configuration_has_no_word_for_old_versions(table: type[TLS | Inbound | Outbound], version: str) -> None:
    """RFC 8997 §2, RFC 9325 §3.1.1: they cannot be asked for."""
    with pytest.raises(ValidationError):
        table(minimum=version)  # type: ignore[arg-type]


def test_compression_and_renegotiation_are_off_on_both_sides() -> None:
    """RFC 9325 §3.3 and §3.5."""
    unused = (server_contexts([CREDENTIAL]).choose(None), client_context(trust=TrustStore(())).context)
    for context in unused:
        options = context.set_options(0)
        assert options & SSL.OP_NO_COMPRESSION
        assert options & SSL.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
def test_every_handshake_has_forward_secrecy(maximum: str) -> None:
    """RFC 9325 §4.1: whatever is agreed on, keys are exchanged for this session alone."""
    context = client_context(profile=TLSProfile(maximum=maximum), trust=TrustStore([AUTHORITY.certificate]))
    server, client = private_pair(SERVER, ClientTLS(context, NAME))
    assert client.evidence.cipher.startswith(("ECDHE-", "TLS_"))
    assert server.evidence.group in ("X25519MLKEM768", "x25519")


def test_no_cipher_on_offer_is_among_the_forbidden() -> None:
    """RFC 9325 §4.1: no encryption below 128 bits, no RC4, no export, no anonymity, no static RSA."""
    for context in (SERVER.choose(None), CLIENT.context):
        offered = SSL.Connection(context).get_cipher_list()
        assert offered
        for cipher in offered:
            assert cipher.startswith(("TLS_", "ECDHE-")), cipher
            assert not {"NULL", "RC4", "EXP", "DES", "MD5", "ADH", "AECDH"} & set(cipher.split("-")), cipher


@pytest.mark.parametrize("maximum", ["TLSv1.2", "TLSv1.3"])
def test_contexts_that_are_made_anew_have_new_ticket_keys(maximum: str) -> None:
    """RFC 9325 §3.4: what an earlier key protected is worth nothing to those who come later."""
    context = client_context(profile=TLSProfile(maximum=maximum), trust=TrustStore([AUTHORITY.certificate]))
    old, new = server_contexts([CREDENTIAL]), server_contexts([CREDENTIAL])
    seen = []
    for contexts in (old, old, new):
        server, client = private_pair(contexts, ClientTLS(context, NAME))
        server.send(b"250 the ticket comes with this")
        carry(server, client)
        client.close()
        seen.append(server.evidence.resumed)
    assert seen == [False, True, False]
