"""What the tests of the importers share: a document must load, and then it decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatepost.config.importers.document import Document
from gatepost.config.lists import ListFiles
from gatepost.config.load import load
from gatepost.config.policies import facts_of, ground_of, inbound_policy, outbound_policy, relay_policy
from gatepost.config.schema import Config
from gatepost.policy.inbound import InboundDecision
from gatepost.policy.outbound import OutboundDecision


@dataclass(frozen=True, slots=True)
class Imported:
    """A document that our own loader took, and what it decides."""

    document: Document
    text: str
    config: Config

    def inbound(self, address: str, listener: str = "mx") -> InboundDecision:
        """What a client is offered."""
        (found,) = [each for each in self.config.listener if each.name == listener]
        return inbound_policy(self.config, ListFiles()).decide(address, ground_of(self.config, found))

    def outbound(self, destination: str = "", host: str = "", address: str = "") -> OutboundDecision:
        """How a server is approached."""
        return outbound_policy(self.config, ListFiles()).decide(facts_of(self.config, destination, host, address))

    def relays(self, address: str, listener: str = "mx") -> bool:
        """Whether a client may relay."""
        return relay_policy(self.config, ListFiles()).decide(address, listener).allowed

    def noticed(self, *parts: str) -> bool:
        """Whether one notice has all of these parts, and stands in the document as well."""
        found = [line for line in self.document.notices if all(part in line for part in parts)]
        comments = " ".join(line.lstrip("# ") for line in self.text.splitlines() if line.startswith("#"))
        return bool(found) and all(" ".join(line.split()) in " ".join(comments.split()) for line in found)


Accept = Callable[[Document], Imported]


@pytest.fixture
def accept(tmp_path: Path) -> Accept:
    """Writes a document and loads it with the loader of the server."""

    def loaded(document: Document) -> Imported:
        file = tmp_path / "imported.toml"
        file.write_text(document.text())
        return Imported(document, document.text(), load(file))

    return loaded
