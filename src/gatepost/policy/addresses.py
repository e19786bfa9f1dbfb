"""Lists of IP addresses, as operators write them, answered fast.

An entry is an address (``192.0.2.7``, ``2001:db8::7``), a network (``10.0.0.0/8``), a wildcard (``10.0.0.*``,
``2001:db8:*``), a range (``10.0.0.1-10.0.0.9``, ``10.0.0.1-9``), or ``*`` for every address. An entry behind ``!``
excludes: an address is in the list when some entry names it and no ``!`` entry does, in whatever order they stand. A
list of nothing but exclusions is refused, since it could be read as nothing or as everybody else.

A list is compiled once into sorted, disjoint ranges of numbers for each address family; a question is a bisection,
and the last few thousand answers are remembered. An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple, final

_CACHE_LIMIT: Final = 4096
_V4_END: Final = (1 << 32) - 1
_V6_END: Final = (1 << 128) - 1
_MAPPED: Final = 0xFFFF << 32
_WRITTEN: Final = "write an address, a network such as 10.0.0.0/8, 10.0.0.*, a range such as 10.0.0.1-10.0.0.9, or *"


class Span(NamedTuple):
    """Addresses from first to last, both included, of one family (4 or 6)."""

    family: int
    first: int
    last: int


@final
class AddressList:
    """An immutable list of addresses.

    :param entries: the entries, see the module's text.
    :raises ValueError: naming the first entry that cannot be read, and why.
    """

    __slots__ = ("_cache", "_starts", "_stops", "entries")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.entries: Final = tuple(entries)
        included: list[Span] = []
        excluded: list[Span] = []
        for entry in self.entries:
            text = entry.strip()
            (excluded if text.startswith("!") else included).extend(_spans(text.removeprefix("!").strip()))
        if excluded and not included:
            raise ValueError('has exclusions only; put "*" before them to mean everybody else')
        self._starts: Final[dict[int, list[int]]] = {}
        self._stops: Final[dict[int, list[int]]] = {}
        for family in (4, 6):
            spans = _subtract(_merge(family, included), _merge(family, excluded))
            self._starts[family] = [first for first, _ in spans]
            self._stops[family] = [last for _, last in spans]
        self._cache: Final[dict[str, bool]] = {}

    def matches(self, address: str) -> bool:
        """Whether the address is in the list. What is not an IP address (a local socket) is in no list."""
        known = self._cache.get(address)
        return self._look_up(address) if known is None else known

    def _look_up(self, address: str) -> bool:
        try:
            family, number = _number(address.partition("%")[0])
        except ValueError:
            return False
        index = bisect_right(self._starts[family], number) - 1
        answer = index >= 0 and number <= self._stops[family][index]
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[address] = answer
        return answer

    @property
    def universal(self) -> bool:
        """Whether every address of a family is in the list."""
        return any(
            self._starts[family] == [0] and self._stops[family] == [end] for family, end in ((4, _V4_END), (6, _V6_END))
        )

    def edges(self) -> Iterator[str]:
        """The addresses at which the answer changes: the first of each range, and the first behind it.

        Whatever is decided by lists alone is decided alike for all addresses between two of their edges.
        """
        for family, end in ((4, _V4_END), (6, _V6_END)):
            kind: type[IPv4Address | IPv6Address] = IPv4Address if family == 4 else IPv6Address
            for first, last in zip(self._starts[family], self._stops[family], strict=True):
                yield str(kind(first))
                if last < end:
                    yield str(kind(last + 1))

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressList) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __repr__(self) -> str:
        return f"AddressList({list(self.entries)!r})"


def _number(text: str) -> tuple[int, int]:
    """Family and number of an address.

    :raises ValueError: when the text is no address.
    """
    if ":" not in text:
        return 4, int(IPv4Address(text))
    number = int(IPv6Address(text))
    return (4, number - _MAPPED) if number >> 32 == 0xFFFF else (6, number)


def _spans(text: str) -> list[Span]:
    """Read one entry.

    :raises ValueError: saying what is wrong with it.
    """
    try:
        if text == "*":
            return [Span(4, 0, _V4_END), Span(6, 0, _V6_END)]
        if text.endswith("*"):
            return [_wildcard(text)]
        if "/" in text:
            return [_network(text)]
        if "-" in text:
            return [_range(text)]
        family, number = _number(text)
    except AddressValueError:
        raise ValueError(f'"{text[:80]}" is not an address list entry; {_WRITTEN}') from None
    return [Span(family, number, number)]


def _network(text: str) -> Span:
    family: type[IPv4Network | IPv6Network] = IPv6Network if ":" in text else IPv4Network
    try:
        network = family(text, strict=False)
    except ValueError as error:
        raise ValueError(f'"{text[:80]}" is not a network: {error}') from None
    address, _, prefix = text.partition("/")
    if not prefix.isdecimal():
        raise ValueError(f'"{text[:80]}" is not a network; write the length of the prefix, as in 10.0.0.0/8')
    if str(network.network_address) != str(type(network.network_address)(address)):
        raise ValueError(f'"{text[:80]}" has bits behind its prefix; did you mean {network}?')
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 6 and first >> 32 == 0xFFFF:
        return Span(4, first - _MAPPED, last - _MAPPED)
    return Span(network.version, first, last)


def _wildcard(text: str) -> Span:
    separator, parts, width, blank = (":", 8, 16, "0") if ":" in text else (".", 4, 8, "0")
    groups = text.split(separator)
    fixed = [group for group in groups if group != "*"]
    if groups[: len(fixed)] != fixed or not fixed or len(groups) > parts or "" in fixed:
        raise ValueError(f'"{text[:80]}" is not a wildcard; the * stands for whole parts at the end, as in 10.0.0.*')
    family, first = _number(separator.join(fixed + [blank] * (parts - len(fixed))))
    return Span(family, first, first | ((1 << width * (parts - len(fixed))) - 1))


def _range(text: str) -> Span:
    low, _, high = (part.strip() for part in text.partition("-"))
    family, first = _number(low)
    if family == 4 and high.isascii() and high.isdecimal():
        high = f"{low.rpartition('.')[0]}.{high}"
    other, last = _number(high)
    if family != other or first > last:
        raise ValueError(f'"{text[:80]}" is not a range; the lower address of one family comes first')
    return Span(family, first, last)


def _merge(family: int, spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Sorted, disjoint, not touching ranges of one family."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted((span.first, span.last) for span in spans if span.family == family):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _subtract(spans: list[tuple[int, int]], holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of sorted disjoint ranges without other sorted disjoint ranges, in linear time."""
    left: list[tuple[int, int]] = []
    position = 0
    for first, last in spans:
        while position < len(holes) and holes[position][1] < first:
            position += 1
        at = position
        while first <= last and at < len(holes) and holes[at][0] <= last:
            if holes[at][0] > first:
                left.append((first, holes[at][0] - 1))
            first = max(first, holes[at][1] + 1)
            at += 1
        if first <= last:
            left.append((first, last))
    return left
