"""`racer study` before and while it is under way: `preview`, `power`, `preregister`, `amend`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from racer.commands.maintenance import finish_begun
from racer.commands.options import ChanceOption, FullscreenOption, JsonOption, Protocol
from racer.commands.output import ask, print_json, progress_bar
from racer.commands.study_data import StudyArgument


def study_preview(
    study: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all screens to this PNG, side by side, instead of opening a window.")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="Whose screens to show: those of a `pilot`, or of an evaluated participant.")
    ] = Protocol.evaluation,
    fullscreen: FullscreenOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Show every screen of a study; nothing is recorded."""
    from contextlib import closing

    from racer.study.file import find_study, load_study
    from racer.study.lettering import find_unshown
    from racer.study.preview import open_gallery, write_sheet
    from racer.window.gallery import KEYS

    loaded = load_study(find_study(study))
    for problem in find_unshown(loaded):
        print(f"racer: {problem}; no session can begin with it", file=sys.stderr)
    if out is not None:
        count = write_sheet(loaded, protocol.value, out, overwrite)
        print(f"Wrote {count} screens to {out}")
        return
    with closing(open_gallery(loaded, protocol.value, fullscreen)) as gallery:
        print(f"{KEYS}.")
        gallery.run()


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
            help=(
                "Assumed true difference, as a share of the second condition. Default: the primary outcome's "
                "margin, or 0 where something is to be kept."
            )
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="Desired power, above 0 and below 1.")] = 0.8,
    studies: Annotated[int, typer.Option(min=100, max=20_000, help="Number of simulated studies.")] = 2000,
    seed: ChanceOption = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what varies among those people, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate how many participants the primary outcome needs, from people who have driven."""
    from dataclasses import asdict

    from racer.errors import ConfigError
    from racer.study.components import components_of
    from racer.study.file import RECORDINGS, STUDY_FILE, find_study, load_study
    from racer.study.power import MOST_PEOPLE, plan_power, refuse_own_data

    if not 0 < power < 1:
        raise ConfigError(f"--power must lie above 0 and below 1; got {power:g}")
    if effect is not None and not -1 < effect < 1:
        raise ConfigError(f"--effect must lie between -1 and 1, a share of the second condition; got {effect:g}")
    if not source:
        raise ConfigError("say whose drives to plan by: --from FOLDER, such as a copy that `racer study run` simulated")
    loaded = load_study(find_study(study))
    folders = [folder / RECORDINGS if (folder / STUDY_FILE).is_file() else folder for folder in source]
    refuse_own_data(loaded, folders)
    file = loaded.file
    outcome = file.primary.outcome(file.make_task().spec.primary.name, file.conditions)
    if outcome is None:
        raise ConfigError(f"{loaded.path}: conditions: a single condition cannot be compared; add another")
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
            episodes=file.episodes.evaluation,
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

    rounds = f"{file.episodes.evaluation} episode{'s' * (file.episodes.evaluation != 1)} of each condition"
    print(f"assumed       a true difference of {100 * found.effect:g} % of {outcome.subtrahend}; {rounds}")
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


def study_preregister(
    study: StudyArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to deposit. Default: `preregistration.json` beside the study file.")
    ] = None,
    late: Annotated[
        bool, typer.Option("--late", help="Write it even though people have been evaluated; it will say how many.")
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


def study_amend(
    study: StudyArgument = None,
    reason: Annotated[str, typer.Option(help="Why it was changed; you are asked if you leave it out.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record a change of the study file as an amendment, so that the study can go on."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from racer.plain_text import plain
    from racer.study.amendments import amend
    from racer.study.file import find_study, load_study

    loaded = load_study(find_study(study))
    reason = reason or ask("Reason for the change", "give it with --reason")
    amendment = amend(loaded, reason, datetime.now(UTC))
    if as_json:
        print_json(asdict(amendment))
        return
    for change in amendment.difference:
        print(plain(str(change)))
    print(f"Kept as an amendment of {amendment.day}; the report shows it and what was found before and after.")
    print(f"Next: racer session start --study {shlex.quote(str(loaded.folder))}")
