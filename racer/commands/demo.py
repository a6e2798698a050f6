"""`racer demo`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import (
    JsonOption,
    PaceOption,
)
from racer.commands.output import print_json


def demo(
    driver: Annotated[
        str | None,
        typer.Option(help="Who drives the pilot. Default: `keyboard` if there is a display, `simulated` if not."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder to record to. Default: a new one in `recordings`.")] = None,
    pace: PaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run everything once, in minutes: pilot, training, evaluation, report."""
    from dataclasses import asdict

    from racer.report.terminal import print_report
    from racer.study.demo import DemoConfig, default_driver, default_folder, run_demo

    config = DemoConfig(data=data or default_folder(), driver=driver or default_driver(), pace=pace)
    result = run_demo(config, tell=lambda line: None if as_json else print(line, flush=True))
    if as_json:
        print_json(
            {}
            if result is None
            else {"mask": str(result.mask), "page": str(result.page), "report": asdict(result.report)}
        )
        return
    if result is None:
        print(f"Ended early; what was recorded is saved in {config.data}")
        print(f"Next: racer session list {shlex.quote(str(config.data))}")
        return
    print_report(result.report)
    print(
        "Two participants and a few drives prove nothing: docs/results.md has the real numbers.\n"
        f"Saved in {config.data}; open the report in a browser: {result.page}"
    )
    print("Next: racer play --beside, or racer session start NAME")
