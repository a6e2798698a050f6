"""Checks of a recording against what follows from its study, its participant's name and its order of conditions.

Seeds of trials and random masks are drawn from these, and the order of conditions is a row of a Latin square. So
whoever exchanges two labels, renames a person or takes an episode away would have to find another name that draws the
same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compression.coders.packet import layout_for
from compression.errors import CompressionError
from compression.masks import RandomMasks
from racer.drivers.registry import driver_seed
from racer.errors import ConfigError
from racer.recordings.expectation import config_part
from racer.recordings.receiving import recorded_sizes
from racer.sitting.protocol import REPEATS, EpisodePlan, ProtocolConfig, plan_episodes, seed_pool, trial_seeds
from sessions import Episode, Session, SessionInfo
from sessions.reader import trial_starts
from sessions.verify import Check, Columns, Finding

_RANDOM = "random"
_FORMER_NAMES = {"tracks": "seeds"}
"""Present names of the protocol's settings, by their names in version 0.1.0."""
_MOST_PASSED_OVER = 16
"""Seeds among those drawn that a mask may have been trained on: of a million, a hundred were."""


class ScheduleCheck(Check):
    """The episodes come in the order, on the trials and with the random masks that follow from name, seed and order."""

    name = "schedule"

    def session(self, session: Session) -> Iterator[Finding]:
        """Make the plan anew, and compare what the session says of itself with its configuration."""
        self._info = session.info
        self._driven: list[tuple[int, Episode, NDArray[np.bool_]]] = []
        self._accepted = 0
        asked = config_part(session, "protocol")
        self._plans = _plans(session.info, asked)
        self._named = bool(asked.get("seeds") or asked.get("tracks"))
        if self._plans is None:
            yield self.found("skipped", "the configuration does not say what the plan follows from")
        config = session.info.config | {"protocol": asked.get("protocol")}
        for name in ("participant", "protocol", "driver", "trial_run"):
            told = getattr(session.info, name)
            if config.get(name) not in (None, told):
                yield self.found("fail", f"{name} is {told!r} and the configuration says {str(config[name])[:60]!r}")

    def episode(self, episode: Episode, columns: Columns) -> Iterator[Finding]:
        """Note what was driven, after how many that count."""
        redrawn = episode.info.condition == _RANDOM and not episode.info.noisy
        masks = columns["mask"] if redrawn else columns["mask"][:0]
        self._driven.append((self._accepted, episode, masks.copy()))
        self._accepted += episode.accepted
        yield from ()

    def end(self, session: Session) -> Iterator[Finding]:
        """Compare what was driven with the plan, and its random masks with those drawn anew."""
        if self._plans is None or not self._driven:
            return
        # A recording that continues another one does not say with which episode.
        offsets = range(len(self._plans)) if session.info.resumes else range(1)
        wrong = [self._first_wrong(offset) for offset in offsets]
        fitting = [offset for offset, reason in enumerate(wrong) if reason is None]
        if not fitting:
            yield self.found("fail", wrong[0] or "")
            return
        # Episodes of a plan may look alike: where one continuation draws the recorded masks, it is that one.
        yield from min((list(self._masks(offset)) for offset in fitting), key=len)

    def _first_wrong(self, offset: int) -> str | None:
        """Return what differs from the plan, if the first episode is its `offset`-th."""
        assert self._plans is not None
        drawn: frozenset[int] | None = None
        for before, episode, _ in self._driven:
            if offset + before >= len(self._plans):
                return None if offset == 0 else "it has more episodes than planned"  # which the check of the plan says
            plan, info = self._plans[offset + before], episode.info
            due = f"{plan.phase}, {plan.condition}, seed {plan.seed}"
            if (info.phase, info.condition) != (plan.phase, plan.condition):
                return f"episode {episode.index} is {info.phase}, {info.condition} where {due} was due"
            if info.seed == plan.seed:
                continue
            if plan.phase == REPEATS and any(info.seed in other.stimulus for _, other, _ in self._driven[:before]):
                continue  # of a block whose own seed was passed over
            # What a mask was trained on is passed over when seeds are drawn, and the mask need not be here.
            drawn = drawn or self._drawn()
            if self._named or not self._info.fitted_sha256 or info.seed not in drawn:
                return f"episode {episode.index} is on seed {info.seed} where {due} was due"
        return None

    def _drawn(self) -> frozenset[int]:
        """Return the seeds that may have been drawn for this person, whatever was passed over."""
        assert self._plans is not None
        pool = seed_pool(self._info.protocol, not self._info.task.paced)
        draws = trial_seeds(self._info.participant, _seed(self._info), frozenset(), pool)
        return frozenset(islice(draws, len(self._plans) + _MOST_PASSED_OVER))

    def _masks(self, offset: int) -> Iterator[Finding]:
        seed = driver_seed(f"{_seed(self._info)}/{self._info.participant}")
        for before, episode, masks in self._driven:
            if not len(masks):
                continue
            sizes = recorded_sizes(self._info.task)
            try:
                sent = layout_for(episode.info.bits_per_step, sizes).sent
            except CompressionError:
                continue  # as the check of packets says
            policy = RandomMasks(sizes.blocks, np.random.default_rng([seed, offset + before]))
            begins = np.zeros(len(masks), bool)
            begins[[0] if self._info.task.paced else trial_starts(episode.stimulus)] = True
            new = begins | (episode.info.mask_interval == "step")
            drawn = np.array([policy.choose(np.zeros(0, np.float32), sent) for _ in range(new.sum())])
            drawn = drawn[new.cumsum() - 1]
            if (differing := np.flatnonzero((masks != drawn).any(axis=1))).size:
                yield self.failed(episode, f"mask at step {differing[0]} is not the one that was to be drawn")


def _seed(info: SessionInfo) -> int:
    seed = info.config.get("seed")
    return seed if type(seed) is int else 0


def _plans(info: SessionInfo, protocol: dict[str, object]) -> list[EpisodePlan] | None:
    """Return the plan that follows from a session's configuration; None where that says too little."""
    order, seed = info.config.get("order"), info.config.get("seed")
    if type(order) is not int or order < 0 or type(seed) is not int:
        return None
    try:
        fields = {
            _FORMER_NAMES.get(name, name): tuple(value) if isinstance(value, list) else value
            for name, value in protocol.items()
        }
        config = ProtocolConfig(**fields)  # type: ignore[arg-type]
        return plan_episodes(config, info.participant, seed, order, alone=not info.task.paced)
    except (TypeError, ValueError, ConfigError):
        return None
