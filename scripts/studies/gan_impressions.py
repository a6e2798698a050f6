"""A GAN tuned by simulated impressions, offline, in the small: what its estimator believes to gain, and what is gained.

    python scripts/studies/gan_impressions.py

After Lampinen, So, Eck and Bertsch, "Improving image generative models with human interactions" (2017). A GAN learns
from the pictures of task `faces` (64 x 64, latents of 64). 1,000 of its images get a rate each, by colours or by
filters of a network that learnt something else, with the binomial noise of 1,000 impressions. The estimator sorts
images into 100 bins of rate (temperature 1 in training, 0.01 in use) and is frozen; the generator goes on with its
fooling loss and 1,000 times the estimated rate, at a tenth of its learning rate. Both are compared on 1,000 fresh
images each.

Scaled down: 16 to 32 channels instead of 64 to 512 and no batch normalisation, thousands of steps instead of a million,
learning rates twenty times as high, 2,000 drawn faces instead of photographs, an estimator from scratch instead of
Inception, and a labeller of faces instead of VGG. What is finished is kept in --out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_ind
from torch import Tensor, nn
from torch.nn import functional

from compression.model.latent_model import use_one_thread
from compression.model.training.resumable import Work
from racer.tasks.registry import make_task
from sessions.export.cells import csv_bytes

LATENTS, SIDE, BINS, COLD = 64, 64, 100, 0.01
"""Of the generator, of an image, of the estimator, and its temperature in use."""
FIRST_SEED = 7_000_000
Rate = Callable[[Tensor], Tensor]
"""Rates of images float32[N, 3, 64, 64] in [-1, 1]: float32[N] in [0, 1]."""


@dataclass(frozen=True)
class Settings:
    """What decides the outcome."""

    faces: int = 2000
    images: int = 1000
    impressions: int = 1000
    gan_steps: int = 1500
    estimator_steps: int = 300
    tuning_steps: int = 300
    batch: int = 16
    learning_rate: float = 2e-4
    weight: float = 1000.0
    seed: int = 0


class Generator(nn.Module):
    """Latents float32[N, 64] to images: a dense layer, and five times convolution, all but once after upsampling."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 32, 24, 24, 16, 3)
        self.first = nn.Linear(LATENTS, widths[0] * 16)
        self.convolutions = nn.ModuleList(nn.Conv2d(narrow, wide, 3, padding=1) for narrow, wide in pairwise(widths))

    def forward(self, latents: Tensor) -> Tensor:
        """Return images float32[N, 3, 64, 64] in [-1, 1]."""
        images: Tensor = functional.leaky_relu(self.first(latents), 0.2).reshape(len(latents), -1, 4, 4)
        for number, convolution in enumerate(self.convolutions):
            if number:
                images = functional.interpolate(functional.leaky_relu(images, 0.2), scale_factor=2)
            images = convolution(images)
        return images.tanh()


class Looker(nn.Sequential):
    """Images to numbers: the discriminator, the estimator and the labeller, which the filters are of."""

    def __init__(self, outputs: int, widths: tuple[int, ...] = (16, 24, 32, 32), dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for narrow, wide in zip((3, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        side = SIDE >> len(widths)
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, outputs))


def main() -> None:
    """Parse the command line, do what is missing, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--out", type=Path, default=Path("gan_impressions"), help="folder of all that is kept")
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    use_one_thread()
    study = Study(Settings(**arguments), Work(out / "work", arguments))
    path = out / "rows.json"
    rows: list[dict[str, float | str]] = json.loads(path.read_text()) if path.exists() else []
    for name, rate in study.objectives().items():
        if name not in [row["objective"] for row in rows]:
            rows.append({"objective": name, **study.tuned(name, rate)})
            path.write_text(json.dumps(rows, indent=1))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    (out / "table.csv").write_bytes(csv_bytes(list(rows[0]), (row.values() for row in rows)))


class Study:
    """The networks that all objectives share."""

    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings, self._work, self._begun = settings, work, time.monotonic()
        torch.manual_seed(settings.seed)
        self._faces, self._traits = _faces(settings.faces)
        self._generator, self._critic = Generator(), Looker(1, dropout=0.2)
        self._labeller = Looker(self._traits.shape[1])
        both = nn.ModuleDict({"generator": self._generator, "critic": self._critic})
        both.load_state_dict(work.stage("gan", lambda: self._pretrained(both)))
        self._labeller.load_state_dict(work.stage("labeller", self._labelling))
        self._say("pretrained")

    def objectives(self) -> dict[str, Rate]:
        """Return what images are rated by."""
        halves = (slice(0, SIDE // 2), slice(SIDE // 2, SIDE))
        found: dict[str, Rate] = {
            name: _colours([(number, slice(0, SIDE))]) for number, name in enumerate(("red", "green", "blue"))
        }
        found["red left, blue right"] = _colours([(0, halves[0]), (2, halves[1])])
        rng = np.random.default_rng(self._settings.seed)
        for layer, depth in ((2, 4), (4, 10)):
            filters = rng.permutation(24 if layer == 2 else 32)
            found[f"a filter of layer {layer}"] = self._filters(depth, filters[:1])
            found[f"8 filters of layer {layer}"] = self._filters(depth, filters[:8])
        return found

    def tuned(self, name: str, rate: Rate) -> dict[str, float | str]:
        """Return what tuning by an objective comes to."""
        settings = self._settings
        torch.manual_seed(settings.seed + 1)
        rng = np.random.default_rng(settings.seed)
        with torch.no_grad():
            images = self._images(self._generator, settings.images)
            true = rate(images).numpy().astype(np.float64).clip(0, 1)
        shown = rng.binomial(settings.impressions, true) / settings.impressions
        estimator = self._estimator(images, torch.from_numpy(shown).float())
        generator, critic = Generator(), Looker(1, dropout=0.2)
        generator.load_state_dict(self._generator.state_dict())
        critic.load_state_dict(self._critic.state_dict())
        self._adversarial(generator, critic, settings.tuning_steps, settings.learning_rate / 10, estimator)
        with torch.no_grad():
            fresh = [self._images(each, settings.images) for each in (self._generator, generator)]
            before, after = (rate(each).numpy().astype(np.float64) for each in fresh)
            believed = [_estimated(estimator, each).mean().item() for each in fresh]
        spread = float(np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 2))
        change = float(after.mean() - before.mean())
        test = ttest_ind(after, before, equal_var=False)
        self._say(name)
        return {
            "before": round(float(before.mean()), 4),
            "after": round(float(after.mean()), 4),
            "d": round(change / spread, 2) if spread else "-",
            "welch_p": f"{test.pvalue:.1e}",
            "change": round(change, 4),
            "believed_change": round(believed[1] - believed[0], 4),
            "spread_before": round(float(true.std(ddof=1)), 4),
            "not_zero": round(float((shown > 0).mean()), 3),
            "diversity_left": round(float(fresh[1].std(0).mean() / fresh[0].std(0).mean()), 3),
        }

    def _pretrained(self, both: nn.ModuleDict) -> dict[str, Tensor]:
        settings = self._settings
        self._adversarial(self._generator, self._critic, settings.gan_steps, settings.learning_rate, None)
        return both.state_dict()

    def _adversarial(
        self, generator: Generator, critic: Looker, steps: int, peak: float, estimator: Looker | None
    ) -> None:
        """Go on with a GAN; with an estimator the generator's loss has 1,000 times the estimated rate in it."""
        settings = self._settings
        made = torch.optim.Adam(generator.parameters(), peak, (0.5, 0.999))
        judged = torch.optim.RMSprop(critic.parameters(), peak / 2)
        for step in range(steps):
            fakes = generator(torch.randn(settings.batch, LATENTS))
            reals = self._faces[torch.randint(len(self._faces), (settings.batch,))]
            judged.zero_grad()
            loss = functional.softplus(critic(fakes.detach())).mean() + functional.softplus(-critic(reals)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            judged.step()
            made.zero_grad()
            loss = functional.softplus(-critic(fakes)).mean()
            if estimator is not None:
                loss = loss - settings.weight * _estimated(estimator, fakes).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            made.step()
            if step % 250 == 249:
                self._say(f"adversarial step {step + 1}")

    def _labelling(self) -> dict[str, Tensor]:
        optimizer = torch.optim.Adam(self._labeller.parameters(), 1e-3)
        for _ in range(self._settings.estimator_steps):
            index = torch.randint(len(self._faces), (32,))
            optimizer.zero_grad()
            functional.mse_loss(self._labeller(self._faces[index]), self._traits[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return self._labeller.state_dict()

    def _estimator(self, images: Tensor, rates: Tensor) -> Looker:
        estimator = Looker(BINS, dropout=0.1)
        optimizer = torch.optim.Adam(estimator.parameters(), 5e-4)
        bins = (rates * BINS).long().clamp(0, BINS - 1)
        for _ in range(self._settings.estimator_steps):
            index = torch.randint(len(images), (32,))
            optimizer.zero_grad()
            functional.cross_entropy(estimator(images[index]), bins[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return estimator.eval().requires_grad_(False)

    def _filters(self, depth: int, filters: NDArray[np.int64]) -> Rate:
        """Return the norm of filters' activity over that of their whole layer (section 3.1)."""
        layers = nn.Sequential(*list(self._labeller)[:depth]).eval().requires_grad_(False)

        def rate(images: Tensor) -> Tensor:
            power = layers(images).square().sum((2, 3))
            share: Tensor = power[:, torch.from_numpy(filters)].sum(1) / power.sum(1).clamp_min(1e-9)
            return share.sqrt()

        return rate

    def _images(self, generator: Generator, count: int) -> Tensor:
        return torch.cat([generator(part) for part in torch.chunk(torch.randn(count, LATENTS), 10)])

    def _say(self, text: str) -> None:
        print(f"# {time.monotonic() - self._begun:.0f} s: {text}", file=sys.stderr, flush=True)


def _colours(parts: list[tuple[int, slice]]) -> Rate:
    """Return the norm of colours in columns over that of the whole image (section 3.3)."""

    def rate(images: Tensor) -> Tensor:
        light = ((images + 1) / 2).square()
        chosen = torch.stack([light[:, number, :, columns].sum((1, 2)) for number, columns in parts]).sum(0)
        return (chosen / light.sum((1, 2, 3)).clamp_min(1e-9)).sqrt()

    return rate


def _estimated(estimator: Looker, images: Tensor) -> Tensor:
    """Return estimated rates, float32[N], at the temperature of use."""
    middles = (torch.arange(BINS) + 0.5) / BINS
    rates: Tensor = (estimator(images) / COLD).softmax(1) @ middles
    return rates


def _faces(count: int) -> tuple[Tensor, Tensor]:
    """Return drawn faces as images, and what lies behind them, of zero mean and unit variance."""
    task = make_task("faces")
    frames, truth = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        with closing(task.start(seed)) as trial:
            frames.append(trial.frame())
            truth.append(trial.truth())  # type: ignore[attr-defined]
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    told = np.stack(truth)
    traits = (told - told.mean(0)) / told.std(0).clip(1e-6)
    return images, torch.from_numpy(traits).float()


if __name__ == "__main__":
    main()
