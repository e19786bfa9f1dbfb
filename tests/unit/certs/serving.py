"""The real server as a program: ``serving.py CONFIG`` is ``gatepost serve`` that looks for new files often."""

from __future__ import annotations

import sys
from pathlib import Path

from gatepost.config.load import load
from gatepost.serve.launch import main
from gatepost.serve.supervisor import Parts

POLL_SECONDS = 0.2

if __name__ == "__main__":
    sys.exit(main(load(Path(sys.argv[1])), parts=Parts(certificate_poll=POLL_SECONDS)))
