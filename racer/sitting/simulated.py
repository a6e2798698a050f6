"""Sittings of simulated people: several in lockstep, on whatever machine, returned as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from disk.reading import read_plain
from disk.writing import scratch_folder
from racer.file_bundle import FileBundle, mixed_versions
from racer.loop.lockstep import in_lockstep
from racer.sitting.start import StartConfig, sit
from racer.software import software
from racer.tasks.latent_model import load_task_model
from racer.tasks.task import Task

TOGETHER = 6
"""Sittings that a process has at a time."""
_GROUP = {"pilot": 1, "evaluation": 6}
"""Frames that pass the model together, by protocol, wherever and beside whom a sitting is had. There is often a single
pilot; three conditions have six balanced orders, so that people come in sixes, and six save most of what sixteen do."""
_MOST_BYTES = 2**31
"""Largest recording, bytes."""


def deciding_software(task: Task) -> dict[str, str]:
    """Return what must be equal for sittings to belong together: all software but the platform's and git's."""
    # Git may be slow, or lacking, on one machine: the version says which Racer it is.
    own = ("platform", "git_commit")
    return {name: version for name, version in software(task.spec).items() if name not in own}


def record_sittings(
    decided: Mapping[str, str], files: FileBundle, configs: Iterable[StartConfig]
) -> Iterator[tuple[str, bytes]]:
    """Have sittings in lockstep and yield the name and the bytes of each recording, in order.

    They are recorded in a hidden folder beside their place where it is at hand, and of the system's otherwise.

    Args:
        decided: What `deciding_software` returned where the sittings began.
        files: Those that the configurations name, whose own places are not looked at.
        configs: Of one study and protocol; simulated.

    Raises:
        MixedVersionsError: If this process would give other bytes.
        RacerError, CompressionError, RecordingError: If one cannot be had.
    """
    from compression.model.latent_model import use_one_thread  # brings torch

    use_one_thread()
    configs = list(configs)
    task, place = configs[0].task, configs[0].data
    mine = deciding_software(task)
    if differing := [name for name, version in decided.items() if mine.get(name) != version]:
        raise mixed_versions(", ".join(differing))
    here = place if place.is_dir() else Path(tempfile.gettempdir())
    with files.unpacked() as (fitted, folder), scratch_folder(here) as scratch:
        model = load_task_model(task.spec, folder)
        given = [replace(config, masks=fitted, model=folder, data=scratch) for config in configs]
        work, group = (sit(config, model, durable=False) for config in given), _GROUP[configs[0].protocol.protocol]
        for result in in_lockstep(work, model, lanes=TOGETHER if group > 1 else 1, group=group):
            assert result.path is not None
            yield result.path.name, read_plain(result.path, _MOST_BYTES)
            result.path.unlink()
