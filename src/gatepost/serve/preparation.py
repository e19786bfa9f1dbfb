"""From a configuration to what workers are started with: account, TLS contexts, facts about the certificates.

Everything that can be wrong with a configuration is found here, before a worker is touched: at the start it stops the
start, at a reload it leaves everything as it was.

SECURITY: reads the certificate and the key with the supervisor's rights, so that a key may be readable by root only.
The workers get contexts that hold it in memory. Replaces the self-signed one before it ends (``selfsigned``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from gatepost.certs.watch import Signatures, signatures
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, ConfigError
from gatepost.observe.shared import Shared
from gatepost.serve.privileges import Account, choose_account
from gatepost.serve.selfsigned import renew_self_signed

if TYPE_CHECKING:
    from gatepost.policy.inbound import Handshake
    from gatepost.tls.clientfiles import ClientFiles
    from gatepost.tls.clients import ClientTrust
    from gatepost.tls.contexts import ServerContexts

FIXED_KEYS: Final = ("data", "run_directory", "user")
"""Keys that a running server cannot change."""


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that was checked as a whole.

    :param contexts: by listener name.
    :param facts: for status and metrics; ``certificates`` is a list of ``name``, ``names``, ``not_after``, ``path``,
        ``key`` and ``sha256``.
    :param files: what was loaded, as it was just before; when one is replaced it is loaded again without being asked.
    :param variants: the contexts of other ways to speak TLS, as rules ask for them.
    :param client_files: what delivery needs to approach servers, read with our rights.
    """

    config: Config
    account: Account
    contexts: Mapping[str, ServerContexts] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Signatures = field(default_factory=dict)
    variants: Mapping[Handshake, ServerContexts] = field(default_factory=dict)
    client_files: ClientFiles | None = None


def account_of(config: Config) -> Account:
    """Whom the workers run as; see ``privileges.choose_account``."""
    return choose_account(config.user, configured="user" in config.model_fields_set)


def prepare(config: Config) -> Prepared:
    """Check and load all that the configuration names.

    :raises ConfigError: when the account is missing; CertificateError when a certificate or key cannot be used.
    """
    from gatepost.certs.configured import configured_files, facts_of, load_configured
    from gatepost.record.configured import check_recording
    from gatepost.service.greylisting import check_greylisting
    from gatepost.service.policies import has_policies, usual_profile, variants_of
    from gatepost.tls.contexts import server_contexts

    account = account_of(config)
    check_aliases(config)
    check_greylisting(config)
    check_recording(config)
    renew_self_signed(config, at=time.time())
    files = signatures(configured_files(config))
    credentials = load_configured(config)
    clients = check_clients(config)
    contexts = server_contexts(credentials, usual_profile(config), clients)
    variants = variants_of(config, credentials, clients) if has_policies(config) else {}
    speaking = [
        each.name
        for each in config.listeners
        if each.tls == "implicit" or each.starttls != "deny" or config.inbound  # a rule may offer it
    ]
    facts = {"certificates": facts_of(config, credentials)}
    return Prepared(config, account, dict.fromkeys(speaking, contexts), facts, files, variants, check_delivery(config))


def check_aliases(config: Config) -> None:
    """Follow every alias to its end.

    :raises ConfigError: when some run in a loop, or to too many targets.
    """
    from gatepost.accounts.directory import alias_rules
    from gatepost.accounts.names import OurDomains

    alias_rules(OurDomains(config.domains), config.aliases)


def check_clients(config: Config) -> ClientTrust:
    """Read what client certificates are judged by: authorities, and their revocation lists.

    :raises CertificateError: when a file cannot be used.
    """
    from gatepost.service.certified import client_trust

    return client_trust(config)


def check_delivery(config: Config) -> ClientFiles:
    """Read what delivery and gates need to approach servers: authorities, client certificates, the smarthost's
    password.

    :raises ConfigError: when a rule's versions, ciphers or list, or the password file, cannot be used.
    :raises CertificateError: when a file cannot be used.
    """
    from gatepost.delivery.setting import approach_of, client_files
    from gatepost.service.gate.backend_tls import backend_files
    from gatepost.tls.clientfiles import ClientFiles

    authorities = ClientFiles()
    for key, path in (("tls.ca_file", config.tls.ca_file), ("delivery.ca_file", config.delivery.ca_file)):
        if path is not None:
            try:
                authorities.trust(path)
            except CertificateError as error:
                raise CertificateError(f"{key}: {error.message}", hint=error.hint) from error
    files = backend_files(config, client_files(config))
    path = config.delivery.smarthost_password_file
    if path is not None:
        try:
            path.open("rb").close()
        except OSError as error:
            raise ConfigError(f"delivery.smarthost_password_file: {path}: {error.strerror}") from error
    approach_of(config, files)
    return files


def exposed_keys(config: Config) -> list[str]:
    """The configured private keys that others may read or change, one line each."""
    from gatepost.certs.configured import named_certificates, needs_self_signed
    from gatepost.certs.files import exposure

    found: list[str] = []
    for named in [] if needs_self_signed(config) else named_certificates(config):
        path = named.key or named.file
        try:
            words = exposure(path)
        except OSError:
            continue  # whoever loads it says so
        if words:
            hint = f"chmod go-w {path.parent}" if "directory" in words else f"chmod 600 {path}"
            found.append(f"{named.setting}: {path} holds a private key, and {words}; {hint}")
    return found


def check_handshake(config: Config) -> None:
    """Try the versions, ciphers and suites of ``[tls]``, without a certificate.

    :raises ConfigError: when one cannot be used.
    """
    from gatepost.service.policies import usual_profile
    from gatepost.tls.clientfiles import ClientFiles

    ClientFiles().distrustful(usual_profile(config), None)


def refuse_fixed(old: Config, new: Config) -> None:
    """Refuse a reload that changes what only a start can change.

    :raises ConfigError: naming the keys.
    """
    changed = [key for key in FIXED_KEYS if getattr(old, key) != getattr(new, key)]
    if old.tls.tickets != new.tls.tickets:  # OpenSSL is told once, before it is loaded
        changed.append("tls.tickets")
    if changed:
        raise ConfigError(f"{', '.join(changed)}: cannot change while the server runs", hint="restart the server")


def prepare_shared(shared: Shared) -> None:
    """Make the shared memory that the services look for, before any fork."""
    from gatepost.service.gate import places
    from gatepost.service.worker import prepare as prepare_service

    prepare_service(shared)
    places.region(shared)


def forget_slot(shared: Shared, slot: int) -> None:
    """A worker has ended for good: what it held of the limits is free again."""
    from gatepost.service.gate import places
    from gatepost.service.worker import reap

    reap(shared, slot)
    places.clear(places.region(shared), slot)
