"""Does a person fitted by `racer driver fit` predict somebody's steering better than any family as it is?

People of each family drive on original frames; a person of `pursuit` is fitted to two thirds of their drives, and the
steps of the others are predicted by that person, by what people of each family press on the same frames, and by how
often each key was pressed: log likelihood per step, nats. Differences are to the best of the families, whichever that
is for the person at hand, and the interval is a bootstrap over people.

    python scripts/proofs/predict_steering.py --families pursuit,two-point --people 6 --out predicted.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from recover_traits import FIRST_SEED, drive  # type: ignore[import-not-found]

from racer.drivers.fitting import fit_person
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task


def main() -> None:
    """Drive, fit, predict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", default="pursuit,path-tracking,two-point,edge-following,satisficing,pixel-policy")
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("predicted.json"))
    arguments = parser.parse_args()
    task = make_task("car-racing")
    model, told = load_task_model(task.spec), {}
    for family in arguments.families.split(","):
        rows = []
        for person in range(FIRST_SEED, FIRST_SEED + arguments.people):
            drives = [drive(person, number, arguments.steps, family) for number in range(arguments.episodes)]
            held = fit_person(drives, task, task.spec.pace, False, model, replicates=10).held_out
            rows.append((held.log_likelihood, max(held.families.values()), held.frequencies_log_likelihood))
        fitted, best, frequencies = np.array(rows).T
        rng, gain = np.random.default_rng(0), fitted - best
        drawn = gain[rng.integers(len(gain), size=(10_000, len(gain)))].mean(axis=1)
        told[family] = {
            "fitted": float(fitted.mean()),
            "best_family": float(best.mean()),
            "frequencies": float(frequencies.mean()),
            "gain": float(gain.mean()),
            "interval": np.quantile(drawn, [0.025, 0.975]).tolist(),
            "people": int((gain > 0).sum()),
        }
        print(family, json.dumps(told[family]), flush=True)
    arguments.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
