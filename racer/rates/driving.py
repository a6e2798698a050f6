"""Driving cells of a sweep: what every process that takes part does, here or on another machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, tee
from pathlib import Path

from compression.coders.coder import Fitted, find_coder
from compression.model.latent_model import Codec, load_codec, use_one_thread
from racer.errors import RacerError
from racer.loop.batched import Job, Score, simulate
from racer.loop.conditions import ChannelConfig, load_masks
from racer.rates.grid import Cell, RatesConfig
from racer.rates.people import draw_person
from racer.rates.provenance import coder_sha256, settings_of
from racer.rates.scores import CellScore, EpisodeScore
from racer.tasks.car_racing.track import TrackConfig


class MixedVersionsError(RacerError):
    """A process that takes part has another Racer, or other weights, than the one that began the sweep."""


@dataclass(frozen=True)
class Plan:
    """All that a process needs to know to drive any cell."""

    config: RatesConfig
    coders: tuple[str, ...]
    """`raw`, `full` and the coders of the sweep."""
    mask_files: tuple[bytes, ...]
    """Fitted files given by the user; shipped ones are everywhere."""
    settings: tuple[tuple[str, str | int], ...]
    """Of the process that began the sweep."""
    hashes: tuple[tuple[str, str], ...] = ()
    """What each coder brings along, by its name."""


def drive(plan: Plan, cells: Iterable[Cell]) -> Iterator[CellScore]:
    """Drive cells and yield their scores in order. The same plan and cell give the same score in every process.

    Raises:
        MixedVersionsError: If this process would give other numbers.
        RacerError, CompressionError: If a cell cannot be driven.
    """
    codec, models = _ends(plan)
    ahead, behind = tee(cells)
    scores = simulate((job for cell in ahead for job in _jobs(plan.config, cell)), codec, models)
    for cell in behind:
        tracks = draw_person(plan.config.seed, cell.participant, plan.config.tracks).tracks
        own = list(islice(scores, len(tracks)))
        yield CellScore(cell, tuple(_episode(track, score) for track, score in zip(tracks, own, strict=True)))


def drive_all(plan: Plan, cells: Sequence[Cell]) -> list[CellScore]:
    """Drive cells and return their scores in order; raises as `drive`."""
    return list(drive(plan, cells))


def _jobs(config: RatesConfig, cell: Cell) -> Iterator[Job]:
    """Yield what a cell consists of: a drive for each track."""
    person, way = draw_person(config.seed, cell.participant, config.tracks), cell.way
    channel = ChannelConfig(
        # Where the slot changes nothing any will do.
        bits=way.bits or max(config.bits),
        mask_interval=config.mask_interval,
        fill=config.fill,
        noise=way.noise.kind,
        noise_rate=way.noise.rate,
    )
    for track, episode in zip(person.tracks, person.episodes, strict=True):
        yield Job(way.coder, channel, TrackConfig(target_speed=way.speed), track, person.seed, config.steps, episode)


def _episode(track: int, score: Score) -> EpisodeScore:
    return EpisodeScore(track, score.steps, score.progress, score.off_road, score.bits_mean, score.bits_most)


@lru_cache(maxsize=2)
def _ends(plan: Plan) -> tuple[Codec, dict[str, Fitted]]:
    """Load what this process needs once."""
    use_one_thread()
    codec = load_codec()
    mine = settings_of(plan.config, codec)
    differing = [name for name, value in plan.settings if mine.get(name) != value]
    if differing:
        raise _mixed(", ".join(differing))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, data in enumerate(plan.mask_files):
            paths.append(Path(folder) / f"{number}.safetensors")
            paths[-1].write_bytes(data)
        models = load_masks(plan.coders, paths, codec)
    differing = [name for name, brought in plan.hashes if coder_sha256(find_coder(name), models.get(name)) != brought]
    if differing:
        raise _mixed(", ".join(differing))
    return codec, models


def _mixed(what: str) -> MixedVersionsError:
    return MixedVersionsError(
        f"a process that takes part in the sweep has another {what}; what was finished is kept: "
        "install the same Racer on all machines and run it again"
    )
