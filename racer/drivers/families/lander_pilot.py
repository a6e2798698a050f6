"""Simulated pilots of the lunar lander: they look at the shown frame alone and press left, main, right or nothing.

A pilot reads off the frame where the pad is, how fast the craft flies and how it is tilted, through noisy eyes. It
flies towards the pad's middle at a speed that falls with the distance, tilting the craft to get there, and lets it down
the more slowly the lower it is. Each one is drawn from a seed: how bold it is, the errors it tolerates, how noisy its
eyes are, how many steps its hand lags behind, and how often it presses a key by mistake.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.craft import FEEL, STEP, WAY, Motion
from racer.drivers.driver import DriverError, DriverFamily
from racer.tasks.lunar_lander.scenery import PAD_WIDTH
from racer.tasks.lunar_lander.sight import FAR, Eye, Sight
from racer.tasks.lunar_lander.task import COAST, LEFT, MAIN, RIGHT, LunarLander
from racer.tasks.task import Task


@dataclass(frozen=True)
class LanderTraits:
    """What makes one simulated pilot differ from another."""

    descent: float
    """Units/s at which it lets the craft down where the ground is not near."""
    caution: float
    """Units/s more for every unit of height near the ground: the less, the earlier it brakes."""
    boldness: float
    """Units/s towards the pad for every unit beside it."""
    steepest: float
    """Radians by which it tilts the craft at most."""
    tilt_dead_zone: float
    """Radians of wanted turn below which it leaves the tilt alone."""
    lift_dead_zone: float
    """Units/s too fast a fall that it lets pass."""
    noise: float
    """Standard deviation of what it perceives: units of place and units/s of speed; radians, a fifth of it."""
    delay: int
    """Steps from seeing to pressing, 3 to 7 (150 to 350 ms at 20 steps a second)."""
    anticipation: float
    """How much of what its pressed keys will still cause it takes into account, 0 to 1."""
    lapses: float
    """Probability per step of beginning to hold a random key."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> LanderTraits:
        """Draw the traits of one pilot."""
        return cls(
            descent=float(rng.uniform(1.6, 2.8)),
            caution=float(rng.uniform(0.4, 0.9)),
            boldness=float(rng.uniform(0.3, 0.7)),
            steepest=float(rng.uniform(0.25, 0.5)),
            tilt_dead_zone=float(rng.uniform(0.03, 0.15)),
            lift_dead_zone=float(rng.uniform(0.1, 0.6)),
            noise=float(rng.uniform(0.1, 0.6)),
            delay=int(rng.integers(3, 8)),
            anticipation=float(rng.uniform(0.6, 1.0)),
            lapses=float(rng.uniform(0.0, 0.02)),
        )

    @classmethod
    def of(cls, person: int) -> LanderTraits:
        """Return the traits of one person, a number of 0 or more."""
        return cls.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))


_LONGEST_LAPSE = 10
"""Steps for which a key is held by mistake at most."""
_LASTING = 0.9
"""How much of a misjudgement is left a step later."""
_FASTEST = 2.5
"""Units/s towards the pad at most."""
_LEAN = 0.4
"""Wanted tilt, radians, for every unit/s that is missing."""
_TURN_DAMPING = 0.35
"""Seconds for which the craft is thought to go on turning."""
_TOUCH_DOWN = 0.4
"""Units/s at which the craft is set down."""
_LOW = 1.0
"""Units of height below which the craft is brought upright."""
_DOWN, _SLOW = 0.25, 1.0
"""Units and units/s: below both the craft stands."""
_SLOPE, _CLIMB = 0.6, 0.4
"""Units of height for every unit beside the pad below which the pilot climbs, and at how many units/s."""
_TURN_SCALE, _LIFT_SCALE = 0.3, 0.6
"""Radians and units/s that are as urgent as each other."""
_FOLLOW_TILT, _FOLLOW_TURNING = 0.4, 0.08
"""How much of a surprising tilt is believed, and taken for turning, each step."""
_FOLLOW_NEEDLE, _FOLLOW_PLACE, _FOLLOW_SPEED = 0.15, 0.3, 0.04
"""How much of what the needle says is believed each step, of a surprising place, and taken for speed."""
_JUMP = 0.5
"""Units by which nothing moves in a step."""


class LanderPilot:
    """Flies towards the pad's middle and lets the craft down, by what it sees.

    Args:
        task: How the craft is handled and how much is in view.
        traits: How it looks and flies.
        dice: Seed of every random choice it makes, 0 or more.
    """

    def __init__(self, task: LunarLander, traits: LanderTraits, dice: int) -> None:
        self.traits = traits
        self._eye = Eye(task.view)
        self._feel = FEEL[task.handling]
        # Of two streams the second: where one number is both, a person's traits and chances must not be the same draws.
        self._rng = np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1])
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on, so that no two trials are alike."""
        self._aside = self._height = math.inf
        self._across = self._up = 0.0
        self._tilt = self._turning = 0.0
        self._error = np.zeros(5)
        self._mistake: deque[int] = deque()
        self._hand: deque[int] = deque([COAST] * self.traits.delay)

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (coast), 1 (left), 2 (main) or 3 (right)."""
        self._hand.append(self._decide(self._eye.see(frame)))
        pressed = self._hand.popleft()
        self._turning += self._feel.turn * WAY.get(pressed, 0)
        self._tilt += self._turning * STEP
        if pressed == MAIN:
            self._up += self._feel.lift * math.cos(self._tilt)
            self._across -= self._feel.lift * math.sin(self._tilt)
        return pressed

    def _decide(self, sight: Sight) -> int:
        traits = self.traits
        fresh = traits.noise * math.sqrt(1 - _LASTING**2) * self._rng.standard_normal(5)
        self._error = _LASTING * self._error + fresh
        noise = self._error.tolist()
        lapse, key, length = (
            self._rng.random(),
            int(self._rng.integers(4)),
            int(self._rng.integers(1, _LONGEST_LAPSE + 1)),
        )
        self._follow_motion(sight)
        if sight.axis is not None:
            self._follow_tilt(sight.axis + noise[4] / 5)
        if lapse < traits.lapses:
            self._mistake = deque([key] * length)
        if self._mistake:
            return self._mistake.popleft()
        aside, height = self._aside + noise[0], self._height + noise[1]
        coming = Motion(self._across + noise[2], self._up + noise[3], self._tilt, self._turning).after(
            self._hand, self._feel, traits.anticipation
        )
        across, up, tilt, turning = coming.across, coming.up, coming.tilt, coming.turning
        if height < _DOWN and abs(up) < _SLOW:
            return COAST  # it stands, or is about to

        towards = float(np.clip(traits.boldness * aside, -_FASTEST, _FASTEST))
        lean = float(np.clip(_LEAN * (across - towards), -traits.steepest, traits.steepest)) * float(
            np.clip(height / _LOW, 0.0, 1.0)
        )
        turn = lean - tilt - _TURN_DAMPING * turning
        wanted_up = -min(traits.descent, _TOUCH_DOWN + traits.caution * max(height, 0.0))
        if height < _SLOPE * (abs(aside) - PAD_WIDTH / 3) or abs(aside) >= FAR:
            wanted_up = _CLIMB  # there may be a mountain in between

        turn_needed = (abs(turn) - traits.tilt_dead_zone) / _TURN_SCALE
        lift_needed = (wanted_up - up - traits.lift_dead_zone) / _LIFT_SCALE
        if max(turn_needed, lift_needed) <= 0:
            return COAST
        if lift_needed > turn_needed:
            return MAIN
        return LEFT if turn > 0 else RIGHT

    def _follow_motion(self, sight: Sight) -> None:
        """Follow place and speed: by the needle, by how the pad moves, and by what the craft falls in flight."""
        if self._height > _LOW:
            self._up -= self._feel.fall
        self._across += _FOLLOW_NEEDLE * (sight.across - self._across)
        self._up += _FOLLOW_NEEDLE * (sight.up - self._up)
        self._aside, towards = _followed(self._aside, -self._across, sight.aside)
        self._height, self._up = _followed(self._height, self._up, sight.height)
        self._across = -towards

    def _follow_tilt(self, axis: float) -> None:
        """Follow the tilt: a line is the same upside down, so it is taken for that which is nearest to the last."""
        surprise = math.remainder(axis - self._tilt, math.pi)
        self._tilt += _FOLLOW_TILT * surprise
        self._turning += _FOLLOW_TURNING * surprise / STEP


def _followed(kept: float, speed: float, seen: float | None) -> tuple[float, float]:
    """Return where something is thought to be after a step, and how fast it moves there; inf is nowhere yet."""
    kept += speed * STEP
    if seen is None or abs(seen) >= FAR:
        return kept if seen is None else seen, speed
    surprise = seen - kept
    if abs(surprise) > _JUMP:  # another look at it, not a motion
        return seen, speed
    return kept + _FOLLOW_PLACE * surprise, speed + _FOLLOW_SPEED * surprise / STEP


def _make(task: Task, person: int, dice: int) -> LanderPilot:
    if not isinstance(task, LunarLander):
        raise DriverError(f"lander pilots fly lunar-lander; got task {task.spec.name}")
    return LanderPilot(task, LanderTraits.of(person), dice)


LANDER_PILOT = DriverFamily(
    name="lander-pilot",
    tasks=("lunar-lander",),
    summary="flies towards the pad and lets the craft down slowly, with noisy eyes and a slow hand",
    source=(
        "Racer's own; late and mistaken keys as of the simulated pilots of Reddy et al., Shared Autonomy via Deep "
        "Reinforcement Learning (2018), which see the state instead of frames"
    ),
    make=_make,
)
