"""What commands print: JSON for machines, lines and progress bars for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from racer.loop.episode import EpisodeResult


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, allow_nan=False))


def ask(what: str, otherwise: str) -> str:
    from racer.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"{what.lower()} missing: {otherwise}")
    answer: str = typer.prompt(what)
    return answer


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bar(description: str, shown: bool) -> Iterator[Any]:
    """Give a function (advance, total): a progress bar on stderr where that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda amount, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=_console()) as progress:
        task = progress.add_task(description, total=None)

        def advance(amount: float, total: int | None) -> None:
            if total is not None:
                progress.update(task, total=total)
            progress.advance(task, amount)

        yield advance


def print_episode(result: EpisodeResult) -> None:
    print(
        f"track {result.plan.track_seed}: {100 * result.progress:.1f} % of the road in {result.steps} steps, "
        f"{100 * result.off_road:.0f} % of the time off it"
    )


def quiet(result: EpisodeResult) -> None:
    """Print nothing."""


def episode_json(result: EpisodeResult) -> dict[str, Any]:
    return {
        "phase": result.plan.phase,
        "condition": result.plan.condition,
        "track_seed": result.plan.track_seed,
        "steps": result.steps,
        "progress": result.progress,
        "off_road": result.off_road,
    }
