"""What pictures gain that were tuned by a model of what people do, and what that model believes they gain.

    PYTHONPATH=. python scripts/studies/tuned_pictures.py --task car-racing --coder coarse --bits 5

Simulated people of one family are recorded, R is fitted to them, and the decoder is tuned at several weights. Each
tuned decoder, and its controls, then serves people whom nothing met: others of that family, and of families that R
never saw. The Goodhart gap is the gain in agreement that R predicts, on the steps under the coder that it was followed
on, less the measured one. Controls, under the same penalty: R fitted to answers that were shuffled over the steps; a
decoder tuned by pixels alone, to what all features show; PICO's discriminator of actions, which no shadow has told
anything, in the place of what the original asks for; and the gradient of the recorded family's own eyes, where these
are a network (`pixel-policy`, `viewer-network`). The penalty alone is the untuned decoder. Rows are kept as they are
made, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from compression.fitting.classifiers import Samples, fit_classifier, repeatable
from compression.fitting.interaction import (
    RECENT,
    InteractionModel,
    Interactions,
    decoded,
    fit_interaction,
    fitting_config,
    interaction_of,
    left_out,
    predicted_rates,
)
from compression.fitting.tuning import Reward, TuningConfig, drawn, interaction_reward, pixel_reward, tune_decoder
from compression.model.latent_model import LatentModel, use_one_thread
from compression.model.training.resumable import Work
from compression.model.vae import VAE, Decoder
from racer.loop.batched import Job, simulate
from racer.loop.conditions import ChannelConfig, load_fitted_models
from racer.rates.people import draw_person
from racer.sitting.protocol import ProtocolConfig
from racer.sitting.start import StartConfig, start_session
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task, parse_settings
from racer.training.interactions import read_interactions
from scripts.studies.oracles import ORACLES
from sessions import find_recordings
from sessions.export.cells import csv_bytes

_RESAMPLED = 2000


@dataclass(frozen=True)
class Variant:
    """A decoder to be judged."""

    kind: str
    weight: float = 0.0
    keeping: float = 0.0

    @property
    def name(self) -> str:
        """What the row is called."""
        return f"{self.kind} {self.weight:g}" * bool(self.weight) + ", keeping" * bool(self.keeping) or self.kind


def main() -> None:
    """Parse the command line, do what is missing, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="car-racing")
    parser.add_argument("--set", action="append", default=[], help="a setting of the task, NAME=VALUE")
    parser.add_argument("--coder", default="coarse")
    parser.add_argument("--bits", type=int, default=5)
    parser.add_argument("--family", default="pursuit", help="whom R learns from")
    parser.add_argument("--held-out", default="two-point,path-tracking", help="families that R never sees")
    parser.add_argument("--weights", default="1,3,30,100")
    parser.add_argument("--controls", default="30", help="weights of the controls")
    parser.add_argument("--people", type=int, default=6, help="recorded")
    parser.add_argument("--episodes", type=int, default=5, help="of each of them, under the coder and under full")
    parser.add_argument("--judges", type=int, default=12, help="of each family")
    parser.add_argument("--trials", type=int, default=1, help="of each judge")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--gradient-steps", type=int, default=200, help="of each tuning")
    parser.add_argument("--iterations", type=int, default=300, help="of each member of R")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tuned_pictures"), help="folder of all that is kept")
    arguments = parser.parse_args()
    use_one_thread()
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = Study(arguments)
    rows = study.rows()
    table = study.table(rows)
    (arguments.out / "table.csv").write_bytes(csv_bytes(list(table[0]), (row.values() for row in table)))
    for row in table:
        print(", ".join(f"{name} {value}" for name, value in row.items()))


class Study:
    """All that is done, from whatever is there."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._begun = time.monotonic()
        self._task = make_task(arguments.task, parse_settings(arguments.set))
        self._channel = ChannelConfig(arguments.bits)
        self._families = (arguments.family, *arguments.held_out.split(","))
        self._record()
        recordings = sorted(find_recordings(arguments.out / "recordings"))
        recorded = read_interactions(recordings)
        self._model, self._data = recorded.model, recorded.data
        self._say(f"{len(self._data.actions)} steps recorded, agreement {self._data.agreement().mean():.3f}")

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return what every variant came to, by its name, from the file as far as they are there."""
        path = self._arguments.out / "rows.json"
        rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        for variant in self._variants():
            row = rows.setdefault(variant.name, {})
            for part, make in (("believed", self._believed), ("judged", self._judged)):
                if part not in row:
                    row[part] = make(variant)
                    path.write_text(json.dumps(rows, indent=1))
                    self._say(f"{variant.name}, {part}")
        return rows

    def table(self, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a row for each variant and family: gains over the untuned decoder, person by person."""
        spec, untuned = self._task.spec, rows["untuned"]
        rng = np.random.default_rng(0)
        table = []
        for name, row in rows.items():
            believed = 100 * (row["believed"]["agreement"] - untuned["believed"]["agreement"])
            for family in self._families:
                told: dict[str, Any] = {
                    "variant": name,
                    "family": family,
                    "psnr_to_untuned_db": row["believed"]["psnr"],
                }
                gained: dict[str, float] = {}
                metrics = [spec.primary.name, "agreement", *([spec.failure] if spec.failure else [])]
                for metric in metrics:
                    after, before = (np.array(each["judged"][family][metric]) for each in (row, untuned))
                    change = after - before
                    means = rng.choice(change, (_RESAMPLED, len(change))).mean(axis=1)
                    low, high = 100 * np.quantile(means, (0.025, 0.975))
                    spread = np.sqrt((after.var(ddof=1) + before.var(ddof=1)) / 2)
                    gained[metric] = 100 * change.mean()
                    told[metric] = f"{100 * after.mean():.1f}"
                    told[f"{metric}_gain"] = f"{gained[metric]:+.1f} [{low:+.1f}; {high:+.1f}]"
                    told[f"{metric}_d"] = f"{change.mean() / spread:+.2f}" if spread else "-"
                told["gain_by_r"] = f"{believed:+.1f}"
                told["goodhart_gap"] = f"{believed - gained['agreement']:+.1f}"
                table.append(told)
        return table

    def _record(self) -> None:
        arguments = self._arguments
        folder = arguments.out / "recordings"
        done = {path.name.partition("_")[0] for path in find_recordings(folder)} if folder.exists() else set()
        protocol = ProtocolConfig(
            "evaluation",
            practice=0,
            evaluation=arguments.episodes,
            steps=arguments.steps,
            conditions=(arguments.coder, "full"),
        )
        for number in range(arguments.people):
            if (name := f"r{number:02}") in done:
                continue
            config = StartConfig(
                name, protocol, self._task, None, self._channel, arguments.family, data=folder, headless=True, order=0
            )
            start_session(config)
            self._say(f"recorded {name}")

    def _variants(self) -> Iterator[Variant]:
        yield Variant("untuned")
        weights = [float(text) for text in self._arguments.weights.split(",")]
        for weight in weights:
            yield Variant("R", weight)
        if self._task.spec.failure and self._task.spec.paced:
            yield Variant("R", weights[0], 1.0)
        oracle = ["oracle"] if self._arguments.family in ORACLES else []
        for weight in map(float, self._arguments.controls.split(",")):
            for kind in ("shuffled", "pixels", "discriminator", *oracle):
                yield Variant(kind, weight)

    def _believed(self, variant: Variant) -> dict[str, Any]:
        """Return what the followed members of R predict of the coder's steps that they were followed on."""
        followed, seen = self._followed()
        coded = seen.part(~whole(seen))
        before, after = decoded(self._model, coded.received), drawn(self._decoder(variant), coded.received)
        error = float(np.mean((before.astype(np.float32) - after) ** 2))
        return {
            "agreement": float(predicted_rates(followed, after, coded)[0].mean()),
            "measured_before": float(coded.agreement().mean()),
            "psnr": f"{10 * np.log10(255**2 / error):.1f}" if error else "-",
        }

    def _judged(self, variant: Variant) -> dict[str, Any]:
        decoder = self._decoder(variant)
        return {family: self._judged_by(decoder, family) for family in self._families}

    def _followed(self) -> tuple[InteractionModel, Interactions]:
        """Return R's members that are followed, and the steps that decoders are tuned on."""
        interaction = self._interaction(self._data, "R")
        held = left_out(self._data, 0, len(interaction.members))
        return InteractionModel(interaction.members[1:]), self._data.part(~held)

    def _decoder(self, variant: Variant) -> Decoder:
        if not variant.weight:
            return self._model.vae.decoder
        arguments, (followed, seen) = self._arguments, self._followed()
        reward: Reward
        if variant.kind == "oracle":
            reward = ORACLES[arguments.family](self._task, decoded(self._model, seen.latents))
        elif variant.kind == "pixels":
            reward = pixel_reward(decoded(self._model, seen.latents))
        elif variant.kind == "shuffled":
            reward = interaction_reward(self._shuffled(), seen, variant.keeping)
        elif variant.kind == "discriminator":
            done, wanted = self._discriminated()
            reward = interaction_reward(done, replace(seen, wanted=wanted), variant.keeping)
        else:
            reward = interaction_reward(followed, seen, variant.keeping)
        config = TuningConfig(variant.weight, variant.keeping, arguments.gradient_steps, seed=arguments.seed)
        work = self._work(variant.name.replace(" ", "_"), asdict(config))
        return tune_decoder(self._model, seen.received, reward, config, work)

    def _shuffled(self) -> InteractionModel:
        """Return R's followed members, fitted to what was done in other steps of the same person."""
        rng, order = np.random.default_rng(self._arguments.seed), np.arange(len(self._data.actions))
        for person in np.unique(self._data.people):
            steps = np.flatnonzero(self._data.people == person)
            order[steps] = rng.permutation(steps)
        data, other = self._data, self._data.part(order)
        told = {name: getattr(other, name) for name in ("recent", "actions", "wanted", "kept")}
        return InteractionModel(self._interaction(replace(data, **told), "shuffled").members[1:])

    def _discriminated(self) -> tuple[InteractionModel, NDArray[np.float32]]:
        """Return what predicts from a picture what is done, and PICO's D(a, x) of every action, float32[N, actions].

        That one knows who was shown everything, and what everybody did, but no shadow's answer.
        """
        data, held = self._data, left_out(self._data, 0, len(self._interaction(self._data, "R").members))
        everything = np.ones_like(data.wanted)
        done = InteractionModel(self._interaction(replace(data, wanted=everything), "done").members[1:])
        sizes = replace(self._model.sizes, hidden=RECENT * (self._model.sizes.actions + 1))
        before = functional.one_hot(torch.from_numpy(data.recent), sizes.actions + 1).flatten(1).float()
        x, action = torch.cat([before, torch.from_numpy(data.latents)], 1), torch.from_numpy(data.actions)
        config = fitting_config(self._arguments.seed, self._arguments.iterations)
        label = torch.from_numpy(np.where(whole(data), 1, config.negative_label).astype(np.float32))
        learnt, judged = (
            Samples(x[part], action[part], label[part]) for part in (torch.from_numpy(each) for each in (~held, held))
        )
        generator = torch.Generator().manual_seed(config.seed)
        with repeatable(config.seed):
            found = fit_classifier(learnt, judged, sizes, config, generator, lambda *_: None, "discriminator", 0)
        self._say(f"discriminator: {found.accuracy(judged.x, judged.action)[0]:.3f} of others' actions, balanced")
        return done, found.probabilities(x[torch.from_numpy(~held)]).numpy()

    def _interaction(self, data: Interactions, name: str) -> InteractionModel:
        config = fitting_config(self._arguments.seed, self._arguments.iterations)
        work = self._work(name, asdict(config))

        def fit() -> dict[str, Any]:
            fitted, summary = fit_interaction(data, self._model, config)
            self._say(f"{name}: {summary}")
            return {key: torch.from_numpy(array) for key, array in fitted.tensors().items()}

        tensors = work.stage("interaction", fit)
        return interaction_of({key: tensor.numpy() for key, tensor in tensors.items()}, self._model.sizes)

    def _work(self, name: str, settings: dict[str, Any]) -> Work:
        return Work(self._arguments.out / "work" / name, {**settings, "steps_recorded": len(self._data.actions)})

    def _judged_by(self, decoder: Decoder, family: str) -> dict[str, list[float]]:
        """Return what people of a family come to with a decoder, person by person, by metric."""
        arguments = self._arguments
        model = with_another_decoder(self._model, decoder)
        fitted = load_fitted_models([arguments.coder], [], load_task_model(self._task.spec))
        people = [draw_person(arguments.seed, number, arguments.trials) for number in range(arguments.judges)]
        jobs = [
            Job(arguments.coder, self._channel, self._task, seed, family, person.seed, arguments.steps, dice, True)
            for person in people
            for seed, dice in zip(person.seeds, person.dice, strict=True)
        ]
        scores = list(simulate(jobs, model, fitted))
        found: dict[str, list[float]] = {}
        for number in range(len(people)):
            own = scores[number * arguments.trials : (number + 1) * arguments.trials]
            for metric in self._task.spec.metrics:
                found.setdefault(metric.name, []).append(mean([score.metrics[metric.name] for score in own]))
            found.setdefault("agreement", []).append(mean([score.agreement or 0.0 for score in own]))
        return found

    def _say(self, text: str) -> None:
        print(f"# {time.monotonic() - self._begun:.0f} s: {text}", file=sys.stderr, flush=True)


def whole(data: Interactions) -> NDArray[np.bool_]:
    """Return the steps in which all features were shown, bool[N]: half of them are under `full`."""
    error = np.square(data.received - data.latents).mean(axis=1)
    least: NDArray[np.bool_] = error <= np.median(error)
    return least


def with_another_decoder(model: LatentModel, decoder: Decoder) -> LatentModel:
    """Return a latent model that draws by another decoder."""
    vae = VAE(model.sizes)
    vae.encoder, vae.decoder = model.vae.encoder, decoder
    return replace(model, vae=vae.eval().requires_grad_(False))


def mean(values: list[float] | NDArray[np.float64]) -> float:
    """Return the mean."""
    return float(np.mean(values))


if __name__ == "__main__":
    main()
