"""The networks of RL-ASC, sized for frames of 64 pixels a side and one processor.

F labels pixels, E makes features of a frame, the agent picks a quantiser level for each concept, and the generator
makes a frame of what arrives: locally, concept by concept, and globally under spatially adaptive normalisation (SPADE,
Park et al. 2019), fused by attention (RL-ASC, equations 28 to 31). Fewer blocks and channels than in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 8
"""Pixels along a cell of the down-scaled label map and of the features."""
LEVELS = (1, 2, 3, 5, 9, 17)
"""Quantisation centres of each level; the coarsest keeps nothing of a feature."""
CHANNELS = (4, 8, 16)
"""n, the channels of the features, of which one is chosen."""
MOST_PARTS = 16
_SLOPE = 0.2


@dataclass(frozen=True)
class Design:
    """What the networks are made for. Impossible ones raise ValueError."""

    frame: tuple[int, int, int]
    """Height and width, which cells divide, and channels."""
    parts: int
    """M, the concepts: labels of a pixel."""
    channels: int
    """n, one of `CHANNELS`."""

    def __post_init__(self) -> None:
        if self.frame[0] % CELL or self.frame[1] % CELL:
            raise ValueError(f"the sides of frames must be multiples of {CELL} pixels")
        if not 2 <= self.parts <= MOST_PARTS or self.channels not in CHANNELS:
            raise ValueError(f"there must be 2 to {MOST_PARTS} parts and {', '.join(map(str, CHANNELS))} channels")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.frame[0] // CELL, self.frame[1] // CELL


class Labeller(nn.Module):
    """Labels pixels: images float32[N, C, H, W] in [0, 1] to logits float32[N, M, H, W].

    The same network serves as F, as the task's network H (equation 4), whose features are the perceptual space of
    equation 11, and as the one that scores; each is trained on trials of its own.

    Args:
        channels: Of the images.
        parts: Labels.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 20, 3, 2, 1)
        self.third = nn.Conv2d(20, 28, 3, 2, 1)
        self.inner = nn.Conv2d(28, 28, 3, padding=1)
        self.wider = nn.Conv2d(28 + 20, 20, 3, padding=1)
        self.last = nn.Conv2d(20 + 12, 12, 3, padding=1)
        self.out = nn.Conv2d(12, parts, 1)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return what is seen at three scales: float32[N, 12, H, W] and on."""
        first = functional.leaky_relu(self.first(images - 0.5), _SLOPE)
        half = functional.leaky_relu(self.second(first), _SLOPE)
        quarter = functional.leaky_relu(self.third(half), _SLOPE)
        return [first, half, functional.leaky_relu(self.inner(quarter), _SLOPE)]

    def label(self, features: list[Tensor]) -> Tensor:
        """Return the logits of what was seen."""
        first, half, quarter = features
        half = functional.leaky_relu(self.wider(torch.cat([_twice(quarter), half], 1)), _SLOPE)
        last = functional.leaky_relu(self.last(torch.cat([_twice(half), first], 1)), _SLOPE)
        logits: Tensor = self.out(last)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.label(self.features(images))


class Encoder(nn.Module):
    """E: images to features in [-1, 1], float32[N, n, H/8, W/8]; instance normalisation and leaky ReLU as the paper.

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        widths = (design.frame[2], 20, 32, 48)
        self.down = nn.ModuleList(nn.Conv2d(one, other, 4, 2, 1) for one, other in pairwise(widths))
        self.project = nn.Conv2d(widths[-1], design.channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        values = images - 0.5
        for number, layer in enumerate(self.down):
            values = layer(values)
            values = functional.leaky_relu(functional.instance_norm(values) if number else values, _SLOPE)
        return torch.tanh(self.project(values))


class Classifier(nn.Module):
    """Tells concepts apart by their features (equation 3): pooled to n numbers, one layer shared by all.

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.layer = nn.Linear(design.channels, design.parts)

    def forward(self, concepts: Tensor) -> Tensor:
        """Return logits float32[..., M] of concepts float32[..., n, h, w]."""
        logits: Tensor = self.layer(concepts.amax(dim=(-2, -1)))
        return logits


class _Spade(nn.Module):
    """Normalises, then scales and shifts by what lies where."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(parts, 16, 3, padding=1)
        self.both = nn.Conv2d(16, 2 * width, 3, padding=1)

    def forward(self, values: Tensor, masks: Tensor) -> Tensor:
        masks = functional.interpolate(masks, values.shape[-2:], mode="nearest")
        scale, shift = self.both(functional.relu(self.shared(masks))).chunk(2, 1)
        modulated: Tensor = functional.instance_norm(values) * (1 + scale) + shift
        return modulated


class _SpadeBlock(nn.Module):
    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(_Spade(width, parts) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, values: Tensor, masks: Tensor) -> Tensor:
        inner = values
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inner = convolution(functional.leaky_relu(norm(inner, masks), _SLOPE))
        return values + inner


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, values: Tensor) -> Tensor:
        inner: Tensor = self.layers(values)
        return values + inner


class LocalGenerator(nn.Module):
    """Makes each concept's part of the frame from that concept's features alone (equations 28 and 29).

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self._design = design
        self.trunk = nn.Sequential(
            nn.Conv2d(design.channels + 2, 24, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            _Residual(24),
            _Residual(24),
            nn.ConvTranspose2d(24, 16, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.ConvTranspose2d(16, 12, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
        )
        parts, colors = design.parts, design.frame[2]
        self.heads = nn.ConvTranspose2d(12 * parts, colors * parts, 4, 2, 1, groups=parts)

    def forward(self, concepts: Tensor, masks: Tensor, levels: Tensor) -> Tensor:
        """Return images float32[N, C, H, W] of concepts [N, M, n, h, w], masks [N, M, h, w] and levels [N, M]."""
        count, parts = masks.shape[:2]
        finest = (levels[:, :, None, None] * masks)[:, :, None]
        values = self.trunk(torch.cat([concepts, masks[:, :, None], finest], 2).flatten(0, 1))
        drawn = self.heads(values.reshape(count, -1, *values.shape[-2:]))
        images: Tensor = drawn.reshape(count, parts, -1, *drawn.shape[-2:]).sum(1)
        return images


class GlobalGenerator(nn.Module):
    """Makes the whole frame of all features, guided by what lies where (equation 30).

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.first = nn.Conv2d(design.channels + 1, 32, 3, padding=1)
        self.blocks = nn.ModuleList(_SpadeBlock(32, design.parts) for _ in range(3))
        widths = (32, 24, 16, 8)
        self.up = nn.ModuleList(nn.Conv2d(one, other, 3, padding=1) for one, other in pairwise(widths))
        self.out = nn.Conv2d(8, design.frame[2], 3, padding=1)

    def forward(self, features: Tensor, masks: Tensor, levels: Tensor) -> Tensor:
        """Return images float32[N, C, H, W] of features [N, n, h, w], masks [N, M, h, w] and levels [N, M]."""
        finest = (levels[:, :, None, None] * masks).sum(1, keepdim=True)
        values = self.first(torch.cat([features, finest], 1))
        for block in self.blocks:
            values = block(values, masks)
        for layer in self.up:
            values = functional.leaky_relu(layer(_twice(values)), _SLOPE)
        images: Tensor = self.out(values)
        return images


class Generator(nn.Module):
    """The semantic decoder: local and global images, weighed pixel by pixel (equation 31).

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.local = LocalGenerator(design)
        self.whole = GlobalGenerator(design)
        self.attention = nn.Sequential(
            nn.ConvTranspose2d(design.channels, 12, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.ConvTranspose2d(12, 12, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.ConvTranspose2d(12, 8, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(8, 2, 3, padding=1),
        )

    def forward(self, concepts: Tensor, masks: Tensor, levels: Tensor) -> Tensor:
        """Return images float32[N, C, H, W] in [0, 1].

        Args:
            concepts: float32[N, M, n, h, w], quantised features of each concept, 0 elsewhere.
            masks: float32[N, M, h, w], 1 where a cell is a concept's.
            levels: int[N, M], 0 to 5.
        """
        finest = levels.float() / (len(LEVELS) - 1)
        features = concepts.sum(1)
        weights = self.attention(features).softmax(1)
        local, whole = self.local(concepts, masks, finest), self.whole(features, masks, finest)
        images: Tensor = (weights[:, :1] * local + weights[:, 1:] * whole).sigmoid()
        return images


class Agent(nn.Module):
    """Scores the levels of a concept on seeing its features, its mask, which one it is, and the price of a bit.

    Two convolutions with max-pooling and three dense layers, as in the paper; the price of a bit (lambda) is told, so
    that one agent serves all rates. A level's score is a line over the logarithm of the price, whose two coefficients
    are what the network says: the dearer a bit, the coarser the level, however little the agent has learnt.

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(design.channels + 1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(16, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        )
        rows, columns = design.grid
        seen = 24 * -(-rows // 4) * -(-columns // 4)
        self.decide = nn.Sequential(
            nn.Linear(seen + design.parts + 1, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, 2 * len(LEVELS)),
        )

    def forward(self, concepts: Tensor, masks: Tensor, price: Tensor) -> Tensor:
        """Return logits float32[N, M, Q] for concepts [N, M, n, h, w], masks [N, M, h, w] and prices [N] above 0."""
        count, parts = masks.shape[:2]
        seen = self.look(torch.cat([concepts, masks[:, :, None]], 2).flatten(0, 1)).flatten(1)
        which = torch.eye(parts, device=masks.device).repeat(count, 1)
        told = (price.log10() + 3).repeat_interleave(parts)[:, None]
        usual, dearer = self.decide(torch.cat([seen, which, told], 1)).chunk(2, 1)
        logits: Tensor = usual + told * dearer
        return logits.reshape(count, parts, -1)


class System(nn.Module):
    """All that a fitted file holds of networks.

    Args:
        design: Sizes.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.labeller = Labeller(design.frame[2], design.parts)
        self.encoder = Encoder(design)
        self.generator = Generator(design)
        self.agent = Agent(design)


def masks_of(cells: Tensor, parts: int) -> Tensor:
    """Return the masks float32[N, M, h, w] of equation 1 of down-scaled label maps int64[N, h, w]."""
    return functional.one_hot(cells, parts).permute(0, 3, 1, 2).float()


def split_features(features: Tensor, masks: Tensor) -> Tensor:
    """Return concepts float32[N, M, n, h, w] (equation 2) of features [N, n, h, w] and masks [N, M, h, w]."""
    return features[:, None] * masks[:, :, None]


def centres(level: int) -> Tensor:
    """Return the quantisation centres of a level, float32[K] in (-1, 1)."""
    count = LEVELS[level]
    return (2 * torch.arange(count) + 1 - count) / count


def symbols_of(features: Tensor, level: int) -> Tensor:
    """Return the index of the nearest centre, int64, of each feature (equation 24)."""
    count = LEVELS[level]
    return ((features + 1) * count / 2).floor().clamp(0, count - 1).long()


def down_scaled(labels: Tensor, weights: Tensor) -> Tensor:
    """Return down-scaled label maps, int64[N, h, w], of label maps, int64[N, H, W].

    A cell is the part's that takes most of it, measured by what the part usually takes of a cell that it is in: small
    things would never take most of the pixels.

    Args:
        labels: Below M.
        weights: float32[M].
    """
    return (cell_shares(labels, len(weights)) * weights[:, None, None]).argmax(1)


def cell_shares(labels: Tensor, parts: int) -> Tensor:
    """Return the share that each part takes of each cell, float32[N, M, h, w], of label maps int64[N, H, W]."""
    return functional.avg_pool2d(functional.one_hot(labels, parts).permute(0, 3, 1, 2).float(), CELL)


def _twice(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="nearest")
