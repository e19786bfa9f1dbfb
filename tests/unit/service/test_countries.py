"""The country of an address: databases of every layout, replaced, damaged, missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.countrydb import write_countries

from gatepost.errors import ConfigError
from gatepost.service.countries import Countries

NETWORKS = {"192.0.2.0/24": "DE", "198.51.100.0/25": "FR", "2001:db8::/32": "NL"}


@pytest.mark.parametrize("record", ["country", "registered_country", "country_code"])
def test_country_is_found_wherever_a_database_has_it(tmp_path: Path, record: str) -> None:
    """MaxMind's own layout, and that of the free ones."""
    countries = Countries(write_countries(tmp_path / "c.mmdb", NETWORKS, record=record))
    found = [
        countries.country(address) for address in ("192.0.2.9", "198.51.100.1", "2001:db8:1::1", "::ffff:192.0.2.9")
    ]
    assert found == ["DE", "FR", "NL", "DE"]


@pytest.mark.parametrize("address", ["198.51.100.200", "10.0.0.1", "fe80::1%eth0", "::1", "local", ""])
def test_address_that_is_nowhere_is_unknown(tmp_path: Path, address: str) -> None:
    """A rule can name that, too."""
    assert Countries(write_countries(tmp_path / "c.mmdb", NETWORKS)).country(address) == "unknown"


def test_replaced_database_is_taken_up(tmp_path: Path) -> None:
    """Without a reload."""
    path = write_countries(tmp_path / "c.mmdb", {"192.0.2.0/24": "DE"})
    countries = Countries(path)
    write_countries(path, {"192.0.2.0/24": "AT"})
    assert countries.country("192.0.2.1") == "DE"
    countries.look()
    assert countries.country("192.0.2.1") == "AT"


def test_broken_database_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    """Half a download, or none, changes nothing; the next good one counts."""
    path = write_countries(tmp_path / "c.mmdb", {"192.0.2.0/24": "DE"})
    countries = Countries(path)
    path.write_bytes(b"not a database")
    countries.look()
    assert countries.country("192.0.2.1") == "DE"
    path.unlink()
    countries.look()
    assert countries.country("192.0.2.1") == "DE"
    write_countries(path, {"192.0.2.0/24": "AT"})
    countries.look()
    assert countries.country("192.0.2.1") == "AT"


def test_damage_inside_of_a_database_is_no_error_of_a_session(tmp_path: Path) -> None:
    """Whatever octet is wrong: a country, or none, and never an exception."""
    path = write_countries(tmp_path / "c.mmdb", NETWORKS)
    whole = path.read_bytes()
    for at in range(len(whole) - 200):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            countries = Countries(path)
        except ConfigError:
            continue
        assert len(countries.country("192.0.2.9")) in (2, 7)


def test_missing_file_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    """At the start, with the key."""
    with pytest.raises(ConfigError, match=r"greylist.country_database: .*c.mmdb: No such file"):
        Countries(tmp_path / "c.mmdb")


def test_other_file_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    """Some databases come packed."""
    (tmp_path / "c.mmdb").write_bytes(b"\x1f\x8b not unpacked")
    with pytest.raises(ConfigError, match="is no database in MaxMind's format"):
        Countries(tmp_path / "c.mmdb")


def test_missing_library_is_an_error_that_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not installed by default."""
    path = write_countries(tmp_path / "c.mmdb", NETWORKS)
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigError) as caught:
        Countries(path)
    assert "maxminddb is not installed" in caught.value.message
    assert "gatepost[geo]" in caught.value.hint
