"""Protocols: which episodes one sitting consists of, in which order, from which seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal, get_args

import numpy as np

from racer.errors import ConfigError
from racer.loop.episode import block_seeds
from racer.tasks.task import MOST_SEED

ProtocolName = Literal["pilot", "evaluation"]
EVALUATED = ("random", "pico", "full")
"""Conditions compared by the evaluation protocol."""
EXPLORED = ("random", "pico", "perceptual")
"""Conditions under which a pilot's actions are gathered as negatives."""
CATCH, REPEATS = "catch", "repeats"
"""Phases of single originals among the evaluation."""
ORIGINAL = "raw"
"""The condition that they are shown under."""
DEFAULT_STEPS = 100
SESSION_SEEDS = 1_000_000
"""Seeds of trials in sittings lie below this; latent models are trained on those from here on."""
PILOT_SEEDS = SESSION_SEEDS // 2
"""Where trials stand alone, those of pilots lie below this, and those of evaluated people from here on: a world of few
pictures shows nobody who is evaluated what masks were trained on."""


@dataclass(frozen=True)
class ProtocolConfig:
    """Numbers of episodes and their length."""

    protocol: ProtocolName = "pilot"
    """`pilot`: practice, calibration (`full`), exploration (random masks). `evaluation`: practice, each condition."""
    practice: int = 5
    """Practice episodes, shown `full`."""
    calibration: int = 10
    """Calibration episodes, shown `full` (pilot)."""
    exploration: int = 15
    """Exploration episodes, shown `explore` (pilot)."""
    explore: str = "random"
    """Condition of the exploration: `random`, or in a second round the mask of the first, `pico` or `perceptual`."""
    evaluation: int = 15
    """Episodes per condition (evaluation)."""
    steps: int = DEFAULT_STEPS
    """Steps per episode."""
    conditions: tuple[str, ...] = EVALUATED
    """Conditions of the evaluation."""
    seeds: tuple[int, ...] = ()
    """Seeds of trials that every phase goes through in turn; if empty, each participant gets their own."""
    catch: int = 0
    """Single originals at chance places of an evaluation, by whose right answers attention is told, where trials stand
    alone."""
    repeats: int = 0
    """Single originals of the evaluation shown once more, by which is told how far people agree with themselves, where
    trials stand alone."""
    mixed: bool = False
    """Whether chance decides, round by round, if a pilot is shown `full` or explores, as in the paper's algorithm 1;
    otherwise calibration comes first. Where trials stand alone it always does."""
    probes: int = 0
    """How often a round of an evaluation stops to ask what would be done now, where a task moves on by itself; see
    `racer.loop.probing`."""

    def __post_init__(self) -> None:
        if self.protocol not in get_args(ProtocolName):
            raise ConfigError(f"protocol must be pilot or evaluation; got {self.protocol!r}")
        for name in ("practice", "calibration", "exploration", "evaluation", "catch", "repeats", "probes"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ConfigError(f"{name} episodes must lie between 0 and 1000; got {getattr(self, name)}")
        if not 1 <= self.steps <= 100_000:
            raise ConfigError(f"steps per episode must lie between 1 and 100000; got {self.steps}")
        if self.probes >= self.steps:
            raise ConfigError(f"a round of {self.steps} steps stops fewer than {self.steps} times; got {self.probes}")
        if self.explore not in EXPLORED:
            raise ConfigError(f"explore must be one of {', '.join(EXPLORED)}; got {self.explore!r}")
        if len(set(self.conditions)) != len(self.conditions) or not self.conditions:
            raise ConfigError("conditions must be named once each, and at least one")
        if self.repeats and ORIGINAL not in self.conditions:
            raise ConfigError(f"repeats are of the originals of the evaluation: add {ORIGINAL!r} to the conditions")
        if not all(0 <= seed <= MOST_SEED for seed in self.seeds):
            raise ConfigError(f"seeds of trials must lie between 0 and {MOST_SEED}")


@dataclass(frozen=True)
class EpisodePlan:
    """One episode to drive."""

    number: int
    """Its place in the sitting, from 0."""
    phase: str
    """`practice`, `calibration`, `exploration`, `evaluation`, `catch` or `repeats`."""
    condition: str
    seed: int
    """Seed of its trial; in a block of several, of the first one."""
    steps: int


def plan_episodes(
    config: ProtocolConfig,
    participant: str,
    seed: int,
    order: int,
    shunned: frozenset[int] = frozenset(),
    *,
    alone: bool = False,
) -> list[EpisodePlan]:
    """Return the episodes of a sitting in order.

    Where the protocol names no seeds of trials, they follow from the participant's name and the seed, so that two
    participants meet different ones. Within a participant, every condition is met on the same ones.

    Args:
        config: Numbers of episodes and their length.
        participant: Whose sitting it is.
        seed: Of the study.
        order: Number of this participant among those evaluated; picks the order of conditions.
        shunned: Seeds of trials that must not be met: those that something was fitted to. Named ones are met all the
            same.
        alone: Whether trials stand alone, in a task that waits for answers. It is then always decided by chance, block
            by block, what of a pilot's calibration and exploration comes next, and pilots and evaluated people meet
            seeds of two pools.
    """
    drawn = trial_seeds(participant, seed, shunned, seed_pool(config.protocol, alone))
    plan: list[EpisodePlan] = []

    def seeds(count: int) -> list[int]:
        return list(islice(cycle(config.seeds) if config.seeds else drawn, count))

    def block(phase: str, condition: str, seeds: list[int]) -> None:
        for each in seeds:
            plan.append(EpisodePlan(len(plan), phase, condition, each, config.steps))

    block("practice", "full", seeds(config.practice))
    if config.protocol == "pilot":
        block("calibration", "full", seeds(config.calibration))
        block("exploration", config.explore, seeds(config.exploration))
        if alone or config.mixed:
            plan[config.practice :] = _mixed(plan[config.practice :], participant, seed)
    else:
        evaluated = seeds(config.evaluation)
        for condition in condition_order(config.conditions, order):
            block("evaluation", condition, evaluated)
        if alone:
            caught = seeds(config.catch) if config.catch else []
            plan = _with_singles(plan, config, caught, _chances(f"singles/{seed}/{participant}"))
    return plan


def _with_singles(
    plan: list[EpisodePlan], config: ProtocolConfig, caught: list[int], rng: np.random.Generator
) -> list[EpisodePlan]:
    """Return a plan with pictures for catch trials and repeats among its evaluation, numbered anew.

    A repeat comes at a chance place behind the block of originals that it is of.
    """
    evaluated = [each for each in plan if each.phase == "evaluation"]
    originals = [each for each in evaluated if each.condition == ORIGINAL]
    followed: dict[int, list[EpisodePlan]] = {}

    def place(behind: int, phase: str, seed: int) -> None:
        spot = int(rng.integers(behind, evaluated[-1].number + 1))
        followed.setdefault(spot, []).append(EpisodePlan(0, phase, ORIGINAL, seed, 1))

    for _ in range(config.repeats if originals else 0):
        block = originals[rng.integers(len(originals))]
        place(block.number, REPEATS, int(rng.choice(block_seeds(block.seed, block.steps))))
    for seed in caught if evaluated else []:
        place(evaluated[0].number, CATCH, seed)
    longer = [one for each in plan for one in (each, *followed.get(each.number, ()))]
    return [replace(each, number=number) for number, each in enumerate(longer)]


def condition_order(conditions: tuple[str, ...], order: int) -> tuple[str, ...]:
    """Return the `order`-th order of the conditions, counted around the rows of a balanced Latin square."""
    rows = balanced_rows(len(conditions))
    return tuple(conditions[i] for i in rows[order % len(rows)])


def balanced_rows(size: int) -> list[list[int]]:
    """Return the rows of a balanced Latin square (E. J. Williams, 1949).

    Over all rows every number stands in every place equally often, and follows every other equally often: `size` rows
    where it is even, twice as many where it is odd; of those, the first half and the second are Latin squares.
    """
    zigzag = [(place + 1) // 2 if place % 2 else size - place // 2 for place in range(size)]
    rows = [[(number + shift) % size for number in zigzag] for shift in range(size)]
    return rows if size % 2 == 0 else rows + [row[::-1] for row in rows]


def _mixed(plan: list[EpisodePlan], participant: str, seed: int) -> list[EpisodePlan]:
    """Return episodes in an order drawn by chance, numbered anew."""
    order = _chances(f"order/{seed}/{participant}").permutation(len(plan))
    return [replace(plan[old], number=each.number) for old, each in zip(order, plan, strict=True)]


def _chances(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def seed_pool(protocol: str, alone: bool) -> range:
    """Return the seeds of trials that a sitting draws from; `alone` says whether trials stand alone."""
    if not alone:
        return range(SESSION_SEEDS)
    return range(PILOT_SEEDS) if protocol == "pilot" else range(PILOT_SEEDS, SESSION_SEEDS)


def trial_seeds(participant: str, seed: int, shunned: frozenset[int], pool: range) -> Iterator[int]:
    """Yield the seeds of trials that follow from a participant's name and the study's seed, without end, each once."""
    rng = _chances(f"{seed}/{participant}")
    seen = set(shunned)
    while True:
        found = int(rng.integers(pool.start, pool.stop))
        if found not in seen:
            seen.add(found)
            yield found
