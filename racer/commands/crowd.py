"""`racer crowd`: pictures for people elsewhere, and their answers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import JsonOption, Protocol
from racer.commands.output import print_json, progress_bar

app = typer.Typer(help="Have pictures answered on a crowd platform.", no_args_is_help=True)
_MOST_LINES = 20
StudyOption = Annotated[Path | None, typer.Argument(help="Folder of the study, or its study.toml.")]


@app.command("export", epilog="Example: racer crowd export faces --out trials --sets 12")
def crowd_export(
    out: Annotated[Path, typer.Option(help="New folder for pictures, trials.csv and key.json.")],
    study: StudyOption = None,
    sets: Annotated[int, typer.Option(min=1, max=1000, help="Number of people, each with pictures of their own.")] = 12,
    protocol: Annotated[
        Protocol, typer.Option(help="`pilot` gathers what training needs; `evaluation` compares conditions.")
    ] = Protocol.evaluation,
    as_json: JsonOption = False,
) -> None:
    """Write the sittings of a study as pictures and a CSV, for people elsewhere to answer."""
    from racer.study.crowd import TRIALS, export_trials
    from racer.study.file import find_study, load_study

    loaded = load_study(find_study(study))
    with progress_bar("sets", shown=not as_json) as advance:
        advance(0, sets)
        count = export_trials(
            loaded, out, sets, protocol.value, progress=lambda what, done, total: advance(bool(done), None)
        )
    if as_json:
        print_json({"trials": str(out), "sets": sets, "pictures": count})
        return
    print(f"Wrote {count} pictures in {sets} sets to {out}; key.json is for you alone.")
    print(f"Give each worker one set of {out / TRIALS}, then:")
    where = f"{shlex.quote(str(loaded.folder))} --trials {shlex.quote(str(out))}"
    print(f"Next: racer crowd import {where} --answers FILE.csv")


@app.command("import", epilog="Example: racer crowd import faces --trials trials --answers answers.csv")
def crowd_import(
    trials: Annotated[Path, typer.Option(help="Folder that `racer crowd export` made.")],
    answers: Annotated[Path, typer.Option(help="CSV with columns worker, image, answer and time (seconds).")],
    study: StudyOption = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Another name for a column, as worker=WorkerId; may be repeated."),
    ] = None,
    attention: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of catch trials that a worker must answer correctly.")
    ] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """Record what workers answered; it trains and reports like any other sitting."""
    from racer.errors import ConfigError
    from racer.study.crowd import COLUMNS, import_answers
    from racer.study.file import find_study, load_study

    columns = {}
    for text in column or ():
        name, _, called = text.partition("=")
        if name not in COLUMNS or not called:
            known = ", ".join(COLUMNS)
            raise ConfigError(f"--column takes one of {known} and a name, as worker=WorkerId; got {text[:60]!r}")
        columns[name] = called
    loaded = load_study(find_study(study))
    found = import_answers(loaded, trials, answers, columns, attention)
    if as_json:
        recordings = {worker: str(path) for worker, path in found.recordings.items()}
        print_json({"recordings": recordings, "left_out": list(found.left_out)})
        return
    for worker, path in found.recordings.items():
        print(f"{worker}: {path}")
    for line in found.left_out[:_MOST_LINES]:
        print(f"left out {line}")
    if (more := len(found.left_out) - _MOST_LINES) > 0:
        print(f"left out {more} more; --json lists all")
    workers = "1 worker" if len(found.recordings) == 1 else f"{len(found.recordings)} workers"
    print(f"Recorded {workers} in {loaded.recordings}")
    print(f"Next: racer study status {shlex.quote(str(loaded.folder))}")
