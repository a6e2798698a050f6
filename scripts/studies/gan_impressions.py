"""A GAN tuned by simulated impressions, offline, in the small: what its estimator believes to gain, and what is gained.

    PYTHONPATH=. python scripts/studies/gan_impressions.py

After Lampinen, So, Eck and Bertsch, "Improving image generative models with human interactions" (2017). A GAN learns
from the pictures of task `faces` (64 x 64, latents of 64). 1,000 of its images get a rate each, by colours or by
filters of a network that learnt something else, with the binomial noise of 1,000 impressions. The estimator sorts
images into 100 bins of rate (temperature 1 in training, 0.01 in use) and is frozen; the generator goes on with its
fooling loss and 1,000 times the estimated rate, at a tenth of its learning rate. Both are compared on 1,000 fresh
images each. A second round rates the tuned GAN's images too and goes on from there (section 4.3.3).

Beside them stands what costs less: the fooling loss alone for as long, the tenth of the untuned images that the
estimator likes best, an estimator of rates that were shuffled; and the rate's own gradient, which nobody would have.

Scaled down: a decoder of this project's latent models instead of 64 to 512 channels, thousands of steps instead of a
million, learning rates 20 times as high and more, drawn faces instead of photographs, an estimator from scratch instead
of Inception, and a labeller of faces instead of VGG. The generator does not begin at nothing, from where it drew blots
or one face in the time that two cores have: it is first the decoder of a VAE, which begins as the one that ships for
`faces`, and keeps drawing known faces beside its fooling loss until it is tuned. What is finished is kept in --out;
`--part` does some rows, so that processes can share
them once the GAN is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_ind
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from compression.model.latent_model import images_of, use_one_thread
from compression.model.training.resumable import Trainer, Work
from compression.model.vae import VAE
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.tasks.task import Task
from scripts.studies.gan_networks import BINS, LATENTS, SIDE, Looker, Pair
from scripts.studies.impressions import Rate, Row, estimated, frechet, objectives, trends
from sessions.export.cells import csv_bytes

FIRST_SEED = 7_000_000
_R1, _R1_EVERY = 1.0, 8
"""Weight of the critic's gradient penalty (Mescheder, Geiger and Nowozin 2018), and the steps between two of them."""
_KEPT, _KEPT_BATCH = 10.0, 8
"""Weight of drawing known faces beside the fooling loss, and their number."""
_NOISE = 0.1
"""Standard deviation of a pixel about what the VAE draws, of 1."""
_ALONE = "the fooling loss alone"
_LOOKED_AT = "red", "layer 4: a filter", "layer 2: a filter"
"""Objectives that have a second round; the first two have controls of their own."""
ESTIMATOR, SECOND = "estimator", "second round"
CONTROLS = "shuffled rates", "the rate's own gradient"


@dataclass(frozen=True)
class Settings:
    """What decides the outcome."""

    faces: int = 4000
    images: int = 1000
    impressions: int = 1000
    vae_steps: int = 400
    gan_steps: int = 1200
    estimator_steps: int = 200
    tuning_steps: int = 120
    batch: int = 16
    learning_rate: float = 4e-4
    weight: float = 1000.0
    seed: int = 0


def main() -> None:
    """Parse the command line, do what is missing, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument(
        "--part", default="1/1", help="K/N: the K-th of every N rows, so that N processes can share them"
    )
    parser.add_argument("--out", type=Path, default=Path("gan_impressions"), help="folder of all that is kept")
    arguments = vars(parser.parse_args())
    out, (part, parts) = arguments.pop("out"), map(int, arguments.pop("part").split("/"))
    use_one_thread()
    study = Study(Settings(**arguments), Work(out / "work", arguments))
    kept = out / "rows"
    kept.mkdir(exist_ok=True)
    for number, (name, how) in enumerate(study.units()):
        path = kept / f"{number:02}.json"
        if number % parts == part - 1 and not path.exists():
            path.write_text(json.dumps(study.row(name, how), indent=1))
    rows = [json.loads(path.read_text()) for path in sorted(kept.iterdir())]
    for text, table in (("gan", study.quality()), *([("table", rows)] if rows else [])):
        (out / f"{text}.csv").write_bytes(csv_bytes(list(table[0]), (row.values() for row in table)))
        for row in table:
            print(", ".join(f"{key} {value}" for key, value in row.items()))
    for line in trends([row for row in rows if row["tuned_by"] == ESTIMATOR]):
        print(line)


class Study:
    """The networks that all objectives share."""

    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings, self._work, self._begun = settings, work, time.process_time()
        torch.manual_seed(settings.seed)
        self._task = make_task("faces")
        self._sizes = replace(load_task_model(self._task.spec).sizes, latents=LATENTS)
        known = work.stage("faces", lambda: _faces(self._task, settings.faces + settings.images))
        self._faces, traits = images_of(known["frames"].numpy()), known["traits"]
        self._unseen, self._faces = self._faces[settings.faces :], self._faces[: settings.faces]
        self._vae = self._autoencoder()
        self._vae.load_state_dict(work.stage("vae", self._drawing))
        self._vae.eval().requires_grad_(False)
        self._gan = Pair(self._sizes)
        self._gan.generator.load_state_dict(self._vae.decoder.state_dict())
        self._gan.load_state_dict(work.stage("gan", lambda: self._pretrained(deepcopy(self._gan))))
        self._labeller = Looker(traits.shape[1])
        self._labeller.load_state_dict(work.stage("labeller", lambda: self._labelling(traits[: settings.faces])))
        self._labeller.eval().requires_grad_(False)
        self.objectives = objectives(self._labeller, settings.seed)
        """What images are rated by."""
        kept = work.stage("images", self._untuned)
        self._rated, self._fresh, self._fresh_alone = (kept[name] for name in ("rated", "fresh", "alone"))

    def units(self) -> list[tuple[str, str]]:
        """Return what there is to do: objectives, and by what they are tuned."""
        names = list(self.objectives)
        seconds = [(name, SECOND) for name in _LOOKED_AT]  # as in section 4.3.3
        return [(name, ESTIMATOR) for name in names] + seconds + [(n, how) for n in _LOOKED_AT[:2] for how in CONTROLS]

    def row(self, name: str, how: str) -> Row:
        """Return what tuning by an objective comes to."""
        begun, rate = self._gan, self.objectives[name]
        shown = self._shown(rate, self._rated, 0)
        if how == "shuffled rates":
            shown = torch.from_numpy(np.random.default_rng(self._settings.seed).permutation(shown.numpy()))
        estimator = self._estimator(f"{name}, {how.replace(SECOND, ESTIMATOR)}", self._rated, shown)
        if how == "the rate's own gradient":
            return self._row(name, how, estimator, self._tuned(f"{name}, own", begun, rate))
        tuned = self._tuned(f"{name}, tuned by {how.replace(SECOND, ESTIMATOR)}", begun, estimator)
        if how == SECOND:
            more = self._images(tuned, 4)
            images, shown = torch.cat([self._rated, more]), torch.cat([shown, self._shown(rate, more, 1)])
            estimator = self._estimator(f"{name}, {how}", images, shown, estimator)
            tuned = self._tuned(f"{name}, tuned by {how}", tuned, estimator)
        return self._row(name, how, estimator, tuned)

    def quality(self) -> list[Row]:
        """Return how far images are from faces that nothing learnt from, by what the labeller sees in them."""
        generator = torch.Generator().manual_seed(self._settings.seed)
        flat, latents = self._faces.flatten(1), torch.randn(self._settings.images, LATENTS, generator=generator)
        axes, mean = torch.pca_lowrank(flat, LATENTS)[2], flat.mean(0)
        linear = mean + latents * ((flat - mean) @ axes).std(0) @ axes.T
        kinds = {
            "other faces": self._faces[: self._settings.images],
            "the GAN": self._fresh,
            "the VAE before": self._vae.decoder(latents).clamp(0, 1),
            "64 principal components": linear.clamp(0, 1).reshape(-1, 3, SIDE, SIDE),
            _ALONE: self._fresh_alone,
        }
        real, spread = self._labeller(self._unseen).numpy(), float(self._unseen.std(0).mean())
        return [
            {
                "images": name,
                "frechet_distance": round(frechet(self._labeller(images).numpy(), real), 2),
                "diversity": round(float(images.std(0).mean()) / spread, 3),
            }
            for name, images in kinds.items()
        ]

    def _untuned(self) -> dict[str, Tensor]:
        """Return images of the GAN: those that are rated, fresh ones, and some after the fooling loss alone."""
        alone = self._tuned(_ALONE, self._gan, None)
        pairs = {"rated": self._gan, "fresh": self._gan, "alone": alone}
        return {name: self._images(pair, number) for number, (name, pair) in enumerate(pairs.items(), 1)}

    def _row(self, name: str, how: str, estimator: Looker, tuned: Pair) -> Row:
        rate, fresh = self.objectives[name], self._images(tuned, 5)
        before, after, alone, first = (
            rate(images).numpy().astype(np.float64) for images in (self._fresh, fresh, self._fresh_alone, self._rated)
        )
        liked, believed = (estimated(estimator, images).numpy() for images in (self._fresh, fresh))
        best = before[np.argsort(-liked)[: len(before) // 10]]
        change, spread = after.mean() - before.mean(), np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 2)
        self._say(f"{name}, {how}")
        return {
            "objective": name,
            "tuned_by": how,
            "before": round(before.mean(), 4),
            "after": round(after.mean(), 4),
            "d": round(change / spread, 2) if spread else 0.0,
            "welch_p": f"{ttest_ind(after, before, equal_var=False).pvalue:.0e}",
            "change": round(change, 4),
            "believed_change": round(float(believed.mean() - liked.mean()), 4),
            "fooling_alone": round(alone.mean() - before.mean(), 4),
            "best_tenth": round(best.mean() - before.mean(), 4),
            "spread_before": round(first.std(ddof=1), 4),
            "not_zero": round(float((first >= 1 / BINS).mean()), 3),
            "estimator_r": round(_correlation(liked, before), 2),
            "diversity_left": round(float(fresh.std(0).mean() / self._fresh.std(0).mean()), 3),
        }

    def _autoencoder(self) -> VAE:
        """Return the task's own latent model's, with latents that say nothing yet up to 64."""
        model = load_task_model(self._task.spec)
        vae, kept, known = VAE(self._sizes), model.vae.state_dict(), model.sizes.latents
        for name, tensor in vae.state_dict().items():
            old = kept[name]
            if tensor.shape == old.shape:
                tensor.copy_(old)
            elif name.startswith("decoder"):
                tensor[:, :known] = old
            else:  # means, then logarithms of variances
                tensor[:known], tensor[LATENTS : LATENTS + known] = old.chunk(2)
        return vae

    def _drawing(self) -> dict[str, Tensor]:
        settings, vae = self._settings, self._vae
        trainer = Trainer(vae, self._work, "vae", settings.seed, settings.vae_steps, average=True)

        def loss(step: int) -> Tensor:
            images = self._faces[torch.randint(len(self._faces), (settings.batch,), generator=trainer.generator)]
            with torch.autocast("cpu", torch.bfloat16):
                mu, logvar = (each.float() for each in vae.encoder(images))
                noise = torch.randn(mu.shape, generator=trainer.generator)
                drawn = vae.decoder(mu + (logvar / 2).exp() * noise).float()
            nats = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
            error = (drawn - images).square().sum((1, 2, 3))
            total: Tensor = (error / (2 * _NOISE**2) + nats).mean() / images[0].numel()
            return total

        return trainer.run(loss, 1e-3, inf, 100, self._told("vae")).state_dict()

    def _pretrained(self, pair: Pair) -> dict[str, Tensor]:
        with torch.no_grad():
            parts = [self._vae.encoder(part) for part in torch.chunk(self._faces, 25)]
        self._mu, logvar = (torch.cat(each) for each in zip(*parts, strict=True))
        self._sigma = (logvar / 2).exp()
        return self._adversarial("gan", pair, self._settings.gan_steps, self._settings.learning_rate, None, _KEPT)

    def _tuned(self, name: str, pair: Pair, rate: Rate | None) -> Pair:
        tuned, settings = deepcopy(pair), self._settings
        believed = (lambda images: estimated(rate, images)) if isinstance(rate, Looker) else rate
        peak = settings.learning_rate / 10

        def make() -> dict[str, Tensor]:
            return self._adversarial(name, tuned, settings.tuning_steps, peak, believed, 0.0)

        tuned.load_state_dict(self._work.stage(name, make))
        return tuned

    def _adversarial(
        self, name: str, pair: Pair, steps: int, peak: float, rate: Rate | None, kept: float
    ) -> dict[str, Tensor]:
        """Go on with a GAN; the generator's loss has a rate's mean in it where one is given."""
        settings = self._settings
        trainer = Trainer(pair, self._work, name, settings.seed, steps, average=True, betas=(0.0, 0.99))

        def loss(step: int) -> Tensor:
            fakes = pair.drawn(torch.randn(settings.batch, LATENTS, generator=trainer.generator))
            index = torch.randint(len(self._faces), (settings.batch,), generator=trainer.generator)
            reals = self._faces[index].requires_grad_(step % _R1_EVERY == 0)
            real = pair.critic(reals)
            total = functional.softplus(pair.critic(fakes.detach())).mean() + functional.softplus(-real).mean()
            if reals.requires_grad:
                (slope,) = torch.autograd.grad(real.sum(), reals, create_graph=True)
                total = total + _R1_EVERY * _R1 / 2 * slope.square().sum((1, 2, 3)).mean()
            frozen = {name: parameter.detach() for name, parameter in pair.critic.named_parameters()}
            total = total + functional.softplus(-functional_call(pair.critic, frozen, fakes)).mean()
            if kept:
                mu, sigma, known = (each[index[:_KEPT_BATCH]] for each in (self._mu, self._sigma, self._faces))
                latents = mu + sigma * torch.randn(mu.shape, generator=trainer.generator)
                total = total + kept * functional.mse_loss(pair.drawn(latents), known)
            if rate is not None:
                total = total - settings.weight * rate(fakes.clamp(0, 1)).mean()
            return total

        average = trainer.run(loss, peak, inf, 250, self._told(name))
        return average.state_dict()

    def _labelling(self, traits: Tensor) -> dict[str, Tensor]:
        def loss(network: nn.Module, index: Tensor) -> Tensor:
            return functional.mse_loss(network(self._faces[index]), traits[index])

        return self._learnt("labeller", self._labeller, 2 * self._settings.estimator_steps, 2e-3, len(traits), loss)

    def _estimator(self, name: str, images: Tensor, shown: Tensor, begun: Looker | None = None) -> Looker:
        torch.manual_seed(self._settings.seed)
        network = Looker(BINS, 0.1) if begun is None else deepcopy(begun)
        bins = (shown * BINS).long().clamp(0, BINS - 1)

        def loss(network: nn.Module, index: Tensor) -> Tensor:
            return functional.cross_entropy(network(images[index]), bins[index])

        def make() -> dict[str, Tensor]:
            network.train().requires_grad_(True)
            return self._learnt(name, network, self._settings.estimator_steps, 3e-3, len(images), loss)

        network.load_state_dict(self._work.stage(name, make))
        return network.eval().requires_grad_(False)

    def _learnt(
        self,
        name: str,
        network: Looker,
        steps: int,
        peak: float,
        count: int,
        loss: Callable[[nn.Module, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        trainer = Trainer(network, self._work, name, self._settings.seed, steps)
        torch.manual_seed(self._settings.seed)  # dropout's
        return trainer.run(
            lambda step: loss(network, torch.randint(count, (32,), generator=trainer.generator)),
            peak,
            inf,
            250,
            lambda done: None,
        ).state_dict()

    def _shown(self, rate: Rate, images: Tensor, number: int) -> Tensor:
        """Return rates as a number of impressions has them."""
        rng = np.random.default_rng([self._settings.seed, number])
        true = rate(images).numpy().astype(np.float64).clip(0, 1)
        return torch.from_numpy(rng.binomial(self._settings.impressions, true) / self._settings.impressions).float()

    def _images(self, pair: Pair, number: int) -> Tensor:
        latents = torch.randn(
            self._settings.images, LATENTS, generator=torch.Generator().manual_seed(1000 * self._settings.seed + number)
        )
        with torch.no_grad():
            return torch.cat([pair.drawn(part).clamp(0, 1) for part in torch.chunk(latents, 10)])

    def _told(self, name: str) -> Callable[[float], None]:
        told = [0]

        def progress(done: float) -> None:
            if (tenth := int(10 * done)) > told[0]:
                told[0] = tenth
                self._say(f"{name} {10 * tenth} %")

        return progress

    def _say(self, text: str) -> None:
        print(f"# {time.process_time() - self._begun:.0f} s of processor: {text}", file=sys.stderr, flush=True)


def _faces(task: Task, count: int) -> dict[str, Tensor]:
    """Return drawn faces, uint8[N, H, W, C], and what lies behind them, of zero mean and unit variance."""
    frames, truth = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        with closing(task.start(seed)) as trial:
            frames.append(trial.frame())
            truth.append(trial.truth())  # type: ignore[attr-defined]
    told = np.stack(truth)
    traits = (told - told.mean(0)) / told.std(0).clip(1e-6)
    return {"frames": torch.from_numpy(np.stack(frames)), "traits": torch.from_numpy(traits).float()}


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0


if __name__ == "__main__":
    main()
