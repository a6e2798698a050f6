"""`racer study`: a whole study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racer.commands.output import print_json
from racer.options import (
    JsonOption,
)

app = typer.Typer(help="Analyse a whole study.", no_args_is_help=True)


@app.command("report", epilog="Example: racer study report recordings")
def study_report(
    data: Annotated[Path, typer.Argument(help="Folder that keeps the evaluation recordings.")],
    as_json: JsonOption = False,
) -> None:
    """Compare the conditions over all participants in a folder."""
    from dataclasses import asdict

    from racer.listing import print_report
    from racer.study import report_study

    report = report_study(data)
    if as_json:
        print_json(asdict(report))
    else:
        print_report(report)
        print(f"Next: racer session list {data}")
