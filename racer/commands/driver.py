"""`racer driver`: who can do a task."""

from __future__ import annotations

import typer

from racer.commands.options import JsonOption
from racer.commands.output import print_json

app = typer.Typer(help="Look at who can do a task.", no_args_is_help=True)


@app.command("list", epilog="Example: racer driver list")
def driver_list(as_json: JsonOption = False) -> None:
    """List the families of simulated people, built-in ones and those of installed packages."""
    from racer.drivers.driver import DriverError
    from racer.drivers.registry import family_names, find_family

    found, broken = [], {}
    for name in family_names():
        try:
            found.append(find_family(name))
        except DriverError as error:
            broken[name] = str(error)
    if as_json:
        fields = [
            {"name": one.name, "tasks": list(one.tasks), "summary": one.summary, "source": one.source} for one in found
        ]
        print_json({"families": fields, "unusable": broken})
        return
    for family in found:
        print(f"{family.name}: {family.summary}")
        print(f"  does {', '.join(family.tasks)}")
        print(f"  {family.source}")
    for name, reason in broken.items():
        print(f"{name}: cannot be used: {reason}")
    print("Next: racer play --driver NAME, or --driver NAME:SEED for one person")
