"""Training that goes on where it was killed: finished stages in files, and checkpoints of the one that was running.

Everything that decides how a network's training goes on is in its checkpoint: weights, running average, Adam's moments,
the generator. So it ends with the same numbers as if it had never stopped, on one kind of processor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from compression.errors import TrainingError
from disk import writing
from disk.reading import read_plain
from disk.writing import make_folder

Tensors = dict[str, Tensor]
_SETTINGS = "settings.json"
_MOST_SETTINGS, _MOST_STAGE = 2**24, 2**36
"""Bytes of the settings and of a stage: latents of millions of frames are among them."""
_WARM_UP = 200
"""Steps until the learning rate is at its peak, in trainings that are four times as long or longer."""
_AVERAGED = 500, 0.1
"""Steps over which weights are averaged, and the share of all steps that these may be."""


class Work:
    """The folder that keeps a training's progress: finished stages and checkpoints.

    Args:
        folder: Is made if it is not there.
        settings: All that decides what comes of the training.

    Raises:
        TrainingError: If it holds a training with other settings, or cannot be used.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        path = folder / _SETTINGS
        text = json.dumps(settings, indent=2, sort_keys=True)
        try:
            make_folder(folder)
            if not path.exists():
                write_whole(path, text.encode())
            elif read_plain(path, _MOST_SETTINGS) != text.encode():
                raise TrainingError(
                    f"{folder} holds a training with other settings or data, which was left as it is; "
                    "remove it, or give another folder"
                )
        except OSError as error:
            raise TrainingError(f"cannot use {folder}: {error.strerror}; remove it, or give another folder") from error

    def stage(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """Return what a stage came to: what it left, or what it makes now.

        Both as they are in its file: tensors laid out otherwise in memory would be summed up in another order by all
        that follows.
        """
        tensors = self.read(name)
        if tensors is None:
            self.write(name, make())
            tensors = self.read(name)
            assert tensors is not None
        (self._folder / f"{name}-checkpoint.safetensors").unlink(missing_ok=True)
        return tensors

    def read(self, name: str) -> Tensors | None:
        """Return tensors that were written; None if there are none. Raises TrainingError if they are damaged."""
        path = self._folder / f"{name}.safetensors"
        try:
            # Copied out of the file's bytes, to where PyTorch would have put them.
            kept = load(read_plain(path, _MOST_STAGE)) if path.exists() else None
            return None if kept is None else {key: tensor.clone() for key, tensor in kept.items()}
        except (OSError, SafetensorError) as error:
            raise self.damaged(name) from error

    def damaged(self, name: str) -> TrainingError:
        """Return the error that says that what was written cannot be used."""
        path = self._folder / f"{name}.safetensors"
        return TrainingError(f"{path} is damaged; remove {self._folder} and train again")

    def write(self, name: str, tensors: Tensors) -> None:
        """Write tensors, whole or not at all."""
        plain = {
            key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()
        }
        write_whole(self._folder / f"{name}.safetensors", save(plain))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises TrainingError if that is impossible."""
    try:
        writing.write_whole(path, data)
    except OSError as error:
        raise TrainingError(
            f"cannot write {path}: {error.strerror}; what was trained before is safe: make room, and train again"
        ) from error


class Trainer:
    """Trains a network with Adam along a cosine, from wherever its last checkpoint left it.

    Args:
        network: On its device.
        work: Keeps checkpoints.
        name: Of the stage.
        seed: Of the generator that `loss` draws from.
        steps: Gradient steps.
        average: Whether what comes of it is the running average of the weights.
        betas: Adam's, for the running averages of gradients and of their squares.
    """

    def __init__(
        self,
        network: nn.Module,
        work: Work,
        name: str,
        seed: int,
        steps: int,
        average: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.network = network
        self._steps = steps
        self.generator = torch.Generator().manual_seed(seed)
        self._work, self._checkpoint = work, f"{name}-checkpoint"
        self._parameters = list(network.parameters())
        self._optimizer = torch.optim.AdamW(self._parameters, betas=betas, weight_decay=1e-4, fused=True)
        self._average: torch.optim.swa_utils.AveragedModel | None = None
        if average:
            most, share = _AVERAGED
            window = max(1.0, min(most, share * steps))
            decay = torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 1 / window)  # type: ignore[no-untyped-call]
            self._average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=decay)

    def run(
        self,
        loss: Callable[[int], Tensor],
        peak: float,
        clip: float,
        checkpoint_steps: int,
        progress: Callable[[float], None],
    ) -> nn.Module:
        """Return the trained network, or the average of it, on its device.

        Args:
            loss: Returns the loss of a step, given its number from 0.
            peak: Highest learning rate.
            clip: Largest norm of a gradient.
            checkpoint_steps: Steps from one checkpoint to the next.
            progress: Told the share of the steps that is done.

        Raises:
            TrainingError: If the loss is no number any more.
        """
        for step in range(self._restore(), self._steps):
            if step % checkpoint_steps == 0 and step:
                self._work.write(self._checkpoint, self._state(step))
            progress(step / self._steps)
            for group in self._optimizer.param_groups:
                group["lr"] = _learning_rate(peak, step, self._steps)
            self._optimizer.zero_grad()
            value = loss(step)
            value.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self._parameters, clip)
            if not math.isfinite(float(norm) + float(value.detach())):
                raise TrainingError(f"the training diverged at step {step + 1}; lower the learning rate")
            self._optimizer.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
        trained: nn.Module = self.network if self._average is None else self._average.module
        return trained

    def _state(self, step: int) -> Tensors:
        state = {"step": torch.tensor(step), "generator": self.generator.get_state()}
        state |= {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self._average is not None:
            state |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        for index, parameter in enumerate(self._parameters):
            moments = self._optimizer.state[parameter]
            state |= {f"optimizer.{index}.{name}": moments[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        return state

    def _restore(self) -> int:
        """Go back to the last checkpoint; return the step that comes next."""
        state = self._work.read(self._checkpoint)
        if state is None:
            return 0
        try:
            return self._restored(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise self._work.damaged(self._checkpoint) from error

    def _restored(self, state: Tensors) -> int:
        self.generator.set_state(state["generator"])
        # Copied into what is there already, so that everything keeps its layout in memory, by which sums are taken.
        self.network.load_state_dict(_part(state, "network."))
        if self._average is not None:
            self._average.load_state_dict(_part(state, "average."))
        for index, parameter in enumerate(self._parameters):
            moments = _part(state, f"optimizer.{index}.")
            self._optimizer.state[parameter] = {
                "step": moments["step"].to(parameter.device),
                **{name: torch.empty_like(parameter).copy_(moments[name]) for name in ("exp_avg", "exp_avg_sq")},
            }
        return int(state["step"])


def _part(state: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _learning_rate(peak: float, step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / max(1, min(_WARM_UP, steps // 4)))
    return peak * warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
