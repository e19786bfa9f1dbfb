"""Values that print as ``***``."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, final


@final
class Secret:
    """A password or key. It prints as ``***``, is compared in constant time, and is neither hashed nor pickled.

    :param value: the octets; text is encoded as UTF-8.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value: Final = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The octets, for the one place that needs them."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, specification: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash table would compare and keep it

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
