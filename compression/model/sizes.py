"""The sizes of a latent model: everything else that depends on a task's frames and actions follows from them."""

from __future__ import annotations

from dataclasses import dataclass

from compression.errors import SizeError

LEAST_SIDE, MOST_SIDE = 8, 256
MOST_LATENTS = 256
MOST_BLOCKS = 16
"""All masks of 8 out of 16 blocks, 12,870 of them, are still quickly listed."""
MOST_ACTIONS = 64
MOST_UNITS = 1024


@dataclass(frozen=True)
class Sizes:
    """What a latent model is made for. Sizes that no model has raise SizeError."""

    frame: tuple[int, int, int]
    """Height and width in pixels, 8 to 256, and channels: 1 for grey, 3 for RGB."""
    latents: int
    """Features of a latent, 2 to 256."""
    blocks: int
    """Blocks of neighbouring features, which masks choose among: 2 to 16; they divide the latents."""
    actions: int
    """Actions of the task, 2 to 64."""
    hidden: int
    """Numbers in the state of the world model, 0 to 1024; 0: there is none, as frames do not follow one another."""
    dense: int
    """Units of the dense layers of the autoencoder, 1 to 1024."""

    def __post_init__(self) -> None:
        numbers = (*self.frame, self.latents, self.blocks, self.actions, self.hidden, self.dense)
        if len(self.frame) != 3 or any(type(number) is not int for number in numbers):
            raise SizeError("sizes of a latent model must be whole numbers, and a frame have three of them")
        height, width, channels = self.frame
        if not (min(height, width) >= LEAST_SIDE and max(height, width) <= MOST_SIDE and channels in (1, 3)):
            raise SizeError(
                f"frames must have {LEAST_SIDE} to {MOST_SIDE} rows and columns and 1 or 3 channels; got {self.frame}"
            )
        for name, least, most in (
            ("latents", 2, MOST_LATENTS),
            ("blocks", 2, MOST_BLOCKS),
            ("actions", 2, MOST_ACTIONS),
            ("hidden", 0, MOST_UNITS),
            ("dense", 1, MOST_UNITS),
        ):
            if not least <= getattr(self, name) <= most:
                raise SizeError(
                    f"{name} of a latent model must lie between {least} and {most}; got {getattr(self, name)}"
                )
        if self.latents % self.blocks:
            raise SizeError(
                f"{self.latents} latents cannot be divided into {self.blocks} blocks of equal size; "
                f"take {-(-self.latents // self.blocks) * self.blocks} latents, or other blocks"
            )

    @property
    def block_size(self) -> int:
        """Features of a block."""
        return self.latents // self.blocks
