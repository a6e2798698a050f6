"""What decides the numbers of a sweep besides its settings: weights, fitted files, code and versions."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

from compression.coders.coder import Coder, Fitted
from compression.coders.packet import CHANNEL_FORMAT
from compression.model.latent_model import Codec
from racer.rates.grid import RatesConfig
from racer.software import software

Settings = Mapping[str, str | int]
"""By name; equal ones give equal numbers, cell by cell."""

_DECIDING = ("racer", "torch", "numpy", "gymnasium", "box2d", "pygame-ce", "pillow")
"""Versions on which frames, latents, packets or physics depend."""
_DRIVING = (
    "racer.tasks.car_racing.rendering",
    "racer.loop.conditions",
    "racer.tasks.car_racing.frames",
    "racer.drivers.families.pursuit",
    "racer.rates.driving",
    "racer.rates.people",
    "racer.loop.batched",
    "racer.tasks.car_racing.track",
)
"""Modules that an episode goes through, besides all of `compression`."""


def settings_of(config: RatesConfig, codec: Codec) -> dict[str, str | int]:
    """Return what must be equal for cells to belong together; coders, slots, speeds, noise and people may be added."""
    versions = software()
    return {
        "seed": config.seed,
        "tracks": config.tracks,
        "steps": config.steps,
        "mask_interval": config.mask_interval,
        "fill": config.fill,
        "channel_format": CHANNEL_FORMAT,
        "codec_sha256": codec.sha256,
        "code_sha256": code_sha256(),
    } | {name: versions[name] for name in _DECIDING}


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """Return the hash of the code that an episode goes through."""
    compression = find_spec("compression")
    assert compression is not None and compression.submodule_search_locations
    folder = Path(compression.submodule_search_locations[0])
    files = {f"compression/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.py")}
    for module in _DRIVING:
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None
        files[module] = Path(spec.origin)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def coder_sha256(coder: Coder, fitted: Fitted | None) -> str:
    """Return the hash of what a coder brings along: its fitted file and, if foreign, its code."""
    digest = hashlib.sha256(fitted.sha256.encode() if fitted else b"")
    for end in (coder.sender, coder.receiver):
        while isinstance(end, partial):
            given = repr((end.args, sorted(end.keywords.items())))
            digest.update(re.sub(" at 0x[0-9a-f]+", "", given).encode())
            end = end.func
        module = getattr(end, "__module__", None) or type(end).__module__
        if not module.startswith("compression."):
            for source in _sources(module):
                digest.update(source.read_bytes())
            digest.update(module.encode())
    return digest.hexdigest()


def _sources(module: str) -> list[Path]:
    """Return the files of a module's package, or the module's own if it is in none."""
    top = sys.modules.get(module.partition(".")[0])
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    if folders:
        return sorted(path for folder in folders for path in folder.rglob("*.py"))
    source = getattr(sys.modules.get(module), "__file__", None)
    return [Path(source)] if source else []
