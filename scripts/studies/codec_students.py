"""Teach smaller networks to do what car-racing's do, and say what they save and what they cost.

    OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy PYTHONPATH=. python scripts/studies/codec_students.py --frames build/frames

A student has a share of the channels. Its encoder learns the teacher's latents, its decoder the teacher's pictures of
these and of others that mix two frames (G. Hinton et al., Distilling the knowledge in a neural network, 2015). Both are
measured on frames of tracks that neither met, beside the dumbest picture, the mean of all frames. Times are of the
processor, in turns, on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.model.header import shipped_model
from compression.model.latent_model import LatentModel, frames_of, images_of, load_model, use_one_thread
from compression.model.training.card import psnr
from racer.training.collect import CollectConfig, collect

Network = Callable[[Tensor], Tensor]
BATCH = 32
PEAK = 2e-3
"""Highest learning rate."""
LEVELS = 30
"""Of a feature in a packet of 85 bits."""


def narrowed(layers: nn.Sequential, share: float, outputs: int) -> nn.Sequential:
    """Return layers like these, untrained, with a share of the channels within and so many outputs."""
    last = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
    made: list[nn.Module] = []
    begun = False
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            given, wanted = layer.weight.shape[1], layer.weight.shape[0]
            given = int(given * share) if begun else given
            wanted = outputs if layer is last else int(wanted * share)
            begun = True
            if isinstance(layer, nn.Linear):
                made.append(nn.Linear(given, wanted))
            else:
                stride, padding = layer.stride[0], int(layer.padding[0])
                made.append(nn.Conv2d(given, wanted, layer.kernel_size[0], stride=stride, padding=padding))
        elif isinstance(layer, nn.Unflatten):
            made.append(nn.Unflatten(1, (int(layer.unflattened_size[0] * share), *layer.unflattened_size[1:])))
        else:
            made.append(layer)
    return nn.Sequential(*made).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def teach(model: LatentModel, encoder: nn.Module, decoder: nn.Module, frames: NDArray[np.uint8], seconds: float) -> int:
    """Train both for so much of the processor's time; return the number of steps."""
    rng, images = np.random.default_rng(0), images_of(frames)
    latents = torch.from_numpy(np.concatenate([model.encode_frames(part) for part in np.array_split(frames, 50)]))
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, PEAK)
    begun, steps = time.process_time(), 0
    while (done := (time.process_time() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min(1, steps / 100) * (1 + math.cos(math.pi * done)) / 2
        rows = torch.from_numpy(rng.integers(0, len(frames), BATCH))
        z = latents[rows]
        mixed = torch.where(torch.from_numpy(rng.random(z.shape) < 0.5), z.flip(0), z)
        shown = torch.cat([z[: BATCH // 2], mixed[BATCH // 2 :]])
        with torch.no_grad():
            wanted = model.vae.decoder(shown).clamp_(0, 1)
        loss = nn.functional.mse_loss(encoder(images[rows]), z)
        loss = loss + 100 * nn.functional.mse_loss(decoder(shown), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        steps += 1
        if steps % 200 == 0:
            print(f"{done:.0%}, {steps} steps: {loss.item():.4f}", flush=True)
    return steps


def quality(
    model: LatentModel, encoder: nn.Module, decoder: nn.Module, frames: NDArray[np.uint8], mean: NDArray[np.uint8]
) -> dict[str, float]:
    """Return PSNR in dB of held-out frames by who encoded and who decoded, and how often a symbol is another."""
    encoders: dict[str, Network] = {"teacher": lambda x: model.vae.encoder(x)[0], "student": encoder}
    decoders: dict[str, Network] = {"teacher": model.vae.decoder, "student": decoder}
    found: dict[str, float] = {}
    latents: dict[str, Tensor] = {}
    with torch.inference_mode():
        for sending, encode in encoders.items():
            latents[sending] = torch.cat([encode(images_of(part)) for part in np.array_split(frames, 20)])
            for receiving, decode in decoders.items():
                shown = np.concatenate([frames_of(decode(part)) for part in latents[sending].tensor_split(20)])
                found[f"{sending} to {receiving}, dB"] = psnr(shown, frames)[0]
    features = np.arange(model.sizes.latents)
    levels = (LEVELS,) * len(features)
    symbols = [
        np.array([model.quantizer.encode(latent, features, levels) for latent in latents[who].numpy()])
        for who in encoders
    ]
    found["other symbols"] = float((symbols[0] != symbols[1]).mean())
    found["mean frame, dB"] = psnr(np.broadcast_to(mean, frames.shape), frames)[0]
    return found


def times(model: LatentModel, encoder: nn.Module, decoder: nn.Module, frames: NDArray[np.uint8]) -> dict[str, Any]:
    """Return milliseconds of both networks per frame, alone and of 16, in turns."""
    found: dict[str, Any] = {}
    for batch, turns in ((1, 40), (16, 12)):
        x = images_of(frames[:batch])
        z: Tensor = torch.zeros(batch, model.sizes.latents)
        ends: dict[str, tuple[Any, Any]] = {
            "teacher": (model.vae.encoder, model.vae.decoder),
            "student": (encoder, decoder),
        }
        taken: dict[str, list[float]] = {name: [] for name in ends}
        with torch.inference_mode():
            for turn in range(-3, turns):
                for name, (encode, decode) in ends.items():
                    begun = time.process_time()
                    encode(x), decode(z)
                    if turn >= 0:
                        taken[name].append((time.process_time() - begun) * 1000 / batch)
        found[f"of {batch}, ms"] = {name: statistics.median(values) for name, values in taken.items()}
    return found


def main() -> None:
    """Teach one student and print what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, required=True, help="folder that frames are collected in")
    parser.add_argument("--runs", type=int, default=40, help="drives to learn from; a fifth as many are held out")
    parser.add_argument("--share", type=float, default=0.5, help="share of the channels")
    parser.add_argument("--seconds", type=float, default=600, help="of the processor, for training")
    given = parser.parse_args()
    use_one_thread()
    torch.manual_seed(0)
    config = CollectConfig(runs=given.runs, held_out_runs=max(2, given.runs // 5))
    splits = collect("car-racing", {}, given.frames, config, jobs=1)
    model = load_model(shipped_model("car-racing"))
    encoder = narrowed(model.vae.encoder.layers, given.share, model.sizes.latents)
    decoder = narrowed(model.vae.decoder.layers, given.share, 4 * model.sizes.frame[2])
    train = np.array(splits["train"].frames)
    held_out = np.array(splits["held_out"].frames)
    held_out = held_out[:: max(1, len(held_out) // 1000)]
    print(f"{len(train)} frames to learn from, {len(held_out)} held out", flush=True)
    steps = teach(model, encoder, decoder, train, given.seconds)
    mean = train.mean(axis=0).round().astype(np.uint8)
    weights = {
        name: sum(parameter.numel() for network in networks for parameter in network.parameters())
        for name, networks in {"teacher": (model.vae,), "student": (encoder, decoder)}.items()
    }
    found = quality(model, encoder, decoder, held_out, mean)
    print(json.dumps({"steps": steps, "weights": weights} | found | times(model, encoder, decoder, held_out)))


if __name__ == "__main__":
    main()
