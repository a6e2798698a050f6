"""Noise: what may happen to a packet between the two ends of the channel.

- `flips`: every bit is inverted with probability `rate` (a binary symmetric channel).
- `erasures`: every packet is lost with probability `rate`, and the receiver knows it.
- `gaussian`: every bit is sent as +1 or -1, Gaussian noise of standard deviation `rate` is added, and the sign decides
  (binary phase shift keying over the additive white Gaussian noise channel of RL-ASC's figure 12, Huang et al. 2022,
  arXiv 2208.04094, where the decoder sees bits as well). The signal-to-noise ratio is -20 log10(rate) dB.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from compression.errors import NoiseError

NoiseName = Literal["none", "flips", "erasures", "gaussian"]
NOISES: tuple[str, ...] = get_args(NoiseName)
MOST_DEVIATION = 100.0
"""Largest standard deviation of Gaussian noise: 40 dB below it nothing of a signal is left."""


def check_noise(kind: str, rate: float) -> None:
    """Raise NoiseError unless there is such noise of such a rate."""
    if kind not in NOISES:
        raise NoiseError(f"noise must be one of {', '.join(NOISES)}; got {kind!r}")
    most = MOST_DEVIATION if kind == "gaussian" else 1.0
    if not (math.isfinite(rate) and 0 <= rate <= most):
        raise NoiseError(f"noise rate of {kind} must lie between 0 and {most:g}; got {rate}")
    if kind == "none" and rate:
        raise NoiseError(f"a noise rate of {rate:g} needs a kind of noise: {', '.join(NOISES[1:])}")


class Link:
    """Carries packets from one end to the other and does to them what noise does.

    Args:
        kind: Of noise.
        rate: Of noise; its meaning depends on the kind.
        rng: Decides what is hit. As many numbers are drawn for every packet of the same size, whatever is in it.

    Raises:
        NoiseError: If there is no such noise.
    """

    def __init__(self, kind: NoiseName, rate: float, rng: np.random.Generator) -> None:
        check_noise(kind, rate)
        self.kind = kind
        self._rate = rate
        self._rng = rng

    @property
    def noisy(self) -> bool:
        """Whether anything may happen to a packet."""
        return self.kind != "none"

    def carry(self, packet: bytes, slot_bits: int, slots: int = 1) -> bytes | None:
        """Return what arrives of a packet of `slots` slots, each a big-endian integer of `slot_bits`; None if lost.

        Only the bits of the slots cross, not those that fill them up to whole bytes.
        """
        if self.kind == "none":
            return packet
        if self.kind == "erasures":
            return None if self._rng.random() < self._rate else packet
        bits = np.unpackbits(np.frombuffer(packet, np.uint8)).reshape(slots, -1)
        crossing = bits[:, bits.shape[1] - slot_bits :]
        crossing ^= self._hit(crossing)
        return np.packbits(bits).tobytes()

    def _hit(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which bits, uint8[slots, slot_bits], arrive as the other one."""
        if self.kind == "flips":
            return self._rng.random(bits.shape) < self._rate
        sign = 2.0 * bits - 1
        hit: NDArray[np.bool_] = sign * (sign + self._rate * self._rng.standard_normal(bits.shape)) < 0
        return hit
