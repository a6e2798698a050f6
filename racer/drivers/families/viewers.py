"""Simulated people who answer questions about single pictures: four families that see in ways of their own.

Each family learns from pictures of the part of its world that models learn from, none of which is met in sittings or
sweeps, and from seeds that no other family has learnt from. In a drawn world those are pictures of its own; where there
are only so many, as of `digits`, all families and the latent model learn from the same ones: a third of them would
teach too little. A person is somebody of a family with traits of their own: how decided they are (temperature), how
often they press any key (lapses), and how grainy they see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray

from racer.drivers.driver import DriverError, DriverFamily
from racer.drivers.filters import Filters
from racer.tasks.pictures.task import Pictures
from racer.tasks.task import Task

Answers = NDArray[np.float64]
"""Probabilities, float64[N, answers]."""
_FIRST_SEED = 1_000_000
"""Seed of the first picture that is learnt from; see `racer.tasks.pictures.parts`."""
_APART = 300_000
"""Seeds from one family's first picture to the next one's."""
_LEARNT = 4_000
"""Pictures that a family learns from."""
_AT_ONCE = 500


class PictureClassifier(Protocol):
    """How a family tells pictures apart."""

    @staticmethod
    def see(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what is seen of frames, uint8[N, H, W, C]: float32[N, ...] in [0, 1]."""

    def learn(self, seen: NDArray[np.float32], answers: NDArray[np.int64]) -> None:
        """Learn from pictures as they are seen and their right answers, int64[N]; each occurs."""

    def probabilities(self, seen: NDArray[np.float32]) -> Answers:
        """Return how probable each answer is to pictures as they are seen."""


class Sketch:
    """Seeing edges and brightness."""

    @staticmethod
    def see(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what is seen of frames, uint8[N, H, W, C]: float32[N, pixels] in [0, 1].

        Edges across and down at half the resolution, and brightness at a quarter of it: people see edges wherever they
        are and whatever is beside them, and colours coarsely.
        """
        count, height, width, _ = frames.shape
        light = frames.mean(axis=3, dtype=np.float32) / np.float32(255)
        across, down = np.zeros_like(light), np.zeros_like(light)
        across[:, :, 1:], down[:, 1:] = np.abs(np.diff(light, axis=2)), np.abs(np.diff(light, axis=1))
        edges = np.stack([across, down], axis=3).reshape(count, height // 2, 2, width // 2, 2, 2).mean((2, 4))
        coarse = light.reshape(count, height // 4, 4, width // 4, 4).mean((2, 4))
        return np.concatenate([np.minimum(4 * edges, 1).reshape(count, -1), coarse.reshape(count, -1)], axis=1)


class Network(Sketch):
    """A multilayer perceptron."""

    def __init__(self) -> None:
        from sklearn.neural_network import MLPClassifier

        self.network: Any = MLPClassifier(
            (96,), alpha=0.01, batch_size=100, max_iter=25, early_stopping=True, n_iter_no_change=6, random_state=1
        )

    def learn(self, seen: NDArray[np.float32], answers: NDArray[np.int64]) -> None:
        """See `PictureClassifier`."""
        self.mean, self.std = seen.mean(axis=0), np.maximum(seen.std(axis=0), 0.02)
        with catch_warnings(action="ignore"):  # that more steps would go on changing it
            self.network.fit((seen - self.mean) / self.std, answers)

    def probabilities(self, seen: NDArray[np.float32]) -> Answers:
        """See `PictureClassifier`."""
        found: Answers = self.network.predict_proba((seen - self.mean) / self.std).astype(np.float64)
        return found


class Neighbours(Sketch):
    """The nearest neighbours along the directions that go with the answers (partial least squares)."""

    def __init__(self) -> None:
        from sklearn.cross_decomposition import PLSRegression
        from sklearn.neighbors import KNeighborsClassifier

        self._directions: Any = PLSRegression(16, scale=False)
        self._neighbours: Any = KNeighborsClassifier(15, weights="distance")

    def learn(self, seen: NDArray[np.float32], answers: NDArray[np.int64]) -> None:
        """See `PictureClassifier`."""
        self._directions.fit(seen, np.eye(int(answers.max()) + 1)[answers])
        self._neighbours.fit(self._directions.transform(seen), answers)

    def probabilities(self, seen: NDArray[np.float32]) -> Answers:
        """See `PictureClassifier`."""
        found: Answers = self._neighbours.predict_proba(self._directions.transform(seen))
        certain: Answers = 0.98 * found + 0.02 / found.shape[1]  # nobody is
        return certain


class Trees(Sketch):
    """Boosted trees on some of what is seen."""

    _PIXELS, _TREES = 600, 100

    def __init__(self) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._trees: Any = HistGradientBoostingClassifier(max_leaf_nodes=15, early_stopping=False, random_state=3)

    def learn(self, seen: NDArray[np.float32], answers: NDArray[np.int64]) -> None:
        """See `PictureClassifier`."""
        count = seen.shape[1]
        self._chosen = np.random.default_rng(3).permutation(count)[: self._PIXELS]
        # A tree for each answer in every round: as many rounds as make it as quick with ten answers as with two.
        rounds = max(self._TREES // (int(answers.max()) + 1), 15)
        self._trees.set_params(max_iter=rounds, learning_rate=min(10 / rounds, 0.3))
        self._trees.fit(seen[:, self._chosen], answers)

    def probabilities(self, seen: NDArray[np.float32]) -> Answers:
        """See `PictureClassifier`."""
        found: Answers = self._trees.predict_proba(seen[:, self._chosen])
        return found


@dataclass(frozen=True)
class ViewerTraits:
    """What makes one simulated person differ from another of the family."""

    temperature: float
    """Divisor of the log odds."""
    lapses: float
    """Probability of pressing a random key."""
    grain: float
    """Standard deviation of the noise on everything seen, in [0, 1]."""


def draw_traits(person: int) -> ViewerTraits:
    """Return the traits of a person."""
    rng = np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0])
    return ViewerTraits(float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.0, 0.04)), float(rng.uniform(0.0, 0.03)))


class Viewer:
    """One simulated person.

    Args:
        reader: What the family makes of pictures.
        traits: The person's own.
        dice: Seed of every random choice, 0 or more.
    """

    def __init__(self, reader: PictureClassifier, traits: ViewerTraits, dice: int) -> None:
        self.traits = traits
        self.reader = reader
        self._rng = np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1])

    def reset(self) -> None:
        """Do nothing: no picture has anything to do with another."""

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return the index of an answer on seeing a frame, uint8[H, W, C]."""
        chances = self.probabilities(frame[None])[0]
        return min(int(np.searchsorted(np.cumsum(chances), self._rng.random())), len(chances) - 1)

    def probabilities(self, frames: NDArray[np.uint8]) -> Answers:
        """Return how probable each answer is on seeing frames, uint8[N, H, W, C]."""
        seen = self.reader.see(frames)
        seen += self.traits.grain * self._rng.standard_normal(seen.shape, np.float32)
        said = np.maximum(self.reader.probabilities(seen), 1e-6) ** (1 / self.traits.temperature)
        said /= said.sum(axis=1, keepdims=True)
        mixed: Answers = (1 - self.traits.lapses) * said + self.traits.lapses / said.shape[1]
        return mixed


_READERS: tuple[tuple[str, Callable[[], PictureClassifier]], ...] = (
    ("viewer-network", Network),
    ("viewer-neighbours", Neighbours),
    ("viewer-trees", Trees),
    ("viewer-convolution", Filters),
)


@lru_cache(maxsize=8)
def _learnt(number: int, task: Pictures) -> PictureClassifier:
    """Return what a family has learnt for a task; once per process."""
    try:
        reader = _READERS[number][1]()
    except ImportError as error:
        raise DriverError(
            f"drivers of family {_READERS[number][0]} need scikit-learn, which is not installed; nothing was done: "
            "pip install 'racer[pictures]'"
        ) from error
    world, question = task.world, task.asked
    first = _FIRST_SEED + number * _APART
    parts, answers = [], []
    for start in range(first, first + _LEARNT, _AT_ONCE):
        pictures = [world.picture(seed) for seed in range(start, start + _AT_ONCE)]
        parts.append(reader.see(np.stack([picture.frame for picture in pictures])))
        answers += [question.answer(picture.traits) for picture in pictures]
    missing = [answer.name for number, answer in enumerate(question.answers) if number not in answers]
    if missing:
        raise DriverError(
            f"no picture that simulated people learn from is answered by {missing[0]!r} to {question.name}; nothing "
            "was done: add pictures that are"
        )
    reader.learn(np.concatenate(parts), np.array(answers, np.int64))
    return reader


def _maker(number: int) -> Callable[[Task, int, int], Viewer]:
    def make(task: Task, person: int, dice: int) -> Viewer:
        assert isinstance(task, Pictures)
        return Viewer(_learnt(number, task), draw_traits(person), dice)

    return make


_TASKS = ("digits", "vehicles", "faces", "folder")
VIEWER_NETWORK = DriverFamily(
    "viewer-network",
    _TASKS,
    "answers as a multilayer perceptron does, with a temperature and lapses",
    "After the simulated users of PICO's released code (rddy/pico), which are such networks; fitted with scikit-learn.",
    _maker(0),
)
VIEWER_NEIGHBOURS = DriverFamily(
    "viewer-neighbours",
    _TASKS,
    "answers as for the most similar picture that it has learnt, with a temperature and lapses",
    "No publication: nearest neighbours along partial least squares; fitted with scikit-learn.",
    _maker(1),
)
VIEWER_TREES = DriverFamily(
    "viewer-trees",
    _TASKS,
    "answers as boosted trees do, with a temperature and lapses",
    "No publication: histogram gradient boosting; fitted with scikit-learn.",
    _maker(2),
)
VIEWER_CONVOLUTION = DriverFamily(
    "viewer-convolution",
    _TASKS,
    "answers as a small convolutional network does, with a temperature and lapses",
    "After Coates, Lee and Ng (AISTATS 2011): one layer of filters learnt by k-means; fitted with scikit-learn.",
    _maker(3),
)
