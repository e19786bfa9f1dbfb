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
            **_queue_field(answer, now),
        }
    )
    _tables(answer, now)
    _certificates(answer)
    if settings.verbosity > 0:
        _counters(answer)


def _queue_field(answer: dict[str, Any], now: float) -> dict[str, str]:
    """Nothing where there are gates only."""
    return {"queue": _queue(answer, now)} if "queue" in answer or "queue_error" in answer else {}


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
    listeners = answer.get("listeners") or ()
    gates = any("backend" in each for each in listeners)
    click.echo()
    print_table(
        ("listener", "protocol", "tls", "starttls", *(("behind",) if gates else ()), "addresses"),
        [
            (
                each.get("name"),
                each.get("protocol"),
                each.get("tls"),
                _starttls(each),
                *((each.get("backend", ""),) if gates else ()),
                " ".join(map(str, each.get("addresses") or ())),
            )
            for each in listeners
        ],
        empty="no listeners",
    )
    _backends(answer)
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


def _starttls(listener: dict[str, Any]) -> object:
    if listener.get("mode") in ("pass", "refuse"):
        return listener["mode"]
    return listener.get("starttls") if listener.get("tls") != "implicit" else ""


def _backends(answer: dict[str, Any]) -> None:
    """The servers behind gates; how many are up is what one of the gate's processes found."""
    backends = answer.get("backends") or ()
    if not backends:
        return
    counters = answer.get("counters") or {}
    click.echo()
    print_table(
        ("backend", "tls", "client", "up", "down", "servers"),
        [
            (
                each.get("name"),
                each.get("tls"),
                each.get("client"),
                *(_servers(counters, each.get("name"), state) for state in ("up", "down")),
                " ".join(map(str, each.get("servers") or ())),
            )
            for each in backends
        ],
        empty="no backends",
    )


def _servers(counters: dict[str, float], backend: object, state: str) -> str:
    return f"{counters.get(f'gate_backend_servers{{backend={backend},state={state}}}', 0):g}"


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
