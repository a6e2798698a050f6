"""The coders that Racer brings. Each module holds a sender, a receiver and the `Coder` that names them."""

from __future__ import annotations

BUILT_IN: dict[str, str] = {
    "random": "compression.coders.blocks:RANDOM",
    "perceptual": "compression.coders.blocks:PERCEPTUAL",
    "pico": "compression.coders.blocks:PICO",
    "coarse": "compression.coders.coarse:COARSE",
    "pico-rate": "compression.coders.pico_rate:PICO_RATE",
    "pico-transform": "compression.coders.pico_transform:PICO_TRANSFORM",
    "predictive": "compression.coders.predictive:PREDICTIVE",
    "rl-allocation": "compression.coders.rl_allocation:RL_ALLOCATION",
    "agent": "compression.coders.agent:AGENT",
    "rl-asc": "compression.coders.rl_asc:RL_ASC",
    "jpeg": "compression.coders.pictures:JPEG",
    "webp": "compression.coders.pictures:WEBP",
    "hold-last": "compression.coders.hold_last:HOLD_LAST",
    "blind": "compression.coders.silent:BLIND",
    "zero-bits": "compression.coders.silent:ZERO_BITS",
    "first-blocks": "compression.coders.blocks:FIRST_BLOCKS",
    "rotation": "compression.coders.blocks:ROTATION",
    "random-step": "compression.coders.blocks:RANDOM_STEP",
    "png": "compression.coders.pictures:PNG",
}
"""Where each coder is found, in the order in which they are listed: loaded when asked for. They import torch where
they code: which coders there are, and what slots they need, is also asked where nothing is coded."""
