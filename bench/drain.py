"""How fast a queue is delivered over STARTTLS to one server that takes everything.

The queue is filled while delivery is on hold; then it is let go, and the clock runs until the sink has the last
message. Connections are used again where the server can do that: Postfix is measured with and without.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import generator
from mailservers import certificate, gatepost_command, gatepost_config, postfix, serving
from servers import Server, found
from turns import Bench, Figures, in_turns, medians

MANY: Final = 20_000
SOME: Final = 5_000  # of those who take longer
PORT: Final = 13841
SINK: Final = 13842
OUT: Final = '[delivery]\nsmarthost = "127.0.0.1:{port}"\ntls_level = "encrypt"\nhold = {hold}\n'


def drain(bench: Bench) -> Figures:
    """Messages per CPU second, by server."""
    many, some = (MANY // 2, SOME // 2) if bench.quick else (MANY, SOME)
    servers: dict[str, Callable[[], Figures]] = {"gatepost": partial(of_gatepost, bench, many)}
    if found("postfix") and os.geteuid() == 0:
        servers["postfix"] = partial(of_postfix, bench, some)
        servers["postfix, connections reused"] = partial(of_postfix, bench, some, reuse=True)
    else:
        bench.leave_out("postfix", "apt-get install postfix; needs root")
    wanted = [name for name in servers if bench.wants(name)]
    return medians(in_turns(bench, wanted, 1 if bench.quick else 3, lambda name: servers[name]()))


def fill(messages: int) -> None:
    """Put messages for elsewhere into the queue of the server that listens."""
    said = generator.run(
        PORT, "--mode", "plain", "--messages", 20, "--sessions", messages // 20, "--concurrency", 5,
        "--to", "someone@elsewhere.test",
    )  # fmt: skip
    if said["messages"] != messages:
        raise RuntimeError(f"the queue could not be filled: {said['failures']}")


def emptied(place: Path, messages: int, server: Server, release: Callable[[], None]) -> Figures:
    """Let go, and wait until the sink has them all."""
    sink = subprocess.Popen(
        [generator.program("sink"), str(SINK), certificate(place), str(messages)], stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(0.3)
        cpu, begun = server.cpu(), time.perf_counter()
        release()
        out, _ = sink.communicate(timeout=generator.LONGEST)
        seconds = time.perf_counter() - begun
        took = server.cpu() - cpu
    finally:
        sink.kill()
        sink.wait()
    said = json.loads(out)
    return {
        "messages in the queue": float(messages),
        "messages per CPU second": messages / max(took, 0.01),
        "messages per second": messages / seconds,
        "messages per connection": messages / said["connections"],
    }


def of_gatepost(bench: Bench, messages: int) -> Figures:
    """Fill, and reload without the hold."""
    home = bench.place / "gatepost"
    shutil.rmtree(home, ignore_errors=True)
    config = gatepost_config(home, PORT, delivery=OUT.format(port=SINK, hold="true"))
    with serving(config, PORT, bench.server_core) as server:
        fill(messages)

        def release() -> None:
            config.write_text(config.read_text().replace("hold = true", "hold = false"))
            subprocess.run([*gatepost_command(config), "reload"], check=True, capture_output=True)

        return emptied(bench.place, messages, server, release)


def of_postfix(bench: Bench, messages: int, *, reuse: bool = False) -> Figures:
    """Fill its hold queue, and release it."""
    home = bench.place / "postfix"
    with postfix(home, PORT, bench.server_core, sink_port=SINK, reuse=reuse) as server:
        fill(messages)
        conf = str(home / "conf")

        def release() -> None:
            for command in (["postsuper", "-c", conf, "-H", "ALL"], ["postqueue", "-c", conf, "-f"]):
                subprocess.run(command, check=True, capture_output=True)

        return emptied(bench.place, messages, server, release)
