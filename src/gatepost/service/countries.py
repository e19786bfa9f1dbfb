"""The country of an address, from a database in MaxMind's format.

The file is held in memory as it was read, so that one that is overwritten in place harms nobody; a new one is taken up
when it has replaced the old one, and one that cannot be read leaves the old one in use. The library that reads it,
``maxminddb``, is imported only here.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final, final

from gatepost.config.lists import stamp_of
from gatepost.errors import ConfigError
from gatepost.greylist.facts import UNKNOWN_COUNTRY
from gatepost.observe import logs

SIZE_LIMIT: Final = 512 << 20


@final
class Countries:
    """An open database.

    :param path: the file.
    :raises ConfigError: when the library is not installed, or the file is no such database.
    """

    __slots__ = ("_path", "_reader", "_stamp")

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._stamp = stamp_of(path)
        self._reader: Any = _open(path)

    def country(self, address: str) -> str:
        """The ISO 3166 code of an address' country; ``unknown`` where the database has none."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
            if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
                parsed = parsed.ipv4_mapped
            return _code(self._reader.get(parsed))
        except (ValueError, ArithmeticError, LookupError, TypeError, UnicodeError, RecursionError):
            # InvalidDatabaseError is a RuntimeError; it and damage that the library does not foresee: nobody knows.
            return UNKNOWN_COUNTRY
        except RuntimeError:
            return UNKNOWN_COUNTRY

    def look(self) -> None:
        """Take up a file that has replaced the one that is in use."""
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._reader = _open(self._path)
        except ConfigError as error:
            logs.event("greylist.countries-kept", "error", reason=error.message)
        else:
            logs.event("greylist.countries-changed", "notice", file=str(self._path))


def _open(path: Path) -> Any:
    try:
        import maxminddb
    except ImportError:
        raise ConfigError(
            "greylist.country_database: the library maxminddb is not installed",
            hint="pip install 'gatepost[geo]', or remove the key and the rules with countries",
        ) from None
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise ConfigError(f"greylist.country_database: {path}: is larger than {SIZE_LIMIT >> 20} MiB")
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except OSError as error:
        raise ConfigError(f"greylist.country_database: {path}: {error.strerror}") from error
    except (maxminddb.InvalidDatabaseError, ValueError, LookupError, TypeError) as error:
        text = " ".join(str(error).split())[:200]
        raise ConfigError(f"greylist.country_database: {path}: is no database in MaxMind's format: {text}") from error


def _code(record: object) -> str:
    """What a record says: databases have the country at one of three places."""
    if isinstance(record, dict):
        for key in ("country", "registered_country"):
            found = record.get(key)
            code = found.get("iso_code") if isinstance(found, dict) else found
            if isinstance(code, str) and len(code) == 2:
                return code.upper()
        code = record.get("country_code")
        if isinstance(code, str) and len(code) == 2:
            return code.upper()
    return UNKNOWN_COUNTRY
