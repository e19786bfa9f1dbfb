"""The invariant of every fuzz target, under hypothesis: see ``fuzz/README.md`` for what each of them reads."""

from __future__ import annotations

import pytest
from fuzz import harness
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("name", harness.names())
def test_target_holds_for_words_of_its_protocol_and_for_noise(name: str) -> None:
    """Words in any order, with anything between them, whole or cut: nothing escapes that should not."""
    fuzzed = harness.load(name)
    words = st.lists(st.sampled_from(fuzzed.words) | st.binary(max_size=4), max_size=12).map(b"".join)
    plans = st.binary(min_size=2, max_size=2)

    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(st.builds(bytes.__add__, plans, words))
    def holds(data: bytes) -> None:
        fuzzed.run(data)

    holds()
