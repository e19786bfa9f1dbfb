"""Cipher strings of old servers: tried, cleaned of names that are gone, and of ciphers that protect nothing."""

from __future__ import annotations

import re

from gatepost.config.importers.document import Document, Sourced
from gatepost.config.importers.material import try_ciphers


def cipher_settings(document: Document, text: str, place: str) -> dict[str, Sourced]:
    """The keys ``ciphers`` and ``suites`` that a cipher string becomes; neither when nothing of it exists any more.

    What is not as it was is among the document's notices.
    """
    found = try_ciphers(text)
    settings: dict[str, Sourced] = {}
    if found.gone:
        document.notice(place, f"these ciphers no longer exist, and are left out: {', '.join(found.gone)}")
    dropped = {*found.gone, *found.suites}
    elements = [each for each in re.split(r"[:;,\s]+", text) if each and each.lstrip("!+-") not in dropped]
    if found.insecure:
        document.notice(
            place, f"allows ciphers that protect nothing ({', '.join(found.insecure[:4])}); they are excluded"
        )
        elements += ["!aNULL", "!eNULL"]
    cleaned = ":".join(elements)
    if cleaned and try_ciphers(cleaned).usable:
        settings["ciphers"] = Sourced(cleaned, place)
    elif not found.suites:
        document.notice(place, "no cipher of this list exists any more: gatepost's own list is used")
    if found.suites:
        settings["suites"] = Sourced(":".join(found.suites), place)
    return settings
