"""Film strips: what was there and what was shown at equal times, under each condition, for one participant and track.

Recordings keep latents and not, by default, frames. The original frames are driven again from the track's seed and
the recorded actions, and used only if every step comes out exactly as recorded (`racer.recordings.rerun`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.model.latent_model import Codec
from racer.errors import RacerError
from racer.recordings.footage import Footage, FootageError
from racer.report.drawing import Illustration, canvas, render
from racer.report.recordings import EvaluatedEpisode, Evaluations, Person

ItemT = TypeVar("ItemT")

FRAMES = 7
"""Equal times shown."""
_GAP = 3
"""White pixels between frames."""


class NoStripError(RacerError):
    """No film strip can be made of these recordings; the message says why."""


@dataclass(frozen=True, eq=False)
class Strip:
    """One condition's row of originals above what was shown."""

    condition: str
    original: NDArray[np.uint8]
    """uint8[N, 64, 64, 3]."""
    shown: NDArray[np.uint8]
    """uint8[N, 64, 64, 3]."""
    progress: NDArray[np.float32]
    """float32[N]: road progress after each of the steps."""


@dataclass(frozen=True, eq=False)
class FilmStrips:
    """Strips of one participant on one track."""

    participant: str
    track_seed: int
    steps: NDArray[np.int64]
    """int64[N], N = FRAMES or, of shorter episodes, all: the steps shown, from 0."""
    strips: list[Strip]


def film_strips(evaluations: Evaluations, codec: Codec) -> FilmStrips:
    """Return the strips of the participant, and of their track, with the median difference of `pico` and `random`.

    Where one of the two was not driven, the median of the mean road progress takes its place.

    Args:
        evaluations: Of at least one participant.
        codec: The weights that the recordings were made with.

    Raises:
        NoStripError: If there is no track that was driven under all conditions, another codec was used, or driving
            again gives anything else than was recorded.
        RecordingError: If a recording cannot be read.
    """
    person = _median(evaluations.people, lambda one: _merit(list(one.episodes)))
    track_seed, episodes = _typical_track(person, evaluations.conditions)
    last = min(len(episode.actions) for episode in episodes) - 1
    steps = np.unique(np.linspace(0, last, FRAMES).round().astype(np.int64))
    strips = [_strip(episode, steps, codec) for episode in episodes]
    return FilmStrips(person.name, track_seed, steps, strips)


def draw_strips(film: FilmStrips) -> Illustration:
    """Draw the strips: a pair of rows per condition, the original above what was shown."""
    with canvas(7.2, 0.35 + 2.1 * len(film.strips)) as (figure, (placeholder,)):
        placeholder.remove()
        panels = figure.subplots(len(film.strips), 1, squeeze=False)[:, 0]
        centres = [i * (64 + _GAP) + 31.5 for i in range(len(film.steps))]
        for axes, strip in zip(panels, film.strips, strict=True):
            axes.imshow(_mosaic(strip))
            axes.set_title(f"{strip.condition}: road progress {strip.progress[-1]:.3f} at the last frame")
            axes.set_yticks([31.5, 64 + _GAP + 31.5], ["original", "shown"])
            axes.set_xticks(centres, [f"step {step + 1}" for step in film.steps])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        rows = [
            (film.participant, film.track_seed, strip.condition, int(step) + 1, float(progress))
            for strip in film.strips
            for step, progress in zip(film.steps, strip.progress, strict=True)
        ]
        alt = (
            f"Film strips of {film.participant} on track {film.track_seed}: at {len(film.steps)} equal times the "
            f"original frame above the frame shown, for {', '.join(strip.condition for strip in film.strips)}."
        )
        header = ("participant", "track_seed", "condition", "step", "progress")
        return render(figure, "figure6_strips", alt, header, rows)


def _merit(episodes: list[EvaluatedEpisode]) -> float:
    """Return the mean road progress under `pico` less that under `random`; of everything where one is missing."""
    pico = [episode.progress for episode in episodes if episode.condition == "pico"]
    random = [episode.progress for episode in episodes if episode.condition == "random"]
    if pico and random:
        return float(np.mean(pico) - np.mean(random))
    return float(np.mean([episode.progress for episode in episodes]))


def _typical_track(person: Person, conditions: tuple[str, ...]) -> tuple[int, list[EvaluatedEpisode]]:
    """Return the median track of those driven under all conditions, and its first episode under each."""
    firsts: dict[int, dict[str, EvaluatedEpisode]] = {}
    for episode in person.episodes:
        firsts.setdefault(episode.track_seed, {}).setdefault(episode.condition, episode)
    common = [(seed, [own[name] for name in conditions]) for seed, own in firsts.items() if len(own) == len(conditions)]
    if not common:
        raise NoStripError(f"{person.name} drove no track under all conditions")
    return _median(common, lambda track: _merit(track[1]))


def _strip(episode: EvaluatedEpisode, steps: NDArray[np.int64], codec: Codec) -> Strip:
    with ExitStack() as opened:
        session = opened.enter_context(sessions.open(episode.path))
        recorded = session.episodes[episode.index]
        try:
            footage = opened.enter_context(Footage(session, recorded, codec))
        except FootageError as error:
            raise NoStripError(str(error).replace(str(episode.path), episode.path.name)) from error
        if footage.without_original:
            raise NoStripError(f"track {episode.track_seed} under {episode.condition}: {footage.without_original}")
        pairs = [(footage.original(step), footage.shown(step)) for step in steps.tolist()]
        original = np.stack([frame for frame, _ in pairs if frame is not None])
        return Strip(episode.condition, original, np.stack([shown for _, shown in pairs]), recorded.progress[steps])


def _mosaic(strip: Strip) -> NDArray[np.uint8]:
    """Return originals above what was shown, uint8[2 * 64 + gap, ..., 3], on white."""
    rows = [
        np.pad(frames, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
        for frames in (strip.original, strip.shown)
    ]
    whole: NDArray[np.uint8] = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return whole[:-_GAP, :-_GAP]


def _median(items: Sequence[ItemT], merit: Callable[[ItemT], float]) -> ItemT:
    """Return the item of median merit; of two in the middle, the lower."""
    return sorted(items, key=merit)[(len(items) - 1) // 2]
