"""How names of mailboxes compare.

RFC 5321 §2.4 leaves the meaning of a local part to the host that owns the domain. For domains of ours: letter case
does not matter, Unicode is compared in its composed form (RFC 6530 §10.1), and ``user+anything`` is ``user``. Domains
compare without case, as A-labels. Local parts of other domains are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from unicodedata import normalize

SEPARATOR: Final = "+"  # RFC 5233: what stands behind it is a detail for the user
LOCAL_LIMIT: Final = 320  # characters; a longer local part is nobody's here (RFC 5321 §4.5.3.1.1 asks for 64 octets)


def local_key(local: str) -> str:
    """The canonical form of a local part of ours."""
    return local.lower() if local.isascii() else normalize("NFC", normalize("NFC", local).lower())


def domain_key(domain: str) -> str:
    """The canonical form of a domain: lower case, A-labels, no trailing dot.

    A U-label is written as RFC 5891 §4.4 says, without mapping: a label that is not in its canonical form stays
    different from the one it resembles.
    """
    name = domain.lower().removesuffix(".")
    if name.isascii():
        return name
    return ".".join(label if label.isascii() else _a_label(label) for label in name.split("."))


def _a_label(label: str) -> str:
    return "xn--" + normalize("NFC", label).encode("punycode", "surrogatepass").decode("ascii")


def storable(name: str) -> bool:
    """Whether a name has a UTF-8 form; one with stray surrogates, from octets that were not UTF-8, is nobody's."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def base_local(local: str) -> str:
    """A local part without its detail: ``user`` for ``user+lists``; the local part itself when it has none."""
    base, _, _ = local.partition(SEPARATOR)
    return base or local


class OurDomains:
    """The domains whose mail is kept here.

    :param domains: at least one; the first completes names that have no domain.
    """

    __slots__ = ("_known", "first")

    def __init__(self, domains: Sequence[str]) -> None:
        self._known: Final = frozenset(domain_key(domain) for domain in domains)
        self.first: Final = domain_key(domains[0])

    def __contains__(self, domain: str) -> bool:
        """Whether a canonical domain is ours."""
        return domain in self._known

    def split(self, name: str) -> tuple[str, str]:
        """The canonical local part and domain of ``local@domain``, or of a bare ``local`` in the first domain."""
        local, at, domain = name.rpartition("@")
        return (local_key(local), domain_key(domain)) if at else (local_key(domain), self.first)

    def canonical(self, name: str) -> str:
        """The canonical ``local@domain`` of a user's or mailbox's name."""
        return "@".join(self.split(name))
