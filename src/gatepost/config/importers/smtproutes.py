"""qmail's ``smtproutes``: ``domain:relay:port`` a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gatepost.config.importers.document import Document, Sourced
from gatepost.config.importers.texts import Line

_ROUTE: Final = re.compile(r"([^:\s]*):(\[[^\]\s]*\]|[^:\s]*)(?::(\d*))?(\s.*)?")


def routes(document: Document, lines: Sequence[Line]) -> None:
    """The route for everything becomes the smarthost; the port of a domain a rule; other routes are named."""
    found = [(line, _ROUTE.fullmatch(line.text)) for line in lines]
    whole = next((index for index, (_, route) in enumerate(found) if route and not route[1] and route[2]), None)
    for index, (line, route) in enumerate(found):
        if route is None:
            document.notice(line.place, "is no route that this importer knows, and is not taken over")
            continue
        domain, relay, port = route[1].lower(), route[2].strip("[]").lower(), int(route[3] or 25)
        if route[4]:
            document.notice(
                line.place,
                "a login stands in this line: name it with delivery.smarthost_user and "
                "delivery.smarthost_password_file (the password is not copied)",
            )
        if index == whole:
            _smarthost(document, relay, port, line.place)
        elif relay or (whole is not None and domain):
            document.notice(
                line.place,
                f"the way of mail for {domain or 'everybody else'} is not taken over: there is one way out for all "
                "mail, delivery.smarthost or by MX",
            )
        elif domain and route[3]:
            _port(document, domain, port, line.place)


def _smarthost(document: Document, relay: str, port: int, place: str) -> None:
    host = f"[{relay}]" if ":" in relay else relay
    if document.set("delivery", "smarthost", Sourced(f"{host}:{port}", place)) and port == 465:
        document.set("delivery", "smarthost_tls", Sourced("implicit", f"{place}: port 465"))


def _port(document: Document, domain: str, port: int, place: str) -> None:
    rule = {"to": Sourced(domain, place), "port": Sourced(port, place)}
    if port == 465:
        rule["implicit"] = Sourced(True, f"{place}: port 465")
    document.add("outbound", rule)
