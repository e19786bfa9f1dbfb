"""TLS contexts: built once from a profile and credentials, never changed, replaced as a whole.

A context that was used is frozen, so a reload makes new ones and swaps them. Contexts for servers are made before the
processes fork: their ticket keys are then the same in every worker, and a session resumes whichever worker gets it.
Each credential has a context of its own, so a ticket of one name is worth nothing under another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from gatepost.errors import ConfigError, LocalProtocolError
from gatepost.tls.clients import ClientTrust
from gatepost.tls.credential import Credential
from gatepost.tls.names import is_address, reference_name, reference_pattern
from gatepost.tls.observer import log_keys, make_observable
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore

VERSIONS: Final[Mapping[str, int]] = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
# RFC 9325 §4.2: forward secrecy always, AEAD first; CBC last, for old peers that would otherwise send in the clear.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!PSK:!SRP:!MD5"

_RELEASE_BUFFERS: Final = 0x10  # SSL_MODE_RELEASE_BUFFERS, ssl.h: an idle connection keeps no record buffers
_SESSION_CONTEXT: Final = b"gatepost"

Level: TypeAlias = Literal["may", "encrypt", "fingerprint", "verify"]
ClientCertificate: TypeAlias = Literal["none", "ask", "require"]


@final
@dataclass(frozen=True, slots=True)
class TLSProfile:
    """How TLS is spoken.

    The key-exchange groups are OpenSSL's own: X25519MLKEM768 first, then X25519 and the NIST curves.

    :param minimum: oldest version: ``TLSv1``, ``TLSv1.1``, ``TLSv1.2`` or ``TLSv1.3`` (RFC 8997: not below 1.2).
    :param maximum: newest version, or None for the newest there is.
    :param ciphers: TLS 1.2 cipher list as OpenSSL writes it.
    :param suites: TLS 1.3 cipher suites, separated by colons, or None for OpenSSL's own.
    :param tickets: whether sessions may be resumed.
    :param ticket_lifetime: seconds.
    :param client_certificate: whether a server asks for one. It never fails a handshake over it, ``require`` no more
        than ``ask``: what is not proved is for the protocol to refuse. Sessions are then not resumed.
    """

    minimum: str = "TLSv1.2"
    maximum: str | None = None
    ciphers: str = CIPHERS
    suites: str | None = None
    tickets: bool = True
    ticket_lifetime: int = 7200
    client_certificate: ClientCertificate = "none"


def _context(method: int, profile: TLSProfile) -> SSL.Context:
    """A context with what servers and clients have in common.

    :raises ConfigError: when the profile names a version or cipher that does not exist.
    """
    for key, version in (("minimum", profile.minimum), ("maximum", profile.maximum)):
        if version is not None and version not in VERSIONS:
            raise ConfigError(f"tls.{key}: {version!r} is no TLS version", hint=f"one of {', '.join(VERSIONS)}")
    minimum, maximum = VERSIONS[profile.minimum], VERSIONS[profile.maximum] if profile.maximum else 0
    if maximum and maximum < minimum:
        raise ConfigError(f"tls.maximum: {profile.maximum} is older than the minimum, {profile.minimum}")
    context = SSL.Context(method)
    context.set_min_proto_version(minimum)
    context.set_max_proto_version(maximum)
    # Only security level 0 still permits the hashes of TLS 1.0 and 1.1 (SSL_CTX_set_security_level(3)).
    level = "@SECLEVEL=0:" if minimum < SSL.TLS1_2_VERSION else ""
    try:
        context.set_cipher_list((level + profile.ciphers).encode("ascii"))
    except (SSL.Error, UnicodeEncodeError) as error:
        raise ConfigError(f"tls.ciphers: {profile.ciphers!r} names no usable cipher") from error
    if profile.suites is not None:
        try:
            context.set_tls13_ciphersuites(profile.suites.encode("ascii"))
        except (SSL.Error, UnicodeEncodeError) as error:
            raise ConfigError(f"tls.suites: {profile.suites!r} names no TLS 1.3 cipher suite") from error
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets need no memory of ours
    return context


def _use(context: SSL.Context, credentials: Sequence[Credential]) -> None:
    for credential in credentials:
        if len(credentials) == 1:
            context.use_certificate(credential.certificate)
            for issuer in credential.chain:
                context.add_extra_chain_cert(issuer)
        else:
            _use_with_own_chain(context, credential)
        context.use_privatekey(credential.key)
        context.check_privatekey()


def _use_with_own_chain(context: SSL.Context, credential: Credential) -> None:
    """One of several certificates of a context, with the chain that goes with it alone.

    What ``add_extra_chain_cert`` adds is sent with every certificate of the context. A chain per certificate is there
    only through SSL_CTX_use_certificate_chain_file(3), so there is a file for as long as that takes.
    """
    text = b"".join(each.public_bytes(Encoding.PEM) for each in (credential.certificate, *credential.chain))
    file = os.memfd_create("chain.pem")
    try:
        with open(file, "wb", closefd=False) as out:
            out.write(text)
        context.use_certificate_chain_file(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


@final
class Vhost:
    """The context for a name, and the channel binding of each certificate that it can show.

    :param clients: what judges the certificate that clients are asked for; None where they are not asked.
    :param end_point: the ``tls-server-end-point`` binding when there is only one certificate, else None.
    """

    __slots__ = ("_end_points", "clients", "context", "end_point")

    def __init__(
        self, context: SSL.Context, credentials: Sequence[Credential], clients: ClientTrust | None = None
    ) -> None:
        self.context: Final = context
        self.clients: Final = clients
        self._end_points: Final = {credential.certificate: credential.end_point for credential in credentials}
        self.end_point: Final = credentials[0].end_point if len(credentials) == 1 else None

    def end_point_of(self, connection: SSL.Connection, *, resumed: bool) -> bytes | None:
        """The binding of the certificate that a connection showed; None when a resumed one does not tell which."""
        if len(self._end_points) == 1:
            return self.end_point
        shown = None if resumed else connection.get_certificate(as_cryptography=True)
        return self._end_points.get(shown) if shown is not None else None


@final
class ServerContexts:
    """One immutable set of contexts, chosen among by server name. Made by ``server_contexts``.

    :param credentials: what they were made with.
    :param clients: what judges client certificates, here or in contexts that ask for them.
    """

    __slots__ = ("_default", "_exact", "_wildcard", "clients", "credentials")

    def __init__(
        self,
        default: Vhost,
        exact: Mapping[str, Vhost],
        wildcard: Mapping[str, Vhost],
        credentials: tuple[Credential, ...],
        clients: ClientTrust | None = None,
    ) -> None:
        self._default: Final = default
        self._exact: Final = dict(exact)
        self._wildcard: Final = dict(wildcard)
        self.credentials: Final = credentials
        self.clients: Final = clients or ClientTrust()

    def select(self, server_name: str | None) -> Vhost:
        """The vhost for an SNI host name; the default for a name we do not know and for none (RFC 7672 §8.1)."""
        if server_name is None or not (self._exact or self._wildcard):
            return self._default
        found = self._exact.get(server_name)
        if found is None and self._wildcard:
            found = self._wildcard.get(server_name.partition(".")[2])
        return self._default if found is None else found

    def choose(self, server_name: str | None) -> SSL.Context:
        """The context for an SNI host name."""
        return self.select(server_name).context


def server_contexts(
    credentials: Sequence[Credential], profile: TLSProfile | None = None, clients: ClientTrust | None = None
) -> ServerContexts:
    """Build the contexts of a server.

    :param credentials: the first is the default, for unknown names and for none. Certificates for one name with keys
        of several kinds (ECDSA and RSA) share a context, and the client's abilities decide between them; of two with
        the same kind of key the first is shown.
    :param clients: what judges client certificates, where the profile asks for them; by default nobody is believed.
    :raises ConfigError: when the profile or the credentials cannot be used.
    """
    if not credentials:
        raise ConfigError("tls: a server needs at least one certificate")
    profile, clients = profile or TLSProfile(), clients or ClientTrust()
    asked = None if profile.client_certificate == "none" else clients
    made: dict[tuple[Credential, ...], Vhost] = {}

    def vhost(members: tuple[Credential, ...]) -> Vhost:
        if members not in made:
            made[members] = Vhost(_server_context(members, profile), members, asked)
        return made[members]

    first = credentials[0]
    default = vhost(shown_for(first.names[0], credentials) if first.names else (first,))
    exact: dict[str, Vhost] = {}
    wildcard: dict[str, Vhost] = {}
    for name in dict.fromkeys(name for credential in credentials for name in credential.names):
        chosen = vhost(shown_for(name, credentials))
        if name.startswith("*."):
            wildcard[name[2:]] = chosen
        else:
            exact[name] = chosen
    if len(made) == 1:
        exact, wildcard = {}, {}  # nothing to choose
    return ServerContexts(default, exact, wildcard, tuple(credentials), clients)


def shown_for(name: str, credentials: Sequence[Credential]) -> tuple[Credential, ...]:
    """The credentials for a name in a certificate: for each kind of key the first that has it, exactly or by wildcard.

    :param name: as ``Credential.names`` has it; ``*.example.org`` asks for the wildcard itself.
    """
    above = f"*.{name.partition('.')[2]}"
    chosen: dict[type, Credential] = {}
    for wanted in (name, above):
        for credential in credentials:
            if wanted in credential.names:
                chosen.setdefault(type(credential.key), credential)
    return tuple(credential for credential in credentials if credential in chosen.values())


def _server_context(credentials: Sequence[Credential], profile: TLSProfile) -> SSL.Context:
    context = _context(SSL.TLS_SERVER_METHOD, profile)
    try:
        _use(context, credentials)
    except SSL.Error as error:
        raise ConfigError(f"{credentials[0].source}: OpenSSL refuses this certificate or key") from error
    context.set_session_id(_SESSION_CONTEXT)
    context.set_timeout(profile.ticket_lifetime)
    asks = profile.client_certificate != "none"
    if asks:
        _ask(context)
    if not profile.tickets or asks:  # a resumed session has no certificate chain to judge
        context.set_options(SSL.OP_NO_TICKET)  # and with no cache, TLS 1.3's stateful tickets resume nothing either
    return context


def _ask(context: SSL.Context) -> None:
    """Ask for a certificate and take any: the verdict comes after the handshake.

    Without a callback OpenSSL ends the handshake over a certificate that it cannot verify. A callback is a piece of
    code made at run time.

    :raises ConfigError: where memory that is both writable and executable is forbidden (MemoryDenyWriteExecute).
    """
    try:
        context.set_verify(SSL.VERIFY_PEER, _accept)
    except MemoryError as error:
        raise ConfigError(
            "clients cannot be asked for certificates where memory may not be writable and executable at once",
            hint="remove MemoryDenyWriteExecute from the unit, or tls.client_certificate and every rule that asks for "
            "or relays by certificates",
        ) from error


def _accept(connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int) -> bool:
    return True


@final
class ClientContext:
    """What a client needs to speak TLS: a context, whom it trusts, and the sessions made with both.

    :param context: never verifies by itself: the verdict is given after the handshake.
    :param trust: the anchors for that verdict.
    :param sessions: what may be resumed.
    :param observable: whether OpenSSL tells what it does to whoever observes a handshake (``tls.observer``).
    """

    __slots__ = ("context", "observable", "sessions", "trust")

    def __init__(
        self, context: SSL.Context, trust: TrustStore, sessions: SessionCache, *, observable: bool = False
    ) -> None:
        self.context: Final = context
        self.observable: Final = observable
        self.trust: Final = trust
        self.sessions: Final = sessions


def client_context(
    ca_file: Path | None = None,
    profile: TLSProfile | None = None,
    credential: Credential | None = None,
    *,
    trust: TrustStore | None = None,
    sessions: SessionCache | None = None,
    observable: bool = False,
    keylog: Callable[[bytes], None] | None = None,
) -> ClientContext:
    """Build the context of a client.

    :param ca_file: the authorities to trust; None for the system's.
    :param credential: the client's own certificate, if it has one.
    :param trust: the anchors themselves, instead of ``ca_file``.
    :param sessions: the cache to use; a new one by default. ``SessionCache(0)`` never resumes.
    :param observable: make OpenSSL's states and alerts known to observers, for a trace. Where that needs memory that is
        forbidden (``tls.observer``), the context is made without it.
    :param keylog: gets the keys of all sessions, line by line: whoever has them can decrypt the connections.
    :raises ConfigError: when the profile or the credential cannot be used, or ``keylog`` not here.
    :raises CertificateError: when the authorities cannot be loaded.
    """
    profile = profile or TLSProfile()
    context = _context(SSL.TLS_CLIENT_METHOD, profile)
    context.set_verify(SSL.VERIFY_NONE)
    if credential is not None:
        try:
            _use(context, (credential,))
        except SSL.Error as error:
            raise ConfigError(f"{credential.source}: OpenSSL refuses this certificate or key") from error
    if not profile.tickets:
        context.set_options(SSL.OP_NO_TICKET)
    if sessions is None:  # an empty cache is false, too
        sessions = SessionCache()
    observable = observable and make_observable(context)
    if keylog is not None:
        log_keys(context, keylog)
    trust = trust or TrustStore.load(ca_file)
    return ClientContext(context, trust, sessions if profile.tickets else SessionCache(0), observable=observable)


@final
@dataclass(frozen=True, slots=True)
class ClientTLS:
    """What one connection asks of TLS.

    :param context: with whom we trust, and our sessions.
    :param server_name: the name to ask for (SNI, RFC 6066 §3) and to find in the certificate; a host name or an address
        (which is never sent as SNI). None asks for none.
    :param level: ``may`` and ``encrypt`` go on whatever the certificate is, and say so in the evidence; ``verify``
        raises ``VerificationError`` unless chain and name are good, ``fingerprint`` unless the certificate is one of
        ``pins``.
    :param names: reference names to accept instead of ``server_name``; ``.example.com`` is any name below that one.
    :param alpn: protocols to offer (RFC 7301), best first.
    :param pins: SHA-256 of certificates or public keys, in lower-case hexadecimal.
    :raises LocalProtocolError: when ``verify`` has no name to verify, the level is unknown, or a name is none.
    """

    context: ClientContext
    server_name: str | None
    level: Level = "verify"
    names: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in ("may", "encrypt", "fingerprint", "verify"):
            raise LocalProtocolError(f"{self.level!r} is no TLS level: may, encrypt, fingerprint or verify")
        if self.level == "verify" and not self.references:
            raise LocalProtocolError("level verify needs a name to verify")
        for name in self.names:
            reference_pattern(name)
        if self.server_name is not None:
            reference_name(self.server_name)

    @property
    def references(self) -> tuple[str, ...]:
        """The names of which one must be in the certificate."""
        return self.names or ((self.server_name,) if self.server_name else ())

    @property
    def sni(self) -> bytes | None:
        """The server name to send: A-labels, or None for an address."""
        if self.server_name is None:
            return None
        name = reference_name(self.server_name)
        return None if is_address(name) else name.encode("ascii")
