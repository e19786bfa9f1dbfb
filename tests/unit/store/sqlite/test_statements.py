"""SQL in named files."""

from __future__ import annotations

import sqlite3
from importlib import resources

import pytest

from gatepost.store.sqlite.statements import migrations, parse, split, statements


def test_statements_are_found_by_name() -> None:
    """Comments and blank lines between statements are left out."""
    text = "-- a file\n\n-- name: one\nSELECT 1\n\n-- about two\n-- name: two\nSELECT\n  2\n"
    assert parse(text) == {"one": "SELECT 1", "two": "SELECT\n  2"}


@pytest.mark.parametrize("text", ["SELECT 1\n", "-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n"])
def test_parse_refuses_what_has_no_name_of_its_own(text: str) -> None:
    """A statement without a name, or a name used twice, is a mistake in the file."""
    with pytest.raises(ValueError, match=r"first name|twice"):
        parse(text)


def test_script_is_split_into_statements() -> None:
    """Also where a semicolon stands in a text."""
    assert split("-- c\nCREATE TABLE a (\n  b TEXT\n);\nINSERT INTO a VALUES ('x;y');\n") == (
        "CREATE TABLE a (\n  b TEXT\n);",
        "INSERT INTO a VALUES ('x;y');",
    )
    with pytest.raises(ValueError, match="no end"):
        split("CREATE TABLE a (\n")


def test_every_statement_of_the_queue_is_valid_for_its_schema() -> None:
    """Each can be prepared, and each is used by the name under which it stands."""
    connection = sqlite3.connect(":memory:")
    for script in migrations("queue"):
        for statement in script:
            connection.execute(statement)
    source = "".join(
        entry.read_text(encoding="utf-8")
        for entry in resources.files("gatepost.store.sqlite").iterdir()
        if entry.name.endswith(".py")
    )
    for name, statement in statements("queue").items():
        connection.execute("EXPLAIN " + statement, (0,) * statement.count("?"))
        assert f'"{name}"' in source, name
    connection.close()
