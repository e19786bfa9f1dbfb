"""What every target begins with: a connection that never was, and how an input is read: two octets say which engine
hears the rest, in pieces of what size, and how its questions are answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gatepost.wire.upgrade import Origin, TLSEvidence, Verification, _mint_evidence

ORIGIN = Origin(("192.0.2.1", 40000), ("192.0.2.2", 25), "fuzz", 0.0, "c1")
EVIDENCE: TLSEvidence = _mint_evidence(
    version="TLSv1.3", cipher="c", bits=256, group=None, server_name=None, alpn=None, peer_chain=(),
    verification=Verification("none"), resumed=False, tls_exporter=b"e", tls_server_end_point=None,
)  # fmt: skip


class Plan(NamedTuple):
    """How an input is read.

    :param choice: which engine, recipe or file hears it.
    :param step: in pieces of how many octets.
    :param votes: eight answers; a bit that is set is a refusal.
    :param words: what is heard.
    """

    choice: int
    step: int
    votes: int
    words: bytes

    def pieces(self) -> Iterator[bytes]:
        """The words, cut."""
        return cut(self.words, self.step)

    def yes(self, asked: int) -> bool:
        """The answer to a question, by its number."""
        return not self.votes >> asked % 8 & 1


def plan(data: bytes, choices: int = 1) -> Plan:
    """The plan of an input. Two octets of zero: the first engine, one octet at a time, everything granted."""
    first, votes = data[0] if data else 0, data[1] if len(data) > 1 else 0
    return Plan(first % choices, first // choices % 60 + 1, votes, data[2:])


def cut(data: bytes, step: int) -> Iterator[bytes]:
    """Some octets in pieces of one size."""
    for start in range(0, len(data), step):
        yield data[start : start + step]


def seeds(*dialogues: bytes, choices: int = 1) -> tuple[bytes, ...]:
    """Each dialogue for each choice, in pieces of two sizes, everything granted."""
    return tuple(
        bytes((choice + choices * size, 0)) + words
        for words in dialogues
        for choice, size in zip(range(choices), (50 // choices, 3 // choices) * choices, strict=False)
    )
