"""Film strips: what was there and what was shown at equal times, under each condition, for one participant and seed.

Recordings keep latents and not, by default, frames. The original frames are made again from the trial's seed and
the recorded actions, and used only if every step comes out exactly as recorded (`racer.recordings.rerun`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import sessions
from racer.errors import RacerError
from racer.recordings.footage import Footage, FootageError
from racer.report import wording
from racer.report.drawing import FigurePoint, Illustration, Parts, canvas, render
from racer.report.recordings import EvaluatedEpisode, Evaluations, Person
from racer.training.sheets import GAP, png_of, tiled

ItemT = TypeVar("ItemT")

FRAMES = 7
"""Equal times shown."""


class NoStripError(RacerError):
    """No film strip can be made of these recordings; the message says why."""


@dataclass(frozen=True, eq=False)
class Strip:
    """One condition's row of originals above what was shown."""

    condition: str
    original: NDArray[np.uint8]
    """uint8[N, H, W, C]."""
    shown: NDArray[np.uint8]
    """uint8[N, H, W, C]."""
    values: list[float]
    """The primary metric after each of the N steps."""

    def picture(self, number: int) -> bytes:
        """Return one of the N frames as a PNG: the original beside what was shown."""
        return png_of([[self.original[number], self.shown[number]]])


@dataclass(frozen=True, eq=False)
class FilmStrips:
    """Strips of one participant from one seed."""

    participant: str
    seed: int
    metric: sessions.Metric
    """The primary one."""
    steps: NDArray[np.int64]
    """int64[N], N = FRAMES or, of shorter episodes, all: the steps shown, from 0."""
    strips: list[Strip]
    paced: bool = True
    """Whether the frames follow one another; else each is a picture by itself."""

    @property
    def pictures(self) -> dict[str, bytes]:
        """A frame of each condition as a PNG, the one in the middle: the original beside what was shown."""
        return {strip.condition: strip.picture(len(self.steps) // 2) for strip in self.strips}

    def moment(self, step: int) -> str:
        """Return what a step, from 0, is called."""
        return f"{'step' if self.paced else 'picture'} {step + 1}"


def film_strips(evaluations: Evaluations, folder: Path | None = None) -> FilmStrips:
    """Return the strips of the participant, and of their seed, with the median difference of `pico` and `random`.

    Where one of the two was not shown, the median of the mean primary metric takes its place.

    Args:
        evaluations: Of at least one participant.
        folder: Of the latent model; None for the one that comes with the task.

    Raises:
        NoStripError: If there is no seed that was met under all conditions, the model is not here, or doing it
            again gives anything else than was recorded.
        RecordingError: If a recording cannot be read.
        WeightsError: If the folder holds no latent model.
    """
    metric = evaluations.task.primary
    person = _median(evaluations.people, lambda one: _merit(list(one.episodes), metric.name))
    seed, episodes = _typical_seed(person, evaluations.conditions, metric.name)
    last = min(len(episode.actions) for episode in episodes) - 1
    steps = np.unique(np.linspace(0, last, FRAMES).round().astype(np.int64))
    strips = [_strip(episode, steps, folder, metric.name) for episode in episodes]
    return FilmStrips(person.name, seed, metric, steps, strips, evaluations.task.paced)


def draw_strips(film: FilmStrips) -> Illustration:
    """Draw the strips: a pair of rows per condition, the original above what was shown."""
    height, width = film.strips[0].shown.shape[1:3]
    pair = 0.3 + 6.3 * 2 * (height + GAP) / (FRAMES * (width + GAP))
    with canvas(7.2, 0.35 + pair * len(film.strips), len(film.strips), 1) as (figure, panels):
        centres = [i * (width + GAP) + (width - 1) / 2 for i in range(len(film.steps))]
        parts = Parts()
        for axes, strip in zip(panels, film.strips, strict=True):
            axes.imshow(tiled([list(strip.original), list(strip.shown)]))
            last = f": {film.metric.title} {wording.measure(film.metric, strip.values[-1])} at the last frame"
            axes.set_title(strip.condition + last * film.paced)
            axes.set_yticks([(height - 1) / 2, height + GAP + (height - 1) / 2], ["original", "shown"])
            axes.set_xticks(centres, [film.moment(step) for step in film.steps])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            # Nothing to be seen, and something to be pointed at.
            between = [height + GAP / 2] * len(centres)
            (points,) = axes.plot(centres, between, "s", markersize=24, alpha=0, scalex=False, scaley=False)
            marks = [
                FigurePoint(
                    f"{strip.condition}, {film.moment(step)}, original and shown: {film.metric.title} "
                    f"{wording.measure(film.metric, value)}",
                    strip.picture(number),
                )
                for number, (step, value) in enumerate(zip(film.steps, strip.values, strict=True))
            ]
            parts.add(points, "", marks)
        rows = [
            (film.participant, film.seed, strip.condition, int(step) + 1, value)
            for strip in film.strips
            for step, value in zip(film.steps, strip.values, strict=True)
        ]
        alt = (
            f"Film strips of {film.participant} from seed {film.seed}: at {len(film.steps)} equal times the original "
            f"frame above the frame shown, for {', '.join(strip.condition for strip in film.strips)}."
        )
        header = ("participant", "seed", "condition", "step", film.metric.name)
        return render(figure, "figure6_strips", alt, header, rows, parts)


def _merit(episodes: list[EvaluatedEpisode], metric: str) -> float:
    """Return the mean of a metric under `pico` less that under `random`; of everything where one is missing."""
    pico = [episode.metrics[metric] for episode in episodes if episode.condition == "pico"]
    random = [episode.metrics[metric] for episode in episodes if episode.condition == "random"]
    if pico and random:
        return float(np.mean(pico) - np.mean(random))
    return float(np.mean([episode.metrics[metric] for episode in episodes]))


def _typical_seed(person: Person, conditions: tuple[str, ...], metric: str) -> tuple[int, list[EvaluatedEpisode]]:
    """Return the median seed of those met under all conditions, and its first episode under each."""
    firsts: dict[int, dict[str, EvaluatedEpisode]] = {}
    for episode in person.episodes:
        firsts.setdefault(episode.seed, {}).setdefault(episode.condition, episode)
    common = [(seed, [own[name] for name in conditions]) for seed, own in firsts.items() if len(own) == len(conditions)]
    if not common:
        raise NoStripError(f"{person.name} met no seed under all conditions")
    return _median(common, lambda met: _merit(met[1], metric))


def _strip(episode: EvaluatedEpisode, steps: NDArray[np.int64], folder: Path | None, metric: str) -> Strip:
    with ExitStack() as opened:
        session = opened.enter_context(sessions.open(episode.path))
        recorded = session.episodes[episode.index]
        try:
            footage = opened.enter_context(Footage(session, recorded, folder))
        except FootageError as error:
            raise NoStripError(str(error).replace(str(episode.path), episode.path.name)) from error
        if footage.without_original:
            raise NoStripError(f"seed {episode.seed} under {episode.condition}: {footage.without_original}")
        pairs = [(footage.original(step), footage.shown(step)) for step in steps.tolist()]
        original = np.stack([frame for frame, _ in pairs if frame is not None])
        values = recorded[metric][steps].astype(np.float64).tolist()
        return Strip(episode.condition, original, np.stack([shown for _, shown in pairs]), values)


def _median(items: Sequence[ItemT], merit: Callable[[ItemT], float]) -> ItemT:
    """Return the item of median merit; of two in the middle, the lower."""
    return sorted(items, key=merit)[(len(items) - 1) // 2]
