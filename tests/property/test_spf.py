"""Whatever stands in SPF records: one of seven results, few questions, and only names that DNS can have."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.net.resolve import Lookup, Record, RecordsAnswer
from gatepost.net.spf_record import Identity, Kind, check

RESULTS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
# A record; then ten terms with ten hosts each, and what %{p} asks: a reverse name with ten hosts, for each kind.
MOST = 11 + 10 * 11 + 2 * 11
DOMAINS = ("a.example", "b.example", "c.example")

_macros = st.sampled_from(
    ["%{d}", "%{i}", "%{ir}", "%{l}", "%{s}", "%{o2r}", "%{h}", "%{p}", "%{v}", "%%", "%_", "%{", "%{x}"]
)
_domain = st.one_of(
    st.sampled_from(DOMAINS),
    st.lists(st.one_of(_macros, st.sampled_from([*DOMAINS, ".", "x", "-"])), max_size=5).map("".join),
    st.text(max_size=20),
)
_prefix = st.sampled_from(["", "/0", "/24", "/33", "//64", "/8//129"])
_term = st.one_of(
    st.builds(
        lambda sign, word, domain, prefix: f"{sign}{word}{':' + domain if domain else ''}{prefix}",
        st.sampled_from(["", "+", "-", "~", "?"]),
        st.sampled_from(["a", "mx", "ptr", "exists", "include", "all", "ip4", "ip6", "A", "moo"]),
        _domain, _prefix,
    ),
    st.builds("{}={}".format, st.sampled_from(["redirect", "exp", "x", "default"]), _domain),
    st.sampled_from(["ip4:192.0.2.0/24", "ip6:2001:db8::/32", "ip4:1.2.3", "ip6::::"]),
    st.text(max_size=12),
)  # fmt: skip
_record = st.lists(_term, max_size=12).map(lambda terms: " ".join(["v=spf1", *terms]).encode("utf-8", "replace"))
_answer = st.one_of(
    st.just(RecordsAnswer(Lookup.FAILED, (), "timed out")),
    st.just(RecordsAnswer(Lookup.NO_NAME)),
    st.lists(st.sampled_from(["192.0.2.7", "10.0.0.1", "2001:db8::7"]), min_size=1, max_size=3).map(
        lambda found: RecordsAnswer(Lookup.FOUND, tuple(found))
    ),
)


@settings(max_examples=300)
@given(
    st.lists(_record, min_size=len(DOMAINS), max_size=len(DOMAINS)),
    st.data(),
    st.sampled_from(["192.0.2.7", "2001:db8::7", "::ffff:10.0.0.1"]),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_any_records_give_a_result_within_bounds(
    records: list[bytes], data: st.DataObject, address: str, local: str, hello: str
) -> None:
    """Nothing is raised, no name is asked twice, none is longer than a name may be, and an end comes."""
    texts = dict(zip(DOMAINS, records, strict=True))
    asked: list[tuple[str, Kind]] = []

    def ask(name: str, kind: Kind) -> RecordsAnswer:
        asked.append((name, kind))
        if kind == "TXT":
            return RecordsAnswer(Lookup.FOUND, (texts[name],)) if name in texts else RecordsAnswer(Lookup.NO_NAME)
        if kind in ("MX", "PTR"):
            names: list[Record] = [(n, f"h{n}.example") if kind == "MX" else f"h{n}.a.example" for n in range(10)]
            return RecordsAnswer(Lookup.FOUND, tuple(names))
        return data.draw(_answer)

    found = check(Identity(address, local, DOMAINS[0], hello), ask)
    assert found.result in RESULTS
    assert len(asked) == len(set(asked)) <= MOST
    assert all(name.isascii() and len(name) <= 253 for name, _ in asked)
