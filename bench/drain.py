"""How fast a queue is delivered over STARTTLS to one server that takes everything.

    python bench/drain.py [--messages 5000] [--rounds 3]

The queue is filled while delivery is on hold; then it is let go, and the clock runs until the sink has the last
message. Postfix, where it is installed, does the same on the same machine, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from peers import certificate, gatepost_config, postfix, serving, sink_program
from servers import Server, end_on_sigterm, found

HERE: Final = Path(__file__).parent
PORT: Final = 12741
SINK: Final = 12742
OUT: Final = '[delivery]\nsmarthost = "127.0.0.1:{port}"\ntls_level = "encrypt"\nhold = {hold}\n'

Figures = dict[str, float]


def fill(messages: int) -> None:
    """Put messages for elsewhere into the queue of the server that listens."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), "--port", str(PORT), "--mode", "plain", "--messages", "20", "--json",
         "--sessions", str(messages // 20), "--concurrency", "5", "--to", "user0@mx.test"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["messages"] == messages, done.stdout


def drained(place: Path, messages: int, server: Server, release: Callable[[], None]) -> Figures:
    """Let go, and wait until the sink has them all."""
    sink = subprocess.Popen(
        [sink_program(place), str(SINK), certificate(place), str(messages)], stdout=subprocess.PIPE, text=True
    )
    try:
        time.sleep(0.3)
        cpu, begun = server.cpu(), time.perf_counter()
        release()
        out, _ = sink.communicate(timeout=300)
        seconds = time.perf_counter() - begun
        took = server.cpu() - cpu
    finally:
        sink.kill()
    said = json.loads(out)
    return {
        "messages per second": messages / seconds,
        "messages per CPU second": messages / max(took, 0.01),
        "messages per connection": messages / said["connections"],
    }


def of_gatepost(place: Path, messages: int) -> Figures:
    """Fill, and reload without the hold."""
    home = place / "gatepost"
    shutil.rmtree(home, ignore_errors=True)
    config = gatepost_config(home, PORT, delivery=OUT.format(port=SINK, hold="true"))
    config.write_text(config.read_text().replace('domains = ["mx.test"]', 'domains = ["elsewhere.test"]'))
    with serving(config, PORT, None) as server:
        fill(messages)

        def release() -> None:
            config.write_text(config.read_text().replace("hold = true", "hold = false"))
            command = [sys.executable, "-m", "gatepost", "--config", str(config), "reload"]
            subprocess.run(command, check=True, capture_output=True)

        return drained(place, messages, server, release)


def of_postfix(place: Path, messages: int) -> Figures:
    """Fill its hold queue, and release it."""
    home = place / "postfix"
    with postfix(home, PORT, None, sink_port=SINK) as server:
        fill(messages)
        conf = str(home / "conf")

        def release() -> None:
            for command in (["postsuper", "-c", conf, "-H", "ALL"], ["postqueue", "-c", conf, "-f"]):
                subprocess.run(command, check=True, capture_output=True)

        return drained(place, messages, server, release)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    end_on_sigterm()
    servers = {"gatepost": of_gatepost}
    if found("postfix") and os.geteuid() == 0:
        servers["postfix"] = of_postfix
    runs: dict[str, list[Figures]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as place:
        for _ in range(asked.rounds):
            for name, measure in servers.items():
                runs[name].append(measure(Path(place), asked.messages))
    medians = {
        name: {key: statistics.median(run[key] for run in each) for key in each[0]} for name, each in runs.items()
    }
    if asked.json:
        print(json.dumps(medians))
    else:
        for name, figures in medians.items():
            print(f"{name}: " + ", ".join(f"{value:.0f} {key}" for key, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
