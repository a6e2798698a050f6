"""Make the network of family `pixel-policy`: imitate, on original frames, who knows where the road lies.

    python scripts/fits/pixel_policy.py --out racer/drivers/families/pixel_policy.safetensors

Drives come in rounds: the first are the teacher's, later ones more and more the learner's own (DAgger), with keys
pressed by mistake now and then. Tracks begin from seeds that neither sittings nor sweeps have.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from racer.drivers.families.pixel_policy import STEER_SCALE, Network, reduced
from racer.drivers.wheel import WHEEL_LIMIT, YAW, Hand
from racer.tasks.car_racing.task import CarRacingClutter

FIRST_SEED = 7_000_000
ROUNDS = 6
LOOK_AHEAD = 15.0
"""Track units to the point that the teacher steers for."""
CLUTTER = (0.0, 0.0, 0.5, 1.0)
SPEEDS = (45.0, 50.0, 55.0, 60.0)

Frames = NDArray[np.uint8]
Example = tuple[Frames, list[float]]
Learner = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def steering(truth: NDArray[np.float64]) -> float:
    """Return the angle of the front wheels, radians, that leads to a point of the road (pure pursuit; R. C. Coulter,
    Implementation of the pure pursuit path tracking algorithm, 1992), given `Track.truth`."""
    right, forward = truth[:6], truth[6:12]
    distance = np.hypot(right, forward)
    at = next((number for number in range(1, 5) if distance[number] >= LOOK_AHEAD), 5)
    share = (LOOK_AHEAD - distance[at - 1]) / max(distance[at] - distance[at - 1], 1e-6)
    share = min(max(share, 0.0), 1.0)
    x, y = (float(values[at - 1] + share * (values[at] - values[at - 1])) for values in (right, forward))
    if y <= 0:
        return math.copysign(WHEEL_LIMIT, x)
    return min(max(2 * x / (YAW * max(x * x + y * y, 1.0)), -WHEEL_LIMIT), WHEEL_LIMIT)


def drive(number: int, own: Learner | None, share: float, steps: int = 150) -> list[Example]:
    """Drive one track, the learner's in so large a share of the steps; return what is seen and the right output."""
    rng = np.random.default_rng(FIRST_SEED + number)
    task = CarRacingClutter(clutter=CLUTTER[number % 4], speed=SPEEDS[int(rng.integers(4))])
    track, hand = task.start(FIRST_SEED + number), Hand(float(rng.uniform(0, 300)), 0.5, 500, 10, rng)
    examples: list[Example] = []
    mine = False
    for step in range(steps):
        seen, right = reduced(track.frame()), steering(track.truth())
        examples.append((_bytes(seen), [right / STEER_SCALE]))
        if step % 10 == 0:
            mine = own is not None and rng.random() < share
        angle = STEER_SCALE * float(own(seen)[0]) if mine and own is not None else right
        angle = min(max(angle - hand.coming, -WHEEL_LIMIT), WHEEL_LIMIT)
        if track.step(hand.press(hand.toward(angle))).over:
            break
    track.close()
    return examples


def _bytes(seen: NDArray[np.float32]) -> Frames:
    return np.round((seen + 0.5) * 255).astype(np.uint8)


class Learning(nn.Module):
    """The network while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 5, 2)
        self.conv2 = nn.Conv2d(16, 32, 3, 2)
        self.dense = nn.Linear(6 * 6 * 32, 48)
        self.out = nn.Linear(48, 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return outputs, float32[N, 1], of float32[N, C, 32, 32]."""
        values = torch.relu(self.conv2(torch.relu(self.conv1(seen))))
        found: torch.Tensor = self.out(torch.relu(self.dense(values.permute(0, 2, 3, 1).flatten(1))))
        return found

    def weights(self) -> dict[str, NDArray[np.float16]]:
        """Return what `Network` takes."""
        found = {}
        for name, values in self.state_dict().items():
            layer, _, kind = name.partition(".")
            weight = values.numpy()
            turned = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[weight.ndim]
            found[layer if kind == "weight" else f"{layer}_bias"] = weight.transpose(turned)
        return {name: np.ascontiguousarray(values, np.float16) for name, values in found.items()}


def learn(learning: Learning, examples: list[Example], steps: int, seed: int, rate: float) -> float:
    """Go on learning for so many batches of 256, brightness and colours a little other in each; return the loss."""
    rng = np.random.default_rng(seed)
    frames = torch.from_numpy(np.stack([seen for seen, _ in examples])).permute(0, 3, 1, 2).contiguous()
    right = torch.tensor([target for _, target in examples])
    optimiser = torch.optim.Adam(learning.parameters(), rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 0.05 * rate)
    lost = 0.0
    for _ in range(steps):
        taken = torch.from_numpy(rng.integers(len(right), size=256))
        seen = frames[taken].float() / 255 - 0.5
        seen = seen * torch.from_numpy(rng.uniform(0.8, 1.2, (256, 1, 1, 1)).astype(np.float32))
        seen = seen + torch.from_numpy(rng.normal(0, 0.04, (256, 1, 1, 1)).astype(np.float32))
        seen = seen + 0.03 * torch.randn_like(seen)
        loss = nn.functional.smooth_l1_loss(learning(seen), right[taken])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        lost += 0.02 * (float(loss.detach()) - lost)
    return lost


def main() -> None:
    """Drive, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drives", type=int, default=132)
    parser.add_argument("--batches", type=int, default=900, help="of the last round; a fourth in each before")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    learning, own = Learning(), None
    examples: list[Example] = []
    each = arguments.drives // ROUNDS
    for turn in range(ROUNDS):
        for number in range(each):
            examples += drive(turn * each + number, own, 0.8)
        batches = arguments.batches if turn == ROUNDS - 1 else arguments.batches // 4
        loss = learn(learning, examples, batches, turn, 1e-3)
        own = Network(learning.weights())
        print(turn, len(examples), f"{loss:.4f}", flush=True)
    save_file(learning.weights(), arguments.out)
    print(hashlib.sha256(arguments.out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
