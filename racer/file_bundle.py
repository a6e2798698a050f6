"""Files that work needs wherever it is done: bundled as bytes, and unpacked there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compression.fitting.fitted import LARGEST_FILE as LARGEST_FITTED
from compression.model.header import LARGEST_FILE as LARGEST_MODEL
from disk.reading import read_plain
from disk.writing import make_folder, scratch_folder, write_whole
from racer.errors import RacerError


class MixedVersionsError(RacerError):
    """A process that takes part has another version of Racer, or other weights, than the one that began."""


def mixed_versions(what: str) -> MixedVersionsError:
    """Return the error that names what differs."""
    return MixedVersionsError(
        f"one of the processes has another {what}; what was finished is kept: "
        "install the same Racer on all machines and run it again"
    )


@dataclass(frozen=True)
class FileBundle:
    """Fitted files and a latent model, as bytes."""

    fitted: tuple[tuple[str, bytes], ...] = ()
    """Files given by the user, by name; those that come with the latent model are found beside it."""
    model: tuple[tuple[str, bytes], ...] = ()
    """What the folder of the latent model holds, by file name; empty for the one that comes with the task."""

    @classmethod
    def read(cls, fitted: Sequence[Path], model: Path | None) -> FileBundle:
        """Return the files of these names, and those of a latent model's folder and of what was fitted beside it."""
        beside = sorted(path for path in model.glob("*.safetensors") if path.is_file()) if model else []
        return cls(
            tuple((path.name, read_plain(path, LARGEST_FITTED)) for path in fitted),
            tuple((path.name, read_plain(path, LARGEST_MODEL)) for path in beside),
        )

    @contextmanager
    def unpacked(self) -> Iterator[tuple[tuple[Path, ...], Path | None]]:
        """Yield the fitted files and the folder of the latent model, which go when the block has ended."""
        with scratch_folder(Path(tempfile.gettempdir())) as scratch:
            fitted = tuple(scratch / str(number) / name for number, (name, _) in enumerate(self.fitted))
            model = scratch / "model"
            files = [*zip(fitted, self.fitted, strict=True), *((model / each[0], each) for each in self.model)]
            for path, (_, data) in files:
                make_folder(path.parent)
                write_whole(path, data)
            yield fitted, model if self.model else None
