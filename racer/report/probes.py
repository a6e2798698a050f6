"""What probes say: whether people would do on the original what they do on what arrives.

A probe stops a drive and shows the frame that is due, or its original, as chance decides. Both kinds are met in states
that the same compressed driving led to, and compared with the action before the stop, which no probe touched: where the
channel changes nothing that matters, as many answers go on with it under the one as under the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from racer.report.recordings import Person
from racer.report.statistics import PairedDifference, paired


@dataclass(frozen=True)
class Probed:
    """The probes of one condition, over the participants who met both kinds under it."""

    condition: str
    participants: int
    answers: int
    original: float
    """Share of the answers to originals that were the action before the stop, mean over participants, in [0, 1]."""
    arrived: float
    """The same of answers to what arrived."""
    difference: PairedDifference | None
    """`original` less `arrived`; None for one participant."""


def probed(people: tuple[Person, ...], conditions: tuple[str, ...]) -> list[Probed]:
    """Return what probes came to, by condition; nothing where nobody met both kinds."""
    found = []
    for condition in conditions:
        shares: list[tuple[float, float]] = []
        answers = 0
        for person in people:
            told = list(_went_on(person, condition))
            kinds = [[alike for original, alike in told if original is kind] for kind in (True, False)]
            if all(kinds):
                shares.append((float(np.mean(kinds[0])), float(np.mean(kinds[1]))))
                answers += len(told)
        if shares:
            original, arrived = np.array(shares).T
            difference = paired("original", "arrived", original - arrived) if len(shares) > 1 else None
            means = float(original.mean()), float(arrived.mean())
            found.append(Probed(condition, len(shares), answers, *means, difference))
    return found


def _went_on(person: Person, condition: str) -> Iterator[tuple[bool, bool]]:
    """Yield of each probe whether it showed the original, and whether the answer was the action before the stop."""
    for episode in person.under(condition):
        for probe in episode.probes:
            yield probe.original, probe.action == int(episode.actions[probe.step - 1])
