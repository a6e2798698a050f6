"""`racer study`: a whole study, from its file to its report."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racer.commands.care import finish_begun
from racer.commands.options import FullscreenOption, JsonOption, ModelOption, Protocol
from racer.commands.output import ask, print_json, progress_bar

if TYPE_CHECKING:
    from racer.report.study import Beforehand
    from racer.study.file import Study

app = typer.Typer(help="Plan, run and analyse a whole study.", no_args_is_help=True)

StudyArgument = Annotated[
    Path | None, typer.Argument(help="The study's folder, or its study.toml; the one that is here if left out.")
]


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


@app.command("init", epilog="Example: racer study init demo --preset paper")
def study_init(
    name: Annotated[str, typer.Argument(help="Of the study and its folder: letters, digits, - and _.")],
    preset: Annotated[
        Preset,
        typer.Option(
            help="`default`: varied tracks, stock handling. `paper`: the released experiment. `digits`, `vehicles`, "
            "`faces`: single pictures under a question."
        ),
    ] = Preset.default,
    language: Annotated[BuiltInLanguage, typer.Option(help="Of the screens.")] = BuiltInLanguage.en,
    task: Annotated[
        str | None, typer.Option(help="What is done; see `racer task list`. That of the preset if left out.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(help="Ask about pictures of your own: a folder in NAME, with pictures and a labels.csv."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a folder with a study file in which every setting is explained."""
    from racer.errors import ConfigError
    from racer.study.init import init_study, task_of
    from racer.tasks.registry import make_task

    if images is not None and (preset is not Preset.default or task not in (None, "folder")):
        raise ConfigError("--images makes a study of task folder; leave --preset and --task out")
    if images is None and task == "folder":
        raise ConfigError(f"task folder needs its pictures: put them in {name}/pictures and add --images pictures")
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


@app.command("status", epilog="Example: racer study status demo")
def study_status(study: StudyArgument = None, as_json: JsonOption = False) -> None:
    """Say who has driven, what is missing and what comes next."""
    from dataclasses import asdict

    from compression.tensor_files import one_line
    from racer.recordings.listing import escape
    from racer.study.file import find_study, load_study
    from racer.study.status import study_status as status_of

    loaded = load_study(find_study(study))
    finish_begun(loaded.recordings)
    status = status_of(loaded)
    if as_json:
        print_json(asdict(status))
        return

    def listed(names: tuple[str, ...]) -> str:
        return f": {', '.join(names)}" if names else ""

    print(one_line(status.title))
    print(f"pilots        {len(status.pilots)} of {status.pilots_planned}{listed(status.pilots)}")
    if status.masks_missing or not status.masks_withdrawn:
        print(f"masks         {'missing' + listed(status.masks_missing) if status.masks_missing else 'all there'}")
    for condition, people in status.masks_withdrawn.items():
        print(f"masks         {condition} was trained on {', '.join(people)}, who withdrew: remove it and train again")
    print(f"participants  {len(status.participants)} of {status.participants_planned}{listed(status.participants)}")
    print(f"orders        {' '.join(map(str, status.orders))} (participants who completed each order of conditions)")
    if status.unfinished:
        print(f"unfinished    {', '.join(status.unfinished)}: running now, or to go on with by --resume")
    if status.changed:
        what = ", ".join(dict.fromkeys(key for keys in status.changed.values() for key in keys)) or "the study file"
        who = ", ".join(status.changed)
        print(f"changed       {escape(what)} since {who} took part: `racer study amend`, or change it back")
    for amendment in status.amendments:
        what = "; ".join(map(str, amendment.difference))
        print(f"amended       {amendment.day}: {escape(what)} ({escape(amendment.reason)})")
    if status.ledger_head:
        print(f"ledger        head {status.ledger_head}")
    for problem in status.unshown:
        print(f"unreadable    {escape(problem)}")
    for path, reason in status.unusable.items():
        print(f"left out      {escape(path)}: {escape(reason)}")
    print(f"Next: {status.next}")


@app.command("seal", epilog="Example: racer study seal demo --key ../experimenter.pem")
def study_seal(
    data: Annotated[
        Path | None, typer.Argument(help="A study's folder, or a folder of recordings; what is here if left out.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Sign the head with this private key, which `racer study key` makes.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the head of the recordings' ledger, to deposit: it stands for every byte of all of them."""
    from racer.errors import ConfigError
    from racer.recordings.listing import escape
    from racer.recordings.signing import SIGNATURE_NAME, sign
    from sessions.ledger import note_recorded, read_ledger

    folder, *_ = _recordings(data)
    finish_begun(folder)
    noted = note_recorded(folder) if folder.is_dir() else []
    ledger = read_ledger(folder)
    if ledger is None:
        raise ConfigError(f"there is no recording in {folder}: nothing to seal")
    public_key = sign(folder, ledger, key) if key else ""
    recorded, withdrawn = len(ledger.hashes("recorded")), len(ledger.hashes("withdrawn"))
    if as_json:
        print_json(
            {
                "head": ledger.head,
                "recorded": recorded,
                "withdrawn": withdrawn,
                "noted_now": [str(path) for path in noted],
                "public_key": public_key or None,
            }
        )
        return
    for path in noted:
        print(f"noted only now: {escape(str(path))}")
    print(f"{recorded} recordings noted, {withdrawn} withdrawn; head {ledger.head}")
    verify = f"racer session verify {shlex.quote(str(folder))}"
    if public_key:
        print(f"Signed, in {folder / SIGNATURE_NAME}. Next: {verify} --public-key {public_key}")
    else:
        print(f"Deposit the head where nobody can change it. Next: {verify} --head {ledger.head}")


@app.command("key", epilog="Example: racer study key ../experimenter.pem")
def study_key(
    file: Annotated[Path, typer.Argument(help="File for the private key; keep it away from the recordings.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key to sign ledgers with (Ed25519), and print its public half, to deposit before the study begins."""
    from racer.recordings.signing import make_key

    public_key = make_key(file)
    if as_json:
        print_json({"key": str(file), "public_key": public_key})
        return
    print(f"Wrote the private key to {file}; the public key is {public_key}")
    print(f"Next: racer study seal --key {shlex.quote(str(file))}")


@app.command("amend", epilog='Example: racer study amend demo --reason "Rounds were too short to tire anybody"')
def study_amend(
    study: StudyArgument = None,
    reason: Annotated[str, typer.Option(help="Why; asked for if left out.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Keep a change of the study file as an amendment, so that the study goes on with it."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from racer.recordings.listing import escape
    from racer.study.amendments import amend
    from racer.study.file import find_study, load_study

    loaded = load_study(find_study(study))
    reason = reason or ask("Reason for the change", "give it with --reason")
    amendment = amend(loaded, reason, datetime.now(UTC))
    if as_json:
        print_json(asdict(amendment))
        return
    for change in amendment.difference:
        print(escape(str(change)))
    print(f"Kept as an amendment of {amendment.day}; the report shows it and what was found before and after.")
    print(f"Next: racer session start --study {shlex.quote(str(loaded.folder))}")


@app.command("preview", epilog="Example: racer study preview demo --out screens.png")
def study_preview(
    study: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all screens to this PNG, side by side, instead of opening a window.")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="Whose screens: a `pilot` user's, or those of an evaluated participant.")
    ] = Protocol.evaluation,
    fullscreen: FullscreenOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
) -> None:
    """Show every screen of a study; nothing is recorded."""
    from contextlib import closing

    from racer.study.file import find_study, load_study
    from racer.study.preview import open_gallery, write_sheet
    from racer.window.gallery import KEYS

    loaded = load_study(find_study(study))
    if out is not None:
        count = write_sheet(loaded, protocol.value, out, overwrite)
        print(f"Wrote {count} screens to {out}")
        return
    with closing(open_gallery(loaded, protocol.value, fullscreen)) as gallery:
        print(f"{KEYS}.")
        gallery.run()


@app.command("watch", epilog="Example: racer study watch demo")
def study_watch(
    study: StudyArgument = None,
    port: Annotated[int, typer.Option(min=0, help="Of the page, on this machine alone; 0: a free one.")] = 0,
    terminal: Annotated[bool, typer.Option("--terminal", help="Watch here instead of in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Look once, and print that as one JSON object.")] = False,
) -> None:
    """Watch a running study: who sits, how far they are, what comes next. Nothing is changed; Ctrl-C ends it."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from racer.study.file import find_study, load_study
    from racer.watch.server import WatchServer
    from racer.watch.snapshot import take_snapshot

    loaded = load_study(find_study(study))
    if as_json:
        print_json(asdict(take_snapshot(loaded, datetime.now(UTC))))
    elif terminal:
        _watch_here(loaded)
    else:
        with WatchServer(loaded, port) as server:
            print(f"Open {server.address} in a browser on this machine; Ctrl-C ends it.", flush=True)
            server.serve_forever()


def _watch_here(study: Study) -> None:
    """Look every two seconds, or once where nobody sits at a terminal."""
    import time
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.live import Live

    from racer.watch.snapshot import take_snapshot
    from racer.watch.terminal import render

    console = Console(highlight=False)
    if not console.is_terminal:
        Console(width=10_000, highlight=False).print(render(take_snapshot(study, datetime.now(UTC))))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(render(take_snapshot(study, datetime.now(UTC))), refresh=True)
            time.sleep(2)


@app.command("train", epilog="Example: racer study train demo")
def study_train(study: StudyArgument = None, as_json: JsonOption = False) -> None:
    """Train the masks that are missing on the recordings of the study's pilots."""
    from dataclasses import asdict

    from racer.study.file import find_study, load_study
    from racer.study.train import train_study
    from racer.training.summary import explained, verdict

    loaded = load_study(find_study(study))
    with progress_bar("training", shown=not as_json) as advance:
        advance(0, 100)
        done = [0.0]

        def progress(stage: str, fraction: float) -> None:
            advance(100 * (fraction - done[0]), None)
            done[0] = fraction

        trained = train_study(loaded, progress)
    if as_json:
        print_json({"masks": {str(path): asdict(summary) for path, summary in trained.items()}})
        return
    for path, summary in trained.items():
        for line in explained(summary):
            print(line)
        print(verdict(summary))
        print(f"Wrote {path}")
    if not trained:
        print("Every mask that the study needs is there.")
    print(f"Next: racer session start --study {shlex.quote(str(loaded.folder))}")


@app.command("preregister", epilog="Example: racer study preregister demo")
def study_preregister(
    study: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to deposit; `preregistration.json` beside the study file if left out.")
    ] = None,
    late: Annotated[
        bool, typer.Option("--late", help="Write it although people have been evaluated; it then says how many.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write down what the study promises before anybody is evaluated: primary outcome, exclusions, when to stop."""
    from datetime import UTC, datetime

    from racer.study.file import find_study, load_study
    from racer.study.preregistration import preregister, read_preregistration

    loaded = load_study(find_study(study))
    finish_begun(loaded.recordings)
    path, sha256 = preregister(loaded, datetime.now(UTC), out, late=late)
    found = read_preregistration(path)
    assert found is not None
    promised = found[0]
    if as_json:
        print_json({"file": str(path), "sha256": sha256} | promised.model_dump(mode="json"))
        return
    print(f"primary outcome  {promised.outcome}")
    for rule in promised.exclusions:
        print(f"left out         {rule}")
    print(f"to stop          {promised.stopping}")
    later = [condition for condition, hash_ in promised.fitted.items() if hash_ is None]
    if later:
        print(f"not promised     what is fitted for {', '.join(later)}: it is still to be trained")
    if promised.evaluated_before:
        print(f"late             {promised.evaluated_before} had been evaluated before: the report will say so")
    print(f"Wrote {path}, SHA-256 {sha256}")
    print("Next: deposit it where it gets a date, for example at osf.io or by mail to a colleague")


@app.command("power", epilog="Example: racer study power demo --from rehearsal")
def study_power(
    study: StudyArgument = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help="A study, or a folder of recordings, whose people drove under both conditions of the primary outcome: "
            "an earlier study, or a simulated copy. May be repeated; several, each with a pilot of its own, tell how "
            "much the pilot matters.",
        ),
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(
            help="Supposed true difference as a share of the second condition; the primary outcome's margin if left "
            "out, or 0 where something is to be kept."
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="Asked for, above 0 and below 1.")] = 0.8,
    studies: Annotated[int, typer.Option(min=100, max=20_000, help="Simulated studies.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of all that is drawn.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what varies among those people, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how many participants the primary outcome needs, from people who drove."""
    from dataclasses import asdict

    from racer.errors import ConfigError
    from racer.study.file import RECORDINGS, STUDY_FILE, find_study, load_study
    from racer.study.power import MOST_PEOPLE, components_of, plan_power, refuse_own_data

    if not 0 < power < 1:
        raise ConfigError(f"--power must lie above 0 and below 1; got {power:g}")
    if effect is not None and not -1 < effect < 1:
        raise ConfigError(f"--effect must lie between -1 and 1, a share of the second condition; got {effect:g}")
    if not source:
        raise ConfigError("name people who drove with --from, such as a copy of the study after `racer study run`")
    loaded = load_study(find_study(study))
    folders = [folder / RECORDINGS if (folder / STUDY_FILE).is_file() else folder for folder in source]
    refuse_own_data(loaded, folders)
    file = loaded.file
    outcome = file.primary.outcome(file.make_task().spec.primary.name, file.conditions)
    if outcome is None:
        raise ConfigError(f"{loaded.path}: conditions: one alone has nothing to be compared with; name another")
    components = components_of(folders, outcome)
    told = components.told()
    if dry_run:
        if as_json:
            print_json({"outcome": asdict(outcome), "components": told})
            return
        _print_components(str(outcome), told)
        print("Nothing was simulated.")
        return
    with progress_bar("components", shown=not as_json) as advance:
        reached = [0]

        def progress(done: int, total: int) -> None:
            advance(done - reached[0], total)
            reached[0] = done

        found = plan_power(
            components,
            outcome,
            file.conditions,
            file.participants,
            effect=effect,
            power=power,
            studies=studies,
            seed=seed,
            progress=progress,
        )
    if as_json:
        print_json(asdict(found) | {"components": told})
        return
    _print_components(str(outcome), told)
    needed, planned = found.needed, found.planned

    def shown(people: int | None) -> str:
        return f"more than {MOST_PEOPLE}" if people is None else str(people)

    print(f"supposed      a true difference of {100 * found.effect:g} % of {outcome.subtrahend}")
    ends = f"95 % interval {shown(needed.low)} to {shown(needed.high)}"
    more = f"; {needed.balanced} hold every order equally often" if needed.balanced else ""
    print(f"needed        {shown(needed.people)} participants for a power of {100 * power:g} % ({ends}){more}")
    print(
        f"planned       {planned.people} participants: power {100 * planned.power:.0f} % "
        f"(95 % interval {100 * planned.low:.0f} to {100 * planned.high:.0f})"
    )
    print(f"Next: set participants in {loaded.path}, then racer study preregister {shlex.quote(str(loaded.folder))}")


def _print_components(outcome: str, told: dict[str, Any]) -> None:
    print(f"primary       {outcome}")
    print(f"from          {told['people']} people, {told['episodes']:.3g} episodes of each condition")
    for key, name in (
        ("mean", "mean"),
        ("people_sd", "people"),
        ("people_by_condition_sd", "people differ in the contrast"),
        ("tracks_sd", "episodes, shared"),
        ("tracks_by_condition_sd", "episodes differ in the contrast"),
    ):
        values = told[key] if isinstance(told[key], list) else [told[key]]
        print(f"  {name:<33}{', '.join(f'{value:.4g}' for value in values)}")
    places = ", ".join(f"{value:+.3g}" for value in told["places"]) if told["places_told"] else "cannot be told"
    print(f"  {'place in the sitting':<33}{places}")
    pilots = "cannot be told from one study" if told["pilots_sd"] is None else f"{told['pilots_sd']:.4g}"
    print(f"  {'pilots':<33}{pilots}")


@app.command("run", epilog="Example: racer study run demo --participants 12")
def study_run(
    study: StudyArgument = None,
    participants: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many to evaluate; as many as the study plans if left out.")
    ] = None,
    driver: Annotated[str, typer.Option(help="`simulated`, or your own as `package.module:factory`.")] = "simulated",
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Sittings at a time; one per processor if left out.")
    ] = None,
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

        run = run_study(loaded, participants, driver=driver, jobs=jobs, progress=progress)
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
    there = f"; {kept} were there" if kept else ""
    print(f"Recorded {run.recorded} simulated sitting{'s' * (run.recorded != 1)} in {loaded.recordings}{there}")
    for path in run.masks:
        print(f"Trained {path}")
    out = shlex.quote(str(loaded.folder / "report.html"))
    print(f"Next: racer study report {shlex.quote(str(loaded.folder))} --out {out}")


@app.command("report", epilog="Example: racer study report demo --out demo/report.html")
def study_report(
    data: Annotated[
        Path | None, typer.Argument(help="A study's folder, or a folder of recordings; what is here if left out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the whole report, with its figures, to this HTML file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is no report.")] = False,
    version: Annotated[
        int | None,
        typer.Option(min=0, help="Of a study that was amended, only who took part after so many amendments."),
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the conditions over all participants."""
    from dataclasses import asdict

    from racer.report.study import report_study
    from racer.report.terminal import print_report
    from racer.report.write import write_report
    from racer.study.amendments import read_amendments

    folder, item_texts, own_model, beforehand = _recordings(data)
    amendments = read_amendments(folder.parent)
    finish_begun(folder)
    model = model or own_model
    if out is None:
        report, written = report_study(folder, beforehand, amendments, version), None
    else:
        with progress_bar("report", shown=not as_json) as advance:
            written = write_report(
                folder,
                out,
                overwrite,
                lambda stage: advance(0, None),
                item_texts,
                model,
                beforehand,
                amendments,
                version,
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


def _recordings(
    data: Path | None,
) -> tuple[Path, dict[tuple[str, str], str], Path | None, Beforehand | None]:
    """Return the folder of recordings that is meant, and of a study the wording of its questionnaires, its model and
    what was preregistered."""
    from racer.report.study import Beforehand
    from racer.study.file import RECORDINGS, STUDY_FILE, StudyFileError, find_study, load_study
    from racer.study.preregistration import PREREGISTRATION, read_preregistration

    if data is not None and not (data / STUDY_FILE).is_file() and data.suffix != ".toml":
        return data, {}, None, None
    if data is None and not any(Path().glob(f"*/{STUDY_FILE}")) and not Path(STUDY_FILE).is_file():
        return Path("recordings"), {}, None, None
    path = find_study(data)
    promised = read_preregistration(path.parent / PREREGISTRATION)
    try:
        study = load_study(path)
    except StudyFileError as error:
        # The recordings say all that is analysed; only the wording of the questions stands in the file.
        print(f"questions are named by their ids: {error}", file=sys.stderr)
        return path.parent / RECORDINGS, {}, None, Beforehand(*promised) if promised else None
    custom = {entry.name: entry.questionnaire() for entry in study.file.questionnaires.custom}
    known = {**study.language.questionnaires, **custom}
    texts = {(name, item.id): item.text for name, each in known.items() for item in each.items}
    beforehand = Beforehand(*promised, settings=study.settings) if promised else None
    return study.recordings, texts, study.model, beforehand
