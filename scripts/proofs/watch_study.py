"""Follow three sittings in a browser while they run at two desks; the first is killed (SIGKILL) and resumed.

    python scripts/proofs/watch_study.py                         # prints what was seen, as JSON
    python scripts/proofs/watch_study.py --pictures pictures     # and keeps a picture of the page at each stage

Simulated people sit in windows, at the pace of people. Needs Xvfb and Chromium. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
title = "Watched"
participants = 3
pilots = 0
conditions = ["random", "full"]
[episodes]
practice = 1
evaluation = 2
steps = 60
"""
ROUNDS, PEOPLE = 5, ("p01", "p02", "p03")
ROWS = "[...document.querySelectorAll('#sittings tr')].map(row => [...row.cells].map(cell => cell.textContent.trim()))"
PATIENCE_S, POLL_S = 300, 0.1
States = dict[str, tuple[str, int]]
"""Of each person on the page: state, and rounds done."""


class Browser:
    """The page of `racer study watch`, and everything that it showed."""

    def __init__(self, page: Any, pictures: Path | None) -> None:
        self.page, self.seen = page, list[States]()
        self._pictures = pictures

    def until(self, wanted: Callable[[States], bool], stage: str) -> float:
        """Look until the page shows something, keep a picture, and return how many seconds that took."""
        began = time.monotonic()
        while not wanted(self._look()):
            if time.monotonic() > began + PATIENCE_S:
                raise SystemExit(f"not seen within {PATIENCE_S} s: {stage}; last: {self.seen[-1:]}")
            time.sleep(POLL_S)
        seconds = time.monotonic() - began
        if self._pictures:
            self._pictures.mkdir(parents=True, exist_ok=True)
            shot = self.page.ask("Page.captureScreenshot", format="png")
            (self._pictures / f"{stage}.png").write_bytes(base64.b64decode(shot["data"]))
        return round(seconds, 1)

    def text(self, name: str) -> str:
        """Return what an element says."""
        return str(self.page.evaluate(f"document.getElementById('{name}').textContent"))

    def _look(self) -> States:
        rows: States = {row[0]: (row[1], int(row[2].split()[0])) for row in self.page.evaluate(ROWS)}
        self.seen += [rows] if [rows] != self.seen[-1:] else []
        return rows


def main() -> None:
    """Run the sittings, look, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the page")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "racer")]
    from chromium import chromium  # type: ignore[import-not-found]
    from desk import open_screen, run_racer  # type: ignore[import-not-found]

    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        (place / "lab").mkdir()
        (place / "lab" / "study.toml").write_text(STUDY)
        desks = [stack.enter_context(open_screen()) for _ in range(2)]

        def sits(desk: int, *words: str) -> Any:
            start = ("session", "start", *words, "--study", "lab", "--driver", "simulated", "--windowed")
            return stack.enter_context(run_racer(desks[desk], place, *start))

        watching = stack.enter_context(run_racer(desks[0], place, "study", "watch", "lab"))
        address = next(word for word in watching.stdout.readline().split() if word.startswith("http://"))
        page = stack.enter_context(chromium(place / "profile"))
        page.open(address, 1100)
        browser = Browser(page, arguments.pictures)
        browser.until(lambda rows: browser.text("counts").endswith("0 of 3 participants"), "1-nobody")
        killed = sits(0)
        browser.until(lambda rows: rows.get("p01", ("", 0)) >= ("running", 2), "2-the-first-runs")
        killed.kill()
        told = browser.until(lambda rows: rows["p01"][0] == "unfinished", "3-the-first-was-killed")
        sitting = [sits(0, "p01", "--resume"), sits(1, "p02")]
        browser.until(lambda rows: [rows.get(name, "?")[0] for name in PEOPLE[:2]] == ["running"] * 2, "4-two-desks")
        browser.until(lambda rows: rows["p01"] == ("complete", ROUNDS), "5-the-first-is-done")
        sitting.append(sits(0))
        browser.until(lambda rows: [rows.get(name) for name in PEOPLE] == [("complete", ROUNDS)] * 3, "6-all-are-done")
        rounds = [[rows[name][1] for rows in browser.seen if name in rows] for name in PEOPLE]
        found = {
            "seconds until a kill is seen": told,
            "exit codes": [process.wait() for process in sitting],
            "rounds never fall": all(each == sorted(each) for each in rounds),
            "counts": browser.text("counts"),
            "next": browser.text("next"),
            "complaints": page.complaints(),
        }
    print(json.dumps(found, indent=2))
    if any(found["exit codes"]) or not found["rounds never fall"] or found["complaints"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
