"""Processes that lease, for the tests that count them and kill them.

`python leasing_child.py many FOLDER COUNT` forks COUNT processes that wait for one another and then lease at once;
`one FOLDER` leases in the process itself; `looking FOLDER` stops in the middle of its look, with the main lock held.
Each lease is a line of JSON on stdout, and is held until stdin ends. After `looking`, the line is the text `looking`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from racer.sitting.leases import Leases

ORDERS = 6


def lease(folder: Path, session_id: str) -> None:
    """Lease, say so, and hold the lease until stdin ends."""
    with Leases(folder).lease(session_id, None, "evaluation", ORDERS) as leased:
        os.write(1, json.dumps(asdict(leased)).encode() + b"\n")  # one write, so that lines never mix
        os.read(0, 1)


def lease_at_once(folder: Path, count: int) -> None:
    """Lease in `count` processes."""
    starting, start = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(start)
            os.read(starting, 1)
            try:
                lease(folder, f"{number:06x}")
            except BaseException as error:
                os.write(1, json.dumps({"error": str(error)}).encode() + b"\n")  # whoever counts must not wait
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(start)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(statuses))


def stop_while_looking(folder: Path) -> None:
    """Stop where the main lock is held."""

    def now() -> datetime:
        os.write(1, b"looking\n")
        os.read(0, 1)
        return datetime.now(UTC)

    with Leases(folder, now=now).lease("0a1b2c", None, "evaluation", ORDERS):
        pass


if __name__ == "__main__":
    mode, folder = sys.argv[1], Path(sys.argv[2])
    if mode == "many":
        lease_at_once(folder, int(sys.argv[3]))
    elif mode == "one":
        lease(folder, "0a1b2c")
    else:
        stop_while_looking(folder)
