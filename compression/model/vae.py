"""The generative model: a convolutional variational autoencoder in the style of World Models.

Made for frames of 64x64 pixels. Others are padded at the bottom and on the right to whole multiples of what the
encoder halves them by, and cropped after decoding; frames of more than 128 pixels are halved once more.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from compression.model.sizes import Sizes

Layers = Callable[[Tensor], Tensor]
_STAGES = 4
"""Halvings of frames up to 128 pixels: 64 pixels become 4."""
_LARGE = 128
"""Pixels, beyond which there is one more for each doubling."""


def _extra_stages(sizes: Sizes) -> int:
    return ((max(sizes.frame[:2]) - 1) // _LARGE).bit_length()


def _grid(sizes: Sizes) -> tuple[int, int]:
    """Return rows and columns of what the encoder's convolutions leave of a frame."""
    cell = 1 << (_STAGES + _extra_stages(sizes))
    return -(-sizes.frame[0] // cell), -(-sizes.frame[1] // cell)


class Encoder(nn.Module):
    """Maps images float32[N, C, H, W] in [0, 1] to the posterior's mean and log variance, float32[N, latents] each.

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        extra, (rows, columns) = _extra_stages(sizes), _grid(sizes)
        cell = 1 << (_STAGES + extra)
        self._padding = 0, cell * columns - sizes.frame[1], 0, cell * rows - sizes.frame[0]
        deeper = [layer for _ in range(extra) for layer in (nn.Conv2d(48, 48, 3, stride=2, padding=1), nn.SiLU())]
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * sizes.frame[2], 48, 3, stride=2, padding=1),
            nn.SiLU(),
            *deeper,
            nn.Conv2d(48, 96, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(96, 128, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(128 * rows * columns, sizes.dense),
            nn.SiLU(),
            nn.Linear(sizes.dense, 2 * sizes.latents),
        )

    def forward(self, images: Tensor, layers: Layers | None = None) -> tuple[Tensor, Tensor]:
        """Return (mu, logvar), computed by `layers`, as of `straight`, in the place of its own."""
        if any(self._padding):
            images = nn.functional.pad(images, self._padding, mode="replicate")
        mu, logvar = (layers or self.layers)(images).chunk(2, dim=1)
        return mu, logvar


class Decoder(nn.Module):
    """Maps latents float32[N, latents] to images float32[N, C, H, W]; values may leave [0, 1] slightly.

    Most of the capacity sits in the two cheap linear layers and at an eighth of the resolution; sub-pixel convolutions
    (PixelShuffle) bring it to full size, which is several times cheaper than transposed convolutions.

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._height, self._width, channels = sizes.frame
        rows, columns = (2 * cells for cells in _grid(sizes))
        larger = [
            layer
            for _ in range(_extra_stages(sizes))
            for layer in (nn.Conv2d(28, 4 * 28, 3, padding=1), nn.PixelShuffle(2), nn.SiLU())
        ]
        self.layers = nn.Sequential(
            nn.Linear(sizes.latents, sizes.dense),
            nn.SiLU(),
            nn.Linear(sizes.dense, 80 * rows * columns),
            nn.SiLU(),
            nn.Unflatten(1, (80, rows, columns)),
            nn.Conv2d(80, 4 * 56, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(56, 4 * 28, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            *larger,
            nn.Conv2d(28, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor, layers: Layers | None = None) -> Tensor:
        """Return the images, computed by `layers`, as of `straight`, in the place of its own."""
        images: Tensor = (layers or self.layers)(latents)
        return images[:, :, : self._height, : self._width]


class VAE(nn.Module):
    """Encoder and decoder together.

    Args:
        sizes: Those of the latent model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(sizes)
        self.decoder = Decoder(sizes)


def straight(layers: nn.Sequential) -> Layers:
    """Return layers as one function of the same operations: the same bits, without the calls of modules in Python.

    Of a frame by itself these calls are a tenth. What is in a parameter counts, also later; another parameter does not.
    """
    steps = [_operation(layer) for layer in layers]

    def run(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def _operation(layer: nn.Module) -> Layers:
    match layer:
        case nn.Conv2d(weight=weight, bias=bias, stride=stride, padding=padding):
            return lambda x: torch.conv2d(x, weight, bias, stride, padding)
        case nn.Linear(weight=weight, bias=bias):
            return lambda x: nn.functional.linear(x, weight, bias)
        case nn.PixelShuffle(upscale_factor=factor):
            return lambda x: torch.pixel_shuffle(x, factor)
        case nn.SiLU():
            return nn.functional.silu
        case _:
            return layer
