"""What root creates in gatepost's data belongs to gatepost's user: the owner of what it stands beside or in.

Otherwise a command that root runs, ``gatepost queue list`` before the first start, would leave files that the server
cannot open. (SQLite does the same for its log.)
"""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner_of(model: Path, created: int | Path) -> None:
    """Give a file, by descriptor or path, to the owner and group of ``model``; does nothing unless we are root.

    :raises OSError: the file system refuses.
    """
    if os.geteuid() == 0:
        owner = model.stat()
        os.chown(created, owner.st_uid, owner.st_gid)
