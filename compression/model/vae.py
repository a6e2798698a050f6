"""The generative model: a convolutional variational autoencoder with 32 latents, in the style of World Models."""

from __future__ import annotations

from torch import Tensor, nn

from compression.masks import LATENTS


class Encoder(nn.Module):
    """Maps images float32[N, 3, 64, 64] in [0, 1] to the posterior's mean and log variance, float32[N, 32] each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 48, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(48, 96, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(96, 128, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 512),
            nn.SiLU(),
            nn.Linear(512, 2 * LATENTS),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mu, logvar)."""
        mu, logvar = self.layers(images).chunk(2, dim=1)
        return mu, logvar


class Decoder(nn.Module):
    """Maps latents float32[N, 32] to images float32[N, 3, 64, 64]; values may leave [0, 1] slightly.

    Most of the capacity sits in the two cheap linear layers and at 8x8 resolution; sub-pixel convolutions
    (PixelShuffle) bring it to full size, which is several times cheaper than transposed convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENTS, 512),
            nn.SiLU(),
            nn.Linear(512, 80 * 8 * 8),
            nn.SiLU(),
            nn.Unflatten(1, (80, 8, 8)),
            nn.Conv2d(80, 4 * 56, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(56, 4 * 28, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(28, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return the images."""
        images: Tensor = self.layers(latents)
        return images


class VAE(nn.Module):
    """Encoder and decoder together, as pretraining needs them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
