"""What a recorded episode looked like: the frame shown at each step and, beside it, the original."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from compression.model.latent_model import LatentModel
from racer.errors import RacerError
from racer.recordings.listing import in_words
from racer.recordings.models import NotHereError, find_model
from racer.recordings.playhead import step_times
from racer.recordings.rerun import Rerun, RerunError
from racer.recordings.scene import View
from sessions import Episode, Session, SessionInfo

_LONGEST_TEXT = 60
"""Letters of a text from a file that are drawn."""


class FootageError(RacerError):
    """What was shown in an episode cannot be seen again."""


class Footage:
    """One episode, ready to be looked at in any order. A context manager.

    Args:
        session: Open for as long as the footage is made; not needed afterwards.
        episode: One of its episodes, of at least one step.
        folder: Of the latent model, which decodes what was shown; that of the task if None.
        beside: Whether the original is wanted as well.

    Raises:
        FootageError: If what was shown cannot be had.
        WeightsError: If the folder holds no latent model.
        RecordingError: If the recording is damaged.
    """

    without_original: str
    """Why there is no original, as the end of a sentence; empty where there is one or none is wanted."""

    def __init__(self, session: Session, episode: Episode, folder: Path | None = None, beside: bool = True) -> None:
        self._beside = beside
        self._opened = ExitStack()
        name = f"episode {episode.index} of {session.path}"
        if not episode.n_steps:
            raise FootageError(f"{name} has no steps: choose another --episode")
        self._model: LatentModel | None = None
        if episode.info.condition != "raw":
            self._model = model_for(session.info, folder, f"what was shown in {name}")
        self._rerun: Rerun | None = None
        self.without_original = ""
        if beside or self._model is None:
            try:
                self._rerun = Rerun(session.info, episode, session.path)
                self._opened.callback(self._rerun.close)
            except RerunError as error:
                self.without_original = str(error)
                if self._model is None:
                    raise FootageError(f"what was shown in {name} cannot be drawn: {error}") from error
        self.info, self.index, self.n_steps = episode.info, episode.index, episode.n_steps
        self.task = session.info.task
        self.action = episode.action
        self.times_ns = step_times(session.info, episode)
        self._bits, self._received = episode.bits, episode.received
        self._primary = episode[self.task.primary.name]
        cut_short = "" if episode.accepted else ", rejected" if episode.rejected else f", {episode.status}"
        self._heading = (
            f"{_shortened(session.info.participant)}   {_shortened(episode.info.phase)}   "
            f"{_shortened(episode.info.condition)}{cut_short}"
        )

    def shown(self, step: int) -> NDArray[np.uint8]:
        """Return the frame that the driver saw at a step, uint8[H, W, C]."""
        if self._model is None:
            assert self._rerun is not None
            return self._rerun.frame(step)
        # One by one, as in a person's session: a batch may round otherwise, and `racer study run` had batches of six.
        return self._model.decode_latent(self._received[step])

    def original(self, step: int) -> NDArray[np.uint8] | None:
        """Return the original frame of a step, uint8[H, W, C]; None where there is none or none is wanted."""
        return self._rerun.frame(step) if self._rerun is not None and self._beside else None

    def view(self, step: int, remark: str = "") -> View:
        """Return all that is to be drawn of a step; `remark` stands at the right of the heading."""
        primary, value = self.task.primary, float(np.nan_to_num(self._primary[step]))
        return View(
            heading=self._heading,
            remark=remark,
            facts=(
                f"episode {self.index}   step {step + 1} of {self.n_steps}   {self.times_ns[step] / 1e9:.1f} s   "
                f"{self._bits[step]} bits   {primary.title} {in_words(primary, value)}"
            ),
            shown=self.shown(step),
            original=self.original(step),
            actions=self.task.actions,
            action=int(self.action[step]),
            steps_done=(step + 1) / self.n_steps,
            score=primary.share(value),
        )

    def close(self) -> None:
        """Give everything back."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def episodes_with_steps(session: Session) -> list[int]:
    """Return the indices of the episodes that can be looked at.

    Raises:
        FootageError: If there are none.
    """
    indices = [episode.index for episode in session.episodes if episode.n_steps]
    if not indices:
        raise FootageError(f"{session.path} holds no steps: there is nothing to see")
    return indices


def choose_episode(session: Session, indices: list[int], index: int) -> int:
    """Return the index, which must be among `indices`.

    Raises:
        FootageError: If it is not.
    """
    if index not in indices:
        raise FootageError(
            f"{session.path} has no episode {index} with steps in it: choose one of those that "
            f"`racer session show {session.path}` lists"
        )
    return index


def model_for(info: SessionInfo, folder: Path | None, what: str) -> LatentModel:
    """Return the latent model of a session; `what` begins the FootageError that is raised where it is not here."""
    try:
        return find_model(info, folder)
    except NotHereError as error:
        raise FootageError(f"{what} cannot be decoded, and the recording is whole: {error}") from error


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."
