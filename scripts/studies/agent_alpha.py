"""What the weight of the bits does to an agent that encodes: bits, error and return against alpha, seed by seed.

    python scripts/studies/agent_alpha.py --task car-racing --seeds 3

Trains one agent for every alpha and seed (`racer agent train`), into files that are kept, so that a sweep that was
interrupted goes on. Writes a row for each, and prints for each column of bits Spearman's correlation with alpha, over
all rows and over the means of the seeds. The paper (Bader and von Bachmann 2021, sections 4.3 and 4.5) reports 1.7 bits
of entropy per latent, a cross-entropy over a thousand times that, and no visible effect of alpha.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from compression.fitting.agent import AgentConfig
from compression.model.latent_model import use_one_thread
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.agent import AgentTraining, read_card, train
from sessions.export.cells import csv_bytes

ALPHAS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
BITS = ("coded_bits_per_latent", "entropy_bits_per_latent", "cross_entropy_bits_per_latent")
COLUMNS = (
    *BITS,
    "table_cross_entropy_bits_per_latent",
    "coded_bits_per_frame",
    "squared_error",
    "squared_error_of_mean_frame",
)


def main() -> None:
    """Parse the command line, train what is missing, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="car-racing")
    parser.add_argument("--alphas", default=",".join(map(str, ALPHAS)), help="with commas between")
    parser.add_argument("--seeds", type=int, default=3, help="agents for each alpha")
    parser.add_argument("--rate-model", default="factorised", choices=("factorised", "normal"))
    parser.add_argument("--decoder-loss", default="mse", choices=("mse", "latent", "both"))
    parser.add_argument("--steps", type=int, default=AgentConfig.steps)
    parser.add_argument("--decoder-steps", type=int, default=AgentConfig.decoder_steps)
    parser.add_argument("--trials", type=int, default=AgentTraining.trials, help="in each round")
    parser.add_argument("--held-out-trials", type=int, default=AgentTraining.held_out_trials)
    parser.add_argument("--out", type=Path, default=Path("agent_alpha"), help="folder of agents and of table.csv")
    arguments = parser.parse_args()
    use_one_thread()
    arguments.out.mkdir(parents=True, exist_ok=True)
    alphas = [float(text) for text in arguments.alphas.split(",")]
    begun = time.monotonic()
    rows = []
    for seed in range(arguments.seeds):
        for alpha in alphas:
            rows.append(_row(arguments, alpha, seed))
            shown = ", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items())
            print(f"# {time.monotonic() - begun:.0f} s: {shown}", file=sys.stderr, flush=True)
            _write(arguments.out / "table.csv", rows)
    for name in BITS if len(alphas) > 2 else ():
        means = [np.mean([row[name] for row in rows if row["alpha"] == alpha]) for alpha in alphas]
        every = spearmanr([row["alpha"] for row in rows], [row[name] for row in rows]).statistic
        print(f"{name}: Spearman {every:.2f} over all, {spearmanr(alphas, means).statistic:.2f} over means of seeds")


def _row(arguments: argparse.Namespace, alpha: float, seed: int) -> dict[str, float]:
    spec = make_task(arguments.task).spec
    path = arguments.out / f"{arguments.rate_model}_{arguments.decoder_loss}_{alpha:g}_{seed}.safetensors"
    if path.exists():
        record, card = read_card(path, load_task_model(spec))
        wanted = asdict(_config(arguments, alpha, seed))
        told = {name: value for name, value in record.config.items() if name != "card"}
        kept = told, record.task, len(record.seeds), card["trials"]
        if kept != (wanted, arguments.task, wanted["rounds"] * arguments.trials, arguments.held_out_trials):
            raise SystemExit(f"{path} is an agent of other settings; give another --out, or move it away")
    else:
        card = train(_training(arguments, path, alpha, seed))
    primary = spec.primary.name
    row: dict[str, Any] = {"alpha": alpha, "seed": seed, **{name: card[name] for name in COLUMNS}}
    return row | {f"{who}_{primary}": card[who][primary] for who in ("agent", "driver")}


def _training(arguments: argparse.Namespace, path: Path, alpha: float, seed: int) -> AgentTraining:
    return AgentTraining(
        task=arguments.task,
        out=path,
        trials=arguments.trials,
        held_out_trials=arguments.held_out_trials,
        config=_config(arguments, alpha, seed),
    )


def _config(arguments: argparse.Namespace, alpha: float, seed: int) -> AgentConfig:
    return AgentConfig(
        alpha=alpha,
        rate_model=arguments.rate_model,
        steps=arguments.steps,
        decoder_steps=arguments.decoder_steps,
        decoder_loss=arguments.decoder_loss,
        seed=seed,
    )


def _write(path: Path, rows: list[dict[str, float]]) -> None:
    path.write_bytes(csv_bytes(list(rows[0]), (row.values() for row in rows)))


if __name__ == "__main__":
    main()
