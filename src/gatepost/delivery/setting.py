"""What delivery takes from the configuration: how servers are approached, and which addresses are our own."""

from __future__ import annotations

from pathlib import Path

from gatepost.config.endpoints import parse_bind
from gatepost.config.lists import ListFiles
from gatepost.config.policies import default_level, outbound_policy
from gatepost.config.schema import Config
from gatepost.delivery.attempt import Approach
from gatepost.errors import CertificateError, ConfigError
from gatepost.policy.levels import DEMANDS, Level, raised
from gatepost.policy.outbound import ClientHandshake, OutboundPolicy
from gatepost.tls.clientfiles import ClientFiles
from gatepost.tls.contexts import CIPHERS, ClientContext, TLSProfile
from gatepost.wire.sasl.outcome import Credentials
from gatepost.wire.sasl.secret import Secret


def approach_of(config: Config, files: ClientFiles | None = None) -> Approach:
    """How servers are approached where no rule says otherwise.

    :param files: what was read of authorities before; None reads them now.
    :raises ConfigError: when the password file cannot be read.
    :raises CertificateError: when the authorities cannot be read and the level needs them.
    """
    delivery, tls = config.delivery, config.tls
    credentials = None
    if delivery.smarthost is not None and delivery.smarthost_user and delivery.smarthost_password_file:
        path = delivery.smarthost_password_file
        try:
            password = path.read_text("utf-8").splitlines()[0]
        except (OSError, UnicodeDecodeError, IndexError) as error:
            raise ConfigError(f"{path}: the smarthost's password cannot be read", hint="put it on one line") from error
        credentials = Credentials(delivery.smarthost_user, Secret(password))
    implicit = delivery.smarthost is not None and delivery.smarthost_tls == "implicit"
    set_level, source = default_level(config)
    level = raised(set_level, login=credentials is not None, implicit=implicit)
    context = None
    if DEMANDS[level].asks:
        ca = delivery.ca_file or tls.ca_file
        shake = ClientHandshake(
            None if ca is None else str(ca), None, tls.minimum, tls.maximum, tls.ciphers, tls.suites
        )
        context = context_of(shake, level, files or ClientFiles())
    return Approach(
        config.hostname, level, context, implicit, credentials,
        delivery.connect_timeout, config.limits.handshake_timeout, rule=str(source),
    )  # fmt: skip


def context_of(handshake: ClientHandshake, level: Level, files: ClientFiles) -> ClientContext:
    """A new TLS context.

    :param level: whether somebody has to be trusted. Where not, a system without authorities will do.
    :raises ConfigError: when versions or ciphers cannot be used.
    :raises CertificateError: when a file cannot be used.
    """
    profile = TLSProfile(handshake.minimum, handshake.maximum, handshake.ciphers or CIPHERS, handshake.suites)
    ca, certificate, crl = map(_path, (handshake.ca, handshake.client_certificate, handshake.crl))
    try:
        return files.context(profile, ca, certificate, crl)
    except CertificateError:
        if DEMANDS[level].certificate == "trusted" or ca is not None or crl is not None:
            raise
        return files.distrustful(profile, certificate)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def client_files(config: Config) -> ClientFiles:
    """Read every file that approaching servers may need, and try every rule's ciphers and versions.

    :raises ConfigError: naming the rule whose versions, ciphers or list cannot be used.
    :raises CertificateError: naming the rule whose file cannot be used.
    """
    files = ClientFiles()
    policy = outbound_policy(config, ListFiles())
    base: Level = policy.level
    if DEMANDS[raised(base, login=config.delivery.smarthost_user is not None, implicit=policy.implicit)].asks:
        context_of(policy.handshake, base, files)
    for rule in policy.rules:
        own = {key: value for key, value in rule.settings.items() if key in ClientHandshake._fields}
        if not own and rule.settings.get("level") not in ("verify", "secure"):
            continue
        try:
            context_of(_alone(policy, own), _level(rule.settings.get("level"), base), files)
        except CertificateError as error:
            raise CertificateError(f"{rule.source}: {error.message}", hint=error.hint) from error
        except ConfigError as error:
            raise ConfigError(f"{rule.source}: {error.message}", hint=error.hint) from error
    return files


def _alone(policy: OutboundPolicy, own: dict[str, object]) -> ClientHandshake:
    """The handshake that a rule asks for when it is the only one that matches. Versions of ``[tls]`` give way."""
    made: dict[str, object] = {**policy.handshake._asdict(), **own}
    if "minimum" in own and "maximum" not in own:
        made["maximum"] = None
    if "maximum" in own and "minimum" not in own:
        made["minimum"] = "TLSv1.2"
    return ClientHandshake(**made)  # type: ignore[arg-type]  # values of its own fields, by name


def _level(value: object, otherwise: Level) -> Level:
    return next((level for level in DEMANDS if level == value), otherwise)


def own_addresses(config: Config) -> frozenset[tuple[str, int]]:
    """What we listen on ourselves, to know a loop when we see one."""
    found = {parse_bind(bind) for listener in config.listener for bind in listener.bind}
    named = {(host, port) for host, port in found if host == "localhost"}
    return frozenset((found - named) | {(loop, port) for _, port in named for loop in ("127.0.0.1", "::1")})
