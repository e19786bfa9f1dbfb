"""Postfix: ``main.cf`` and the text tables that its TLS settings name. ``master.cf`` is not read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.maincf import Parameter, Parameters
from gatepost.config.importers.postfix_keys import authorities, client_certificate, server_certificates
from gatepost.config.importers.postfix_known import say_rest
from gatepost.config.importers.postfix_relay import relays
from gatepost.config.importers.postfix_routes import nexthop, routing
from gatepost.config.importers.postfix_tls import (
    General,
    Strength,
    Versions,
    ciphers_of,
    level_of,
    matching,
    policy_rules,
    versions_of,
)
from gatepost.config.importers.texts import read_text

_NUMBERS: Final = {
    "message_size_limit": ("limits", "message_size"),
    "smtpd_recipient_limit": ("limits", "recipients"),
    "smtpd_hard_error_limit": ("limits", "errors"),
    "smtpd_client_connection_count_limit": ("limits", "connections_per_address"),
    "smtp_destination_concurrency_limit": ("delivery", "concurrency_per_destination"),
}
_TIMES: Final = {
    "maximal_queue_lifetime": ("delivery", "lifetime", "d"),
    "minimal_backoff_time": ("delivery", "retry_first", "s"),
    "maximal_backoff_time": ("delivery", "retry_max", "s"),
    "smtp_connect_timeout": ("delivery", "connect_timeout", "s"),
    "smtpd_starttls_timeout": ("limits", "handshake_timeout", "s"),
}
_STARTTLS: Final = {"none": "deny", "may": "offer", "encrypt": "require"}


def from_postfix(path: Path) -> Document:
    """Make a document of a ``main.cf``.

    :param path: of the file: places have its name, and relative names are relative to its directory.
    """
    document = Document("gatepost import postfix", str(path))
    parameters = Parameters(document, read_text(path), path.name)
    base = path.parent
    _names(document, parameters)
    server_certificates(document, parameters, base)
    authorities(document, parameters, base)
    _listeners(document, parameters)
    _inbound(document, parameters, path.name)
    routing(document, parameters, base)
    _smarthost(document, parameters)
    _outbound(document, parameters, base, path.name)
    relays(document, parameters, base, path.name)
    _amounts(document, parameters)
    say_rest(document, parameters)
    document.remark(
        "listener",
        "master.cf is not read: what it sets with -o, such as ports 587 and 465, needs listeners with "
        'protocol = "submission"; see gatepost.example.toml.',
    )
    return document


def _names(document: Document, parameters: Parameters) -> None:
    if hostname := parameters.take("myhostname"):
        document.set("", "hostname", Sourced(hostname.value.lower(), hostname.place))
    parameters.take("mydomain")
    domains: list[Sourced] = []
    own = parameters.take("mydestination")
    if own is None and hostname is not None:
        value = parameters.expand("$myhostname, localhost.$mydomain, localhost", hostname.place)
        own = Parameter(value, "Postfix's default for mydestination")
    others = [parameters.take(name) for name in ("virtual_mailbox_domains", "virtual_alias_domains")]
    for parameter in filter(None, (own, *others)):
        for word in parameter.words:
            if "/" in word or re.match(r"[a-z0-9]+:", word):
                document.notice(parameter.place, f"the table {word} is not taken over: name its domains in `domains`")
            else:
                domains.append(Sourced(word.lower(), parameter.place))
    if domains:
        document.set("", "domains", listed(domains))


def _listeners(document: Document, parameters: Parameters) -> None:
    interfaces, protocols = parameters.take("inet_interfaces"), parameters.take("inet_protocols")
    place = interfaces.place if interfaces else "Postfix's default for inet_interfaces"
    families = protocols.words if protocols else ["all"]
    four, six = "ipv4" in families or "all" in families, "ipv6" in families or "all" in families
    binds: list[str] = []
    for word in interfaces.words if interfaces else ["all"]:
        if word in ("all", "loopback-only"):
            pair = ("0.0.0.0", "[::]") if word == "all" else ("127.0.0.1", "[::1]")
            binds += [pair[0]] * four + [pair[1]] * six
        else:
            address = word.strip("[]")
            binds.append("127.0.0.1" if address == "localhost" else f"[{address}]" if ":" in address else address)
    entry = {
        "name": Sourced("mx", place), "protocol": Sourced("smtp", place),
        "bind": listed(Sourced(f"{bind}:25", place) for bind in binds),
    }  # fmt: skip
    wrapped = parameters.take("smtpd_tls_wrappermode")
    if wrapped and wrapped.value.lower() == "yes":
        entry["tls"] = Sourced("implicit", wrapped.place)
    if not document.add("listener", entry):
        document.add("listener", {**entry, "bind": Sourced("0.0.0.0:25", place)})


def _inbound(document: Document, parameters: Parameters, file: str) -> None:
    level = parameters.take("smtpd_tls_security_level")
    use, enforce = parameters.take("smtpd_use_tls"), parameters.take("smtpd_enforce_tls")
    word, place = "none", f"{file}: smtpd_tls_security_level is not set"
    if level and level.value:
        word, place = level.value.lower(), level.place
    elif enforce and enforce.value.lower() == "yes":
        word, place = "encrypt", enforce.place
    elif use and use.value.lower() == "yes":
        word, place = "may", use.place
    if word not in _STARTTLS:
        document.notice(place, f"smtpd_tls_security_level = {word} is nothing that a server knows: STARTTLS is offered")
        word = "may"
    if word == "none":
        document.notice(place, "STARTTLS is offered to nobody, as Postfix has it; offer is the better rule today")
    rule = {"listeners": Sourced("mx", "Postfix's smtpd"), "starttls": Sourced(_STARTTLS[word], place)}
    implicit = any(each.get("tls") == "implicit" for each in document.live.get("listener", ()))
    if implicit and word == "none":
        rule["starttls"] = Sourced("offer", place)
    kind = "mandatory_" if word == "encrypt" else ""
    relaxed, strict = (parameters.take(f"smtpd_tls_{each}protocols") for each in ("", "mandatory_"))
    chosen = strict if word == "encrypt" else relaxed
    if chosen:
        versions = versions_of(document, chosen.value, chosen.place)
        rule |= {key: Sourced(value, chosen.place) for key, value in versions.over(Versions()).items()}
    rule |= ciphers_of(document, parameters, _strength(parameters, "smtpd", kind))
    rule |= _asked(document, parameters, required=word == "encrypt")
    document.add("inbound", rule, remark="Everybody.")
    auth = parameters.take("smtpd_tls_auth_only")
    if auth and auth.value.lower() != "yes":
        document.notice(auth.place, "smtpd_tls_auth_only: a login is taken inside TLS alone, whatever stands here")
    elif auth:
        document.outcome("inbound", auth.place, "smtpd_tls_auth_only: a login is taken inside TLS alone.")


def _asked(document: Document, parameters: Parameters, *, required: bool) -> dict[str, Sourced]:
    """Whether clients are asked for a certificate. Postfix requires one only where it requires TLS."""
    ask, require = (parameters.take(f"smtpd_tls_{word}_ccert") for word in ("ask", "req"))
    believed = "client_ca" in document.live.get("tls", {})
    if require and require.value.lower() == "yes":
        if required and believed:
            return {"client_certificate": Sourced("require", require.place)}
        why = "no smtpd_tls_CAfile is taken over" if required else "TLS is not required, as in Postfix"
        document.notice(require.place, f"clients are asked for a certificate, and served without one: {why}")
        return {"client_certificate": Sourced("ask", require.place)}
    if ask and ask.value.lower() == "yes":
        return {"client_certificate": Sourced("ask", ask.place)}
    return {}


def _strength(parameters: Parameters, side: str, kind: str) -> Strength:
    """The grade and exclusions that count; the exclusions of both kinds where TLS is mandatory, as in Postfix."""
    grades = {each: parameters.take(f"{side}_tls_{each}ciphers") for each in ("", "mandatory_")}
    both = {each: parameters.take(f"{side}_tls_{each}exclude_ciphers") for each in ("", "mandatory_")}
    counted = [each for each in (both[""], both["mandatory_"] if kind else None) if each and each.value]
    exclude = Parameter(" ".join(each.value for each in counted), counted[-1].place) if counted else None
    return Strength(grades[kind], exclude)


def _smarthost(document: Document, parameters: Parameters) -> None:
    relay, wrapped = parameters.take("relayhost"), parameters.take("smtp_tls_wrappermode")
    login = parameters.take("smtp_sasl_auth_enable")
    maps = parameters.take("smtp_sasl_password_maps")
    if relay is None or not relay.value:
        return
    found = nexthop(relay.value)
    if found is None:
        document.withhold("delivery", [f'smarthost = "{relay.value}"'], relay.place, "is no host that can be read")
        return
    if found.asked:
        document.notice(relay.place, f"Postfix asked for the MX of {found.host}; a smarthost is the host itself")
    known = document.set("delivery", "smarthost", Sourced(found.via, relay.place))
    if known and wrapped and wrapped.value.lower() == "yes":
        document.set("delivery", "smarthost_tls", Sourced("implicit", wrapped.place))
    if login and login.value.lower() == "yes":
        document.withhold(
            "delivery", ['smarthost_user = "…"', 'smarthost_password_file = "…"'], (maps or login).place,
            "the login for the relayhost is not copied: write its name, and its password into a file of its own",
        )  # fmt: skip


def _client_level(parameters: Parameters, file: str) -> tuple[str, str]:
    """The level for every server, in Postfix's words, and its place; the old switches where it is not set."""
    level = parameters.take("smtp_tls_security_level")
    enforce, use = parameters.take("smtp_enforce_tls"), parameters.take("smtp_use_tls")
    names = parameters.take("smtp_tls_enforce_peername")
    if level and level.value:
        return level.value.lower(), level.place
    if enforce and enforce.value.lower() == "yes":
        return ("encrypt" if names and names.value.lower() == "no" else "verify"), enforce.place
    if use and use.value.lower() == "yes":
        return "may", use.place
    return "none", f"{file}: smtp_tls_security_level is not set"


def _outbound(document: Document, parameters: Parameters, base: Path, file: str) -> None:
    word, place = _client_level(parameters, file)
    if word == "none":
        document.notice(
            place, 'mail goes out in the clear, as Postfix sends it; level = "may" is the better rule today'
        )
    level = level_of(document, word, place) or "verify"
    relaxed, strict = (parameters.take(f"smtp_tls_{kind}protocols") for kind in ("", "mandatory_"))
    kind = "" if level in ("may", "none") else "mandatory_"
    parameters.take("smtp_tls_fingerprint_digest")  # a fingerprint's length says what it is of
    matches = {
        "secure": parameters.take("smtp_tls_secure_cert_match"),
        "verify": parameters.take("smtp_tls_verify_cert_match"),
        "fingerprint": parameters.take("smtp_tls_fingerprint_cert_match"),
    }
    general = General(
        versions_of(document, relaxed.value, relaxed.place) if relaxed else Versions(),
        versions_of(document, strict.value, strict.place) if strict else Versions(),
        level,
        ciphers_of(document, parameters, _strength(parameters, "smtp", kind)),
        matches["secure"],
        matches["verify"],
    )
    if (maps := parameters.take("smtp_tls_policy_maps")) and maps.value:
        policy_rules(document, parameters, maps, general, base)
    level, extra = matching(document, level, matches.get(level), "", place)
    rule = {"level": Sourced(level, place), **extra, **general.ciphers}
    chosen = strict if kind else relaxed
    if chosen:
        versions = general.versions(level).over(Versions())
        rule |= {key: Sourced(value, chosen.place) for key, value in versions.items()}
    rule |= client_certificate(document, parameters, base)
    document.add("outbound", rule, remark="Every other server.")


def _amounts(document: Document, parameters: Parameters) -> None:
    for name, (table, key) in _NUMBERS.items():
        if (number := parameters.take(name)) is None:
            continue
        if number.value.isdecimal() and number.value.isascii() and int(number.value[:18]) > 0:
            document.set(table, key, Sourced(int(number.value[:18]), number.place))
        else:
            document.notice(number.place, f"{name} = {number.value} is not taken over: {table}.{key} keeps its default")
    for name, (table, key, unit) in _TIMES.items():
        if (time := parameters.take(name)) is None:
            continue
        if re.fullmatch(r"[1-9]\d{0,8}[smhdw]?", time.value):
            document.set(table, key, Sourced(time.value if time.value[-1].isalpha() else time.value + unit, time.place))
        else:
            document.notice(time.place, f"{name} = {time.value} is not taken over: {table}.{key} keeps its default")
