"""The real server as a program: ``serving.py CONFIG`` is ``gatepost serve`` that looks for new files often.

``serving.py CONFIG NEW`` looks once an hour. NEW takes the place of server.pem as soon as that was read, so
that the first look finds it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gatepost.config.load import load
from gatepost.config.schema import Config
from gatepost.serve.launch import main
from gatepost.serve.preparation import Prepared, prepare
from gatepost.serve.supervisor import Parts

POLL_SECONDS = 0.2
HOUR = 3600.0


def _parts(new: Path) -> Parts:
    def prepare_and_replace(config: Config) -> Prepared:
        prepared = prepare(config)
        if new.exists():
            new.replace(new.with_name("server.pem"))
        return prepared

    return Parts(prepare=prepare_and_replace, certificate_poll=HOUR)


if __name__ == "__main__":
    parts = _parts(Path(sys.argv[2])) if len(sys.argv) > 2 else Parts(certificate_poll=POLL_SECONDS)
    sys.exit(main(load(Path(sys.argv[1])), parts=parts))
