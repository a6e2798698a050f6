"""Mask files: a fitted mask policy with the record of what it was fitted to. Safetensors, so it can run no code."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from compression.errors import MaskError
from compression.fill import FillName
from compression.fitting.header import one_line, sorted_header
from compression.masks import BLOCKS, LATENTS, MaskInterval, best_blocks

FORMAT = "racer-mask-1"
Objective = Literal["pico", "perceptual"]
Item = TypeVar("Item")
DEFAULT_MASK = Path(__file__).parents[1] / "weights" / "default_mask.safetensors"
_LARGEST_FILE = 4_000_000
"""Bytes; a mask file takes about 30,000."""


class MaskNetwork(nn.Module):
    """f(z): latents float32[N, 32] to 8 block scores, float32[N, 8], the higher the sooner sent (2x64 MLP)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENTS, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, BLOCKS)
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return the scores."""
        scores: Tensor = self.layers(latents)
        return scores


@dataclass(frozen=True)
class MaskRecord:
    """What a mask was fitted to."""

    objective: Objective
    codec_sha256: str
    """Hash of the weights whose latents the mask chooses from."""
    interval: MaskInterval
    """How often the mask was chosen in the recordings it was fitted to."""
    fill: FillName
    """Where the features that were not sent came from in them."""
    participants: tuple[str, ...]
    """Who was recorded; they must not evaluate it."""
    sessions: tuple[str, ...]
    """Session ids."""
    track_seeds: tuple[int, ...]
    """Tracks they drove on."""
    config: dict[str, Any]
    """Training configuration, seed included."""


@dataclass(frozen=True)
class LearnedMask:
    """A fitted mask policy; a `MaskPolicy`."""

    network: MaskNetwork
    record: MaskRecord
    sha256: str
    """Hash of the file."""

    def choose(self, latent: NDArray[np.float32], blocks: int) -> NDArray[np.bool_]:
        """Return the mask, bool[8], of the best-scoring blocks for a latent, float32[32]."""
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(latent)[None])[0].numpy()
        return best_blocks(scores, blocks)


def dump_mask(network: MaskNetwork, record: MaskRecord) -> bytes:
    """Return the bytes of a mask file: the same mask gives the same bytes."""
    tensors = {f"policy.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    return sorted_header(save(tensors, {"format": FORMAT, "record": json.dumps(asdict(record), sort_keys=True)}))


def load_mask(path: Path, codec_sha256: str) -> LearnedMask:
    """Load a mask made for the codec with this hash.

    Raises:
        MaskError: If the file cannot be read, is no mask file, or was made for other weights.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise MaskError(f"{path} is no file; check the path given to --mask")
        if size > _LARGEST_FILE:
            raise MaskError(f"{path} is no mask file: {size} bytes is too large; make one with `racer train`")
        data = path.read_bytes()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        reason = error.strerror or error
        raise MaskError(f"cannot read mask {path}: {reason}; check the path given to --mask") from error
    except (SafetensorError, TypeError, ValueError, RuntimeError) as error:
        raise MaskError(f"{path} is no mask file ({one_line(error)}); make one with `racer train`") from error
    if metadata.get("format") != FORMAT:
        raise MaskError(f"{path} is no mask file of this version; make one with `racer train`")
    network = MaskNetwork()
    try:
        record = _record(json.loads(metadata["record"]))
        network.load_state_dict({name.removeprefix("policy."): tensor.float() for name, tensor in tensors.items()})
        if not all(torch.isfinite(parameter).all() for parameter in network.parameters()):
            raise ValueError("it has weights that are not finite")
    except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise MaskError(f"mask file {path} is damaged ({one_line(error)}); make it again with `racer train`") from error
    if record.codec_sha256 != codec_sha256:
        raise MaskError(
            f"mask {path} was made for other weights (codec {record.codec_sha256[:12]}, installed "
            f"{codec_sha256[:12]}); train it again with `racer train`"
        )
    return LearnedMask(network.eval().requires_grad_(False), record, hashlib.sha256(data).hexdigest())


def _record(fields: Any) -> MaskRecord:
    """Return the record that JSON holds. Raises TypeError or ValueError if it is another one."""
    if not isinstance(fields, dict):
        raise TypeError("its record is no object")
    record = MaskRecord(
        objective=fields["objective"],
        codec_sha256=fields["codec_sha256"],
        interval=fields["interval"],
        fill=fields["fill"],
        participants=_list_of(str, fields["participants"]),
        sessions=_list_of(str, fields["sessions"]),
        track_seeds=_list_of(int, fields["track_seeds"]),
        config=fields["config"],
    )
    for value, kind in ((record.objective, Objective), (record.interval, MaskInterval), (record.fill, FillName)):
        if value not in get_args(kind):
            raise ValueError("its record names an unknown objective, interval or fill")
    if not isinstance(record.codec_sha256, str) or not re.fullmatch("[0-9a-f]{64}", record.codec_sha256):
        raise ValueError("its record names no codec")
    if not isinstance(record.config, dict):
        raise TypeError("its record holds no configuration")
    return record


def _list_of(kind: type[Item], items: Any) -> tuple[Item, ...]:
    if not isinstance(items, list) or any(type(item) is not kind for item in items):
        raise TypeError(f"its record holds no list of {kind.__name__}")
    return tuple(items)
