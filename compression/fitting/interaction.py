"""The interaction model R: what people do on seeing a picture, and whether it goes well; an ensemble split by person.

After Lampinen, So, Eck and Bertsch, "Improving image generative models with human interactions" (2017), section 2.1.3:
a model of behaviour that is frozen and then followed. There it rates an image by itself. Here it sees what was shown,
the last actions and what is done on seeing the original of the same state, and predicts whether that is done, so that
a picture gains by saying what there is, and not by looking easy. It also predicts, from what was shown and the last
actions alone, whether nothing fails in the next second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compression.errors import MaskError, TrainingError
from compression.fitting.classifiers import STAGES, Progress, calibration_error, optimise, repeatable
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord, load_fitted, remedy
from compression.model.latent_model import LatentModel, images_of
from compression.model.sizes import Sizes

NAME = "interaction"
MADE_BY = "racer train --objective interaction"
RECENT = 3
"""Actions before that it is told."""
MOST_MEMBERS = 8
_GRID, _UNITS, _DROPOUT = 8, 64, 0.2
_BATCH = 64
_PIECE = 256
"""Pictures that pass a network together."""
_MOST_JUDGED = 1500
"""Held-out steps that decide when to stop."""
_SURE = 1e-6
"""Least probability of which a logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Steps in which somebody was shown what a latent model decoded."""

    latents: NDArray[np.float32]
    """float32[N, latents] of the original frames."""
    received: NDArray[np.float32]
    """float32[N, latents], decoded and shown."""
    recent: NDArray[np.int64]
    """int64[N, RECENT], actions before, the latest first; as many as there are actions where there was none yet."""
    actions: NDArray[np.int64]
    """int64[N], taken on seeing it."""
    wanted: NDArray[np.float32]
    """float32[N, actions], how likely each action is on seeing the original of the same state."""
    kept: NDArray[np.float32]
    """float32[N], 1 where nothing fails in the next second, else 0; NaN where the task does not say."""
    people: NDArray[np.int64]
    """int64[N], whose step it is, from 0."""

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Interactions:
        """Return some of the steps."""
        return Interactions(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def agreement(self) -> NDArray[np.float32]:
        """Return how likely each action is the one on seeing the original, float32[N]."""
        found: NDArray[np.float32] = self.wanted[np.arange(len(self.actions)), self.actions]
        return found


@dataclass(frozen=True)
class InteractionSummary:
    """Result of a fit, measured on the steps of people whom the members that are asked have not met."""

    steps: int
    people: int
    members: int
    agreement: float
    """Share of the steps in which the action is the one on seeing the original."""
    agreement_foreseen: float
    agreement_correlation: float
    """Correlation between agreeing and the predicted probability of it; 0 where one of the two does not vary."""
    calibration_error: float
    """Expected calibration error of the probability of agreeing."""
    kept: float | None
    """Share of the steps after which nothing fails for a second; None where the task names nothing that fails."""
    kept_foreseen: float | None
    kept_correlation: float | None


class InteractionNetwork(nn.Module):
    """One member: from images float32[N, C, H, W] in [0, 1] and recent actions to logits of agreeing and of keeping.

    Args:
        sizes: Of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.actions = sizes.actions
        widths = (sizes.frame[2], 16, 32, 32)
        layers = [
            layer
            for narrow, wide in pairwise(widths)
            for layer in (nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.SiLU())
        ]
        self.eye = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_GRID), nn.Flatten(), nn.Dropout(_DROPOUT))
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * _GRID**2 + RECENT * (sizes.actions + 1), _UNITS),
            nn.SiLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(_UNITS, sizes.actions + 1),
        )

    def forward(self, images: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of doing each action where the original asks for it, float32[N, actions], and of keeping."""
        before = functional.one_hot(recent, self.actions + 1).flatten(1).to(images.dtype)
        logits: Tensor = self.head(torch.cat([self.eye(images), before], dim=1))
        return logits[:, :-1], logits[:, -1]


@dataclass(frozen=True, eq=False)
class InteractionModel:
    """R. Its members' weights are frozen and in evaluation mode."""

    members: tuple[InteractionNetwork, ...]

    def rates(self, images: Tensor, recent: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities of agreeing and of keeping, float32[N] each, averaged over members.

        Args:
            images: float32[N, C, H, W] in [0, 1]; gradients pass to them.
            recent: As in `Interactions`.
            wanted: As in `Interactions`.
        """
        agreeing, keeping = [], []
        for member in self.members:
            doing, kept = member(images, recent)
            agreeing.append((doing.sigmoid() * wanted).sum(1).clamp_min(_SURE).log())
            keeping.append(functional.logsigmoid(kept))
        return torch.stack(agreeing).mean(0), torch.stack(keeping).mean(0)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return what its file holds."""
        return {
            f"{number}.{name}": tensor.numpy()
            for number, member in enumerate(self.members)
            for name, tensor in member.state_dict().items()
        }


def fitting_config(seed: int = 0, iterations: int = 600) -> PicoConfig:
    """Return the settings that R is fitted with: pictures are dearer than latents, so fewer make a batch."""
    return PicoConfig(seed=seed, iterations=iterations, batch=_BATCH)


def fit_interaction(
    data: Interactions, model: LatentModel, config: PicoConfig, progress: Progress = lambda stage, done: None
) -> tuple[InteractionModel, InteractionSummary]:
    """Fit R by binary cross-entropy on agreeing and on keeping. The same arguments give the same weights.

    Each member leaves some people out, by whom it is decided when it stops; see `left_out`.

    Raises:
        TrainingError: If there are fewer than two people.
    """
    members = members_of(data, config)
    shown = decoded(model, data.received)
    generator = torch.Generator().manual_seed(config.seed)
    networks = []
    with repeatable(config.seed):
        for number in range(members):
            held = left_out(data, number, members)
            trained, judged = (_Batch(shown, data, np.flatnonzero(part), model.device) for part in (~held, held))
            network = InteractionNetwork(model.sizes).to(model.device)
            few = torch.from_numpy(np.linspace(0, judged.count - 1, min(_MOST_JUDGED, judged.count)).astype(np.int64))
            optimise(
                network,
                trained.count,
                partial(trained.loss, network),
                partial(judged.loss, network, few),
                partial(judged.right, network, few),
                config,
                generator,
                progress,
                "interaction model",
                STAGES * number / members,
                STAGES / members,
            )
            networks.append(network.eval().requires_grad_(False).cpu())
    fitted = InteractionModel(tuple(networks))
    return fitted, summarise(fitted, shown, data)


def members_of(data: Interactions, config: PicoConfig) -> int:
    """Return how many members an ensemble of these people has. Raises TrainingError if they are too few to be split."""
    people = len(np.unique(data.people))
    if people < 2:
        raise TrainingError(
            "the interaction model is split by person, and these are recordings of "
            f"{'one person' if people else 'nobody'}; nothing was written: name recordings of 2 people or more"
        )
    return min(max(2, config.members), people, MOST_MEMBERS)


def left_out(data: Interactions, member: int, members: int) -> NDArray[np.bool_]:
    """Return the steps of the people whom a member of an ensemble does not learn from, bool[N]."""
    found: NDArray[np.bool_] = np.unique(data.people, return_inverse=True)[1] % members == member
    return found


def decoded(model: LatentModel, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the frames, uint8[N, H, W, C], of latents, float32[N, latents], piece by piece."""
    pieces = [model.decode_latents(latents[start : start + _PIECE]) for start in range(0, len(latents), _PIECE)]
    return np.concatenate(pieces)


def read_interaction(path: Path, model: LatentModel) -> tuple[InteractionModel, FittedRecord]:
    """Return R and its record as a file holds them. Raises MaskError if it is of no use with the latent model."""
    fitted = load_fitted(path, model, NAME, MADE_BY)
    try:
        return interaction_of(fitted.tensors, model.sizes), fitted.record
    except ValueError as error:
        raise MaskError(f"{path} is damaged: {error}; {remedy(path, MADE_BY)}") from error


def interaction_of(tensors: Mapping[str, NDArray[np.float32]], sizes: Sizes) -> InteractionModel:
    """Return R as a file's tensors hold it. Raises ValueError if they are none of its."""
    count = len({name.partition(".")[0] for name in tensors})
    if not 2 <= count <= MOST_MEMBERS:
        raise ValueError(f"it does not hold 2 to {MOST_MEMBERS} members")
    with torch.device("meta"):
        networks = [InteractionNetwork(sizes) for _ in range(count)]
    shapes = {
        f"{number}.{name}": tuple(tensor.shape)
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }
    if {name: array.shape for name, array in tensors.items()} != shapes:
        raise ValueError("it does not hold what an interaction model needs")
    for number, network in enumerate(networks):
        network.load_state_dict(_part(tensors, f"{number}."), assign=True)
        network.eval().requires_grad_(False)
    return InteractionModel(tuple(networks))


def predicted_rates(
    interaction: InteractionModel, shown: NDArray[np.uint8], data: Interactions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the probabilities of agreeing and of keeping, float32[N] each, on seeing frames uint8[N, H, W, C]."""
    found = [
        interaction.rates(images_of(shown[piece]), *_told(data, piece))
        for piece in (np.arange(at, min(at + _PIECE, len(shown))) for at in range(0, len(shown), _PIECE))
    ]
    agreeing, keeping = (torch.cat(parts).exp().numpy() for parts in zip(*found, strict=True))
    return agreeing, keeping


def summarise(fitted: InteractionModel, shown: NDArray[np.uint8], data: Interactions) -> InteractionSummary:
    """Return how well each member predicts what people do whom it has not met.

    Args:
        fitted: Fitted to just these steps.
        shown: uint8[N, H, W, C], what was shown in them.
        data: The steps.
    """
    count = len(fitted.members)
    agreeing, keeping = np.zeros((2, len(shown)), np.float32)
    for number, member in enumerate(fitted.members):
        held = np.flatnonzero(left_out(data, number, count))
        agreeing[held], keeping[held] = predicted_rates(InteractionModel((member,)), shown[held], data.part(held))
    known = ~np.isnan(data.kept)
    agreed = data.agreement()
    return InteractionSummary(
        steps=len(shown),
        people=len(np.unique(data.people)),
        members=count,
        agreement=float(agreed.mean()),
        agreement_foreseen=float(agreeing.mean()),
        agreement_correlation=_correlation(agreeing, agreed),
        calibration_error=calibration_error(
            torch.from_numpy(agreeing), torch.from_numpy(agreed), torch.ones(len(agreed))
        ),
        kept=float(data.kept[known].mean()) if known.any() else None,
        kept_foreseen=float(keeping[known].mean()) if known.any() else None,
        kept_correlation=_correlation(keeping[known], data.kept[known]) if known.any() else None,
    )


class _Batch:
    """Steps to learn from, or to be judged by."""

    def __init__(
        self, shown: NDArray[np.uint8], data: Interactions, chosen: NDArray[np.intp], device: torch.device
    ) -> None:
        self._shown, self._data, self._chosen, self._device = shown, data, chosen, device
        self.count = len(chosen)

    def loss(self, network: InteractionNetwork, index: Tensor) -> Tensor:
        at = self._chosen[index.numpy()]
        images, recent, wanted, done = self._at(at, network)
        doing, kept = network(images, recent)
        losses = functional.binary_cross_entropy_with_logits(doing, done.float(), reduction="none")
        loss = (wanted * losses).sum(1).mean()
        truth = torch.from_numpy(self._data.kept[at]).to(self._device)
        if (known := ~truth.isnan()).any():
            loss = loss + functional.binary_cross_entropy_with_logits(kept[known], truth[known])
        return loss

    def right(self, network: InteractionNetwork, index: Tensor) -> float:
        """Return how often the network predicts rightly whether what the original asks for is done, in [0, 1]."""
        at = self._chosen[index.numpy()]
        images, recent, wanted, done = self._at(at, network)
        predicted = network(images, recent)[0] > 0
        return float((wanted * (predicted == done.bool())).sum(1).mean())

    def _at(self, at: NDArray[np.intp], network: InteractionNetwork) -> list[Tensor]:
        """Return the images shown at some steps, what R is told of them, and what was done, 0 or 1 for each action."""
        done = functional.one_hot(torch.from_numpy(self._data.actions[at]), network.actions)
        return [each.to(self._device) for each in (images_of(self._shown[at]), *_told(self._data, at), done)]


def _told(data: Interactions, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(data.recent[at]), torch.from_numpy(data.wanted[at])


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if len(one) < 2 or not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _part(tensors: Mapping[str, NDArray[np.float32]], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(array) for name, array in tensors.items() if name.startswith(prefix)
    }
