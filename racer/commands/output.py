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

    from racer.loop.attended import EpisodeResult
    from racer.tasks.task import Metric, TaskSpec


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
    # Redirected streams would stand between the console and the one that it may steer: see `PlainStream`.
    with Progress(*columns, console=_console(), redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(description, total=None)

        def advance(amount: float, total: int | None) -> None:
            if total is not None:
                progress.update(task, total=total)
            progress.advance(task, amount)

        yield advance


def print_episode(result: EpisodeResult, spec: TaskSpec) -> None:
    """Print how a round went."""
    print(f"seed {result.plan.seed}, {result.steps} steps: {', '.join(told(spec, result.metrics))}")


def told(spec: TaskSpec, metrics: dict[str, float]) -> list[str]:
    """Return what a round came to, the metrics that have a direction, such as `road progress 12.3 %`."""
    return [f"{metric.title} {value_told(metric, metrics[metric.name])}" for metric in spec.compared]


def value_told(metric: Metric, value: float) -> str:
    """Return a value with its unit, fractions in percent."""
    return f"{100 * value:.1f} %" if metric.unit == "fraction" else f"{value:.4g} {metric.unit}".rstrip()


def quiet(*_: object) -> None:
    """Print nothing."""


def episode_json(result: EpisodeResult) -> dict[str, Any]:
    """Return how a round went, for machines."""
    return {
        "phase": result.plan.phase,
        "condition": result.plan.condition,
        "seed": result.plan.seed,
        "steps": result.steps,
        "metrics": result.metrics,
    }
