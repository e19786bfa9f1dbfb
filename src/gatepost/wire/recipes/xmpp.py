"""XMPP, between client and server and between servers: STARTTLS (RFC 6120 §5). Inside TLS the client speaks first.

The stream begins anew inside TLS, with another header and other features: nothing of the first one counts there.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.errors import LocalProtocolError
from gatepost.wire.dialogue import Dialogue, Send, receive
from gatepost.wire.recipes.granting import REQUEST, Grant, grant
from gatepost.wire.recipes.recipe import (
    ClientHalf,
    ClientTerms,
    Granted,
    PeerLeft,
    Recipe,
    ServerHalf,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.recipes.xmlstream import Close, Open, StreamReader, Token
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

STREAMS: Final = "http://etherx.jabber.org/streams"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
CLIENT: Final = "jabber:client"
SERVER: Final = "jabber:server"
_DOMAIN: Final = re.compile(r"[\w.:\[\]-]{1,255}")  # RFC 7622 §3.2: a domain or an address; nothing that XML would read
_NOT_AN_ID: Final = re.compile(r"[^A-Za-z0-9-]")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,3}\.[0-9]{1,4}")  # RFC 6120 §4.7.5


def _heard(reader: StreamReader, seconds: float, step: str) -> Dialogue[Token]:
    """The next tag."""
    while (token := reader.next_token()) is None:
        data = yield from receive(seconds, step)
        if not data:
            raise PeerLeft(f"the peer closed the connection before the {step} was complete")
        reader.receive(data)
    return token


def _is(token: Token, namespace: str, name: str, depth: int) -> bool:
    return isinstance(token, Open) and (token.namespace, token.name, token.depth) == (namespace, name, depth)


def _empty(reader: StreamReader, token: Token, seconds: float, step: str) -> Dialogue[None]:
    """Hear the end of an element that holds nothing."""
    if isinstance(token, Open) and not token.empty:
        end = yield from _heard(reader, seconds, step)
        if not isinstance(end, Close):
            raise UnexpectedWords(f"the {step} holds what it may not hold")


def _header_heard(reader: StreamReader, seconds: float, step: str) -> Dialogue[None]:
    """Hear a stream header (RFC 6120 §4.7)."""
    token = yield from _heard(reader, seconds, step)
    if not isinstance(token, Open) or not _is(token, STREAMS, "stream", 0) or token.empty:
        raise UnexpectedWords(f"the {step} is no stream header")
    if not _VERSION.fullmatch(token.attributes.get("version", "")):
        raise UpgradeRefused("the peer speaks an XMPP that is older than TLS in it")


def _refuse(reader: StreamReader, token: Token, seconds: float, step: str) -> Dialogue[None]:
    """Raise what a tag means that is not the one hoped for."""
    if isinstance(token, Close):
        raise UpgradeRefused(f"the server ended the stream in place of the {step}")
    if _is(token, STREAMS, "error", 1):
        condition = token if token.empty else (yield from _heard(reader, seconds, step))
        name = condition.name if isinstance(condition, Open) and condition.depth == 2 else "an error"
        raise UpgradeRefused("the server ended the stream", name.encode())
    raise UnexpectedWords(f"in place of the {step} the server sent <{token.name}>")


def _offers_tls(reader: StreamReader, seconds: float) -> Dialogue[bool]:
    """Hear the stream's features, all of them (RFC 6120 §4.3.2)."""
    step = "features of the stream"
    token = yield from _heard(reader, seconds, step)
    if not _is(token, STREAMS, "features", 1):
        yield from _refuse(reader, token, seconds, step)
    offered = False
    if isinstance(token, Open) and token.empty:
        return False
    while token != Close(1):
        token = yield from _heard(reader, seconds, step)
        offered |= _is(token, TLS, "starttls", 2)
    return offered


def _ask(reader: StreamReader, words: bytes) -> Dialogue[None]:
    if reader.pending:
        raise UnexpectedWords("the peer spoke before it was asked", reader.residue())
    yield Send(words)


def _client_of(content: str) -> ClientHalf:
    def client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
        """Stream header, features, starttls."""
        if not _DOMAIN.fullmatch(terms.server_name):
            raise LocalProtocolError(
                "an XMPP stream is opened to a domain", hint="name the server that is asked for (server_name)"
            )
        reader, seconds = StreamReader(), terms.seconds
        yield Send(
            f"<?xml version='1.0'?><stream:stream to='{terms.server_name}' version='1.0' xmlns='{content}' "
            f"xmlns:stream='{STREAMS}'>".encode()
        )
        yield from _header_heard(reader, seconds, "stream header")
        if not (yield from _offers_tls(reader, seconds)):
            raise UpgradeRefused("the server does not list starttls")
        yield from _ask(reader, f"<starttls xmlns='{TLS}'/>".encode())
        step = "reply to starttls"
        token = yield from _heard(reader, seconds, step)
        if _is(token, TLS, "failure", 1):
            raise UpgradeRefused("the server refused starttls", b"failure")
        if not _is(token, TLS, "proceed", 1):
            yield from _refuse(reader, token, seconds, step)
        yield from _empty(reader, token, seconds, step)
        return hand_over_client(origin, reader.residue())  # RFC 6120 §5.3.3: not even white space stands there

    return client


_GRANT: Final = Grant(
    f"<proceed xmlns='{TLS}'/>".encode(), f"<failure xmlns='{TLS}'/></stream:stream>".encode()
)  # RFC 6120 §5.4.2.2


def _error(condition: str) -> bytes:
    return (
        f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    ).encode()


def _server_of(content: str) -> ServerHalf:
    def server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
        """Stream header and starttls; nothing else before TLS."""
        reader, seconds = StreamReader(), terms.seconds
        identity = _NOT_AN_ID.sub("", origin.connection)  # another one is due inside TLS (RFC 6120 §4.7.3)
        header = (
            f"<?xml version='1.0'?><stream:stream from='{terms.hostname}' id='{identity}' version='1.0' "
            f"xmlns='{content}' xmlns:stream='{STREAMS}'>"
        ).encode()
        try:
            yield from _header_heard(reader, seconds, REQUEST)
        except (UnexpectedWords, UpgradeRefused) as error:
            yield Send(header + _error("not-well-formed"))
            raise UnexpectedWords(error.message) from error
        yield Send(
            header + f"<stream:features><starttls xmlns='{TLS}'><required/></starttls></stream:features>".encode()
        )
        try:
            token = yield from _heard(reader, seconds, REQUEST)
            if isinstance(token, Close):
                yield Send(b"</stream:stream>")
                raise PeerLeft("the client left without asking for TLS")
            if _is(token, TLS, "starttls", 1):
                yield from _empty(reader, token, seconds, REQUEST)
                return (yield from grant(origin, reader.residue(), _GRANT))
        except UnexpectedWords:
            yield Send(_error("not-well-formed"))
            raise
        yield Send(_error("policy-violation"))  # RFC 6120 §5.3.1: TLS is mandatory to negotiate
        raise UnexpectedWords(f"before TLS the client sent <{token.name}>")

    return server


XMPP: Final = Recipe(
    "xmpp", 5222, 5223, _client_of(CLIENT), _server_of(CLIENT), alpn=("xmpp-client",),
    summary="XMPP between client and server, STARTTLS (RFC 6120)",
)  # fmt: skip
XMPP_SERVER: Final = Recipe(
    "xmpp-server", 5269, 5270, _client_of(SERVER), _server_of(SERVER), alpn=("xmpp-server",),
    summary="XMPP between servers, STARTTLS (RFC 6120)",
)  # fmt: skip
