"""Does `racer driver fit` find what a person is like? People of known traits drive, and theirs are fitted.

Prints and writes, for each of some people of the family `pursuit` on original frames, the traits that are true and
those that were found; gain, damping and anticipation in dead zones, since only shares of it can be told. Correlations
are Spearman's over people.

    python scripts/proofs/recover_traits.py --people 8 --episodes 8 --out traits.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

from racer.drivers.families.pursuit import CAR_ROW, PURSUIT, PursuitTraits
from racer.drivers.fitting import likely_traits
from racer.drivers.likelihood import Drive
from racer.drivers.registry import find_family
from racer.tasks.registry import make_task

FIRST_SEED = 3_000_000
"""Of tracks and people."""


def drive(person: int, number: int, steps: int, family: str = PURSUIT.name) -> Drive:
    """Return a drive on original frames."""
    task = make_task("car-racing")
    seed = FIRST_SEED + 1000 * person + number
    driver = find_family(family).make(task, person, seed)
    driver.reset()
    trial = task.start(seed)
    frames, actions, failed = [], [], []
    try:
        for _ in range(steps):
            frames.append(trial.frame())
            actions.append(driver.act(frames[-1]))
            outcome = trial.step(actions[-1])
            failed.append(bool(outcome.metrics[task.spec.failure]))
            if outcome.over:
                break
    finally:
        trial.close()
    return Drive("raw", seed, np.array(frames), np.array(actions, np.uint8), np.array(failed))


def main() -> None:
    """Drive, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("traits.json"))
    arguments = parser.parse_args()
    task, pairs = make_task("car-racing"), []
    for person in range(FIRST_SEED, FIRST_SEED + arguments.people):
        drives = [drive(person, number, arguments.steps) for number in range(arguments.episodes)]
        found, true = likely_traits(drives, task, task.spec.pace), PursuitTraits.of(person)
        pairs.append(
            {
                "delay": (float(true.delay), found.reaction_ms * task.spec.pace / 1000),
                "row": (float(CAR_ROW - round(CAR_ROW - true.look_ahead)), found.look_ahead),
                "gain": (true.gain / true.dead_zone, found.gain / found.dead_zone),
                "damping": (true.damping / true.dead_zone, found.damping / found.dead_zone),
                "anticipation": (true.anticipation / true.dead_zone, found.anticipation / found.dead_zone),
                "noise": (true.noise, found.noise),
                "lapses": (true.lapses, found.lapses / task.spec.pace),
            }
        )
        print(json.dumps(pairs[-1]), flush=True)
    told = {}
    for name in pairs[0]:
        true_values, found_values = np.array([pair[name] for pair in pairs]).T
        told[name] = {
            "correlation": float(stats.spearmanr(true_values, found_values).statistic),
            "error": float(np.sqrt(np.mean(np.square(found_values - true_values)))),
            "spread": float(true_values.std()),
        }
        print(name, json.dumps(told[name]))
    arguments.out.write_text(json.dumps({"people": pairs, "traits": told}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
