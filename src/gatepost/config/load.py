"""Read the configuration: find the files, merge them, check everything, and report every problem at once."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gatepost.config.combinations import impossible
from gatepost.config.files import Sources, absolute, find_main, read_sources
from gatepost.config.greylist import GreylistRule
from gatepost.config.kinds import AddressEntries, ExemptEntries
from gatepost.config.locate import Key
from gatepost.config.problems import Problem
from gatepost.config.record import RecordRule
from gatepost.config.schema import Config, Inbound, Outbound, Relay
from gatepost.errors import ConfigError

# What the validator says, in the words of someone who looks at a TOML file.
_WORDS: Final = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "has characters that are not allowed here",
}


def load(path: Path | None = None, *, data: Path | None = None) -> Config:
    """Read the configuration.

    :param path: the main file; None looks for ``./gatepost.toml`` and ``/etc/gatepost/gatepost.toml``, and without
        either the built-in defaults are used.
    :param data: what to use as ``data`` whatever the file says.
    :raises ConfigError: with every problem, each as ``FILE:LINE: key: what is wrong; did you mean …?``.
    """
    config, _ = load_with_sources(path, data=data)
    return config


def reload(config: Config) -> Config:
    """Read again what a configuration was read from, with the same ``data`` when that was given apart from the file.

    :raises ConfigError: with every problem.
    """
    return load(config.source, data=config.given_data)


def build(tables: Mapping[str, Any], name: Callable[[Key], str] | None = None) -> Config:
    """A configuration from tables that no file has.

    :param name: what the user calls a key, for the problems; by default the key as it stands in a file.
    :raises ConfigError: with every problem.
    """
    given = _tuples(dict(tables))
    problems = impossible(given)
    try:
        config = Config.model_validate(given)
    except ValidationError as error:
        problems += _problems(error.errors(include_url=False, include_input=True))
    if problems:
        named = name or written
        raise _refusal([f"{named(problem.key)}: {problem.text}" for problem in dict.fromkeys(problems)])
    return config


def load_with_sources(path: Path | None = None, *, data: Path | None = None) -> tuple[Config, Sources]:
    """Read the configuration, and say where each key came from. Arguments and errors as in ``load``."""
    sources = read_sources(find_main(path), path_keys(), entry_keys())
    if data is not None:
        sources.tables["data"] = str(absolute(data))
    if sources.problems:
        raise _refusal(sources.problems)
    tables = _tuples(sources.tables)
    problems = impossible(tables)
    try:
        config = Config.model_validate(tables)
    except ValidationError as error:
        problems += _problems(error.errors(include_url=False, include_input=True))
    if problems:
        raise _refusal([f"{sources.place(key)}: {written(key)}: {text}" for key, text in _ordered(problems, sources)])
    config.remember(absolute(sources.main) if sources.main else None, absolute(data) if data else None, sources.place)
    return config, sources


def written(key: Key) -> str:
    """A key as people write it: ``listener[1].bind[0]``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def path_keys(model: type[BaseModel] = Config, prefix: Key = ()) -> frozenset[Key]:
    """The keys of the schema whose values are paths; for the tables of a list, the list's key and their own."""
    keys: set[Key] = set()
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        kinds = set(_kinds(field.annotation))
        if Path in kinds:
            keys.add((*prefix, name))
        for kind in (*kinds, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys |= path_keys(kind, (*prefix, name))
    return frozenset(keys)


def entry_keys() -> frozenset[Key]:
    """The keys whose entries may be ``file:PATH``: those of rules, and the senders that are refused."""
    wanted = (AddressEntries | None, ExemptEntries | None)
    return frozenset({("refused_senders",)}) | frozenset(
        (table, field.alias or name)
        for table, model in (
            ("inbound", Inbound),
            ("outbound", Outbound),
            ("relay", Relay),
            ("greylist_rule", GreylistRule),
            ("record_rule", RecordRule),
        )
        for name, field in model.model_fields.items()
        if field.annotation in wanted
    )


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, through unions and Annotated but not into containers."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation


def _refusal(problems: list[str]) -> ConfigError:
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(
        f"the configuration has {count}: {problems[0]}" if len(problems) == 1 else f"the configuration has {count}",
        problems=tuple(problems),
        hint="correct what is listed; `gatepost config check` looks again without starting",
    )


def _tuples(value: Any) -> Any:
    """The same tables with lists as tuples, which is what the schema has."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _problems(errors: Iterable[ErrorDetails]) -> Iterator[Problem]:
    found = list(errors)
    above = {error["loc"][:length] for error in found for length in range(len(error["loc"]))}
    for error in found:
        if error["type"] in ("impossible", "default_factory_not_called"):
            continue  # found before, with their places; or follows from another key that is wrong
        key = tuple(part for part in error["loc"] if part != "[key]")
        if error["type"] == "too_short" and key in above:
            continue  # entries that are wrong themselves were not counted
        yield Problem(key, _text(error, key))


def _text(error: ErrorDetails, key: Key) -> str:
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return "unknown key" + _nearest(str(key[-1]), key[:-1])
    if error["type"] == "literal_error":
        return _WORDS["literal_error"].format(**context) + _nearest_word(error["input"], context)
    if error["type"] == "tuple_type" and isinstance(error["input"], dict) and _is_table_list(key):
        return f"must be a list of tables; write [[{written(key)}]], with two brackets"
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] in _WORDS:
        return _WORDS[error["type"]].format(**context)
    return error["msg"][:1].lower() + error["msg"][1:]


def _is_table_list(key: Key) -> bool:
    return len(key) == 1 and key[0] in Config.model_fields and known_names(key) != known_names(())


def known_names(table: Key) -> list[str]:
    """The names that the schema knows in a table."""
    model: type[BaseModel] = Config
    for part in table:
        if isinstance(part, str) and part in model.model_fields:
            inner = model.model_fields[part].annotation
            kinds = (*_kinds(inner), *get_args(inner))
            model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _nearest(name: str, table: Key) -> str:
    """``; did you mean …?`` with the key that was probably meant: of this table, or the same name in another."""
    names = known_names(table)
    plain = name.lower().replace("-", "_")
    if found := difflib.get_close_matches(plain, names, n=1, cutoff=0.55):
        return f"; did you mean {found[0]}?"
    tables = [(), *((name,) for name in Config.model_fields if known_names((name,)) != known_names(()))]
    for other in tables:
        if found := difflib.get_close_matches(plain, known_names(other), n=1, cutoff=0.85):
            place = "" if other else " at the top of the file, before any table"
            return f"; did you mean {written((*other, found[0]))}{place}?"
    return f"; known here: {', '.join(names)}"


def _nearest_word(given: object, context: Mapping[str, Any]) -> str:
    words = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    found = difflib.get_close_matches(given.lower(), words, n=1) if isinstance(given, str) else []
    return f"; did you mean {found[0]}?" if found else ""


def _ordered(problems: Iterable[Problem], sources: Sources) -> list[Problem]:
    """By place in the files, each once."""

    def place(problem: Problem) -> tuple[int, int]:
        file, _, line = sources.place(problem.key).rpartition(":")
        files = [str(name) for name in sources.files]
        return (files.index(file) if file in files else 0, int(line) if line.isdecimal() else 0)

    return sorted(dict.fromkeys(problems), key=place)
