"""What delivery takes from the configuration: how servers are approached, and which addresses are our own."""

from __future__ import annotations

from gatepost.config.endpoints import parse_bind
from gatepost.config.schema import Config
from gatepost.delivery.attempt import Approach
from gatepost.errors import CertificateError, ConfigError
from gatepost.tls.contexts import CIPHERS, ClientContext, TLSProfile, client_context
from gatepost.tls.trust import TrustStore
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.secret import Secret


def approach_of(config: Config) -> Approach:
    """How servers are approached, from the configuration.

    :raises ConfigError: when the password file cannot be read.
    :raises CertificateError: when the authorities cannot be read and the level needs them.
    """
    delivery = config.delivery
    credentials = None
    if delivery.smarthost is not None and delivery.smarthost_user and delivery.smarthost_password_file:
        path = delivery.smarthost_password_file
        try:
            password = path.read_text("utf-8").splitlines()[0]
        except (OSError, UnicodeDecodeError, IndexError) as error:
            raise ConfigError(f"{path}: the smarthost's password cannot be read", hint="put it on one line") from error
        credentials = Credentials(delivery.smarthost_user, Secret(password))
    implicit = delivery.smarthost is not None and delivery.smarthost_tls == "implicit"
    level = delivery.tls_level
    if (implicit or credentials is not None) and level == "may":
        level = "encrypt"  # implicit TLS cannot be left out, and a password never travels in the clear
    return Approach(
        config.hostname, level, None if level == "none" else _context(config), implicit, credentials,
        delivery.connect_timeout, config.limits.handshake_timeout,
    )  # fmt: skip


def _context(config: Config) -> ClientContext:
    tls = config.tls
    profile = TLSProfile(tls.minimum, tls.maximum, tls.ciphers or CIPHERS, tls.suites)
    try:
        return client_context(config.delivery.ca_file or tls.ca_file, profile)
    except CertificateError:
        if config.delivery.tls_level == "verify" or config.delivery.ca_file or tls.ca_file:
            raise
        return client_context(None, profile, trust=TrustStore(()))  # nobody is trusted, and nobody has to be


def own_addresses(config: Config) -> frozenset[tuple[str, int]]:
    """What we listen on ourselves, to know a loop when we see one."""
    found = {parse_bind(bind) for listener in config.listener for bind in listener.bind}
    named = {(host, port) for host, port in found if host == "localhost"}
    return frozenset((found - named) | {(loop, port) for _, port in named for loop in ("127.0.0.1", "::1")})
