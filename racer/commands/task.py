"""`racer task`: the tasks that people can do."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from racer.commands.options import JsonOption, SetOption
from racer.commands.output import print_json

app = typer.Typer(help="List and describe the tasks.", no_args_is_help=True)


@app.command("list", epilog="Example: racer task list")
def task_list(as_json: JsonOption = False) -> None:
    """List the tasks, built-in ones and those of installed packages."""
    from racer.errors import RacerError
    from racer.tasks.registry import BUILT_IN, make_task, needed_settings, task_names, task_type

    found: dict[str, str] = {}
    broken: dict[str, str] = {}
    for name in task_names():
        if name in BUILT_IN and (needed := needed_settings(name)):
            found[name] = f"{getattr(task_type(name), 'summary', '')}; needs --set {needed[0]}=..."
            continue
        try:
            found[name] = make_task(name).spec.summary
        except RacerError as error:
            broken[name] = str(error)
    if as_json:
        print_json({"tasks": found, "unusable": broken})
        return
    width = max(map(len, (*found, *broken)))
    for name, summary in found.items():
        print(f"{name:<{width}}  {summary}")
    for name, reason in broken.items():
        print(f"{name:<{width}}  cannot be used: {reason}")
    print("Next: racer task show NAME, or racer play --task NAME")


@app.command("show", epilog="Example: racer task show car-racing")
def task_show(
    name: Annotated[str, typer.Argument(help="Name of the task.")], given: SetOption = None, as_json: JsonOption = False
) -> None:
    """Describe a task: what it shows, what people can do, what it measures, which settings it has."""
    from racer.drivers.registry import families_for
    from racer.tasks.registry import describe_settings, make_task, parse_settings

    settings = describe_settings(name)
    spec = make_task(name, parse_settings(given or ())).spec
    if as_json:
        print_json(_as_json(spec, settings))
        return
    height, width, channels = spec.frame
    print(f"{spec.name}: {spec.summary}")
    waits = f"{spec.pace:g} steps a second, {spec.steps} steps" if spec.paced else "waits for every answer"
    print(f"frames    {width} x {height}, {'grey' if channels == 1 else 'colour'}; {waits}")
    print("actions")
    for index, action in enumerate(spec.actions):
        keys = " or ".join(action.keys) or ("no key" if index != spec.neutral else "no key: when nothing is pressed")
        print(f"  {index}  {action.name:<12} {keys}")
    print("metrics")
    for metric in spec.metrics:
        better = f", {metric.better} is better" if metric.better else ""
        print(f"  {metric.name:<12} {metric.meaning} [{metric.unit}]{better}")
    if spec.failure:
        print(f"to avoid  {spec.failure}")
    if spec.labels:
        print(f"labels    {', '.join(spec.labels)}")
    if settings:
        print("settings, for --set NAME=VALUE and [task] in a study file")
        for setting in settings:
            default = "needed" if setting.required else f"{setting.default}"
            print(f"  {setting.name:<12} {setting.kind}, {default}" + (f"  {setting.meaning}" * bool(setting.meaning)))
    model = spec.model if spec.model is not None and spec.model.is_dir() else None
    print(f"model     {model or 'none comes with it; train one with `racer model train`'}")
    families = ", ".join(families_for(spec)) or "no simulated people come with it"
    print(f"drivers   {families}" + (f"; simulated is {spec.driver}" if spec.driver else ""))
    also = "".join(f" --set {shlex.quote(each)}" for each in given or ())
    following = "racer play" if model else "racer model train --out FOLDER"
    print(f"Next: {following} --task {name}{also}")


def _as_json(spec: Any, settings: Any) -> dict[str, Any]:
    import json
    from dataclasses import asdict

    def plain(value: Any) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):  # a setting of somebody else's task may be anything
            return str(value)
        return value

    return {
        "name": spec.name,
        "summary": spec.summary,
        "frame": list(spec.frame),
        "paced": spec.paced,
        "pace": spec.pace,
        "steps": spec.steps,
        "actions": [{"name": action.name, "keys": list(action.keys)} for action in spec.actions],
        "neutral": spec.neutral,
        "metrics": [asdict(metric) for metric in spec.metrics],
        "failure": spec.failure,
        "labels": list(spec.labels),
        "settings": [asdict(setting) | {"default": plain(setting.default)} for setting in settings],
        "model": str(spec.model) if spec.model else None,
        "driver": spec.driver,
    }
