"""What decides the numbers of a sweep besides its settings: weights, fitted files, code and versions."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compression.coders.coder import Coder
from compression.coders.packet import CHANNEL_FORMAT
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel
from disk.reading import read_plain
from racer import __version__
from racer.drivers.person import is_fitted
from racer.drivers.registry import family_names, find_family, make_driver
from racer.rates.grid import OperatingPoint, RatesConfig
from racer.tasks.registry import task_type
from racer.tasks.task import Task, TaskSpec

SweepSettings = Mapping[str, str | int]
"""By name; equal ones give equal numbers, cell by cell."""

_MOST_SOURCE = 2**26
"""Bytes of a file of code."""
_OWN = ("compression.", "racer.")
"""Packages whose code `code_sha256` covers."""
_DECIDING = ("torch", "numpy", "pillow")
"""Packages on which latents, packets or pictures depend, besides those that the task names."""
_FOLDERS = ("compression", "racer.loop", "racer.drivers")
_MODULES = (
    "racer.tasks.task",
    "racer.tasks.registry",
    "racer.tasks.latent_model",
    "racer.rates.driving",
    "racer.rates.people",
)
"""Code that an episode goes through, besides that of the task."""


def settings_of(config: RatesConfig, spec: TaskSpec, model: LatentModel) -> dict[str, str | int]:
    """Return what must be equal for cells to belong together.

    Coders, drivers, slots, settings of the task, noise and people may be added.
    """
    settings: dict[str, str | int] = {
        "task": config.task,
        "seed": config.seed,
        "episodes": config.episodes,
        "steps": config.steps,
        "mask_interval": config.mask_interval,
        "fill": config.fill,
        "channel_format": CHANNEL_FORMAT,
        "model_sha256": model.sha256,
        "code_sha256": code_sha256(config.task),
        "racer": __version__,
    }
    if config.shadow:
        settings["shadow"] = 1
    if config.device != "cpu":
        settings["device"] = config.device
    if config.sealed:
        settings["sealed"] = 1
    if config.action_delay:
        settings["action_delay"] = config.action_delay
    if config.action_loss:
        settings["action_loss"] = str(config.action_loss)
    return settings | {name: _version(name) for name in (*_DECIDING, *spec.software)}


@lru_cache(maxsize=4)
def code_sha256(task: str) -> str:
    """Return the hash of the code that an episode of a task goes through."""
    module = _module_of(task_type(task))
    own = _files(module.rpartition(".")[0]) if module.startswith(_OWN) else _sources(module)
    files = {path for name in _FOLDERS for path in _files(name)} | {path for name in _MODULES for path in _files(name)}
    digest = hashlib.sha256()
    # By their names alone: where a package lies does not matter.
    for name, content in sorted((path.name, read_plain(path, _MOST_SOURCE)) for path in files.union(own)):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def hashes_of(
    drivers: Iterable[str], task: Task, coders: Iterable[Coder], fitted: Mapping[str, FittedModel]
) -> dict[str, str]:
    """Return what each coder and driver brings along, by what it is and its name.

    Raises:
        DriverError: If a driver cannot be made.
    """
    found = {f"driver {name}": driver_sha256(name, task) for name in drivers}
    return found | {f"coder {coder.name}": coder_sha256(coder, fitted.get(coder.name)) for coder in coders}


def brought_by(point: OperatingPoint, hashes: Mapping[str, str]) -> str:
    """Return the hash of all that the coder and the driver of an operating point bring along."""
    both = hashes.get(f"coder {point.coder}", ""), hashes[f"driver {point.driver}"]
    return hashlib.sha256(" ".join(both).encode()).hexdigest()


def coder_sha256(coder: Coder, fitted: FittedModel | None) -> str:
    """Return the hash of what a coder brings along: its fitted file, packages of its own and, if foreign, its code."""
    digest = hashlib.sha256(fitted.sha256.encode() if fitted else b"")
    for package in coder.software:
        digest.update(f"{package} {_version(package)}\n".encode())
    for end in (coder.sender, coder.receiver):
        digest.update(_brought(end))
    return digest.hexdigest()


def driver_sha256(name: str, task: Task) -> str:
    """Return the hash of what a driver brings along: its code, if it is none of Racer's.

    Raises:
        DriverError: If it cannot be made.
    """
    make_driver(name, task, 0)  # which imports it, and says what is wrong with it
    if is_fitted(name):
        return hashlib.sha256(read_plain(Path(name), _MOST_SOURCE)).hexdigest()
    kind, _, attribute = name.partition(":")
    factory = find_family(kind).make if kind in family_names() else getattr(sys.modules[kind], attribute)
    return hashlib.sha256(_brought(factory)).hexdigest()


def _brought(made: Any) -> bytes:
    """Return what must be equal for something that is made by calling this to be the same."""
    parts: list[bytes] = []
    while isinstance(made, partial):
        given = repr((made.args, sorted(made.keywords.items())))
        parts.append(re.sub(" at 0x[0-9a-f]+", "", given).encode())
        made = made.func
    module = _module_of(made)
    if not module.startswith(_OWN):
        parts += [read_plain(source, _MOST_SOURCE) for source in _sources(module)]
        parts.append(module.encode())
    return b"".join(parts)


def _module_of(thing: Any) -> str:
    return getattr(thing, "__module__", None) or type(thing).__module__


def _files(name: str) -> list[Path]:
    """Return the file of one of Racer's own modules, or all files of a package."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)]
    return [path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py")]


def _sources(module: str) -> list[Path]:
    """Return the files of a module's package, or the module's own if it is in none."""
    top = sys.modules.get(module.partition(".")[0])
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    if folders:
        return sorted(path for folder in folders for path in folder.rglob("*.py"))
    source = getattr(sys.modules.get(module), "__file__", None)
    return [Path(source)] if source else []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
