"""The page: the same two columns, and nothing that a peer can put into it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from tests.unit.record.conversation import HOSTILE, hostile_session, starttls_session

from gatepost.record.columns import rows
from gatepost.record.page import page
from gatepost.record.reading import Session

VOID = {"meta"}
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "dl", "dt", "dd", "table", "caption", "thead",
    "tbody", "tr", "th", "td", "p", "ul", "li", "code", "pre", "span", "section", "nav", "a", "footer",
}  # fmt: skip


class Structure(HTMLParser):
    """Reads a page strictly: every element is closed, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append((dict(attrs).get("class") or "across", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if "td" in self.open:
            name, text = self.cells[-1]
            self.cells[-1] = (name, text + data)


def structure(*sessions: Session) -> Structure:
    return Structure("".join(page(sessions)))


def test_page_has_the_rows_in_their_columns() -> None:
    """Each line stands in the column of who said it; the upgrade stands across, between clear and private."""
    session = starttls_session()
    found = structure(session)
    for column in ("client", "server"):
        said = [row.text for row in rows(session) if row.place == column and row.text]
        shown = [text for name, text in found.cells if name == column and text and not text.startswith("[")]
        assert shown == said
    across = [text for name, text in found.cells if name == "across"]
    assert any(text.startswith("private from here: TLSv1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768") for text in across)
    bodies = [facts.get("class") for tag, facts in found.tags if tag == "tbody"]
    assert bodies == ["clear", "private"]


def test_page_is_a_table_that_can_be_read_aloud() -> None:
    """Language, title, caption, heads of columns and rows; clear and private are words and not colours alone."""
    found = structure(starttls_session())
    tags = [tag for tag, _ in found.tags]
    assert {"caption", "thead", "title"} <= set(tags)
    assert ("html", {"lang": "en"}) in found.tags
    assert [facts["scope"] for tag, facts in found.tags if tag == "th"][:4] == ["col"] * 4
    assert "in the clear" in found.text and "private" in found.text


def test_page_asks_nobody_for_anything() -> None:
    """No script, no image, no address: the policy forbids them, and its hash is that of the one style."""
    text = "".join(page([starttls_session()]))
    found = Structure(text)
    assert {tag for tag, _ in found.tags} <= KNOWN
    assert not any(name.startswith("on") or name in ("src", "style") for _, facts in found.tags for name in facts)
    assert re.search(r"url\(|@import|https?:", text) is None
    policy = next(facts["content"] for tag, facts in found.tags if facts.get("http-equiv") == "Content-Security-Policy")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None and policy.startswith("default-src 'none'") and f"'sha256-{digest}'" in policy


def test_peer_puts_no_element_into_the_page() -> None:
    """Scripts, closing tags, attributes and entities in lines, headers, names and reasons stay text."""
    found = structure(hostile_session())
    assert {tag for tag, _ in found.tags} <= KNOWN
    assert not any(name.startswith("on") or name == "src" for _, facts in found.tags for name in facts)
    assert "<script>alert(1)</script>" in found.text and "&lt;b&gt;" in found.text
    raw = "".join(page([hostile_session()]))
    assert not set(raw) & {"\x1b", "\x07", "\r", "\x00", "\u202e", "\u2066", "\u200b", "\ufeff"}
    assert len(HOSTILE) <= found.text.count("[12 octets")


def test_several_sessions_have_a_list_with_links() -> None:
    """Each session has its place, and the list leads there."""
    found = structure(starttls_session(), hostile_session())
    links = [facts["href"] for tag, facts in found.tags if tag == "a"]
    places = [f"#{facts['id']}" for tag, facts in found.tags if tag == "section"]
    assert links == places == ["#session-1", "#session-2"]


def test_mask_is_marked() -> None:
    """The stars of a mask are told from stars that somebody typed."""
    assert 'AUTH PLAIN <span class="mask">***</span>' in "".join(page([starttls_session()]))
