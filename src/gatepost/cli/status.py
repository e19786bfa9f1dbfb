"""``gatepost status``: ask the running server how it is."""

from __future__ import annotations

import time
from typing import Any

import click

from gatepost.cli.output import age, moment, print_fields, print_json, print_table, printable
from gatepost.cli.running import ask
from gatepost.cli.settings import Settings, common_options, pass_settings


@click.command("status", short_help="Ask the running server how it is.")
@common_options
@pass_settings
def command(settings: Settings) -> None:
    """Ask the running server how it is: version, listeners, processes, queue, counters."""
    answer = ask(settings.config(), "status")
    if settings.json:
        print_json(answer)
        return
    now = time.time()
    started = answer.get("started_at")
    print_fields(
        {
            "version": answer.get("version"),
            "state": answer.get("state"),
            "started": f"{moment(started)} ({age(now - started)} ago)" if started else "",
            "hostname": answer.get("hostname"),
            "configuration": answer.get("config") or "built-in defaults",
            "data": answer.get("data"),
            "runs as": answer.get("user"),
            "queue": _queue(answer, now),
        }
    )
    _tables(answer, now)
    _certificates(answer)
    if settings.verbosity > 0:
        _counters(answer)


def _queue(answer: dict[str, Any], now: float) -> str:
    if "queue_error" in answer:
        return f"unknown: {answer['queue_error']}"
    queue = answer.get("queue")
    if not isinstance(queue, dict):
        return ""
    messages = queue.get("messages", 0)
    parts = [f"{messages} {'message' if messages == 1 else 'messages'}"]
    parts += [f"{queue[state]} {state}" for state in ("queued", "leased", "deferred", "held") if queue.get(state)]
    if queue.get("oldest"):
        parts.append(f"the oldest {age(now - queue['oldest'])} old")
    return ", ".join(parts)


def _tables(answer: dict[str, Any], now: float) -> None:
    click.echo()
    print_table(
        ("listener", "protocol", "tls", "starttls", "addresses"),
        [
            (
                each.get("name"),
                each.get("protocol"),
                each.get("tls"),
                each.get("starttls") if each.get("tls") != "implicit" else "",
                " ".join(map(str, each.get("addresses") or ())),
            )
            for each in answer.get("listeners") or ()
        ],
        empty="no listeners",
    )
    click.echo()
    print_table(
        ("process", "pid", "state", "up", "restarts"),
        [
            (
                f"{each.get('role')}/{each.get('index')}",
                each.get("pid"),
                each.get("state"),
                age(now - each["since"]) if each.get("since") else "",
                each.get("restarts"),
            )
            for each in answer.get("processes") or ()
        ],
        empty="no processes",
    )


def _certificates(answer: dict[str, Any]) -> None:
    click.echo()
    print_table(
        ("certificate", "key", "expires", "warning", "file"),
        [
            (each.get("name"), each.get("key"), moment(each.get("not_after")), each.get("warning"), each.get("path"))
            for each in answer.get("certificates") or ()
        ],
        empty="no certificates",
    )
    refused = answer.get("certificates_refused")
    if isinstance(refused, dict) and refused.get("reason"):
        files = " ".join(map(str, refused.get("files") or ()))
        click.echo()
        click.echo(printable(f"NOT IN USE since {moment(refused.get('since'))}: {files}: {refused['reason']}"))
        click.echo("The certificates that were loaded before stay in use.")


def _counters(answer: dict[str, Any]) -> None:
    counters = answer.get("counters")
    if isinstance(counters, dict) and any(counters.values()):
        click.echo()
        print_fields({str(name): f"{value:g}" for name, value in counters.items() if value})
