"""A strict reader of the few XML elements that stand before TLS in an XMPP stream (RFC 6120 §4, §11).

What RFC 6120 §11.1 forbids is refused when it begins: comments, processing instructions, document types. So there are
no entities to expand but the five that XML has, and character references. CDATA, and names beyond ASCII, are not needed
here and are refused too. Depth, the length of a tag, of a text, and of everything together are bounded, and a tag is
looked at when it is complete and not before.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias, final

from gatepost.wire.recipes.recipe import UnexpectedWords

TAG_LIMIT: Final = 4096  # octets
TEXT_LIMIT: Final = 4096  # octets between two tags
DEPTH_LIMIT: Final = 8
OCTETS_LIMIT: Final = 65536  # of the whole stream before TLS

_SPACE: Final = rb"[ \t\r\n]"
_NAME: Final = rb"[A-Za-z_][A-Za-z0-9._-]*"
_QUALIFIED: Final = rb"(?:" + _NAME + rb":)?" + _NAME
_VALUE: Final = rb"(?:\"[^\"<]*\"|'[^'<]*')"
_ATTRIBUTE: Final = re.compile(
    _SPACE + rb"+(" + _QUALIFIED + rb")" + _SPACE + rb"*=" + _SPACE + rb"*(" + _VALUE + rb")"
)
# XML 1.0 §3.1: STag, EmptyElemTag, ETag; §2.8: XMLDecl, which may say only what XMPP allows (RFC 6120 §11.5, §11.6)
_START: Final = re.compile(
    rb"<(" + _QUALIFIED + rb")((?:" + _SPACE + rb"+" + _QUALIFIED + _SPACE + rb"*=" + _SPACE + rb"*" + _VALUE + rb")*)"
    + _SPACE + rb"*(/?)>"
)  # fmt: skip
_END: Final = re.compile(rb"</(" + _QUALIFIED + rb")" + _SPACE + rb"*>")
_DECLARATION: Final = re.compile(
    rb"<\?xml" + _SPACE + rb"+version" + _SPACE + rb"*=" + _SPACE + rb"*([\"'])1\.0\1"
    rb"(?:" + _SPACE + rb"+encoding" + _SPACE + rb"*=" + _SPACE + rb"*([\"'])[Uu][Tt][Ff]-8\2)?"
    rb"(?:" + _SPACE + rb"+standalone" + _SPACE + rb"*=" + _SPACE + rb"*([\"'])(?:yes|no)\3)?"
    + _SPACE + rb"*\?>"
)  # fmt: skip
_MARK: Final = re.compile(rb"[\"'>]")
_REFERENCE: Final = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


class Open(NamedTuple):
    """An element begins.

    :param namespace: the namespace of its name, or an empty string.
    :param name: its name without a prefix.
    :param attributes: its attributes, without declarations of namespaces; a prefix stays part of the name.
    :param depth: how many elements it stands in.
    :param empty: whether it ended with the same tag; then there is no ``Close``.
    """

    namespace: str
    name: str
    attributes: dict[str, str]
    depth: int
    empty: bool


class Close(NamedTuple):
    """An element ends. ``depth`` is that of its ``Open``."""

    depth: int


Token: TypeAlias = Open | Close


@final
class StreamReader:
    """Cut octets into the tags of a stream."""

    __slots__ = ("_begun", "_buffer", "_octets", "_over", "_stack")

    def __init__(self) -> None:
        self._buffer = b""
        self._octets = 0
        self._begun = False  # whether the time for a declaration is over
        self._over = False
        self._stack: list[tuple[bytes, dict[str, str]]] = []  # open elements: qualified name, namespaces by prefix

    @property
    def pending(self) -> bool:
        """Whether octets are held that no token has used up."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer += data

    def residue(self) -> bytes:
        """Everything that was read and not asked for, at the end of this reader's life."""
        residue, self._buffer = self._buffer, b""
        return residue

    def next_token(self) -> Token | None:
        """The next tag, or None when more octets are needed. Text is checked and dropped.

        :raises UnexpectedWords: for what is no XML, or is XML that may not stand here.
        """
        start = self._buffer.find(b"<")
        text = self._buffer if start < 0 else self._buffer[:start]
        self._check_text(text, complete=start >= 0)
        if start < 0:
            return None
        if self._over:
            raise UnexpectedWords("something stands behind the end of the stream", self._buffer)
        end = self._tag_end(start)
        if end == 0:
            return None
        tag = self._buffer[start:end]
        self._buffer = self._buffer[end:]
        self._octets += end
        if self._octets > OCTETS_LIMIT:
            raise UnexpectedWords(f"more than {OCTETS_LIMIT} octets of XML before the upgrade")
        first, self._begun = not self._begun and start == 0, True
        if first and _DECLARATION.fullmatch(tag):
            return self.next_token()
        return self._read(tag)

    def _check_text(self, text: bytes, *, complete: bool) -> None:
        """Between stanzas stands white space (RFC 6120 §4.6.1), inside of them text."""
        if len(text) > TEXT_LIMIT:
            raise UnexpectedWords(f"more than {TEXT_LIMIT} octets of text", text)
        if len(self._stack) < 2:
            if text.strip(b" \t\r\n"):
                raise UnexpectedWords("text stands where an element is due", text)
        elif complete:
            _plain(text)

    def _tag_end(self, start: int) -> int:
        """Where the tag ends that begins at ``start``; 0 while it is incomplete."""
        buffer = self._buffer
        opening = buffer[start : start + 6]
        declares = not self._begun and start == 0
        if opening[1:2] == b"!" or (opening[1:2] == b"?" and not (declares and b"<?xml ".startswith(opening))):
            raise UnexpectedWords("RFC 6120 §11.1 forbids what begins like this", buffer[start:])
        at = start + 1
        while mark := _MARK.search(buffer, at, start + TAG_LIMIT):
            if mark[0] == b">":
                return mark.end()
            at = buffer.find(mark[0], mark.end(), start + TAG_LIMIT) + 1
            if at == 0:
                break
        if len(buffer) - start >= TAG_LIMIT:
            raise UnexpectedWords(f"a tag of more than {TAG_LIMIT} octets", buffer[start:])
        return 0

    def _read(self, tag: bytes) -> Token:
        if end := _END.fullmatch(tag):
            if not self._stack or self._stack[-1][0] != end[1]:
                raise UnexpectedWords("an element ends that is not open", tag)
            self._stack.pop()
            self._over = not self._stack
            return Close(len(self._stack))
        start = _START.fullmatch(tag)
        if start is None:
            raise UnexpectedWords("that is no XML tag", tag)
        depth = len(self._stack)
        if depth >= DEPTH_LIMIT:
            raise UnexpectedWords(f"elements are nested more than {DEPTH_LIMIT} deep", tag)
        spaces, attributes = _attributes(start[2], self._stack[-1][1] if self._stack else {"": ""})
        prefix, _, name = start[1].decode("ascii").rpartition(":")
        if prefix not in spaces:
            raise UnexpectedWords("a prefix has no namespace", tag)
        if start[3]:
            self._over = depth == 0
        else:
            self._stack.append((start[1], spaces))
        return Open(spaces[prefix], name, attributes, depth, bool(start[3]))


def _attributes(octets: bytes, outer: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The namespaces in force, and the attributes."""
    spaces, attributes = outer, {}
    seen: set[bytes] = set()
    for name, quoted in _ATTRIBUTE.findall(octets):
        if name in seen:
            raise UnexpectedWords("an attribute stands twice", octets)
        seen.add(name)
        value = _plain(quoted[1:-1])
        prefix, _, local = name.decode("ascii").rpartition(":")
        if prefix != "xmlns" and local != "xmlns":
            attributes[name.decode("ascii")] = value
            continue
        bound = local if prefix else ""
        if bound in ("xml", "xmlns") or (bound and not value) or prefix not in ("", "xmlns"):
            raise UnexpectedWords("a namespace is declared that cannot be", octets)
        spaces = {**spaces, bound: value}
    return spaces, attributes


def _plain(octets: bytes) -> str:
    """Text with its references resolved: the five entities of XML, and characters by number."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise UnexpectedWords("octets that are no UTF-8", octets) from None
    if _CONTROL.search(text):
        raise UnexpectedWords("a character that may not stand in XML", octets)
    if "&" not in text:
        return text
    if "&" in _REFERENCE.sub("", text):
        raise UnexpectedWords("an entity that XML does not have by itself (RFC 6120 §11.1)", octets)
    return _REFERENCE.sub(_resolved, text)


def _resolved(reference: re.Match[str]) -> str:
    if reference[1]:
        return _ENTITIES[reference[1]]
    number = int(reference[2]) if reference[2] else int(reference[3], 16)
    character = chr(number) if number < 0x110000 else "\0"
    if _CONTROL.search(character) or 0xD800 <= number < 0xE000:
        raise UnexpectedWords("a character that may not stand in XML", reference[0].encode())
    return character
