"""`racer doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from racer.commands.options import JsonOption
from racer.commands.output import print_json

if TYPE_CHECKING:
    from racer.doctor.machine import CheckResult


def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Folder for the recordings. Default: the study's, or `recordings`.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="Check what this study needs: its folder, or its study.toml.")
    ] = None,
    pace: Annotated[
        float | None, typer.Option(help="Steps per second, 1 to 50. Default: the study's, or the task's.")
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Ask you to hold several keys at once, to see which of them arrive.")
    ] = False,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Press keys in a short drive, and time each to the frame that shows it."),
    ] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Skip the checks of window, pace and keys.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the machine before a participant sits down. The exit code is 1 if a check fails."""
    from dataclasses import asdict

    from racer.doctor.doctor import DoctorConfig, examine, verdict

    checks = examine(DoctorConfig(data=data, study=study, pace=pace, headless=headless, keys=keys, latency=latency))
    if as_json:
        print_json({"verdict": verdict(checks), "checks": [asdict(check) for check in checks]})
    else:
        _print_checks(checks)
    if verdict(checks) == "fail":
        raise typer.Exit(1)


def _print_checks(checks: list[CheckResult]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from racer.doctor.doctor import verdict
    from racer.recordings.listing import escape

    console = Console(width=10_000, highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("check", "status", "found"):
        table.add_column(column)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for check in checks:
        colour = colours[check.status]
        table.add_row(escape(check.name), f"[{colour}]{check.status}[/{colour}]", escape(check.value))
    console.print(table)
    for check in checks:
        if check.advice:
            console.print(escape(f"{check.name}: {check.advice}"))
    warnings = sum(check.status == "warn" for check in checks)
    failures = sum(check.status == "fail" for check in checks)
    following = "Next: racer session start --study STUDY, or racer session start NAME"
    console.print(
        {
            "ok": f"Ready. {following}",
            "warn": f"Ready, but look at what is marked `warn` ({warnings}). {following}",
            "fail": f"Not ready: fix what is marked `fail` ({failures}), then run racer doctor again",
        }[verdict(checks)]
    )
