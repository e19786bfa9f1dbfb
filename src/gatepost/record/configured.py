"""From ``[record]`` and ``[[record_rule]]`` to what the recorder is made with."""

from __future__ import annotations

from pathlib import Path

from gatepost.config.lists import ListFiles
from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.record.compression import available
from gatepost.record.rules import RecordRule
from gatepost.record.writer import Plan

DIRECTORY = "records"
"""Below ``data``, where the configuration names no other."""


def directory_of(config: Config) -> Path:
    """Where the records are, whether or not anything is recorded."""
    return config.record.directory or config.data / DIRECTORY


def plan_of(config: Config) -> Plan:
    """How files are written."""
    record = config.record
    return Plan(
        directory=directory_of(config),
        budget=record.budget,
        rotate_size=record.rotate_size,
        rotate_every=record.rotate_every,
        keep=record.keep,
        compress=record.compress,
    )


def rules_of(config: Config, files: ListFiles | None = None) -> tuple[RecordRule, ...]:
    """Which sessions are recorded; empty where none is.

    :param files: reads the lists.
    :raises ConfigError: when a list cannot be read.
    """
    files = files or ListFiles()
    return tuple(
        RecordRule(
            f"record_rule[{index}]",
            listeners=None if rule.listeners is None else frozenset(rule.listeners),
            addresses=None if rule.addresses is None else files.addresses(rule.addresses),
            fraction=rule.fraction,
            only_failures=rule.only_failures,
            content=rule.content,
        )
        for index, rule in enumerate(config.record_rule)
    )


def records_at(config: Config, listener: str) -> bool:
    """Whether sessions of a listener may be recorded."""
    return any(rule.listeners is None or listener in rule.listeners for rule in config.record_rule)


def check_recording(config: Config) -> None:
    """Look whether what recording needs is there.

    :raises ConfigError: when a list cannot be read, or Zstandard is not installed.
    """
    rules_of(config)
    if config.record_rule and config.record.compress and not available():
        raise ConfigError(
            "record.compress: the library zstandard is not installed",
            hint="pip install 'gatepost[zstd]', use Python 3.14, or remove the key",
        )
