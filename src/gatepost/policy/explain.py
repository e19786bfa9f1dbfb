"""Decisions in words: what was decided, by which rule, which rules came close, and what will happen.

An explanation is made *from* a decision, the same value that the server acts on; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from gatepost.policy.inbound import InboundDecision
from gatepost.policy.levels import DEMANDS, Answer, Fate, foresee
from gatepost.policy.outbound import OutboundDecision
from gatepost.policy.relay import RelayDecision
from gatepost.policy.rules import Decision, Weighed


class Outlook(NamedTuple):
    """What happens when the other side does something."""

    when: str
    then: str


@final
@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision in words.

    :param question: what was asked, by name.
    :param verdict: the decision in one line.
    :param rule: what made it.
    :param outlook: what happens at each thing that the other side may do.
    :param notes: what else is worth knowing.
    """

    question: dict[str, str]
    verdict: str
    rule: str
    decision: Decision
    outlook: tuple[Outlook, ...]
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {
            **{name: value for name, value in self.question.items() if value},
            "decision": self.verdict,
            "rule": self.rule,
            "settings": {
                key: {"value": setting.value, "rule": setting.source.name, "place": setting.source.place}
                for key, setting in self.decision.settings.items()
            },
            "rules": [_plain_rule(weighed) for weighed in self.decision.weighed],
            "outlook": [{"when": when, "then": then} for when, then in self.outlook],
            "notes": list(self.notes),
        }

    def lines(self, *, every_rule: bool = False) -> Iterator[str]:
        """As text for people.

        :param every_rule: list the rules that came nowhere near, too.
        """
        asked = ", ".join(f"{name} {value}" for name, value in self.question.items() if value)
        yield f"{asked}: {self.verdict}"
        yield f"  by {self.rule}"
        for note in self.notes:
            yield f"  note: {note}"
        yield from self._settings()
        matched = [weighed for weighed in self.decision.weighed if weighed.decides]
        close = [weighed for weighed in self.decision.weighed if weighed.close]
        far = [weighed for weighed in self.decision.weighed if not weighed.decides and not weighed.close]
        yield from _section("rules that decide", matched)
        yield from _section("rules that came close", close)
        if every_rule:
            yield from _section("rules that do not apply", far)
        elif far:
            yield f"  {len(far)} other rule{'s do' if len(far) > 1 else ' does'} not apply (-v lists them)"
        yield "  what will happen"
        width = max((len(when) for when, _ in self.outlook), default=0)
        for when, then in self.outlook:
            yield f"    {when:<{width}}  {then}"

    def _settings(self) -> Iterator[str]:
        shown = {key: setting for key, setting in self.decision.settings.items() if setting.value is not None}
        yield "  settings"
        width = max((len(f"{key} = {_value(setting.value)}") for key, setting in shown.items()), default=0)
        for key, setting in shown.items():
            written = f"{key} = {_value(setting.value)}"
            yield f"    {written:<{width}}  {setting.source}"


def explain_inbound(decision: InboundDecision, *, protocol: str, gate: str = "") -> Explanation:
    """What a client is offered.

    :param protocol: the listener's: where users log in, that is inside TLS only, whatever is offered.
    :param gate: the mode, where the listener is a gate; empty where it is none.
    """
    facts, handshake = decision.facts, decision.handshake
    notes = [] if handshake.possible else [f"TLS cannot be spoken: {handshake.maximum} is older than the minimum"]
    if handshake.client_certificate == "require" and decision.wanted == "offer":
        notes.append('in the clear nobody is asked for a certificate: starttls = "require" closes that way')
    question, spoken = {"client": facts.address, "listener": facts.listener}, _SPOKEN.get(protocol, _SMTP)
    if gate:
        spoken = _GATES.get(protocol, _UNREAD)
        notes += [note for note in (_MODES.get(gate, ""),) if note]
    return Explanation(
        question, _INBOUND[decision.wanted, decision.refused].format(spoken.upgrade), decision.rule, decision.decision,
        tuple(_inbound_outlook(decision, spoken)), tuple(notes),
    )  # fmt: skip


class _Spoken(NamedTuple):
    """What a protocol says.

    :param upgrade: the command for the upgrade.
    :param denied: the answer to it where TLS is denied.
    :param alone: what becomes of a client in the clear that is denied TLS.
    :param offered: of one that stays in the clear though it is offered; ``required``, where it is required.
    :param unavailable: the answer to the command while TLS cannot be had.
    :param inside: what is done inside TLS.
    :param unproved: the answer to a client that showed no certificate where one is required.
    """

    upgrade: str
    denied: str
    alone: str
    offered: str
    required: str
    unavailable: str
    inside: str
    unproved: str


_FIRST: Final = "530 5.7.0: nothing but NOOP, EHLO, QUIT and STARTTLS"
_SMTP: Final = _Spoken(
    "STARTTLS", "502 5.5.1, and the session goes on in the clear", "mail is taken", "mail is taken", _FIRST,
    "454 4.7.0: TLS not available", "mail is taken over TLS",
    "554 5.7.0 to MAIL; 454 4.7.0 where a revocation list of ours has expired",
)  # fmt: skip
_SPOKEN: Final = {
    "submission": _SMTP._replace(
        alone="530 5.7.0: it cannot log in, for no password is taken in the clear",
        offered=_FIRST,
        unproved="554 5.7.0 to AUTH and MAIL; 454 4.7.0 where a revocation list of ours has expired",
    ),
    "pop3": _Spoken(
        "STLS", "-ERR, and the session goes on in the clear", "-ERR: it cannot log in, for no password is taken there",
        "-ERR [AUTH] to every login", "-ERR [AUTH] to every login", "-ERR: TLS not available",
        "users log in over TLS", "-ERR to every login",
    ),
}  # fmt: skip
_THROUGH: Final = "the server behind gets what it says"
_PRIVATE: Final = f"{_THROUGH}, over a connection of its own"
_MAIL_GATE: Final = _SMTP._replace(alone=_THROUGH, offered=_THROUGH, inside=_PRIVATE)
_GATES: Final = {
    "smtp": _MAIL_GATE,
    "submission": _MAIL_GATE,
    "lmtp": _MAIL_GATE,
    "pop3": _SPOKEN["pop3"]._replace(alone=_THROUGH, offered=_THROUGH, inside=_PRIVATE),
    "imap": _Spoken(
        "STARTTLS", "BAD, and the session goes on in the clear", _THROUGH, _THROUGH,
        "NO [PRIVACYREQUIRED] to every login", "NO: TLS not available", _PRIVATE, "NO to every login",
    ),
}  # fmt: skip
# What a gate does not read it lets through inside TLS only.
_UNREAD: Final = _Spoken(
    "TLS", "the connection is closed", "the connection is closed", "refused: TLS comes first",
    "refused: TLS comes first", "the connection is closed", _PRIVATE, _PRIVATE,
)  # fmt: skip
_MODES: Final = {
    "pass": 'mode = "pass": whether there is TLS, and which, is between the client and the server behind',
    "refuse": 'mode = "refuse": STARTTLS is hidden and refused whatever the rules say',
}
_INBOUND: Final = {
    ("offer", False): "offer: {} is offered",
    ("require", False): "require: {} is offered, and mail is taken after it only",
    ("deny", False): "deny: {} is neither offered nor accepted",
    ("implicit", False): "implicit: TLS from the first octet",
    ("deny", True): "deny: the connection is refused, for this listener knows nothing but TLS",
}


def _inbound_outlook(decision: InboundDecision, spoken: _Spoken) -> Iterator[Outlook]:
    handshake = decision.handshake
    if decision.refused:
        yield Outlook("the client connects", "closed without a word; the log has the rule")
        return
    if decision.starttls == "deny":
        yield Outlook(f"the client asks for {spoken.upgrade}", spoken.denied)
        yield Outlook("the client stays in the clear", spoken.alone)
        return
    if not decision.ground.implicit:
        in_clear = spoken.required if decision.starttls == "require" else spoken.offered
        yield Outlook("the client stays in the clear", in_clear)
    if not handshake.possible:
        then = "closed without a word" if decision.ground.implicit else spoken.unavailable
        yield Outlook("the client asks for TLS", then)
        return
    low, high = handshake.minimum, handshake.maximum or "the newest"
    yield Outlook(f"the client speaks {low if low == high else f'{low} to {high}'}", spoken.inside)
    yield Outlook("the client speaks other versions only", "the handshake fails and the connection ends")
    if handshake.client_certificate != "none":
        yield Outlook("the client shows a certificate", "judged behind the handshake, which does not fail over it")
    if handshake.client_certificate == "require":
        yield Outlook("the client shows none that proves anything", spoken.unproved)
    resumed = "resumed" if handshake.resumes else "a full handshake each time"
    yield Outlook("the client comes back with a session", resumed)


def explain_outbound(decision: OutboundDecision) -> Explanation:
    """How a server is approached."""
    facts = decision.facts
    question = {"destination": facts.destination, "host": facts.host, "address": facts.address}
    demand = DEMANDS[decision.level]
    notes = [note for note in (decision.note,) if note]
    missing = [
        words
        for words, known in (
            ("the host is not known (--mx)", facts.host),
            ("the address is not known (--ip)", facts.address),
        )
        if not known
    ]
    if missing:
        notes.append(f"{' and '.join(missing)}: rules that ask for it may decide otherwise")
    if decision.names:
        notes.append(f"the certificate must be for {' or '.join(_pattern(name) for name in decision.names)}")
    if demand.certificate == "pinned":
        notes.append(f"pinned: {', '.join(decision.fingerprints) or 'nothing, so no certificate will do'}")
    if decision.port is not None:
        notes.append(f"port {decision.port}")
    return Explanation(
        question, f"{decision.level}: {_LEVELS[decision.level]}", decision.rule, decision.decision,
        tuple(_outbound_outlook(decision)), tuple(notes),
    )  # fmt: skip


_LEVELS: Final = {
    "none": "TLS is not asked for",
    "may": "TLS where it is offered, with any certificate; otherwise in the clear",
    "encrypt": "TLS always, with any certificate",
    "fingerprint": "TLS always, with a certificate that is pinned",
    "verify": "TLS always, with a trusted certificate for the name of the server",
    "secure": "TLS always, with a trusted certificate for the name of the destination",
}


def _outbound_outlook(decision: OutboundDecision) -> Iterator[Outlook]:
    pinned = decision.level == "fingerprint"
    for answer in Answer:
        if decision.implicit and answer in (Answer.ABSENT, Answer.REFUSED, Answer.INJECTED):
            continue
        if answer in (Answer.RIGHT_PIN, Answer.WRONG_PIN) and not pinned:
            continue
        fate = foresee(decision.level, answer, implicit=decision.implicit)
        right = answer is Answer.RIGHT_PIN and not decision.fingerprints
        if fate.fate is Fate.WAITS or right:
            yield Outlook(f"the server {answer.value}", f"deferred ({fate.enhanced or '4.7.5'}), never sent in less")
        else:
            yield Outlook(f"the server {answer.value}", fate.fate.value)


def explain_relay(
    decision: RelayDecision, *, certificate: str = "", notes: tuple[str, ...] = (), relayed: tuple[str, ...] = ()
) -> Explanation:
    """Whether a client may relay.

    :param certificate: what to call its certificate; empty when none was given.
    :param notes: what else is worth knowing.
    :param relayed: the domains whose mail is taken from everybody at this listener.
    """
    facts = decision.facts
    verdict = "may relay, without a login" if decision.allowed else "may not relay"
    by_certificate = any(
        condition.key.startswith("certificate")
        for weighed in decision.decision.weighed
        for condition in weighed.conditions
    )
    then = "250: it is sent on" if decision.allowed else "550 5.7.1 Relaying denied"
    if not decision.allowed and by_certificate and facts.shown is not None and facts.shown.unchecked:
        then = "454 4.7.0, to be sent again: the certificate cannot be checked for revocation now"
    outlook = [
        Outlook("a recipient in one of our domains", "taken, where that user exists"),
        Outlook("a recipient in another domain", then),
    ]
    if relayed:
        named = ", ".join(relayed[:4]) + (", …" if len(relayed) > 4 else "")
        outlook.insert(1, Outlook(f"a recipient in relay_domains ({named})", "250, from everybody: it is sent on"))
    if any(
        condition.key.startswith("certificate")
        for weighed in decision.decision.weighed
        if weighed.decides
        for condition in weighed.conditions
    ):
        outlook.append(Outlook("the client stays in the clear", "no certificate is seen there, only addresses count"))
    return Explanation(
        {"client": facts.address, "certificate": certificate, "listener": facts.listener}, verdict,
        decision.rule or "default: nobody relays", decision.decision, tuple(outlook), notes,
    )  # fmt: skip


def _section(title: str, rules: list[Weighed]) -> Iterator[str]:
    if rules:
        yield f"  {title}"
    for weighed in rules:
        keys = f" [{', '.join(weighed.decides)}]" if weighed.decides else ""
        yield f"    {weighed.source}{keys}: {weighed.why}"


def _plain_rule(weighed: Weighed) -> dict[str, object]:
    return {
        "rule": weighed.source.name,
        "place": weighed.source.place,
        "matches": weighed.matches,
        "close": weighed.close,
        "decides": list(weighed.decides),
        "why": weighed.why,
        "conditions": [{"key": each.key, "met": each.met, "found": each.text} for each in weighed.conditions],
    }


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _pattern(name: str) -> str:
    return f"any name below {name[1:]}" if name.startswith(".") else name
