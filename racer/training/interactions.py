"""What people were shown and did, and what they do on seeing the original: for R and for tuning a decoder.

What simulated people do on seeing the original is asked of a shadow: the same person with the same chances, who sees
the original frame of every state of the recording, done again. Of people it is predicted by a model of what they do
under `full` and `raw`, whose trials come in an order drawn by chance; where trials stand alone, their own answer to the
original of the same picture counts, if they gave one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import sessions
from compression.errors import TrainingError
from compression.fitting.classifiers import Progress
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.fitting.interaction import NAME, RECENT, Interactions, InteractionSummary, fit_interaction
from compression.fitting.pico_rate import predicted_actions
from compression.fitting.recorded import RecordedEpisode
from compression.model.latent_model import LatentModel, chosen_device, use_one_thread
from racer.drivers.registry import SIMULATED, driver_seed, family_names, make_driver, who_drives
from racer.rates.people import FIRST_SEALED
from racer.recordings.models import NotHereError, find_task, refuse_other_model
from racer.recordings.rerun import Rerun, RerunError
from racer.tasks.task import Task
from racer.training.train import TrainingDataError, check_usable, fitted_on, model_of, refuse_existing, write_new
from sessions.reader import trial_starts

MOST_STEPS = 12_000
"""Most steps whose pictures are held at once; of more recorded steps every second, third and so on is taken."""
ORIGINALS = ("full", "raw")
"""Conditions under which people see all that there is to see."""
_READ = 0.5
"""Share of the time until R is fitted."""
_NOT_USED = ("objective", "blocks", "imagined", "held_out")
"""Settings of a training that fitting R does not look at."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Interactions as recordings hold them, and where they are from."""

    model: LatentModel
    data: Interactions
    record: FittedRecord
    """Provenance of what is fitted to them; its settings are still empty."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One episode."""

    episode: RecordedEpisode
    raw: bool
    """Whether the original frame was shown, as it is."""
    stimulus: NDArray[np.int64]
    failed: NDArray[np.bool_] | None
    """bool[T], after each step; None where the task does not say."""
    shadow: NDArray[np.int64] | None
    """int[T], what the same simulated person does on seeing the originals."""
    person: str


def read_interactions(
    paths: Sequence[Path],
    folder: Path | None = None,
    config: PicoConfig | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Recorded:
    """Read what recorded people were shown and did, practice and what was cut short or rejected left out.

    Args:
        paths: The recordings.
        folder: Of their latent model; None for the one that comes with the task.
        config: Settings of the model of what people do on seeing originals, where one is needed.
        progress: Told the share that is read.

    Raises:
        TrainingDataError: If there is nothing, sessions do not belong together, or what is done on seeing the originals
            can neither be asked of simulated people nor predicted.
        ConfigError: If the folder holds another latent model than a recording's.
        RecordingError: If a recording cannot be read.
    """
    use_one_thread()
    refuse_other_model(folder, paths)
    infos: dict[Path, sessions.SessionInfo] = {}
    for path in dict.fromkeys(paths):
        with sessions.open(path) as session:
            infos[path] = session.info
    ordered = sorted(infos, key=lambda path: infos[path].session_id)
    if not ordered:
        raise TrainingDataError("there is nothing to train on: name recordings")
    first = infos[ordered[0]]
    model = model_of(ordered[0], first, folder)
    pieces: list[Seen] = []
    task: Task | None = None
    for done, path in enumerate(ordered):
        progress(done / len(ordered))
        check_usable(path, infos[path], ordered[0], first)
        if done and infos[path].session_id == infos[ordered[done - 1]].session_id:
            raise TrainingDataError(f"{path} holds session {infos[path].session_id} a second time; name it once")
        try:
            task = find_task(infos[path], path)
        except NotHereError as error:
            raise TrainingDataError(f"{path} cannot be trained on: {error}") from error
        pieces += episodes_of(path, task)
    shown = [piece for piece in pieces if _asks(piece)]
    if not shown or task is None:
        raise TrainingDataError("the recordings hold no step in which anything but the original was shown")
    wanted = _wanted(pieces, model, config or PicoConfig())
    pace = first.config.get("pace")
    if not isinstance(pace, int | float) or isinstance(pace, bool) or not 1 <= pace <= 50:
        pace = task.spec.pace
    data = _stacked(shown, wanted, round(pace), model.sizes.actions)
    people = sorted({piece.person for piece in pieces})
    record = FittedRecord(
        objective=NAME,
        model_sha256=model.sha256,
        participants=tuple(people),
        sessions=tuple(infos[path].session_id for path in ordered),
        seeds=tuple(sorted({int(seed) for piece in pieces for seed in np.unique(piece.stimulus)})),
        config={},
        task=first.task.name,
        drivers=tuple(sorted({who_drives(info.driver, info.task.name) for info in infos.values()})),
    )
    return Recorded(model, data, record)


def train_interaction(
    paths: Sequence[Path],
    out: Path,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
    folder: Path | None = None,
    device: str = "cpu",
) -> InteractionSummary:
    """Fit R to recorded sessions and write it to a new file. The same sessions, settings and seed give the same bytes.

    Arguments are those of `racer.training.train.train`.

    Raises:
        TrainingDataError: As `read_interactions`, or if `out` exists.
        TrainingError: If there are too few people.
    """
    refuse_existing(out)
    chosen = chosen_device(device)
    recorded = read_interactions(paths, folder, config, lambda done: progress("recordings", _READ * done))
    model = recorded.model.on(chosen)
    fitted, summary = fit_interaction(
        recorded.data, model, config, lambda stage, done: progress(stage, _READ + (1 - _READ) * done)
    )
    write_new(
        out, dump_fitted(fitted.tensors(), replace(recorded.record, config=settings_of(config) | fitted_on(model)))
    )
    return summary


def settings_of(config: PicoConfig) -> dict[str, object]:
    """Return the settings that fitting R looks at."""
    return {name: value for name, value in asdict(config).items() if name not in _NOT_USED}


def episodes_of(path: Path, task: Task) -> list[Seen]:
    """Return the episodes of a recording that are of use. Its shadow goes through the others as well."""
    pieces = []
    with sessions.open(path) as session:
        info = session.info
        simulated = info.driver.partition(":")[0] in (SIMULATED, *family_names())
        shadow = make_driver(info.driver, task, driver_seed(info.participant)) if simulated else None
        failure = task.spec.failure if task.spec.paced else ""
        for episode in session.episodes:
            if not episode.n_steps:
                continue
            stimulus = episode.stimulus
            if int(stimulus.max()) >= FIRST_SEALED:
                raise TrainingDataError(
                    f"{path} has trials from seeds of {FIRST_SEALED} or more, which are kept for sealed sets: nothing "
                    "is trained on them; leave it out"
                )
            answers = None
            if shadow is not None:
                shadow.reset()
                try:
                    with closing(Rerun(info, episode, path)) as again:
                        answers = np.array([shadow.act(again.frame(step)) for step in range(episode.n_steps)], np.int64)
                except RerunError as error:
                    raise TrainingDataError(f"{path} cannot be trained on: {error}; leave it out") from error
            if not episode.accepted or episode.info.phase == "practice":
                continue
            original = episode.info.condition in ORIGINALS
            recorded = RecordedEpisode(episode.latent, episode.received, episode.action, episode.mask, original)
            failed = episode[failure].astype(bool) if failure else None
            raw = episode.info.condition == "raw"
            pieces.append(Seen(recorded, raw, stimulus, failed, answers, info.participant))
    return pieces


def _wanted(pieces: Sequence[Seen], model: LatentModel, config: PicoConfig) -> list[NDArray[np.float32]]:
    """Return how likely each action is on seeing the originals, float32[T, actions], of each piece not shown raw."""
    actions, shown = model.sizes.actions, [piece for piece in pieces if _asks(piece)]
    asked = [piece for piece in shown if piece.shadow is None]
    if not asked:
        return [np.eye(actions, dtype=np.float32)[piece.shadow] for piece in shown if piece.shadow is not None]
    originals = [piece.episode for piece in pieces if piece.episode.original]
    if len(originals) < 2:
        raise TrainingDataError(
            f"what people do on seeing originals is learnt from 2 or more episodes under "
            f"{' or '.join(ORIGINALS)}; got {len(originals)}, and nothing was written: name pilots' recordings too"
        )
    own = {
        (piece.person, int(seed)): int(action)
        for piece in sorted(pieces, key=lambda piece: piece.raw)  # the very original counts more than all features
        if piece.episode.original
        for seed, action in zip(piece.stimulus, piece.episode.actions, strict=True)
        if _alone(piece)
    }
    try:
        predicted = predicted_actions(originals, [piece.episode for piece in asked], model, config)
    except TrainingError as error:
        raise TrainingDataError(f"what people do on seeing originals cannot be learnt: {error}") from error
    likely = dict(zip(map(id, asked), predicted, strict=True))
    found = []
    for piece in shown:
        if piece.shadow is not None:
            found.append(np.eye(actions, dtype=np.float32)[piece.shadow])
            continue
        wanted = likely[id(piece)]
        for step, seed in enumerate(piece.stimulus.tolist()):
            if _alone(piece) and (answer := own.get((piece.person, seed))) is not None:
                wanted[step] = np.eye(actions, dtype=np.float32)[answer]
        found.append(wanted)
    return found


def _asks(piece: Seen) -> bool:
    """Return whether R learns from a piece.

    Of people, what they do on seeing originals is learnt from `full`, which would agree with itself.
    """
    return not piece.raw and (piece.shadow is not None or not piece.episode.original)


def _alone(piece: Seen) -> bool:
    """Return whether every trial of a piece is one step long, so that its picture follows from its seed alone."""
    return len(trial_starts(piece.stimulus)) == len(piece.stimulus)


def _stacked(pieces: Sequence[Seen], wanted: Sequence[NDArray[np.float32]], second: int, actions: int) -> Interactions:
    """Return the steps of pieces, one after the other; of more than `MOST_STEPS` some at equal distances."""
    people = {person: number for number, person in enumerate(sorted({piece.person for piece in pieces}))}
    columns = [
        (
            piece.episode.latents,
            piece.episode.received,
            recent_actions(piece.episode.actions, trial_starts(piece.stimulus), actions),
            piece.episode.actions.astype(np.int64),
            likely,
            kept_for(piece.failed, second, len(likely)),
            np.full(len(likely), people[piece.person], np.int64),
        )
        for piece, likely in zip(pieces, wanted, strict=True)
    ]
    whole = Interactions(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    every = -(-len(whole.actions) // MOST_STEPS)
    return whole if every == 1 else whole.part(np.arange(0, len(whole.actions), every))


def recent_actions(actions: NDArray[np.integer], starts: NDArray[np.integer], none: int) -> NDArray[np.int64]:
    """Return the actions before each step, int64[T, RECENT], the latest first; `none` before a trial's first step."""
    recent = np.full((len(actions), RECENT), none, np.int64)
    begun = np.repeat(starts, np.diff([*starts, len(actions)]))
    for back in range(1, RECENT + 1):
        steps = np.flatnonzero(np.arange(len(actions)) - back >= begun)
        recent[steps, back - 1] = actions[steps - back]
    return recent


def kept_for(failed: NDArray[np.bool_] | None, second: int, steps: int) -> NDArray[np.float32]:
    """Return 1 where nothing fails from a step on for a second, else 0, float32[T]; NaN where nobody knows.

    Args:
        failed: bool[T], after each step; None where nobody knows.
        second: Steps of a second, 1 or more.
        steps: T.
    """
    if failed is None:
        return np.full(steps, np.nan, np.float32)
    ahead = np.concatenate([failed, np.zeros(second - 1, bool)])
    fails = np.stack([ahead[after : after + steps] for after in range(second)]).any(axis=0)
    return np.where(fails, 0, 1).astype(np.float32)
