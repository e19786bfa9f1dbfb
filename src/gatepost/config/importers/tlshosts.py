"""qmail-remote's TLS: which servers it insists on, which it spares, what it shows, which ciphers it speaks.

A file ``tlshosts/HOST.pem`` counts before ``exhaustivelist`` and ``notlshosts/HOST``, and HOST is the name of the
server: of the MX host, or of the host in ``smtproutes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gatepost.config.importers.ciphers import cipher_settings
from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.material import Found, read_pem_file, unusable
from gatepost.config.importers.texts import Line

EXHAUSTIVE = "exhaustivelist"


def remote_tls(document: Document, directory: Path, ciphers: Sequence[Line]) -> None:
    """The outbound rules.

    :param directory: of the control files.
    :param ciphers: the lines of ``tlsclientciphers``.
    """
    demanded: set[str] = set()
    exhaustive = False
    for name in _names(document, directory, "tlshosts"):
        if name == EXHAUSTIVE:
            exhaustive = True
        elif name.endswith(".pem"):
            host = name.removesuffix(".pem").lower()
            demanded.add(host)
            _demanded(document, directory / "tlshosts" / name, host)
        else:
            document.notice(f"tlshosts/{name}", "is neither HOST.pem nor exhaustivelist, and is not taken over")
    spared: list[Sourced] = []
    for name in _names(document, directory, "notlshosts"):
        if name.lower() in demanded:
            document.notice(f"notlshosts/{name}", f"counts for nothing: tlshosts/{name}.pem comes first, as in qmail")
        else:
            spared.append(Sourced(name.lower(), f"notlshosts/{name}"))
    if spared:
        document.add("outbound", {"mx": listed(spared), "level": Sourced("none", "notlshosts")})
    rest = {"level": Sourced("may", "qmail-remote: TLS where it is offered")}
    if exhaustive:
        place = f"tlshosts/{EXHAUSTIVE}"
        document.set("delivery", "tls_only_listed", Sourced(True, place))
        rest = {"level": Sourced("none", place)}
    rest.update(_shown(document, directory))
    if ciphers:
        text = ":".join(line.text for line in ciphers)
        rest.update(cipher_settings(document, text, ciphers[0].place))
    document.add("outbound", rest, remark="Every other server.")


def _names(document: Document, directory: Path, name: str) -> list[str]:
    try:
        return sorted(entry.name for entry in (directory / name).iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        document.notice(name, f"cannot be read: {error.strerror}")
        return []


def _demanded(document: Document, file: Path, host: str) -> None:
    """One server that has to authenticate itself."""
    place = f"tlshosts/{file.name}"
    mx = Sourced(host, place)
    found = read_pem_file(file)
    if found.problem or not found.certificates:
        reason = found.problem or f"{file.name}: holds no certificate"
        document.notice(place, f"{reason}; qmail deferred all mail for this host, here a system authority is asked for")
        document.add("outbound", {"mx": mx, "level": Sourced("verify", place)})
        return
    own = [each for each in found.certificates if each.named(host) or each.commonly_named(host)]
    authorities = [each for each in found.certificates if each.authority and each not in own]
    if own and not (authorities and any(each.named(host) for each in own)):
        _pinned(document, own, place, mx)
        if authorities:
            document.notice(place, "its authority is in the file too, and not used: a new certificate needs a new pin")
        return
    for each in authorities:
        if each.weakness or each.expired:
            what = each.weakness or f"it expired on {each.expired}"
            document.notice(place, f"the authority {each.common_name!r} will not be trusted: {what}; mail will wait")
    if authorities:
        remark = "A server whose certificate has a CN and no subjectAltName will be deferred: pin it with fingerprints."
        document.notice(place, f"{host}: {remark}")
    else:
        remark = ""
        names = ", ".join(each.common_name or "one without a name" for each in found.certificates)
        document.notice(place, f"is for {names}, not for {host}: qmail deferred this mail, and so it stays")
    rule = {"mx": mx, "level": Sourced("verify", place), "ca": Sourced(str(file.absolute()), place)}
    document.add("outbound", rule, remark=remark)


def _pinned(document: Document, own: Sequence[Found], place: str, mx: Sourced) -> None:
    for each in own:
        if each.weakness or each.expired:
            what = each.weakness or f"it expired on {each.expired}"
            document.notice(place, f"is pinned as it is, but {what}: ask the server's operator for a new one")
    pins = listed(Sourced(each.sha256, place) for each in own)
    document.add(
        "outbound", {"mx": mx, "level": Sourced("fingerprint", place), "fingerprints": pins},
        remark="The server's own certificate: pinned, whatever names it has.",
    )  # fmt: skip


def _shown(document: Document, directory: Path) -> dict[str, Sourced]:
    """``clientcert.pem``, when it can be shown."""
    file = directory / "clientcert.pem"
    if not file.exists():
        return {}
    if reason := unusable(file):
        reason = f"{reason}; `gatepost cert new` makes a new one"
        document.withhold("outbound", [f'client_certificate = "{file.absolute()}"'], file.name, reason)
        return {}
    return {"client_certificate": Sourced(str(file.absolute()), file.name)}
