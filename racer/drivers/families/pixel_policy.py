"""Pixel policy: people whose eyes are a small convolutional network that learnt by imitation where to steer.

Nobody told it what a road is, and it has seen neither Racer's latents nor its decoded frames: it learnt on
original frames, corrected on what it got itself into, from who knows the state of the game.
`scripts/fits/pixel_policy.py` makes its weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from disk.reading import read_plain
from racer.drivers.driver import DriverError, DriverFamily
from racer.drivers.wheel import WHEEL_LIMIT, Hand
from racer.tasks.task import Task

WEIGHTS = Path(__file__).with_suffix(".safetensors")
WEIGHTS_SHA256 = "f992efbf4cf9b536d3ea5a00978b3b6e718cc6ac248b98bef46471f9003e787e"
STEER_SCALE = 0.1
"""Radians of the front wheels for which the network's output is 1."""
_MOST_BYTES = 2**22

Values = NDArray[np.float32]


def reduced(frame: NDArray[np.uint8]) -> Values:
    """Return a frame, uint8[64, 64, C], as a network sees it: float32[32, 32, C] in [-0.5, 0.5]."""
    rows, columns, channels = frame.shape
    cells = frame.reshape(rows // 2, 2, columns // 2, 2, channels).sum(axis=(1, 3), dtype=np.uint16)
    seen: Values = cells.astype(np.float32) / np.float32(4 * 255) - np.float32(0.5)
    return seen


class Network:
    """Two convolutions of stride 2 and two dense layers, rectified.

    Args:
        weights: `conv1` float[5, 5, C, K], `conv2` float[3, 3, K, L], `dense` float[features, M], `out` float[M, N],
            and a bias `..._bias` of each.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float16]]) -> None:
        self.weights = {name: values.astype(np.float32) for name, values in weights.items()}

    def __call__(self, seen: Values) -> Values:
        """Return the outputs, float32[N], for what is seen, float32[rows, columns, C]."""
        return self._layer(self.features(seen), "out")

    def features(self, seen: Values) -> Values:
        """Return what the outputs are read from, float32[M]."""
        values = self._convolved(self._convolved(seen, "conv1"), "conv2").reshape(-1)
        found: Values = np.maximum(self._layer(values, "dense"), 0)
        return found

    def _convolved(self, values: Values, name: str) -> Values:
        weight = self.weights[name]
        side, _, channels, filters = weight.shape
        windows = sliding_window_view(values, (side, side), axis=(0, 1))[::2, ::2]
        down, across = windows.shape[:2]
        flat = windows.transpose(0, 1, 3, 4, 2).reshape(down * across, side * side * channels)
        found = flat @ weight.reshape(-1, filters) + self.weights[f"{name}_bias"]
        rectified: Values = np.maximum(found, 0).reshape(down, across, filters)
        return rectified

    def _layer(self, values: Values, name: str) -> Values:
        found: Values = values @ self.weights[name] + self.weights[f"{name}_bias"]
        return found


@lru_cache(maxsize=1)
def network() -> Network:
    """Return the shipped network.

    Raises:
        DriverError: If the file is not the one that came with this version.
    """
    from safetensors.numpy import load

    try:
        content = read_plain(WEIGHTS, _MOST_BYTES)
    except OSError as error:
        raise DriverError(f"cannot read {WEIGHTS}: {error.strerror or error}; install Racer again") from error
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise DriverError(f"{WEIGHTS} is not the file that comes with this version; install Racer again")
    return Network(load(content))


@dataclass(frozen=True)
class PixelTraits:
    """What makes one such person differ from another."""

    gain: float
    """How strongly the person does what the network says."""
    noise: float
    """Standard deviation of what is added to its outputs, in units of their scale."""
    yaw_share: float
    """How much of the turning still to come is taken off what is wanted, 0 to 1."""
    reaction_ms: float
    lapses: float
    """Per second; see `racer.drivers.wheel.Hand`."""
    lapse_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PixelTraits:
        """Draw the traits of one person."""
        return cls(
            gain=float(rng.uniform(0.8, 1.2)),
            noise=float(rng.uniform(0.0, 0.4)),
            yaw_share=float(rng.uniform(0.8, 1.0)),
            reaction_ms=float(rng.uniform(50, 300)),
            lapses=float(rng.uniform(0.0, 0.1)),
            lapse_ms=float(rng.uniform(100, 200)),
        )


class PixelDriver:
    """Steers to the angle of the front wheels that a network reads off the frame.

    Args:
        traits: How it looks and steers.
        network: Frame to angle, in `STEER_SCALE`.
        rng: Of its noise and lapses.
        pace: Steps per second.
    """

    def __init__(self, traits: PixelTraits, network: Network, rng: np.random.Generator, pace: float) -> None:
        self.traits = traits
        self._network = network
        self._rng = rng
        self._hand = Hand(traits.reaction_ms, traits.lapses, traits.lapse_ms, pace, rng)

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._hand.reset()

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (left), 1 (straight) or 2 (right)."""
        traits, hand = self.traits, self._hand
        (angle,) = self._network(reduced(frame)).tolist()
        wanted = STEER_SCALE * (traits.gain * angle + traits.noise * self._rng.standard_normal())
        wanted -= traits.yaw_share * hand.coming
        return hand.press(hand.toward(min(max(wanted, -WHEEL_LIMIT), WHEEL_LIMIT)))


def _make(task: Task, person: int, dice: int) -> PixelDriver:
    traits = PixelTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    rng = np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1])
    return PixelDriver(traits, network(), rng, task.spec.pace)


PIXEL_POLICY = DriverFamily(
    name="pixel-policy",
    tasks=("car-racing",),
    summary="does what a small network, taught on original frames, reads off the pixels",
    source=(
        "Bojarski et al., End to end learning for self-driving cars (arXiv 1604.07316), taught by an expert that "
        "knows the state (Chen, Zhou, Koltun and Krähenbühl, Learning by cheating, 2019) on its own drives (Ross, "
        "Gordon and Bagnell, DAgger, 2011): pure pursuit (Coulter 1992) on the road; a much smaller network, and a hand"
    ),
    make=_make,
)
