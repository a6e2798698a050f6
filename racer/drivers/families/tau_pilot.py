"""Tau theory: pilots of LunarLander who go by the time in which a gap will close, not by heights and speeds.

Tau is a gap over the speed at which it closes. In the frame it is a ratio of two lengths: how far away the pad is drawn
to how far the needle, which ends where the craft will be in 1.5 s, reaches towards it. A pilot lets tau of the height
run down at a constant rate and closes the gap to the side along with it, by pointing the engine where the craft is to
be pushed.

Eyes go by hue and by brightness: the pad is the rows where most yellow lies, the needle ends where its green does, the
top of the craft is where its legs are not, and the column above the pad is where brightness parts best.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from racer.drivers.craft import FEEL, STEP, Motion
from racer.drivers.driver import DriverError, DriverFamily
from racer.tasks.lunar_lander.scenery import (
    CRAFT_COLUMN,
    CRAFT_ROW,
    FRAME_SIZE,
    NEEDLE_SECONDS,
    PAD_DEPTH,
    PAD_WIDTH,
    STANDING_HEIGHT,
)
from racer.tasks.lunar_lander.task import COAST, LEFT, MAIN, RIGHT, LunarLander
from racer.tasks.task import Task

_YELLOW, _GREEN, _MAGENTA = (35.0, 75.0), (105.0, 180.0), (285.0, 335.0)
"""Degrees of hue."""
_LEAST_CHROMA = 45.0
"""Of 255, below which a pixel has no hue to speak of."""
_LEAST_NEEDLE, _LEAST_LEGS, _LEAST_PAD, _LEAST_ARROW = 300.0, 600.0, 4000.0, 1000.0
"""Sums of chroma: of what is less, nothing is seen."""
_TIP = 0.85
"""Share of the needle that lies before its tip: the rest may be blur."""
_PAD_SHARE = 0.4
"""Share of the pad's depth that lies above its median row; its flags count too."""
_ABOVE = CRAFT_ROW - 9
"""Rows of the frame in which there is sky alone."""
_LEAST_CONTRAST = 9.0
"""Brightness, of 255, by which the column above the pad stands out."""
_BEYOND = 3.0
"""Units beyond the edge of the frame of a pad that only the arrow points to; more than half a pad is wide."""


@dataclass(frozen=True)
class Glimpse:
    """What a frame shows, units of the field; None where it does not show it."""

    aside: float | None
    """How far to the right of the craft the pad's middle is."""
    gap: float | None
    """How far the craft is above standing on the pad."""
    velocity: tuple[float, float] | None
    """To the right and upwards, units/s."""
    tilt: float | None
    """Radians, counter-clockwise is positive."""


class HueEyes:
    """Sees hues and brightness.

    Args:
        width: Units across the frame.
    """

    out_of_view: float
    """Units aside of a pad that only the arrow points to."""

    def __init__(self, width: float) -> None:
        self.out_of_view = width / 2 + _BEYOND
        self._scale = FRAME_SIZE / width
        edges = np.arange(FRAME_SIZE)
        half = PAD_WIDTH * self._scale / 2
        self._middles = np.arange(1.0 - half, FRAME_SIZE + half)
        """Columns at which the middle of the pad may be."""
        self._columns = np.clip(
            np.minimum(edges + 1, self._middles[:, None] + half) - np.maximum(edges, self._middles[:, None] - half),
            0,
            1,
        ).astype(np.float32)
        """Share of each column that lies above a pad there, float32[middles, 64]."""

    def look(self, frame: NDArray[np.uint8]) -> Glimpse:
        """Look at a frame, uint8[64, 64, 3]."""
        chroma, hue = _hues(frame)
        yellow, green, magenta = (
            np.where((hue > low) & (hue < high), chroma, 0.0) for low, high in (_YELLOW, _GREEN, _MAGENTA)
        )
        aside = self._column_of_light(frame)
        gap = None
        if aside is None:
            beside = yellow[CRAFT_ROW - 7 : CRAFT_ROW + 7]
            left, right = float(beside[:, :7].sum()), float(beside[:, -7:].sum())
            if max(left, right) >= _LEAST_ARROW:
                aside = math.copysign(self.out_of_view, right - left)
        else:
            gap = self._gap(yellow[CRAFT_ROW + 1 :].sum(axis=1))
        return Glimpse(aside, gap, self._velocity(green), _tilt(magenta))

    def _column_of_light(self, frame: NDArray[np.uint8]) -> float | None:
        """Return how far to the right of the craft the column of light is that parts the sky's brightness best."""
        bright = frame[:_ABOVE].mean(axis=(0, 2), dtype=np.float32)
        inside = self._columns.sum(axis=1)
        sums = self._columns @ bright
        contrast = sums / inside - (bright.sum() - sums) / (FRAME_SIZE - inside)
        best = int(np.argmax(np.where(contrast > 0, np.square(contrast) * inside * (FRAME_SIZE - inside), 0.0)))
        if contrast[best] < _LEAST_CONTRAST:
            return None
        return float(self._middles[best] - CRAFT_COLUMN) / self._scale

    def _gap(self, rows: NDArray[np.float32]) -> float | None:
        """Return the height above standing on the pad, by the median row of the yellow below the craft."""
        if rows.sum() < _LEAST_PAD:
            return None
        return (_quantile(rows, 0.5) + 1) / self._scale - _PAD_SHARE * PAD_DEPTH - STANDING_HEIGHT

    def _velocity(self, green: NDArray[np.float32]) -> tuple[float, float] | None:
        """Return the velocity by where the needle ends, which begins at the craft's middle."""
        total = float(green.sum())
        if total < _LEAST_NEEDLE:
            return None
        rows, columns = np.nonzero(green)
        right, down, weights = columns + 0.5 - CRAFT_COLUMN, rows + 0.5 - CRAFT_ROW, green[rows, columns]
        way = np.array([weights @ right, weights @ down]) / total
        length = float(np.hypot(*way))
        if length < 0.5:
            return 0.0, 0.0
        along = (right * way[0] + down * way[1]) / length
        order = np.argsort(along, kind="stable")
        reached = np.searchsorted(np.cumsum(weights[order]), _TIP * total)
        seconds = float(along[order[min(int(reached), len(order) - 1)]]) / _TIP / self._scale / NEEDLE_SECONDS / length
        return float(way[0]) * seconds, -float(way[1]) * seconds


def _hues(frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return chroma, 0 where there is too little, and hue in degrees: float32[64, 64] each."""
    red, green, blue = (frame[:, :, channel].astype(np.float32) for channel in range(3))
    chroma = frame.max(axis=2).astype(np.float32) - frame.min(axis=2)
    hue = np.degrees(np.arctan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    return np.where(chroma < _LEAST_CHROMA, 0.0, chroma).astype(np.float32), hue


def _quantile(weights: NDArray[np.float32], share: float) -> float:
    """Return where, from the first one's beginning on, a share of the weights is passed."""
    sums = np.cumsum(weights)
    wanted = share * float(sums[-1])
    at = int(np.searchsorted(sums, wanted))
    return at + 1 - (float(sums[at]) - wanted) / max(float(weights[at]), 1e-6)


def _tilt(magenta: NDArray[np.float32]) -> float | None:
    """Return the tilt: the craft's top points away from its legs."""
    near = magenta[CRAFT_ROW - 10 : CRAFT_ROW + 10, CRAFT_COLUMN - 10 : CRAFT_COLUMN + 10]
    total = float(near.sum())
    if total < _LEAST_LEGS:
        return None
    places = np.arange(20) + 0.5 - 10
    return math.atan2(float(near.sum(axis=0) @ places) / total, float(near.sum(axis=1) @ places) / total)


@dataclass(frozen=True)
class TauTraits:
    """What makes one such pilot differ from another."""

    rate: float
    """Seconds by which tau is let run down in a second: k of constant tau-dot. 0.5 is braking evenly, more is braking
    the harder the nearer the ground is."""
    onset: float
    """Tau of the height at which braking begins, seconds."""
    cruise: float
    """Units/s at which it falls until then."""
    coupling: float
    """Tau of the gap to the side over that of the height: below 1, the craft is above the pad before it is down."""
    hurry: float
    """Units/s to the side at most."""
    lead: float
    """Seconds in which a wrong speed is to be put right."""
    steepest: float
    """Radians by which it tilts the craft at most."""
    tolerance: float
    """Radians of wrong tilt that it lets pass."""
    noise: float
    """Standard deviation of each perceived length, as a share of it (Weber)."""
    reaction_ms: float
    """From seeing to pressing, milliseconds."""
    anticipation: float
    """How much of what its pressed keys will still cause it takes into account, 0 to 1."""
    lapses: float
    """How often in a second the hand stays where it is."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> TauTraits:
        """Draw the traits of one pilot."""
        return cls(
            rate=float(rng.uniform(0.5, 0.65)),
            onset=float(rng.uniform(1.8, 2.6)),
            cruise=float(rng.uniform(2.0, 2.8)),
            coupling=float(rng.uniform(0.35, 0.6)),
            hurry=float(rng.uniform(1.8, 2.6)),
            lead=float(rng.uniform(0.45, 0.8)),
            steepest=float(rng.uniform(0.3, 0.5)),
            tolerance=float(rng.uniform(0.03, 0.1)),
            noise=float(rng.uniform(0.02, 0.12)),
            reaction_ms=float(rng.uniform(150, 350)),
            anticipation=float(rng.uniform(0.6, 1.0)),
            lapses=float(rng.uniform(0.0, 0.3)),
        )


_LASTING = 0.9
"""How much of a misjudgement is left a step later."""
_LAPSE_MS = 200.0
_BELIEF = 0.35
"""How much of what is seen is believed each step; the rest is what was expected."""
_TURNING_BELIEF = 0.04
_TURN_LEAD = 0.3
"""Seconds for which the craft is thought to go on turning."""
_MOST_DUE = 3.0
"""Steps of the main engine that may be put off for the sake of the tilt."""
_FAR_ASKEW = 0.5
"""Radians of wrong tilt in which the main engine is of no use."""
_SHORTEST = 0.7
"""Tau of the gap to the side, seconds, that is aimed at at least."""
_LOW = 1.0
"""Units of height below which the craft is brought upright."""
_DOWN, _SLOW = 0.25, 1.0
"""Units and units/s: below both the craft stands."""
_TOUCH_DOWN = 0.3
"""Units/s at which the craft goes on down where the gap is all but closed."""
_ROOM = 0.6
"""Units beside the pad's middle that are no gap to be closed."""
_CLIMB = 0.4
"""Units/s at which it climbs where the pad is out of view: there may be a mountain in between."""


class TauPilot:
    """Lets the taus of height and side run down together.

    Args:
        task: How the craft is handled and how much is in view.
        traits: How it looks and flies.
        rng: Of the noise of its eyes and of its lapses; six numbers are drawn in every step.
    """

    def __init__(self, task: LunarLander, traits: TauTraits, rng: np.random.Generator) -> None:
        self.traits = traits
        self._eyes = HueEyes(task.view)
        self._feel = FEEL[task.handling]
        self._pace = task.spec.pace or 1.0
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """Forget the last trial; the random stream goes on."""
        self._motion = Motion(0.0, 0.0, 0.0, 0.0)
        self._aside: float | None = None
        self._gap: float | None = None
        self._error = np.zeros(5)
        self._due = 0.0
        self._away = 0
        self._pressed = COAST
        self._hand: deque[int] = deque([COAST] * round(self.traits.reaction_ms * self._pace / 1000))

    def act(self, frame: NDArray[np.uint8]) -> int:
        """Return what to do on seeing `frame`, uint8[64, 64, 3]: 0 (coast), 1 (left), 2 (main) or 3 (right)."""
        fresh, lapse = self._rng.standard_normal(5), self._rng.random()
        self._error = _LASTING * self._error + self.traits.noise * math.sqrt(1 - _LASTING**2) * fresh
        self._follow(self._eyes.look(frame))
        self._hand.append(self._decide())
        due = self._hand.popleft()
        if lapse < self.traits.lapses / self._pace:
            self._away = max(round(_LAPSE_MS * self._pace / 1000), 1)
        if self._away:
            self._away -= 1
        else:
            self._pressed = due
        self._motion = self._motion.after((self._pressed,), self._feel, 1.0)
        return self._pressed

    def _follow(self, seen: Glimpse) -> None:
        """Follow what moves, a little behind: what is not seen is thought to go on as it did."""
        wrong = (1 + self._error).tolist()
        at = self._motion
        across, up, tilt, turning = at.across, at.up, at.tilt, at.turning
        if seen.velocity is not None:
            across += _BELIEF * (seen.velocity[0] * wrong[0] - across)
            up += _BELIEF * (seen.velocity[1] * wrong[1] - up)
        if seen.tilt is not None:
            surprise = math.remainder(seen.tilt + self._error.tolist()[4] / 3 - tilt, 2 * math.pi)
            tilt += _BELIEF * surprise
            turning += _TURNING_BELIEF * surprise / STEP
        self._motion = Motion(across, up, tilt, turning)
        self._aside = _followed(self._aside, -across, seen.aside, wrong[2], self._eyes.out_of_view)
        self._gap = _followed(self._gap, up, seen.gap, wrong[3], self._eyes.out_of_view)

    def _decide(self) -> int:
        traits, feel = self.traits, self._feel
        coming = self._motion.after(self._hand, feel, traits.anticipation)
        if self._gap is not None and self._gap < _DOWN and abs(coming.up) < _SLOW:
            return COAST  # it stands, or is about to
        wanted_across, wanted_up = self._wanted()
        push_right = (wanted_across - coming.across) / traits.lead
        push_up = (wanted_up - coming.up) / traits.lead + feel.fall / STEP
        lean = math.atan2(-push_right, max(push_up, 0.5 * feel.fall / STEP))
        upright = 1.0 if self._gap is None else min(max(self._gap / _LOW, 0.0), 1.0)
        lean = min(max(lean, -traits.steepest), traits.steepest) * upright
        push = push_up * math.cos(coming.tilt) - push_right * math.sin(coming.tilt)
        self._due = min(self._due + min(max(push * STEP / feel.lift, 0.0), 1.0), _MOST_DUE)
        askew = lean - coming.tilt - _TURN_LEAD * coming.turning
        if abs(askew) > traits.tolerance and (self._due < _MOST_DUE - 1 or abs(askew) > _FAR_ASKEW):
            return LEFT if askew > 0 else RIGHT
        if self._due < 1:
            return COAST
        self._due -= 1
        return MAIN

    def _wanted(self) -> tuple[float, float]:
        """Return the velocity, units/s to the right and upwards, at which both gaps close as they are to."""
        traits = self.traits
        if self._aside is None:
            return 0.0, -traits.cruise / 2
        tau, down = traits.onset, traits.cruise
        if self._gap is not None:
            gap = max(self._gap, 0.0)
            # Where tau runs down at the rate k from the onset on, it is a power of the gap: tau = onset (gap / from)^k.
            tau = traits.onset * min(gap / (traits.onset * traits.cruise), 1.0) ** traits.rate
            down = max(min(gap / max(tau, STEP), traits.cruise), _TOUCH_DOWN)
        beside = max(abs(self._aside) - _ROOM, 0.0)
        across = min(abs(self._aside) / max(traits.coupling * tau, _SHORTEST), traits.hurry)
        if abs(self._aside) >= self._eyes.out_of_view:
            return math.copysign(across, self._aside), _CLIMB
        if self._gap is not None and beside:  # the height must not close before the side
            closing = math.copysign(self._motion.across, self._motion.across * self._aside)
            down = min(down, traits.coupling * self._gap * max(closing, across / 2) / beside)
        return math.copysign(across, self._aside), -down


def _followed(kept: float | None, speed: float, seen: float | None, wrong: float, most: float) -> float | None:
    """Return how large a gap is thought to be after a step, given the speed at which it widens, units/s.

    From `most` on it is no more than a guess, and is not smoothed.
    """
    if seen is None:
        return None if kept is None else kept + speed * STEP
    if kept is None or abs(seen) >= most or abs(kept) >= most:
        return seen
    return kept + speed * STEP + _BELIEF * (seen * wrong - kept - speed * STEP)


def _make(task: Task, person: int, dice: int) -> TauPilot:
    if not isinstance(task, LunarLander):
        raise DriverError(f"tau pilots fly lunar-lander; got task {task.spec.name}")
    traits = TauTraits.draw(np.random.default_rng(np.random.SeedSequence(person).spawn(2)[0]))
    return TauPilot(task, traits, np.random.default_rng(np.random.SeedSequence(dice).spawn(2)[1]))


TAU_PILOT = DriverFamily(
    name="tau-pilot",
    tasks=("lunar-lander",),
    summary="lets the times in which height and side will close run down together",
    source=(
        "constant tau-dot (Lee, A theory of visual control of braking based on information about time-to-collision, "
        "Perception 1976) and coupled taus (Lee, Guiding movement by coupling taus, Ecological Psychology 1998), for "
        "helicopter pilots in Padfield, Lee and Bradley (How do helicopter pilots know when to stop, turn or pull up?, "
        "Journal of the American Helicopter Society 2003); the engine points where the craft is to be pushed (Klumpp, "
        "Apollo lunar descent guidance, Automatica 1974); eyes, hand and the turns of keys are new"
    ),
    make=_make,
)
"""Pilots who go by time to contact."""
