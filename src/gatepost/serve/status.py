"""The answer to ``gatepost status``: what the supervisor knows without opening anything."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from gatepost._version import __version__
from gatepost.config.schema import Gate
from gatepost.observe.shared import BoundListener
from gatepost.serve.bindings import shown
from gatepost.serve.replacement import expiry_warning
from gatepost.serve.roles import METRICS_LISTENER

if TYPE_CHECKING:
    from gatepost.serve.generation import Generation
    from gatepost.serve.supervisor import Supervisor


def describe(supervisor: Supervisor) -> dict[str, Any]:
    """Version, state, listeners, processes, counters, certificates, settings. No secret is among them."""
    generation = supervisor.current
    answer: dict[str, Any] = {
        "ok": True,
        "version": __version__,
        "pid": os.getpid(),
        "state": supervisor.state,
        "started_at": supervisor.started_at,
        "processes": [_process(post) for each in supervisor.generations for post in each.posts],
        "counters": supervisor.shared.counters.totals(),
        "certificates_refused": supervisor.replacement.trouble,
    }
    if generation is not None:
        answer |= _configured(generation)
    return answer


def _process(post: Any) -> dict[str, Any]:
    return {
        "role": post.role.name,
        "index": post.index,
        "pid": post.pid,
        "since": post.since,
        "restarts": post.restarts,
        "state": post.state,
        "generation": post.generation,
    }


def _configured(generation: Generation) -> dict[str, Any]:
    config = generation.prepared.config
    return {
        "config": str(config.source) if config.source is not None else None,
        "data": str(config.data),
        "hostname": config.hostname,
        "user": generation.prepared.account.name,
        "listeners": [_listener(each) for each in generation.listeners],
        "certificates": [
            {**fact, "warning": expiry_warning(fact, time.time()) or None}
            for fact in generation.prepared.facts.get("certificates", ())
        ],
        "backends": [
            {"name": each.name, "servers": list(each.servers), "tls": each.tls, "client": each.client}
            for each in config.backend
        ],
        "settings": {
            "domains": list(config.domains),
            "log": config.log,
            "drain_seconds": config.drain_seconds,
            "hold": config.delivery.hold,
            "smarthost": config.delivery.smarthost,
            "tls_level": config.delivery.tls_level,
        },
    }


def _listener(listener: BoundListener) -> dict[str, Any]:
    page, settings = listener.name == METRICS_LISTENER, listener.settings
    behind = {"mode": settings.mode, "backend": settings.backend} if isinstance(settings, Gate) else {}
    return {
        "name": listener.name,
        "protocol": settings.protocol,
        "tls": None if page else settings.tls,
        "starttls": None if page or settings.tls == "implicit" else settings.starttls,
        "addresses": [shown(sock) for sock in listener.sockets if sock.fileno() >= 0],
    } | behind
