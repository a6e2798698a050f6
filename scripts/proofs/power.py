"""Does `racer study power` tell the truth? Studies drawn episode by episode from known people, analysed as reports are.

Three questions, for a difference and for something to be kept, with order, track and pilot variance:

1. From the true components: do as many people as were planned reach the planned power in 200 studies, drawn by another
   way than the planner's (people, places, tracks, episodes one by one) and tested by the report's own code?
2. From people who were driven first: how often does the interval for n hold the number that the true components give?
3. The same for the power of the planned n.

    python scripts/proofs/power.py --out power.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from racer.report.primary import primary_result
from racer.sitting.protocol import balanced_rows
from racer.study.components import Components, MeasuredPerson, fit_components
from racer.study.outcome import Outcome
from racer.study.power import plan_power

CONDITIONS = ("random", "pico", "full")
STUDIES = 200


@dataclass(frozen=True)
class Population:
    """People, tracks, places and pilots as they are, in the unit of the metric."""

    reference: float = 0.60
    person: float = 0.06
    person_by_condition: float = 0.02
    """Standard deviation of what a condition does to a person, each condition on its own."""
    track: float = 0.08
    episode: float = 0.05
    places: tuple[float, ...] = (-0.01, 0.0, 0.01)
    pilot: float = 0.0

    def study(
        self, people: int, episodes: int, effect: float, rng: np.random.Generator, number: int = 0
    ) -> list[MeasuredPerson]:
        """Return a study's people, all conditions met; `pico` is better by `effect`, a share of the reference."""
        rows = balanced_rows(len(CONDITIONS))
        better = self.reference * effect + self.pilot * rng.standard_normal()
        found = []
        for number_of in range(people):
            row = rows[number_of % len(rows)]
            skill = self.person * rng.standard_normal()
            tracks = self.track * rng.standard_normal(episodes)
            values: list[NDArray[np.float64]] = []
            for condition, name in enumerate(CONDITIONS):
                level = self.reference + skill + self.person_by_condition * rng.standard_normal()
                level += self.places[row.index(condition)] + better * (name == "pico")
                values.append(level + tracks + self.episode * rng.standard_normal(episodes))
            places = tuple(row.index(condition) + 1 for condition in range(len(CONDITIONS)))
            means = np.array([own.mean() for own in values])
            found.append(MeasuredPerson((values[1], values[0]), True, means, places, number))
        return found

    def components(self, episodes: int) -> Components:
        """Return what `fit_components` would find in people without end."""
        own = np.eye(2)
        both = np.ones((2, 2))
        return Components(
            10**6,
            float(episodes),
            np.full(2, self.reference),
            self.person**2 * both + self.person_by_condition**2 * own,
            self.track**2 * both + self.episode**2 * own,
            np.array(self.places),
            True,
            self.pilot or None,
            1,
        )


def shown(people: list[MeasuredPerson], outcome: Outcome) -> bool:
    """Return whether a study shows its outcome, by the report's own code."""
    column = {
        name: np.array([person.values[i].mean() for person in people])
        for i, name in enumerate((outcome.minuend, outcome.subtrahend))
    }
    found = primary_result(outcome, True, column)
    assert found is not None
    return bool(found.shown)


def main() -> None:
    """Answer the three questions and write the numbers down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("power.json"))
    parser.add_argument("--rehearsals", type=int, default=40)
    arguments = parser.parse_args()
    episodes, rows = 5, []
    settings = [
        ("differs", Outcome("progress", "pico", "random", "differs", 0.05), Population(), 0.05),
        ("keeps", Outcome("progress", "pico", "random", "keeps", 0.05), Population(), 0.0),
        ("differs, pilots", Outcome("progress", "pico", "random", "differs", 0.05), Population(pilot=0.008), 0.05),
    ]
    for name, outcome, population, effect in settings:
        truth = plan_power(population.components(episodes), outcome, CONDITIONS, 12, effect=effect, seed=1)
        needed = truth.needed.people
        assert needed is not None
        again = plan_power(population.components(episodes), outcome, CONDITIONS, needed, effect=effect, seed=2)
        rng = np.random.default_rng(3)
        count = sum(shown(population.study(needed, episodes, effect, rng), outcome) for _ in range(STUDIES))
        ends = stats.binomtest(count, STUDIES).proportion_ci()
        row = {
            "setting": name,
            "needed": needed,
            "planned_power": again.planned.power,
            "reached": count / STUDIES,
            "low": float(ends.low),
            "high": float(ends.high),
            "holds": bool(ends.low <= again.planned.power <= ends.high),
        }
        if arguments.rehearsals and not population.pilot:
            within_n = within_power = 0
            found = []
            for rehearsal in range(arguments.rehearsals):
                driven = population.study(12, episodes, 0.0, np.random.default_rng([4, rehearsal]))
                components = fit_components(driven, (1, 0))
                told = plan_power(components, outcome, CONDITIONS, needed, effect=effect, studies=400, seed=rehearsal)
                low, high = told.needed.low or np.inf, told.needed.high or np.inf
                within_n += low <= needed <= high
                within_power += told.planned.low <= again.planned.power <= told.planned.high
                found.append(float(told.needed.people or np.inf))
            row |= {
                "rehearsals": arguments.rehearsals,
                "n_interval_holds": within_n / arguments.rehearsals,
                "power_interval_holds": within_power / arguments.rehearsals,
                "n_found": [float(value) for value in np.quantile(found, [0.1, 0.5, 0.9])],
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
