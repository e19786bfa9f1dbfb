"""A client's dialogue before a server that says what an input says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz.measure import held
from fuzz.origins import Plan, cut

from gatepost.errors import DeadlineExceeded, RemoteProtocolError
from gatepost.wire.dialogue import Dialogue, Receive, Send
from gatepost.wire.sasl.outcome import AuthenticationError

HELD = 1 << 17  # octets: an answer of the longest kind, as it came and as it is read


def talk(dialogue: Dialogue[None], pieces: Iterator[bytes]) -> tuple[str, bytes]:
    """Run a dialogue; how it ended, and what it said. It is given a piece whenever it waits, and none unasked."""
    before, said, waited = held(dialogue), b"", 0
    result: bytes | None = None
    try:
        effect = next(dialogue)
        while True:
            if isinstance(effect, Send):
                said, result = said + effect.data, None
            else:
                assert isinstance(effect, Receive)
                result, waited = next(pieces, b""), waited + 1
                assert waited % 256 or held(dialogue) - before <= HELD + len(said)
            effect = dialogue.send(result)
    except StopIteration:
        return "done", said
    except (RemoteProtocolError, DeadlineExceeded, AuthenticationError) as error:
        assert str(error).isprintable()
        return type(error).__name__, said


def talk_three_ways(
    dialogue: Callable[[], Dialogue[None]], plan: Plan, before: bytes = b"", *, of_lines: bool = True
) -> None:
    """The server's words cut as the plan says, line by line, which must come to the same, and all at once.

    :param before: what it says first.
    :param of_lines: whether answers are lines; where they are not, nobody can tell them apart, and nothing is compared.
    """
    words = before + plan.words
    ends = []
    for step in (plan.step, len(words) + 1):
        pieces = (piece for line in words.splitlines(keepends=True) for piece in cut(line, step))
        ends.append(talk(dialogue(), pieces))
    assert ends[0] == ends[1] or not of_lines
    talk(dialogue(), iter((words,)))
