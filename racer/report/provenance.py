"""Provenance: which task, software, latent model, fitted and study files the recordings of a study were made with."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

from racer.report.recordings import Person


@dataclass(frozen=True)
class Provenance:
    """One property of the recordings analysed, such as a version or a hash."""

    name: str
    values: dict[str, int]
    """Each value found, and in how many recordings; the most frequent first."""
    differs: bool
    """Whether the recordings do not all agree."""


def trace_provenance(people: tuple[Person, ...]) -> list[Provenance]:
    """Return every property of the recordings that the analysis used."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    infos = [info for person in people for info in person.sitting.infos]
    software = sorted({name for info in infos for name in info.software})
    for info in infos:
        config = info.config
        found["task"][info.task.name] += 1
        found["settings of the task"][json.dumps(info.task.settings, sort_keys=True)] += 1
        found["study"][info.study] += 1
        found["study file (SHA-256)"][_text(config.get("study_sha256"))] += 1
        found["latent model (SHA-256)"][info.model_sha256] += 1
        found["fitted files (SHA-256)"][info.fitted_sha256] += 1
        found["packet format"][_text(config.get("channel_format"))] += 1
        found["driver"][info.driver] += 1
        for name in software:
            found[f"software: {name}"][info.software.get(name, "")] += 1
    return [
        Provenance(name, dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))), len(values) > 1)
        for name, values in found.items()
    ]


def _text(value: object) -> str:
    return "" if value is None else str(value)
