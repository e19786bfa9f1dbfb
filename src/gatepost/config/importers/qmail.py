"""qmail with the STARTTLS patch: the control directory, and tcpserver's rules beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gatepost.config.importers.ciphers import cipher_settings
from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.material import OWN_CIPHERS, distrusted, stale, temporary, unusable
from gatepost.config.importers.smtproutes import routes
from gatepost.config.importers.tcprules import ClientRule, ClientRules, parse_tcprules
from gatepost.config.importers.texts import Line, lines_of, read_text
from gatepost.config.importers.tlshosts import remote_tls
from gatepost.errors import ConfigError

_NUMBERS: Final = {
    "databytes": ("limits", "message_size"),
    "queuelifetime": ("delivery", "lifetime"),
    "timeoutsmtpd": ("limits", "command_timeout"),
    "timeoutconnect": ("delivery", "connect_timeout"),
    "concurrencyremote": ("delivery", "concurrency"),
}
_OBSOLETE: Final = frozenset({"rsa512.pem", "rsa1024.pem", "dh512.pem", "dh1024.pem", "dh2048.pem", "dh4096.pem"})
_HANDLED: Final = frozenset({
    "me", "rcpthosts", "morercpthosts", "locals", "virtualdomains", "smtproutes", "badmailfrom", "servercert.pem",
    "clientcert.pem", "tlshosts", "notlshosts", "clientca.pem", "tlsclients", "clientcrl.pem", "tlsclientciphers",
    "tlsserverciphers", *_NUMBERS,
})  # fmt: skip
_REWRITES: Final = "gatepost completes and rewrites no address"
_ELSEWHERE: Final = {
    "badmailto": "no recipient is turned away but those that are not there",
    "badrcptto": "no recipient is turned away but those that are not there",
    "morercpthosts.cdb": "it is made from the text of morercpthosts, which is read; without it name its domains in "
    "`relay_domains`",
    "defaultdomain": _REWRITES, "defaulthost": _REWRITES, "plusdomain": _REWRITES, "envnoathost": _REWRITES,
    "idhost": _REWRITES, "percenthack": _REWRITES,
    "helohost": "the name in EHLO is hostname", "localiphost": "the name for addresses of ours is hostname",
    "smtpgreeting": "the greeting has hostname and no other text",
    "bouncefrom": "bounces come from the null sender, as they must",
    "bouncehost": "bounces come from the null sender, as they must",
    "doublebouncehost": "a bounce that cannot be delivered is logged and dropped",
    "doublebounceto": "a bounce that cannot be delivered is logged and dropped",
    "concurrencylocal": "local mail is written by the delivery process in turn",
    "concurrencyincoming": "limits.connections bounds each listener",
    "timeoutremote": "the client's time-outs are those of RFC 5321",
    "defaultdelivery": "local mail goes into Maildirs below `data`",
    "qmqpservers": "there is no QMQP",
}  # fmt: skip


def from_qmail(directory: Path, tcprules: Path | None = None) -> Document:
    """Make a document of a control directory.

    :param tcprules: the source text of tcpserver's rules.
    :raises ConfigError: when the directory or the rules cannot be read.
    """
    document = Document("gatepost import qmail", str(directory))
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be read: {error.strerror}") from error
    control = {name: _lines(document, directory / name) for name in names if name in _HANDLED}
    _names(document, control)
    _certificate(document, directory)
    rules = ClientRules(iter(()))
    if tcprules is not None:
        rules = parse_tcprules(document, read_text(tcprules), tcprules.name)
    _listeners(document, rules)
    _inbound(document, control, rules, (directory / "servercert.pem").exists())
    routes(document, control.get("smtproutes", []))
    remote_tls(document, directory, control.get("tlsclientciphers", []))
    _relays(document, rules)
    _certificate_relays(document, directory, control)
    _numbers(document, control)
    _others(document, directory, names, control)
    return document


def _lines(document: Document, path: Path) -> list[Line]:
    """The lines of a control file; none of a certificate or a directory."""
    if path.suffix == ".pem" or path.is_dir():
        return []
    try:
        return list(lines_of(read_text(path), path.name))
    except ConfigError as error:
        document.notice(path.name, error.message)
        return []


def _names(document: Document, control: dict[str, list[Line]]) -> None:
    me = control.get("me", [])[:1]
    for line in me:
        document.set("", "hostname", Sourced(line.text.lower(), line.place))
    own = (
        control["locals"]
        if "locals" in control
        else [Line(line.text, f"{line.place}, there is no locals") for line in me]
    )
    domains = [Sourced(line.text.lower(), line.place) for line in own]
    for line in control.get("virtualdomains", []):
        domain, _, user = line.text.partition(":")
        if not domain or domain.startswith(".") or "@" in domain or not user:
            document.notice(line.place, f"{line.text} is not taken over: only whole domains have a name here")
            continue
        domains.append(Sourced(domain.lower(), line.place))
        document.notice(
            line.place,
            f'mail for {domain} went to {user}: make its users, or write "@{domain}" = "{user}" into [aliases]',
        )
    if domains:
        document.set("", "domains", listed(domains))
    kept = {entry.value for entry in domains}
    if "rcpthosts" not in control:
        document.notice("rcpthosts", "is missing: qmail relayed for everybody; gatepost takes mail for `domains` alone")
    passed = [line for name in ("rcpthosts", "morercpthosts") for line in control.get(name, [])]
    if relayed := [Sourced(line.text.lower(), line.place) for line in passed if line.text.lower() not in kept]:
        document.set("", "relay_domains", listed(relayed))


def _certificate(document: Document, directory: Path) -> None:
    file = directory / "servercert.pem"
    if not file.exists():
        return
    if reason := unusable(file):
        reason = f"{reason}; `gatepost cert new` makes a new one, and without any the first start does"
        document.withhold("tls", [f'certificate = "{file.absolute()}"'], file.name, reason)
    else:
        document.set("tls", "certificate", Sourced(str(file.absolute()), file.name))


def _listeners(document: Document, rules: ClientRules) -> None:
    place = "qmail-smtpd"
    document.add(
        "listener",
        {"name": Sourced("mx", place), "protocol": Sourced("smtp", place), "bind": Sourced("0.0.0.0:25", place)},
        remark='Users who log in to send mail need listeners with protocol = "submission": see gatepost.example.toml.',
    )
    wrapped = [rule for rule in rules.rules if rule.variables.get("SMTPS")]
    if not wrapped:
        return
    place = wrapped[0].place
    document.add("listener", {
        "name": Sourced("smtps", place), "protocol": Sourced("smtp", place), "bind": Sourced("0.0.0.0:465", place),
        "tls": Sourced("implicit", f"{place}: SMTPS"),
    })  # fmt: skip
    if any(rule.allow and not rule.variables.get("SMTPS") for rule in rules.rules) or wrapped[-1].family:
        for rule in wrapped:
            document.notice(
                rule.place,
                f"SMTPS for {rule.entry}: a port speaks TLS from the first octet with everybody or with nobody; "
                "these clients find it on port 465",
            )


def _inbound(document: Document, control: dict[str, list[Line]], rules: ClientRules, certificate: bool) -> None:
    """STARTTLS and ciphers by address, then for everybody."""
    mx = Sourced("mx", "qmail-smtpd")
    for rule, _, whom in rules.by(lambda rule: "deny" if rule.variables.get("DENY_TLS") else None):
        document.add("inbound", {"listeners": mx, "from": whom, "starttls": Sourced("deny", f"{rule.place}: DENY_TLS")})
    for rule, text, whom in rules.by(lambda rule: rule.variables.get("TLSCIPHERS") or None):
        place = f"{rule.place}: TLSCIPHERS"
        settings = cipher_settings(document, text, place)
        document.add("inbound", {"from": whom, **(settings or {"ciphers": Sourced(OWN_CIPHERS, place)})})
    if lines := control.get("tlsserverciphers", []):
        settings = cipher_settings(document, ":".join(line.text for line in lines), lines[0].place)
        if settings:
            document.add("inbound", settings, remark="The ciphers of everybody else.")
    if certificate:
        last, remark = Sourced("offer", "servercert.pem"), "Everybody else."
    else:
        last = Sourced("deny", "there is no servercert.pem")
        remark = 'Everybody else: qmail offers no STARTTLS without servercert.pem. "offer" is the better rule today.'
        document.notice("servercert.pem", "is missing: STARTTLS is offered to nobody, as qmail has it")
    document.add("inbound", {"listeners": mx, "starttls": last}, remark=remark)


def _relays(document: Document, rules: ClientRules) -> None:
    """RELAYCLIENT by address; for everybody it would be an open relay."""

    def said(rule: ClientRule) -> str | None:
        return rule.variables.get("RELAYCLIENT") if rule.allow else None

    for rule, suffix, whom in rules.by(said):
        if suffix:
            document.notice(rule.place, f"RELAYCLIENT appended {suffix!r} to each recipient; here nothing is appended")
        if rule.family == 0:
            document.withhold(
                "relay", ['[[relay]]', 'from = "*"'], rule.place,
                "RELAYCLIENT for everybody is an open relay, and is not taken over",
            )  # fmt: skip
        else:
            document.add("relay", {"from": whom})
    for rule in rules.rules:
        for name in rule.variables:
            if name not in ("RELAYCLIENT", "TLSCIPHERS", "DENY_TLS", "SMTPS"):
                document.notice(rule.place, f"the variable {name} is not known to this importer, and is not taken over")


def _certificate_relays(document: Document, directory: Path, control: dict[str, list[Line]]) -> None:
    """``tlsclients``: who relays by a verified certificate."""
    authority = directory / "clientca.pem"
    for file, key in ((authority, "client_ca"), (directory / "clientcrl.pem", "client_crl")):
        if not file.exists():
            continue
        problem = distrusted(authority, file if key == "client_crl" else None) if authority.exists() else ""
        if problem:
            document.withhold("tls", [f'{key} = "{file.absolute()}"'], file.name, problem)
        elif document.set("tls", key, Sourced(str(file.absolute()), file.name)) and key == "client_crl":
            day = stale(authority, file)
            if day:
                document.notice(file.name, f"was to be replaced on {day}: until it is, no client's certificate counts")
    if clients := control.get("tlsclients", []):
        document.add("relay", {"certificate_email": listed(Sourced(line.text, line.place) for line in clients)})


def _numbers(document: Document, control: dict[str, list[Line]]) -> None:
    for name, (table, key) in _NUMBERS.items():
        for line in control.get(name, [])[:1]:
            if not line.text.isdecimal() or not line.text.isascii() or len(line.text) > 15:
                document.notice(line.place, f"{line.text} is no number, and is not taken over")
            elif int(line.text) == 0:
                document.notice(line.place, f"0 is not taken over: {table}.{key} keeps its default")
            else:
                document.set(table, key, Sourced(int(line.text), line.place))


def _others(document: Document, directory: Path, names: list[str], control: dict[str, list[Line]]) -> None:
    """Senders that are refused; and what is there and not taken over, each by name."""
    if senders := [Sourced(line.text, line.place) for line in control.get("badmailfrom", [])]:
        document.set("", "refused_senders", listed(senders))
    for name in names:
        if name in _HANDLED:
            continue
        held = temporary(directory / name)
        if held or name in _OBSOLETE:
            what = f"holds {held}: " if held else ""
            document.notice(name, f"{what}obsolete, and not used: ephemeral keys need no file any more; delete it")
        elif name in _ELSEWHERE:
            document.notice(name, f"is not taken over: {_ELSEWHERE[name]}")
        else:
            document.notice(name, "is not known to this importer, and is not taken over")
