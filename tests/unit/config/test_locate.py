"""The place of each key."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.locate import Key, locate
from gatepost.config.show import toml

TEXT = '''# a comment with = and [brackets]
hostname = "mx" # another
domains = [
  "a", # first
  "b ] # not the end",

  """c
  over lines""",
]
"quoted key" = 'literal " text'
dotted.key = 1

[tls]
minimum = "TLSv1.2"
inline = { a = 1, b = { c = [ 2, 3 ] } }

[[listener]]
name = "one"
[[listener]]
name = "two"
bind = ["x"]
[listener.extra]
deep = true
'''


def test_every_kind_of_key_is_found() -> None:
    """Tables, arrays of tables, dotted and quoted keys, elements of lists, inline tables."""
    lines = locate(TEXT)
    expected: dict[Key, int] = {
        ("hostname",): 2,
        ("domains",): 3,
        ("domains", 0): 4,
        ("domains", 1): 5,
        ("domains", 2): 7,
        ("quoted key",): 10,
        ("dotted", "key"): 11,
        ("tls",): 13,
        ("tls", "minimum"): 14,
        ("tls", "inline", "b", "c", 1): 15,
        ("listener", 0): 17,
        ("listener", 0, "name"): 18,
        ("listener", 1): 19,
        ("listener", 1, "name"): 20,
        ("listener", 1, "bind", 0): 21,
        ("listener", 1, "extra", "deep"): 23,
    }
    assert {key: lines.get(key) for key in expected} == expected


_NAME = st.text(min_size=1, max_size=8)
_SCALAR = st.one_of(st.integers(-(2**60), 2**60), st.booleans(), st.text(max_size=12))
_VALUE = st.one_of(_SCALAR, st.lists(_SCALAR, max_size=3))
_TABLES = st.recursive(
    st.dictionaries(_NAME, _VALUE, max_size=4),
    lambda inner: st.dictionaries(_NAME, st.one_of(_VALUE, inner, st.lists(inner, min_size=1, max_size=3)), max_size=4),
    max_leaves=12,
)


def _keys(value: Any, prefix: Key = ()) -> list[Key]:
    if isinstance(value, dict):
        return [key for name, item in value.items() for key in [(*prefix, name), *_keys(item, (*prefix, name))]]
    return []


@given(_TABLES)
def test_whatever_tomllib_reads_is_found_in_order(tables: dict[str, Any]) -> None:
    """Every key of a document has a place, and each plain key stands in the line that its place names."""
    text = toml(tables)
    assert tomllib.loads(text) == tables
    lines = locate(text)
    rows = text.split("\n")
    for key in _keys(tables):
        assert key in lines
        name = str(key[-1])
        if name.isalnum():  # others stand escaped in the text
            assert name in rows[lines[key] - 1]
