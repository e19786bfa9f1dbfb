"""The one rule of all rules: the first that matches and sets a key decides that key."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatepost.policy.rules import Condition, Setting, Source, decide


@dataclass(frozen=True)
class Simple:
    """A rule whose conditions are given."""

    name: str
    settings: dict[str, object]
    found: tuple[Condition, ...] = field(default=())

    @property
    def source(self) -> Source:
        return Source(self.name, f"x.toml:{len(self.name)}")

    def conditions(self, facts: None, /) -> tuple[Condition, ...]:
        return self.found


YES = (Condition("from", True, "it is in from"),)
NO = (Condition("from", False, "it is not in from"),)
HALF = (Condition("from", True, "it is in from"), Condition("listeners", False, "it is not in listeners"))
DEFAULTS = {"a": Setting(0, Source("default")), "b": Setting(None, Source("default"))}


def test_first_rule_that_matches_and_sets_a_key_decides_it() -> None:
    """Rules compose: each key has its own deciding rule."""
    decision = decide(
        [Simple("no", {"a": 1}, NO), Simple("one", {"b": 2}, YES), Simple("two", {"a": 3, "b": 4})], None, DEFAULTS
    )
    assert (decision.value("a"), decision.value("b"), decision.value("c")) == (3, 2, None)
    assert decision.settings["a"].source == Source("two", "x.toml:3")
    assert [weighed.decides for weighed in decision.weighed] == [(), ("b",), ("a",)]
    assert decision.weighed[2].late == ("b",)
    assert [str(source) for source in decision.deciding] == ["one (x.toml:3)", "two (x.toml:3)"]


def test_keys_that_no_rule_sets_have_their_default_and_its_source() -> None:
    """There is always an answer, and always somebody who gave it."""
    decision = decide([Simple("no", {"a": 1}, NO)], None, DEFAULTS)
    assert decision.settings["a"] == Setting(0, Source("default"))
    assert decision.deciding == ()


def test_rules_that_came_close_say_why_they_did_not_decide() -> None:
    """Half met, or met too late; far from it is not close."""
    rules = [
        Simple("one", {"a": 1}, YES),
        Simple("half", {"a": 2}, HALF),
        Simple("late", {"a": 3}),
        Simple("far", {"a": 4}, NO),
    ]
    one, half, late, far = decide(rules, None, DEFAULTS).weighed
    assert (one.close, half.close, late.close, far.close) == (False, True, True, False)
    assert half.why == "it is not in listeners"
    assert late.why == "matches, but an earlier rule decides a"
    assert one.why == "it is in from"
    assert decide([Simple("all", {"a": 1})], None, DEFAULTS).weighed[0].why == "it has no conditions"


def test_rule_that_decides_some_of_its_keys_says_what_it_matched_by() -> None:
    """That others were decided before it is no reason why it does not decide."""
    partly = decide([Simple("one", {"a": 1}), Simple("partly", {"a": 2, "b": 3}, YES)], None, DEFAULTS).weighed[1]
    assert (partly.decides, partly.late) == (("b",), ("a",))
    assert (partly.why, partly.close) == ("it is in from", False)


def test_condition_that_is_nearly_met_brings_its_rule_close() -> None:
    """For instance a certificate that is for somebody else: the operator looks for just that."""
    near = Condition("certificate_email", False, "it is for somebody else", near=True)
    assert decide([Simple("near", {"a": 1}, (near,))], None, DEFAULTS).weighed[0].close


def test_exception_brings_no_rule_closer_and_the_unknown_does() -> None:
    """That nothing is excepted says little; that a fact is missing says that the answer may be another."""
    exempt = Condition("except", True, "nothing is in except")
    far, unknown = decide(
        [
            Simple("far", {"a": 1}, (*NO, exempt)),
            Simple("unknown", {"a": 1}, (Condition("mx", False, "the host is not known", False),)),
        ],
        None,
        DEFAULTS,
    ).weighed
    assert (far.close, unknown.close) == (False, True)


def test_source_without_a_place_is_its_name() -> None:
    """Defaults stand in no file."""
    assert str(Source("default")) == "default"
