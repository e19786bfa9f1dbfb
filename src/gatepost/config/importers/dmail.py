"""DMail: one file, ``name value`` a line, ``*`` in addresses.

Whoever is on no ``show_tls`` list is not offered TLS. ``require_tls`` without ``show_tls`` is a contradiction that its
documents leave open: it becomes offered and required, and the document says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.material import unusable
from gatepost.config.importers.networks import uncovered, wildcard_entries
from gatepost.config.importers.texts import Line, lines_of, read_text
from gatepost.errors import ConfigError

_LISTS: Final = (
    "show_tls", "require_tls", "dpop_allow_ssl", "dpop_require_ssl", "require_tls_out", "require_tls_except",
    "forward_from_ip",
)  # fmt: skip
_DIRECTORIES: Final = ("work_path", "dsmtp_path", "dpop_path")
_KNOWN: Final = frozenset({*_LISTS, *_DIRECTORIES, "host_domain", "vdomain", "dns_host"})
_ELSEWHERE: Final = {
    "authent_method": "logins are gatepost's own accounts, `gatepost user add` makes them",
    "authent_process": "logins are gatepost's own accounts, `gatepost user add` makes them",
    "drop_path": "mail is kept in Maildirs below `data`",
    "log_path": "the log goes to standard error, and from there to the journal",
    "log_level": "the log goes to standard error, one line an event",
    "sysadmin": "mail for postmaster goes to the mailbox of that name; an entry in [aliases] sends it on",
    "ban_ip": "no client is turned away by its address in this version; the firewall can",
    "ban_mailfrom": "name the senders in refused_senders",
    "ban_rcptto": "no recipient is turned away but those that are not there",
    "alias_file": "write the aliases into [aliases]",
    "alias_file_domain": "write the aliases into [aliases]",
    "forward": "write it into [aliases]",
    "gateway": "write a [[route]] for its domains",
}
_INCLUDES: Final = 8


def from_dmail(path: Path) -> Document:
    """Make a document of a ``dmail.conf``.

    :param path: of the file: places in the document have its name, and ``server.pem`` may be beside it.
    """
    document = Document("gatepost import dmail", str(path))
    settings = _settings(document, _lines(document, read_text(path), path, 0))
    _ours(document, settings)
    _certificate(document, settings, path)
    document.add(
        "listener",
        _listener("mx", "smtp", "0.0.0.0:25", "DMail's SMTP port"),
        remark='Users who log in to send mail need listeners with protocol = "submission": see gatepost.example.toml.',
    )
    lists = {name: _addresses(document, settings.get(name, [])) for name in _LISTS}
    _inbound(document, "mx", ("show_tls", "require_tls"), lists, path.name)
    if lists["dpop_allow_ssl"] or lists["dpop_require_ssl"]:
        document.add("listener", _listener("pop3", "pop3", "0.0.0.0:110", "DMail's POP port"))
        _inbound(document, "pop3", ("dpop_allow_ssl", "dpop_require_ssl"), lists, path.name)
    _outbound(document, lists, path.name)
    if lists["forward_from_ip"]:
        document.add("relay", {"from": listed(lists["forward_from_ip"])})
    return document


def _listener(name: str, protocol: str, bind: str, place: str) -> dict[str, Sourced]:
    return {"name": Sourced(name, place), "protocol": Sourced(protocol, place), "bind": Sourced(bind, place)}


def _settings(document: Document, lines: Iterator[Line]) -> dict[str, list[Line]]:
    """The values of each known setting, in their order; the others are named."""
    settings: dict[str, list[Line]] = {}
    for line in lines:
        name, _, value = re.sub(r"^([^\s=]+)(?:\s*=\s*|\s+|$)", r"\1 ", line.text).partition(" ")
        name = name.lower()
        if name in _KNOWN:
            settings.setdefault(name, []).append(Line(value.strip(), line.place))
        elif name in _ELSEWHERE:
            document.notice(line.place, f"{name} is not taken over: {_ELSEWHERE[name]}")
        else:
            document.notice(line.place, f"{name} is not known to this importer, and is not taken over")
    return settings


def _lines(document: Document, text: str, path: Path, depth: int) -> Iterator[Line]:
    """The lines of a file and of those that it includes, each with its own place."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.lower().startswith("#include"):
            yield from (Line(each.text, f"{path.name}:{number}") for each in lines_of(line, path.name))
            continue
        inner = path.parent / line[len("#include") :].strip()
        try:
            if depth == _INCLUDES:
                raise ConfigError("files include each other too deeply")
            included = read_text(inner)
        except ConfigError as error:
            document.notice(f"{path.name}:{number}", f"what is included is not taken over: {error.message}")
        else:
            yield from _lines(document, included, inner, depth + 1)


def _ours(document: Document, settings: Mapping[str, list[Line]]) -> None:
    domains = [Sourced(word.lower(), line.place) for line in settings.get("host_domain", []) for word in _words(line)]
    for line in settings.get("vdomain", []):
        words = _words(line)
        domains += [Sourced(word.lower(), line.place) for word in words[:1]]
        if len(words) > 1:
            document.notice(line.place, "the address and prefix of a vdomain are not taken over: users have a domain")
    document.remark("", "hostname: the system's full name unless it is set here. The certificate must carry it.")
    if domains:
        document.set("", "domains", listed(domains))
    servers = [Sourced(word, line.place) for line in settings.get("dns_host", []) for word in _words(line)]
    if servers:
        document.set("delivery", "resolver", listed(servers))


def _certificate(document: Document, settings: Mapping[str, list[Line]], path: Path) -> None:
    """``server.pem``: key and certificate in one file, in whatever order, in the work directory."""
    directories = [line for name in _DIRECTORIES for line in settings.get(name, [])]
    for directory, place in (*directories, Line(".", path.name)):
        file = path.parent / directory.replace("\\", "/") / "server.pem"
        if not os.path.isfile(file):  # noqa: PTH113 - which Path.is_file() is not: False for impossible names, too
            continue
        written = Sourced(str(file.absolute()), f"server.pem, {place}")
        if reason := unusable(file):
            reason = f"{file}: {reason}; `gatepost cert new` makes a new one, and without any the first start does"
            document.withhold("tls", [f'certificate = "{written.value}"'], place, reason)
        else:
            document.set("tls", "certificate", written)
        return
    document.withhold(
        "tls", ['certificate = "server.pem"'], directories[0].place if directories else path.name,
        "server.pem was not found: bring it here, name it in tls.certificate; without it the first start makes one",
    )  # fmt: skip


def _addresses(document: Document, lines: list[Line]) -> list[Sourced]:
    found: list[Sourced] = []
    for line in lines:
        for word in _words(line):
            try:
                found += [Sourced(entry, line.place) for entry in wildcard_entries(word)]
            except ValueError as error:
                document.notice(line.place, f"left out: {error}")
    return found


def _inbound(
    document: Document, listener: str, names: tuple[str, str], lists: Mapping[str, list[Sourced]], file: str
) -> None:
    """Required for some, offered to some, denied to everybody else."""
    allowed, required = (lists[name] for name in names)
    where = {"listeners": Sourced(listener, "DMail's SMTP server" if listener == "mx" else "DMail's POP server")}
    if required:
        _say_contradiction(document, names, allowed, required)
        rule = {**where, "from": listed(required), "starttls": Sourced("require", names[1])}
        document.add("inbound", rule)
    if allowed:
        document.add("inbound", {**where, "from": listed(allowed), "starttls": Sourced("offer", names[0])})
    document.add(
        "inbound", {**where, "starttls": Sourced("deny", f"{file}: in neither {names[0]} nor {names[1]}")},
        remark="Everybody else: DMail offers TLS to nobody who is on no list. \"offer\" is the better rule today.",
    )  # fmt: skip
    if listener == "pop3":
        document.notice(
            file,
            "a password is taken inside TLS alone: who is on neither list for POP cannot log in any more, in DMail he "
            'could in the clear; starttls = "offer" in the last rule for pop3 lets him, with TLS',
        )
    if not allowed and not required:
        document.notice(file, f"there is no {names[0]}: TLS is offered to nobody, as DMail has it")


def _say_contradiction(
    document: Document, names: tuple[str, str], allowed: list[Sourced], required: list[Sourced]
) -> None:
    def readable(entries: list[Sourced]) -> tuple[str, ...]:
        return tuple(str(entry.value) for entry in entries)

    try:
        missing = uncovered(readable(required), readable(allowed))
    except ValueError:
        return  # what cannot be read is left out of the rule, and said there
    for entry in required:
        if entry.value in missing:
            document.notice(
                entry.place,
                f"{names[1]} has {entry.value}, {names[0]} has not: it is offered TLS, and required to use it",
            )


def _outbound(document: Document, lists: Mapping[str, list[Sourced]], file: str) -> None:
    required, exempt = lists["require_tls_out"], lists["require_tls_except"]
    if required:
        rule = {"server": listed(required)}
        if exempt:
            rule["except"] = listed(exempt)
        document.add("outbound", {**rule, "level": Sourced("encrypt", "require_tls_out")})
    elif exempt:
        document.outcome("outbound", exempt[0].place, "require_tls_except excepts from nothing without require_tls_out")
    document.add("outbound", {"level": Sourced("may", f"{file}: not in require_tls_out")}, remark="Every other server.")


def _words(line: Line) -> list[str]:
    return [word for word in re.split(r"[,\s]+", line.text) if word]
