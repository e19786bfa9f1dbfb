"""Mailboxes and paths (RFC 5321 §4.1.2, RFC 6531 §3.3).

A ``Mailbox`` holds what an address *means*: the local part unquoted, the domain in lower case without a trailing dot.
What it looks like on the wire is made from that again, so two spellings of one address are one value, and nothing that
a peer spelled oddly reaches another peer.

Source routes (``<@a,@b:user@c>``) are read and dropped, as RFC 5321 §3.6.1 allows: the final domain decides. ``%`` and
``!`` in a local part have no meaning here.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, final

from gatepost.errors import ProtocolError

LOCAL_LIMIT: Final = 256  # RFC 5321 §4.5.3.1.1 asks for 64; variable envelope return paths are longer
DOMAIN_LIMIT: Final = 255  # RFC 5321 §4.5.3.1.2
LABEL_LIMIT: Final = 63  # RFC 1035 §2.3.4
_KEPT: Final = 1024  # addresses that are read and written once: a mailbox here gets much mail, a list sends much
_DISTINCT: Final = frozenset("\u00df\u03c2")  # RFC 5892 §2.6: valid though case folding would change them
_WORD_CATEGORIES: Final = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})  # RFC 5892 §2.1

# RFC 5321 §4.1.2: Mailbox = Local-part "@" Domain, in the form that nearly every address has. Dots are checked apart,
# so that the expression stays linear.
_PLAIN_PATH: Final = re.compile(r"<([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,256})@([A-Za-z0-9._-]{1,255})>")
# RFC 5322 §3.2.3: atext, with the UTF-8 of RFC 6531 §3.3
# Sets that reach beyond ASCII are written by what they leave out: such an expression compiles forty times as fast.
_ATEXT: Final = r"""[^\x00-\x20"(),.:;<>@\[\\\]\x7f]"""
_DOT_ATOM: Final = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*+")
# RFC 5321 §4.1.2: Quoted-string = DQUOTE *QcontentSMTP DQUOTE
_QUOTED: Final = re.compile(r'"((?:[^\x00-\x1f"\\\x7f]|\\[ -~])*+)"')
_ESCAPED: Final = re.compile(r"\\(.)")
# RFC 5321 §4.1.2: A-d-l = At-domain *( "," At-domain ), then ":"
_AT_DOMAIN: Final = r"@(?:[^\x00-,/:-@\[-^`{-\x7f]++|\[[^\]@\s]++\])"  # letters, digits, dot, hyphen, underscore
_SOURCE_ROUTE: Final = re.compile(rf"{_AT_DOMAIN}(?:,{_AT_DOMAIN})*+:")
# RFC 5321 §4.1.2: sub-domain, with the underscore that is found in practice; dots and hyphens are checked apart
_DOMAIN: Final = re.compile(rf"[a-z0-9_.-]{{1,{DOMAIN_LIMIT}}}")
_LITERAL_TAG: Final = re.compile(r"IPv6:", re.IGNORECASE)


class AddressSyntaxError(ProtocolError):
    """An address that RFC 5321 §4.1.2 does not allow. ``code`` is 501."""

    def __init__(self, message: str, *, enhanced: str = "5.1.3") -> None:
        super().__init__(message, code=501, enhanced=enhanced)


@final
@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox.

    :param local: the local part, unquoted, in the case it came in.
    :param domain: the domain, in lower case, U-labels or A-labels as sent; an address literal with its brackets; empty
        only for the bare ``postmaster`` (RFC 5321 §4.5.1).
    """

    local: str
    domain: str

    def __str__(self) -> str:
        return _spelled(self.local, self.domain)

    @property
    def ascii_domain(self) -> str:
        """The domain with every U-label as an A-label (RFC 5890 §2.3.2.1), for comparison and for the DNS.

        :raises AddressSyntaxError: for a domain that has no such form; a parsed one always has.
        """
        return self.domain if self.domain.isascii() else to_a_labels(self.domain)

    @property
    def ascii(self) -> bool:
        """Whether the address can be used without SMTPUTF8 (RFC 6531 §3.2)."""
        return self.local.isascii() and self.domain.isascii()


@functools.lru_cache(_KEPT)
def _spelled(local: str, domain: str) -> str:
    """How an address is written on the wire."""
    spelled = local if _DOT_ATOM.fullmatch(local) else _quote(local)
    return f"{spelled}@{domain}" if domain else spelled


@functools.lru_cache(_KEPT)
def parse_path(text: str, *, utf8: bool) -> Mailbox | None:
    """Read a path with its angle brackets, as it stands behind ``MAIL FROM:`` and ``RCPT TO:``.

    :param text: the path.
    :param utf8: whether characters beyond ASCII are allowed (RFC 6531 §3.3).
    :return: the mailbox, or None for the null path ``<>``.
    :raises AddressSyntaxError: when it is no path.
    """
    plain = _PLAIN_PATH.fullmatch(text)
    if plain is not None:
        local, domain = plain.groups()
        if ".." in local or local[0] == "." or local[-1] == ".":
            raise AddressSyntaxError("a dot stands at an end of the local part, or two stand together")
        return Mailbox(local, _domain(domain))
    if len(text) < 2 or text[0] != "<" or text[-1] != ">":
        raise AddressSyntaxError("a path stands in angle brackets")
    inner = text[1:-1]
    if not inner:
        return None
    if inner.lower() == "postmaster":
        return Mailbox("postmaster", "")
    if inner[0] == "@":
        inner = _drop_route(inner)
    return parse_mailbox(inner, utf8=utf8)


def parse_mailbox(text: str, *, utf8: bool = True) -> Mailbox:
    """Read ``local@domain`` without brackets.

    :raises AddressSyntaxError: when it is no mailbox.
    """
    if not text.isprintable():
        raise AddressSyntaxError("an address holds no control characters")
    if not utf8 and not text.isascii():
        raise AddressSyntaxError("an address beyond ASCII needs SMTPUTF8", enhanced="5.6.7")
    local, at, domain = text.rpartition("@") if not text.endswith("]") else _split_literal(text)
    if not at or not local or not domain:
        raise AddressSyntaxError("an address is a local part, an @ and a domain")
    if local[0] == '"':
        quoted = _QUOTED.fullmatch(local)
        if quoted is None:
            raise AddressSyntaxError("the quoted local part is malformed")
        local = _ESCAPED.sub(r"\1", quoted[1])
    elif not _DOT_ATOM.fullmatch(local):
        raise AddressSyntaxError("the local part is malformed")
    if len(local.encode()) > LOCAL_LIMIT:
        raise AddressSyntaxError("the local part is too long")
    return Mailbox(local, _literal(domain) if domain[0] == "[" else _domain(domain))


def to_a_labels(domain: str) -> str:
    """Turn the U-labels of a domain into A-labels (RFC 5891 §4.4: a valid U-label's A-label is its Punycode).

    What RFC 5892 §2 disallows by category or by instability is refused; the contextual rules and the Bidi rule are not
    applied, and no mapping is made but lower case (RFC 5895 §2, the step that users rely on).

    :raises AddressSyntaxError: for a label that is no U-label, or too long.
    """
    return ".".join(label if label.isascii() else _a_label(label) for label in domain.lower().split("."))


def _a_label(label: str) -> str:
    if unicodedata.normalize("NFC", label) != label or label.startswith("-") or label.endswith("-"):
        raise AddressSyntaxError("a domain label is not in its normal form")
    for character in label:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
        stable = folded == character or character in _DISTINCT
        if character != "-" and not (stable and unicodedata.category(character) in _WORD_CATEGORIES):
            raise AddressSyntaxError("a domain label holds a character that is not allowed there")
    if unicodedata.category(label[0]).startswith("M"):
        raise AddressSyntaxError("a domain label begins with a combining mark")
    encoded = "xn--" + label.encode("punycode").decode("ascii")
    if len(encoded) > LABEL_LIMIT:
        raise AddressSyntaxError("a domain label is too long")
    return encoded


def _domain(text: str) -> str:
    """Check a domain name and return it in lower case without a trailing dot."""
    domain = text.lower()
    if domain[-1] == ".":
        domain = domain[:-1]
    if domain.isascii():
        _check_domain(domain)
    else:
        domain = unicodedata.normalize("NFC", domain)
        _check_domain(to_a_labels(domain))
    return domain


def _check_domain(domain: str) -> None:
    if not _DOMAIN.fullmatch(domain):
        raise AddressSyntaxError("the domain is malformed")
    if ".." in domain or "-." in domain or ".-" in domain or domain[0] in ".-" or domain[-1] in ".-":
        raise AddressSyntaxError("a domain label is malformed")
    if len(domain) > LABEL_LIMIT and max(map(len, domain.split("."))) > LABEL_LIMIT:
        raise AddressSyntaxError("a domain label is too long")
    if domain[-1].isdigit() and domain.rpartition(".")[2].isdigit():
        # RFC 3696 §2: no top-level domain is all digits, so this is an address without its brackets
        raise AddressSyntaxError("an IP address in place of a domain stands in square brackets")


def _literal(text: str) -> str:
    """Check an address literal (RFC 5321 §4.1.3) and return it in its canonical spelling."""
    import ipaddress  # here and not above: few addresses are literals, and a command line tool starts faster without it

    inner = text[1:-1]
    tag = _LITERAL_TAG.match(inner)
    try:
        if tag is not None:
            return f"[IPv6:{ipaddress.IPv6Address(inner[tag.end() :])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressSyntaxError("the address literal is malformed") from error


def _split_literal(text: str) -> tuple[str, str, str]:
    """Split at the @ before a closing address literal, which may hold an @ in no legal case."""
    head, bracket, tail = text.rpartition("@[")
    return head, "@" if bracket else "", f"[{tail}"


def _drop_route(text: str) -> str:
    route = _SOURCE_ROUTE.match(text)
    if route is None:
        raise AddressSyntaxError("the source route is malformed")
    return text[route.end() :]


def _quote(local: str) -> str:
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
