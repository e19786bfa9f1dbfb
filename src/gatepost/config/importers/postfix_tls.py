"""Postfix's words for TLS: levels, protocol lists, cipher grades, match lists, policy tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from gatepost.config.importers.ciphers import cipher_settings
from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.maincf import Entry, Parameter, Parameters, table_entries, table_names
from gatepost.config.importers.material import OWN_CIPHERS, distrusted, try_ciphers

LEVELS: Final = frozenset({"none", "may", "encrypt", "fingerprint", "verify", "secure"})
_NO_DANE: Final = "needs signed DNS, which this version does not look at: it becomes"
_WITHOUT_DANE: Final = {"dane": "may", "half-dane": "may", "dane-only": "verify"}
_LOST: Final = {
    "may": "servers with TLSA records are authenticated no more; verify, secure or fingerprint do it for those named",
    "verify": "servers whose certificate no authority signed are deferred; fingerprint does it for those named",
}
_VERSIONS: Final = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_NUMBERS: Final = {"0300": "SSLv3", "0301": "TLSv1", "0302": "TLSv1.1", "0303": "TLSv1.2", "0304": "TLSv1.3"}
_SPOKEN: Final = ("TLSv1.2", "TLSv1.3")
_GRADES: Final = frozenset({"export", "low", "medium", "high", "null"})


class Versions(NamedTuple):
    """The versions that are spoken; None is gatepost's default."""

    minimum: str | None = None
    maximum: str | None = None

    def over(self, general: Versions) -> dict[str, str]:
        """The keys that a rule needs so that these hold where a later rule says ``general``."""
        keys: dict[str, str] = {}
        if self.minimum != general.minimum:
            keys["minimum"] = self.minimum or _SPOKEN[0]
        if self.maximum != general.maximum:
            keys["maximum"] = self.maximum or _SPOKEN[1]
        return keys


def level_of(document: Document, word: str, place: str) -> str:
    """One of our levels; empty for a word that is none of Postfix's."""
    if word in _WITHOUT_DANE:
        level = _WITHOUT_DANE[word]
        document.notice(place, f"{word} {_NO_DANE} {level}, so {_LOST[level]}")
        return level
    if word not in LEVELS:
        document.notice(place, f"{word} is no TLS level that this importer knows, and is not taken over")
        return ""
    return word


def versions_of(document: Document, text: str, place: str) -> Versions:
    """What a protocol list such as ``>=TLSv1.2`` or ``!SSLv2, !SSLv3`` leaves of the versions that are spoken here."""
    allowed, named = set(_VERSIONS), set[str]()
    for token in re.split(r"[:,\s]+", text):
        found = re.fullmatch(r"(!|>=|<=)?(.+)", token)
        if found is None:
            continue
        mark, word = found[1], _NUMBERS.get(found[2].removeprefix("0x"), found[2])
        version = next((each for each in _VERSIONS if each.lower() == word.lower()), None)
        if version is None:
            document.notice(place, f"{token} is no version that this importer knows, and is left out")
            continue
        at = _VERSIONS.index(version)
        if mark == "!":
            allowed.discard(version)
        elif mark == ">=":
            allowed &= set(_VERSIONS[at:])
        elif mark == "<=":
            allowed &= set(_VERSIONS[: at + 1])
        else:
            named.add(version)
    spoken = [version for version in _SPOKEN if version in (allowed & named if named else allowed)]
    if not spoken:
        document.notice(
            place, f"{text} allows nothing newer than TLS 1.1, which is not spoken here: TLS 1.2 and 1.3 are"
        )
        return Versions()
    return Versions(spoken[0] if spoken[0] != _SPOKEN[0] else None, spoken[-1] if spoken[-1] != _SPOKEN[-1] else None)


class Strength(NamedTuple):
    """Which ciphers: a grade and what is excluded, each as it stands."""

    grade: Parameter | None
    exclude: Parameter | None


def ciphers_of(document: Document, parameters: Parameters, strength: Strength) -> dict[str, Sourced]:
    """The keys for ciphers; none where gatepost's own list does what is asked."""
    grade, exclude = strength
    own = parameters.take(f"tls_{grade.value.lower() if grade else 'medium'}_cipherlist")
    if grade is not None and grade.value.lower() not in _GRADES:
        document.notice(grade.place, f"{grade.value} is no cipher grade that this importer knows, and is left out")
    elif grade is not None and grade.value.lower() == "null":
        document.notice(grade.place, "ciphers without encryption are not spoken")
    excluded = [] if exclude is None else exclude.words
    if own is not None and own.value:
        text = ":".join([own.value, *(f"!{each}" for each in excluded)])
        return cipher_settings(document, text, own.place)
    if exclude is None:
        return {}
    text = ":".join([OWN_CIPHERS, *(f"!{each}" for each in excluded)])
    if try_ciphers(text).usable == try_ciphers(OWN_CIPHERS).usable:
        return {}
    return cipher_settings(document, text, exclude.place)


class General(NamedTuple):
    """What holds for every server, and how the tables of policies are read beside it.

    :param relaxed, strict: the versions at ``may``, and where TLS is mandatory.
    :param level: everybody's.
    """

    relaxed: Versions
    strict: Versions
    level: str
    ciphers: Mapping[str, Sourced]
    secure_match: Parameter | None
    verify_match: Parameter | None

    def versions(self, level: str) -> Versions:
        """What holds at a level."""
        return self.relaxed if level in ("may", "none") else self.strict


def policy_rules(
    document: Document,
    parameters: Parameters,
    maps: Parameter,
    general: General,
    base: Path,
) -> None:
    """``smtp_tls_policy_maps``: a rule for each entry, the most specific first, each replacing all that follows."""
    entries: dict[str, Entry] = {}
    for name in table_names(maps.value):
        for entry in table_entries(document, name, maps.place, base):
            if entries.setdefault(entry.key.lower(), entry) is not entry:
                document.notice(entry.place, f"{entry.key} is there before, which is what counts")
    names = {key: _destination(key) for key in entries}
    for key in sorted(entries, key=lambda key: (names[key].startswith("."), -names[key].count("."))):
        below = [name for other, name in names.items() if other != key and name.endswith(names[key])]
        exempt = sorted(set(below)) if names[key].startswith(".") else []
        _policy(document, parameters, entries[key], names[key], exempt, general, base)


def _destination(key: str) -> str:
    """``[mail.example.net]:587`` as ``mail.example.net``."""
    host = re.fullmatch(r"\[([^\]]*)\](?::\w+)?", key)
    return host[1] if host else key.rpartition(":")[0] or key if re.search(r":\w+$", key) else key


def _policy(
    document: Document,
    parameters: Parameters,
    entry: Entry,
    name: str,
    exempt: list[str],
    general: General,
    base: Path,
) -> None:
    place = entry.place
    word, *attributes = entry.value.split() or [""]
    level = level_of(document, word.lower(), place)
    if not level:
        document.notice(place, f"Postfix defers mail for {entry.key} because of that; its level is verify now")
        level = "verify"
    rule = {"to": Sourced(name, place)}
    if exempt:
        rule["except"] = listed(Sourced(each, place) for each in exempt)
    given: dict[str, Parameter] = {}
    for attribute in attributes:
        key, _, value = attribute.partition("=")
        if key in ("match", "tafile") and key in given:
            value = f"{given[key].value}|{value}"
        given[key.lower()] = Parameter(value, place)
    fallback = {"secure": general.secure_match, "verify": general.verify_match}.get(level)
    match = given.pop("match", fallback)
    level, extra = matching(document, level, match, name, place)
    rule["level"] = Sourced(level, place)
    rule.update(extra)
    protocols = given.pop("protocols", None)
    versions = versions_of(document, protocols.value, place) if protocols else general.versions(level)
    for key, version in versions.over(general.versions(general.level)).items():
        rule[key] = Sourced(version, place)
    strength = Strength(given.pop("ciphers", None), given.pop("exclude", None))
    if strength.grade or strength.exclude:
        own = ciphers_of(document, parameters, strength)
        rule.update(own or ({"ciphers": Sourced(OWN_CIPHERS, place)} if general.ciphers else {}))
    if anchor := given.pop("tafile", None):
        _anchor(document, rule, level, anchor, base)
    for key in given:
        document.notice(place, f"{key} of the policy for {entry.key} is not taken over: there is no such key here")
    document.add("outbound", rule)


def _anchor(document: Document, rule: dict[str, Sourced], level: str, anchor: Parameter, base: Path) -> None:
    file = (base / anchor.value.partition("|")[0]).absolute()
    problem = distrusted(file)
    if level not in ("verify", "secure") or "|" in anchor.value or problem:
        why = problem or "a rule has one file, and at verify and secure alone"
        document.notice(anchor.place, f"tafile is not taken over: {why}")
    else:
        rule["ca"] = Sourced(str(file), anchor.place)


def matching(
    document: Document, level: str, match: Parameter | None, name: str, place: str
) -> tuple[str, dict[str, Sourced]]:
    """The level, and the names or fingerprints that a match list becomes."""
    if level == "fingerprint":
        return _fingerprints(document, match, place)
    if level not in ("verify", "secure") or match is None:
        return level, {}
    words = [word.lower() for word in re.split(r"[:|,\s]+", match.value) if word]
    if words == ["hostname"]:
        return "verify", {}
    wildcard = not name or name.startswith(".")
    if set(words) == {"nexthop", "dot-nexthop"} or (wildcard and words == ["nexthop"]):
        return "secure", {}
    names: list[Sourced] = []
    for word in words:
        if word == "hostname" or (word in ("nexthop", "dot-nexthop") and wildcard):
            document.notice(match.place, f"match={word} is left out beside other names: mail for such servers waits")
        else:
            written = {"nexthop": name, "dot-nexthop": f".{name}"}.get(word, word)
            names.append(Sourced(written, match.place))
    return level, {"names": listed(names)} if names else {}


def _fingerprints(document: Document, match: Parameter | None, place: str) -> tuple[str, dict[str, Sourced]]:
    """Pins of SHA-256; without any the level becomes ``verify``, which is no less."""
    pins = [pin for pin in re.split(r"[|,\s]+", match.value if match else "") if pin]
    usable = [pin for pin in pins if re.fullmatch(r"[0-9A-Fa-f]{64}", pin.replace(":", ""))]
    if len(usable) < len(pins) or not pins:
        document.notice(
            match.place if match else place,
            "only fingerprints of SHA-256 can be taken over, which `gatepost cert show HOST:PORT` prints"
            + ("" if usable else "; until there is one, the level is verify"),
        )
    if not usable or match is None:
        return "verify", {}
    return "fingerprint", {"fingerprints": listed(Sourced(pin, match.place) for pin in usable)}
