"""`racer study`: a whole study, from its file to its report."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.maintenance import finish_begun, finish_begun_or_say
from racer.commands.options import (
    AddressOption,
    EngineChoice,
    EngineOption,
    JobsOption,
    JsonOption,
    ModelOption,
    chosen_engine,
)
from racer.commands.output import print_json, progress_bar
from racer.commands.study_data import DataArgument, StudyArgument, find_data
from racer.commands.study_keeping import study_key, study_seal, study_watch
from racer.commands.study_planning import study_amend, study_power, study_preregister, study_preview

app = typer.Typer(help="Plan, run and analyse a whole study.", no_args_is_help=True)


class Preset(StrEnum):
    """What a new study begins from."""

    default = "default"
    paper = "paper"
    digits = "digits"
    vehicles = "vehicles"
    faces = "faces"


class BuiltInLanguage(StrEnum):
    """What the screens can be shown in without a translation."""

    en = "en"
    de = "de"


def study_init(
    name: Annotated[str, typer.Argument(help="Name of the study and its folder: letters, digits, - and _.")],
    preset: Annotated[
        Preset,
        typer.Option(
            help="`default`: varied tracks, stock handling. `paper`: the released experiment. `digits`, `vehicles`, "
            "`faces`: single pictures under a question."
        ),
    ] = Preset.default,
    language: Annotated[BuiltInLanguage, typer.Option(help="Language of the screens.")] = BuiltInLanguage.en,
    task: Annotated[str | None, typer.Option(help="The task; see `racer task list`. Default: the preset's.")] = None,
    images: Annotated[
        str | None,
        typer.Option(help="Ask about pictures of your own: a folder in NAME, with pictures and a labels.csv."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a folder with a study file in which every setting is explained."""
    from racer.errors import ConfigError
    from racer.study.init import init_study, task_of
    from racer.tasks.registry import make_task

    if images is not None and (preset is not Preset.default or task not in (None, "folder")):
        raise ConfigError("--images makes a study of the task folder: leave --preset and --task out")
    if images is None and task == "folder":
        raise ConfigError(f"the task folder needs pictures: put them into {name}/pictures and add --images pictures")
    task = "folder" if images is not None else task_of(preset.value, task)
    path = init_study(name, preset.value, Path(), language.value, task, images)
    if as_json:
        print_json({"study": str(path)})
        return
    if images is not None:
        print(f"Wrote {path}; every setting in it is explained. A latent model of the pictures is needed.")
        print(
            f"Next: racer model train --task folder --set images={shlex.quote(f'{name}/{images}')} --out {name}/model"
        )
        return
    model = make_task(task).spec.model
    if model is None or not model.is_dir():
        print(f"Wrote {path}; every setting in it is explained. No latent model comes with {task}.")
        print(f'Next: racer model train --task {task} --out {name}/model, and model = "model" in the file')
        return
    print(f"Wrote {path}; every setting in it is explained, and none has to be changed.")
    print(f"Next: racer session start --study {name}, or racer study run {name} to simulate it all")


def study_status(study: StudyArgument = None, as_json: JsonOption = False) -> None:
    """Show who has driven, what is missing and what comes next."""
    from dataclasses import asdict

    from racer.plain_text import plain
    from racer.study.file import find_study, load_study
    from racer.study.status import next_line
    from racer.study.status import study_status as status_of

    loaded = load_study(find_study(study))
    finish_begun_or_say(loaded.recordings)
    status = status_of(loaded)
    if as_json:
        print_json(asdict(status))
        return

    def listed(names: tuple[str, ...]) -> str:
        return f": {', '.join(names)}" if names else ""

    print(plain(status.title))
    print(f"pilots        {len(status.pilots)} of {status.pilots_planned}{listed(status.pilots)}")
    if status.masks_missing or not status.masks_withdrawn:
        print(f"masks         {'missing' + listed(status.masks_missing) if status.masks_missing else 'all there'}")
    for condition, people in status.masks_withdrawn.items():
        print(f"masks         {condition} was trained on {', '.join(people)}, who withdrew: remove it and train again")
    print(f"participants  {len(status.participants)} of {status.participants_planned}{listed(status.participants)}")
    print(f"orders        {' '.join(map(str, status.orders))} (participants who completed each order of conditions)")
    if status.running:
        print(f"running       {', '.join(status.running)}")
    if status.unfinished:
        print(f"unfinished    {', '.join(status.unfinished)}: can be continued with --resume")
    if status.changed:
        what = ", ".join(dict.fromkeys(key for keys in status.changed.values() for key in keys)) or "the study file"
        who = ", ".join(status.changed)
        print(f"changed       {plain(what)} since {who} took part: `racer study amend`, or change it back")
    for amendment in status.amendments:
        what = "; ".join(map(str, amendment.difference))
        print(f"amended       {plain(amendment.day)}: {plain(what)} ({plain(amendment.reason)})")
    if status.ledger_head:
        print(f"ledger        head {status.ledger_head}")
    if status.ledger_damage:
        print(f"ledger        {plain(status.ledger_damage)}")
    for problem in status.unshown:
        print(f"unreadable    {plain(problem)}")
    for path, reason in status.unusable.items():
        print(f"left out      {plain(path)}: {plain(reason)}")
    print(next_line(status.next, status.otherwise))


def study_train(
    study: StudyArgument = None,
    jobs: JobsOption = None,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the missing masks on the recordings of the study's pilots."""

    from racer.study.file import find_study, load_study
    from racer.study.train import train_study
    from racer.training.summary import explained, outcome, verdict

    loaded = load_study(find_study(study))
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        with chosen_engine(engine, jobs, address) as chosen:
            trained = train_study(loaded, progress, engine=chosen)
    if as_json:
        print_json({"masks": {str(path): outcome(summary) for path, summary in trained.items()}})
        return
    for path, summary in trained.items():
        for line in explained(summary):
            print(line)
        print(verdict(summary))
        print(f"Wrote {path}")
    if not trained:
        print("Every mask that the study needs is there.")
    print(f"Next: racer session start --study {shlex.quote(str(loaded.folder))}")


def study_run(
    study: StudyArgument = None,
    participants: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many to evaluate. Default: as many as the study plans.")
    ] = None,
    driver: Annotated[str, typer.Option(help="`simulated`, or your own as `package.module:factory`.")] = "simulated",
    jobs: JobsOption = None,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a whole study: pilots, training, evaluation. The same study file gives the same recordings."""
    from racer.study.file import find_study, load_study
    from racer.study.run import run_study

    loaded = load_study(find_study(study))
    finish_begun(loaded.recordings)
    with progress_bar("sittings", shown=not as_json) as advance:
        reached = [0]

        def progress(what: str, done: int, total: int) -> None:
            advance(done - reached[0], total)
            reached[0] = done

        with chosen_engine(engine, jobs, address) as chosen:
            run = run_study(loaded, participants, engine=chosen, driver=driver, progress=progress)
    if as_json:
        print_json(
            {
                "recordings": [str(path) for path in run.recordings],
                "recorded": run.recorded,
                "masks": [str(path) for path in run.masks],
            }
        )
        return
    kept = len(run.recordings) - run.recorded
    there = f"; {kept} were there already" if kept else ""
    print(f"Recorded {run.recorded} simulated sitting{'s' * (run.recorded != 1)} in {loaded.recordings}{there}")
    for path in run.masks:
        print(f"Trained {path}")
    out = shlex.quote(str(loaded.folder / "report.html"))
    print(f"Next: racer study report {shlex.quote(str(loaded.folder))} --out {out}")


def study_report(
    data: DataArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the whole report, with its figures, to this HTML file.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file even if it is not a report.")
    ] = False,
    version: Annotated[
        int | None,
        typer.Option(min=0, help="Use only those who took part after this many amendments."),
    ] = None,
    model: ModelOption = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="For single pictures: a pico mask trained for another question, to go into the task-by-task matrix. "
            "May be repeated."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the conditions over all participants."""
    from dataclasses import asdict

    from racer.errors import ConfigError
    from racer.recordings.models import refuse_other_model
    from racer.report.study import report_study
    from racer.report.terminal import print_report
    from racer.report.write import write_report
    from racer.study.amendments import read_amendments
    from sessions import find_recordings

    found = find_data(data)
    amendments = read_amendments(found.recordings.parent)
    if version is not None and version > len(amendments):
        raise ConfigError(f"--version counts amendments, and there have been {len(amendments)}; got {version}")
    if mask and out is None:
        raise ConfigError("--mask is for the matrix of the whole report: add --out report.html")
    finish_begun(found.recordings)
    refuse_other_model(model, find_recordings(found.recordings), all_of_them=False)
    if out is None:
        report, written = report_study(found.recordings, found.beforehand, amendments, version), None
    else:
        with progress_bar("report", shown=not as_json) as advance:
            written = write_report(
                found.recordings,
                out,
                overwrite,
                lambda stage: advance(0, None),
                found.wording,
                model or found.model,
                found.beforehand,
                amendments,
                version,
                (*found.masks, *(mask or ())),
            )
        report = written.report
    if as_json:
        files = {"page": str(written.page), "files": str(written.files)} if written else {}
        print_json(asdict(report) | files)
        return
    print_report(report)
    if written is None:
        what = f" {shlex.quote(str(data))}" if data else ""
        print(f"Next: racer study report{what} --out report.html writes it all down with figures")
    else:
        for name, reason in written.left_out.items():
            print(f"left out {name}: {reason}")
        print(f"Wrote {written.page}, and its figures and numbers to {written.files}")


app.command("init", epilog="Example: racer study init demo --preset paper")(study_init)
app.command("preview", epilog="Example: racer study preview demo --out screens.png")(study_preview)
app.command("power", epilog="Example: racer study power demo --from rehearsal")(study_power)
app.command("preregister", epilog="Example: racer study preregister demo")(study_preregister)
app.command("status", epilog="Example: racer study status demo")(study_status)
app.command("watch", epilog="Example: racer study watch demo")(study_watch)
app.command("train", epilog="Example: racer study train demo")(study_train)
app.command("amend", epilog='Example: racer study amend demo --reason "Rounds were too short to tire anybody"')(
    study_amend
)
app.command("run", epilog="Example: racer study run demo --participants 12")(study_run)
app.command("report", epilog="Example: racer study report demo --out demo/report.html")(study_report)
app.command("seal", epilog="Example: racer study seal demo --key ../experimenter.pem")(study_seal)
app.command("key", epilog="Example: racer study key ../experimenter.pem")(study_key)
