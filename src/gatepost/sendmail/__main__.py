"""``python -m gatepost.sendmail``: the same as the command ``gatepost-sendmail``."""

import sys

from gatepost.sendmail import main

if __name__ == "__main__":
    main(["sendmail", *sys.argv[1:]])
