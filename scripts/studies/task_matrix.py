"""What a mask trained for one question keeps of another: agreement against bits, question by question (PICO, 5.2).

    python scripts/studies/task_matrix.py --task vehicles

For each question of a world, pilots of one family answer it on originals and under random masks, and a mask is trained
on that. People of the other families then answer each question on held-out pictures under every mask. Agreement is the
released code's: the probability, on seeing what was received, of the answer that is likeliest on seeing the original.
Packets are real, and bits are a packet's, mask included. Fixed masks send as many features at as many levels, and need
not say which: their bits are the packet's without the mask.

Intervals are 95 %, bootstrap over the pictures, the same ones for everybody; people are averaged.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import comb, log2
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compression.coders.blocks import BlockReceiver, BlockSender, full_layout
from compression.coders.packet import Layout, layout_for
from compression.fill import FillName
from compression.fitting.config import PicoConfig
from compression.fitting.mask_policy import MaskNetwork
from compression.fitting.pico import fit_mask
from compression.fitting.recorded import RecordedEpisode
from compression.masks import FixedMask, MaskPolicy, RandomMasks, best_blocks
from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.families.viewers import Viewer
from racer.drivers.registry import make_driver
from racer.tasks.latent_model import load_task_model
from racer.tasks.pictures.task import Pictures
from racer.tasks.registry import make_task

PILOTING, JUDGING = "viewer-network", ("viewer-neighbours", "viewer-trees")
FIRST_PILOTED, FIRST_HELD_OUT = 0, 1_000_000_000
_AT_ONCE = 64
Latents = NDArray[np.float32]


def main() -> None:
    """Parse the command line, run, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="digits, vehicles or faces")
    parser.add_argument("--model", type=Path, help="folder of its latent model, where none comes with it")
    parser.add_argument("--pilots", type=int, default=1, help="pilots, each with masks of its own")
    parser.add_argument("--answers", type=int, default=500, help="of a pilot on originals, and as many under masks")
    parser.add_argument("--people", type=int, default=3, help="judging people of each family")
    parser.add_argument("--pictures", type=int, default=200, help="held-out pictures")
    parser.add_argument("--bits", default="12,18,27,42,85", help="slots, with commas between")
    parser.add_argument("--explored", type=int, default=42, help="slot of the exploration")
    parser.add_argument("--fill", default="prior", choices=("prior", "hold"))
    parser.add_argument("--iterations", type=int, default=PicoConfig.iterations)
    parser.add_argument("--out", type=Path, help="CSV file")
    arguments = parser.parse_args()
    use_one_thread()
    rows = list(_run(arguments))
    if arguments.out:
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _run(arguments: argparse.Namespace) -> list[dict[str, object]]:
    first = _task(arguments.task, None)
    model = load_task_model(first.spec, arguments.model)
    tasks = {question.name: _task(arguments.task, question.name) for question in first.world.questions}
    slots = [int(text) for text in arguments.bits.split(",")]
    originals = _frames(first, FIRST_HELD_OUT, arguments.pictures)
    latents = _encoded(model, originals)
    begun = time.monotonic()
    judges = {
        name: [make_driver(family, task, 100 + n) for family in JUDGING for n in range(arguments.people)]
        for name, task in tasks.items()
    }
    seen = {name: [_probabilities(judge, originals) for judge in people] for name, people in judges.items()}
    rows: list[dict[str, object]] = []
    for pilot in range(arguments.pilots):
        policies: dict[str, Callable[[np.random.Generator], MaskPolicy]] = {
            "random": lambda rng: RandomMasks(model.sizes.blocks, rng),
            "first blocks (fixed)": partial(_fixed, np.zeros(model.sizes.blocks, np.float32)),
        }
        for name, task in tasks.items():
            network, frequency = _trained(arguments, task, model, pilot)
            print(f"# {time.monotonic() - begun:.0f} s: pilot {pilot}, {name}: {frequency}", file=sys.stderr)
            policies[f"pico for {name}"] = partial(_learned, network)
            policies[f"most sent for {name} (fixed)"] = partial(_fixed, np.array(frequency, np.float32))
        for bits, label, policy, layout in _channels(model, slots, policies, pilot):
            shown = _across(model, latents, layout, policy, arguments.fill)
            for name, people in judges.items():
                agreed = np.mean(
                    [
                        _probabilities(judge, shown)[np.arange(len(shown)), first_seen.argmax(1)]
                        for judge, first_seen in zip(people, seen[name], strict=True)
                    ],
                    axis=0,
                )
                low, high = _interval(agreed)
                rows.append(
                    {
                        "task": arguments.task,
                        "question": name,
                        "pilot": pilot,
                        "mask": label,
                        "bits": round(bits, 2),
                        "agreement": round(float(agreed.mean()), 4),
                        "low": round(low, 4),
                        "high": round(high, 4),
                    }
                )
                print(f"{name:10} {label:32} {bits:7.1f} bits  {agreed.mean():.3f} [{low:.3f}, {high:.3f}]", flush=True)
    return rows


def _channels(
    model: LatentModel,
    slots: list[int],
    policies: dict[str, Callable[[np.random.Generator], MaskPolicy]],
    pilot: int,
) -> list[tuple[float, str, MaskPolicy, Layout]]:
    everything = full_layout(model.sizes)
    full = FixedMask(np.zeros(model.sizes.blocks, np.float32))
    channels: list[tuple[float, str, MaskPolicy, Layout]] = [(float(everything.bits), "full", full, everything)]
    for slot in slots:
        layout = layout_for(slot, model.sizes)
        for label, policy in policies.items():
            named = log2(comb(layout.blocks, layout.sent)) if label.endswith("(fixed)") else 0.0
            channels.append((slot - named, label, policy(np.random.default_rng([pilot, slot])), layout))
    return channels


def _learned(network: MaskNetwork, rng: np.random.Generator) -> MaskPolicy:
    return _Learned(network)


def _fixed(scores: NDArray[np.float32], rng: np.random.Generator) -> MaskPolicy:
    return FixedMask(scores)


class _Learned:
    """A mask policy that was just trained."""

    def __init__(self, network: MaskNetwork) -> None:
        self._network = network

    def choose(self, latent: Latents, sent: int) -> NDArray[np.bool_]:
        import torch

        with torch.inference_mode():
            return best_blocks(self._network(torch.from_numpy(latent)[None])[0].numpy(), sent)


def _trained(
    arguments: argparse.Namespace, task: Pictures, model: LatentModel, pilot: int
) -> tuple[MaskNetwork, tuple[float, ...]]:
    """Return the mask policy of a pilot for a question, and how often it sends each block."""
    import torch

    count = arguments.answers
    model = model.for_actions(len(task.spec.actions))
    frames = _frames(task, FIRST_PILOTED + pilot * 2 * count, 2 * count)
    latents = _encoded(model, frames)
    layout = layout_for(arguments.explored, model.sizes)
    everything = np.ones((1, model.sizes.blocks), bool)
    person = make_driver(PILOTING, task, 1 + pilot)
    episodes: list[RecordedEpisode] = []
    for original in (True, False):
        part = latents[:count] if original else latents[count:]
        policy: MaskPolicy = (
            FixedMask(np.zeros(model.sizes.blocks, np.float32))
            if original
            else RandomMasks(model.sizes.blocks, np.random.default_rng(pilot))
        )
        sent, masks = _sent(model, part, full_layout(model.sizes) if original else layout, policy, arguments.fill)
        shown = _decoded(model, sent)
        actions = np.array([person.act(frame) for frame in shown])
        episodes += [
            RecordedEpisode(
                part[n : n + 1],
                sent[n : n + 1],
                actions[n : n + 1],
                everything if original else masks[n : n + 1],
                original,
            )
            for n in range(count)
        ]
    config = replace(PicoConfig(seed=pilot, iterations=arguments.iterations), blocks=layout.sent)
    tensors, summary = fit_mask(episodes, "episode", arguments.fill, model, config)
    network = MaskNetwork(model.sizes)
    network.load_state_dict({name.removeprefix("policy."): torch.from_numpy(value) for name, value in tensors.items()})
    return network.eval(), tuple(round(each, 2) for each in summary.block_frequency)


def _task(name: str, question: str | None) -> Pictures:
    task = make_task(name, {} if question is None else {"question": question})
    assert isinstance(task, Pictures)
    return task


def _frames(task: Pictures, first: int, count: int) -> NDArray[np.uint8]:
    return np.stack([task.world.picture(first + number).frame for number in range(count)])


def _encoded(model: LatentModel, frames: NDArray[np.uint8]) -> Latents:
    return np.concatenate([model.encode_frames(frames[n : n + _AT_ONCE]) for n in range(0, len(frames), _AT_ONCE)])


def _decoded(model: LatentModel, latents: Latents) -> NDArray[np.uint8]:
    return np.concatenate([model.decode_latents(latents[n : n + _AT_ONCE]) for n in range(0, len(latents), _AT_ONCE)])


def _sent(
    model: LatentModel, latents: Latents, layout: Layout, policy: MaskPolicy, fill: FillName
) -> tuple[Latents, NDArray[np.bool_]]:
    """Return what is received of latents, each on its own, and the masks."""
    sender, receiver = BlockSender(model, layout, policy, "episode"), BlockReceiver(model, layout, fill)
    received, masks = [], []
    for latent in latents:
        sender.reset()
        receiver.reset()
        received.append(receiver.take(sender.send(latent, 0), 0))
        masks.append(receiver.mask)
    return np.stack(received), np.stack(masks)


def _across(
    model: LatentModel, latents: Latents, layout: Layout, policy: MaskPolicy, fill: FillName
) -> NDArray[np.uint8]:
    return _decoded(model, _sent(model, latents, layout, policy, fill)[0])


def _probabilities(judge: object, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    assert isinstance(judge, Viewer)
    return judge.probabilities(frames)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
