"""Probes: a drive stops, the frame that is due is shown as it is or as it arrived, and what is answered is recorded.

Which of the two chance decides, and nobody is told. So whatever differs between the answers to the one and to the other
comes from what the channel did to the frame: what PICO's equation 1 asks of people, at states that their own driving
led to. What keys are down at the end of `PROBE_SECONDS`, or were tapped, is the answer; then the drive goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

PROBE = "probe"
"""Kind of the event that holds an answer, and what the pause around it is said to be of."""
PROBE_SECONDS = 1.5
"""For how long a frame is shown."""
_ORIGINAL, _SHOWN = "original", "shown"


@dataclass(frozen=True)
class Probe:
    """One answer."""

    step: int
    """Step of the episode: its frame was shown, and no other action was taken since step `step` - 1."""
    original: bool
    """Whether the original was shown, and not what arrived."""
    action: int
    """What was answered, an index into the task's actions."""

    def detail(self, actions: tuple[str, ...]) -> str:
        """Return what is recorded, such as `original left`, given the names of the actions."""
        return f"{_ORIGINAL if self.original else _SHOWN} {actions[self.action]}"


def read_probe(step: int, detail: str, actions: tuple[str, ...]) -> Probe | None:
    """Return what was recorded as `Probe.detail` in a step; None for what cannot be."""
    kind, _, name = detail.partition(" ")
    if kind not in (_ORIGINAL, _SHOWN) or name not in actions or step < 1:
        return None
    return Probe(step, kind == _ORIGINAL, actions.index(name))


def draw_probes(count: int, steps: int, rng: np.random.Generator) -> dict[int, bool]:
    """Return the steps of an episode at which it stops, and whether the original is shown there.

    Each lies in an equal part of the steps from 1 on.

    Args:
        count: How many, fewer than there are steps.
        steps: Of the episode.
        rng: Decides.
    """
    ends = np.linspace(1, steps, count + 1).astype(int)
    places = [int(rng.integers(first, last)) for first, last in pairwise(ends)]
    return {place: bool(rng.random() < 0.5) for place in places}
