"""`racer driver`: who can do a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from racer.commands.options import ChanceOption, JsonOption, ModelOption, check_seed
from racer.commands.output import print_json, progress_bar

app = typer.Typer(help="List simulated people, or fit one to a person.", no_args_is_help=True)


@app.command("list", epilog="Example: racer driver list --pictures paths.png --task lunar-lander")
def driver_list(
    context: typer.Context,
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="PNG to write, which must not exist yet: where people of each family that does --task go in one trial "
            "with original frames."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only families that do this task. Default: all; car-racing for --pictures.")
    ] = None,
    people: Annotated[int, typer.Option(min=1, max=20, help="People of each family on the PNG.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, max=5000, help="Their steps. Default: the task's.")] = None,
    seed: Annotated[int, typer.Option(callback=check_seed, help="Seed of that trial.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the families of simulated people, built-in ones and those of installed packages."""
    from racer.drivers.driver import DriverError
    from racer.drivers.registry import family_names, find_family
    from racer.errors import ConfigError
    from racer.tasks.registry import make_task, task_names

    for name in ("people", "steps", "seed"):
        source = context.get_parameter_source(name)
        if pictures is None and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"--{name} goes with --pictures: leave it out, or add --pictures FILE")
    if task is not None and task not in task_names():
        make_task(task)  # says so
    if pictures is not None:
        _draw_paths(pictures, task or "car-racing", people, steps, seed, shown=not as_json)
    found, broken = [], {}
    for name in family_names():
        try:
            family = find_family(name)
        except DriverError as error:
            broken[name] = str(error)
            continue
        if task is None or task in family.tasks:
            found.append(family)
    if as_json:
        fields = [
            {"name": one.name, "tasks": list(one.tasks), "summary": one.summary, "source": one.source} for one in found
        ]
        written = {} if pictures is None else {"pictures": str(pictures)}
        print_json({"families": fields, "unusable": broken} | written)
        return
    for family in found:
        print(f"{family.name}: {family.summary}")
        print(f"  does {', '.join(family.tasks)}")
        print(f"  {family.source}")
    for name, reason in broken.items():
        print(f"{name}: cannot be used: {reason}")
    if pictures is not None:
        print(f"Wrote {pictures}")
    print("Next: racer play --driver NAME, or --driver NAME:SEED for one person")


def _draw_paths(out: Path, name: str, people: int, steps: int | None, seed: int, shown: bool) -> None:
    from disk.writing import write_whole
    from racer.analysis import analysis
    from racer.errors import ConfigError
    from racer.rates.paths import draw_paths, drive_paths
    from racer.tasks.registry import make_task

    if out.suffix != ".png":
        raise ConfigError(f"--pictures must end in .png; got {out.name}")
    if not os.path.isdir(out.parent):
        raise ConfigError(
            f"cannot write {out}: there is no folder {out.parent}; make it, or give another name with --pictures"
        )
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write {out}: {out.parent} may not be written to; give another name with --pictures")
    if out.exists():
        raise ConfigError(f"{out} exists and was left as it is; give another name with --pictures")
    analysis("matplotlib")  # before anybody drives
    task = make_task(name)
    with progress_bar("driving", shown=shown) as advance:
        paths = drive_paths(
            task, people, steps or task.spec.steps, seed, lambda done, total: advance(min(done, 1), total)
        )
    try:
        write_whole(out, draw_paths(paths).png, overwrite=False)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror or error}; nothing was changed") from error


@app.command("fit", epilog="Example: racer driver fit recordings/ann_*.h5 --out ann.json")
def driver_fit(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings of one person, at most 100.")],
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, for use with --driver; it must not exist yet. A name that ends in .json asks for "
            "traits of the family pursuit, one that ends in .clone.json for a recurrent clone."
        ),
    ],
    model: ModelOption = None,
    replicates: Annotated[
        int, typer.Option(min=10, max=1000, help="How often the fitted person repeats the episodes for the check.")
    ] = 40,
    seed: ChanceOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a simulated person, or a recurrent clone, to what somebody did, and check how well it resembles them."""
    from compression.model.latent_model import use_one_thread
    from disk.writing import write_whole
    from racer.drivers.clone_fitting import fit_clone
    from racer.drivers.driver import DriverError
    from racer.drivers.fitting import fit_person
    from racer.drivers.person import SUFFIX, PersonFile, is_clone
    from racer.drivers.recorded import read_drives
    from racer.errors import ConfigError

    if not out.name.endswith(SUFFIX):
        raise ConfigError(f"--out must end in .json, by which a fitted driver is known; got {out.name}")
    if out.exists():
        raise ConfigError(f"{out} exists and was left as it is; give another name with --out")
    if len(recordings) > 100:
        raise ConfigError(f"{len(recordings)} recordings are too many to fit to; name at most 100")
    use_one_thread()
    with progress_bar("fitting", shown=not as_json) as advance:
        reached: list[tuple[str, int]] = [("", 0)]

        def progress(what: str, done: int, total: int) -> None:
            before = reached[0][1] if reached[0][0] == what else 0
            advance(done - before, total)
            reached[0] = (what, done)

        drives, task, pace, of_a_person, latent_model = read_drives(recordings, model, progress)
        person = (fit_clone if is_clone(out.name) else fit_person)(
            drives, task, pace, of_a_person, latent_model, replicates=replicates, seed=seed, progress=progress
        )
    try:
        write_whole(out, (person.model_dump_json(indent=1) + "\n").encode(), overwrite=False)
    except OSError as error:
        raise DriverError(f"cannot write {out}: {error.strerror or error}; nothing was changed") from error
    if as_json:
        print_json({"driver": str(out)} | person.model_dump(mode="json"))
        return
    held = person.held_out
    print(f"fitted to      {person.episodes} episodes, {person.steps} steps at {person.pace:g} a second")
    if isinstance(person, PersonFile):
        traits, low, high = person.traits, person.reaction_low_ms, person.reaction_high_ms
        print(f"reaction       {traits.reaction_ms:.0f} ms (95 % interval {low:.0f} to {high:.0f})")
        print(f"lapses         {traits.lapses:.2f} a second")
        print(f"looks ahead    {traits.look_ahead:.0f} rows, with noise of {traits.noise:.3f} rad")
        share = 1 / traits.dead_zone
        print(f"in dead zones  gain {traits.gain * share:.1f}, damping {traits.damping * share:.1f}, ", end="")
        print(f"anticipation {traits.anticipation * share:.1f}")
    unfitted = held.family_log_likelihood
    print(f"held out       {held.log_likelihood:.3f} nats a step ({held.steps} steps), ", end="")
    print(f"the family unfitted {unfitted:.3f}, " if unfitted is not None else "", end="")
    print(f"by frequency alone {held.frequencies_log_likelihood:.3f}")
    best = max(held.families, key=lambda name: held.families[name])
    print(f"               by what people of {best} do on the same frames, the best family, {held.families[best]:.3f}")
    for check in person.checks:
        told = {True: "passed", False: "FAILED", None: "could not be checked"}[check.passed]
        seen = "-" if check.observed is None else f"{check.observed:.3g}"
        ends = "-" if check.low is None or check.high is None else f"{check.low:.3g} to {check.high:.3g}"
        print(f"check          {check.name}: {seen} {check.unit}".rstrip() + f", driven again {ends}: {told}")
    if person.human_like:
        print("It passed every check against a person: it may stand for them where these four things matter.")
    elif not person.of_a_person:
        print("It was fitted to a program, which says nothing about people.")
    else:
        print("It must not be called human-like: a check failed, or could not be run.")
    print(f"Wrote {out}")
    print(f"Next: racer play --driver {out}")
