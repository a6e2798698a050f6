"""A snapshot of a running study in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from racer.study.status import next_line
from racer.watch.snapshot import Snapshot, Watched

_COLOURS = {"running": "cyan", "unfinished": "yellow", "declined": "", "complete": "green"}


def render(snapshot: Snapshot) -> Group:
    """Return what a terminal shows of a snapshot."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("who", "state", "rounds", "now", "step", "late steps", "pauses", "notes"):
        table.add_column(column)
    for each in snapshot.sittings:
        marks = [" (pilot)"] * (each.protocol == "pilot") + [" (trial run)"] * each.trial_run
        cells = (
            each.participant + "".join(marks),
            each.state,
            f"{each.rounds} of {each.rounds_planned}" if each.rounds_planned else str(each.rounds),
            *_now(each),
            "-" if each.late is None else f"{100 * each.late:.0f} %",
            str(each.pauses),
            str(each.notes),
        )
        table.add_row(*(Text(_plain(cell)) for cell in cells), style=_COLOURS[each.state])
    pilots = f", {snapshot.pilots} of {snapshot.pilots_planned} pilots" if snapshot.pilots_planned else ""
    done = f"Complete: {snapshot.participants} of {snapshot.participants_planned} participants{pilots}"
    lines = [_plain(snapshot.title), done]
    after = [f"Not readable, or part of no sitting: {_plain(', '.join(snapshot.unreadable))}"] * bool(
        snapshot.unreadable
    )
    after += [next_line(snapshot.next, snapshot.otherwise), f"Seen at {snapshot.at_utc}"]
    return Group(*map(Text, lines), table, *map(Text, after))


def _now(each: Watched) -> tuple[str, str]:
    """Return what somebody is at, and at which step of it; dashes where their sitting is over."""
    if each.state in ("complete", "declined"):
        return "-", "-"
    now = f"{each.phase}, {each.condition}" if each.condition else "before the first round"
    return now, f"{each.steps} of {each.steps_planned}" if each.steps_planned else str(each.steps)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
