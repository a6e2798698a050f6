"""The results file of a sweep: one JSON line per finished cell, on disk before the next one is written.

The first line says what must be equal for cells to belong together. Nothing in the file is ever changed: a process
that is killed leaves at most half a line at its end, which the next one cuts off. Every line ends in the CRC-32 of
what stands before; a line that is damaged is left where it is and counts for nothing, so that its cell is driven again.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from compression.errors import CompressionError
from compression.noise import NoiseName
from disk.locking import FileLock, HeldError
from disk.reading import NotPlainError, open_plain
from disk.writing import make_folder, open_to_append, write_whole
from racer.errors import RacerError
from racer.loop.batched import Score
from racer.loop.behaviour import Behaviour
from racer.rates.driving import CellScore
from racer.rates.grid import Cell, Noise, OperatingPoint, TaskSettings
from racer.rates.provenance import SweepSettings
from racer.software import software
from racer.tasks.task import Metric

RESULTS = "cells.jsonl"
FORMAT = 2
_MOST_BYTES = 10_000_000
"""Longest line that is accepted, bytes: a thousand episodes of a task of sixty metrics take half of it."""
_ROUNDING = 1e-9
"""Share by which rounding may lead a mean out of the bounds of what it is the mean of."""
_END = re.compile(rb',"crc32":"([0-9a-f]{8})"}\n')
_END_BYTES = len(b',"crc32":"00000000"}\n')

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**63)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ResultsError(RacerError):
    """A results file cannot be used. The message is one line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Header(_Strict):
    racer_rates: int
    settings: dict[str, str | int]
    made_with: dict[str, str]


class _Episode(_Strict):
    seed: Count
    steps: Annotated[int, Field(ge=1, le=100_000)]
    metrics: dict[str, float]
    bits_mean: Annotated[float, Field(ge=0, le=1e9)]
    bits_most: Annotated[int, Field(ge=0, le=10**9)]
    lost: Share
    agreement: Share | None = None
    behaviour: dict[Behaviour, Annotated[float, Field(ge=0, le=1e9)]] = {}


class _Line(_Strict):
    settings: dict[str, Any]
    driver: Name
    coder: Name
    brought_sha256: Sha256
    bits: Annotated[int, Field(ge=0, le=10**6)]
    noise: NoiseName
    noise_rate: float
    participant: Annotated[int, Field(ge=0, le=10**6)]
    episodes: Annotated[tuple[_Episode, ...], Field(min_length=1, max_length=1000, strict=False)]


class ResultsFile:
    """The finished cells of a sweep, in a folder that no other process writes to meanwhile.

    Args:
        folder: Made if it is not there.
        settings: Of this sweep.
        metrics: Of its task: every episode has come to something in each.

    Raises:
        ResultsError: If the file there is no results file or has other settings, if another sweep uses the folder, or
            if the disk refuses. What is in the file is as it was.
    """

    scores: dict[Cell, tuple[CellScore, str]]
    """What is there: each cell with the hash of what its coder and driver brought along."""
    damaged: int
    """Lines that count for nothing."""

    def __init__(self, folder: Path, settings: SweepSettings, metrics: Sequence[Metric]) -> None:
        self.path = folder / RESULTS
        self._metrics = metrics
        self.scores = {}
        self.damaged = 0
        self._file: FileIO | None = None
        with _refusing(self.path):
            make_folder(folder)
            self._lock = FileLock(folder / f".{RESULTS}.lock").acquire()
        try:
            with _refusing(self.path):
                self._open(settings)
        except BaseException:
            self.close()
            raise

    def append(self, score: CellScore, brought_sha256: str) -> None:
        """Put a finished cell on disk.

        Raises:
            ResultsError: If the disk refuses; what was there before still is.
        """
        assert self._file is not None
        end = os.fstat(self._file.fileno()).st_size
        line = memoryview(_packed(_fields(score, brought_sha256)))
        try:
            with _refusing(self.path):
                while line:
                    line = line[self._file.write(line) :]
                os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._file.truncate(end)
            raise
        self.scores[score.cell] = score, brought_sha256

    def close(self) -> None:
        """Leave the folder to others."""
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, settings: SweepSettings) -> None:
        if not os.path.lexists(self.path):
            self._begin(settings)
        try:
            opened = open_plain(self.path)
        except (NotPlainError, IsADirectoryError) as error:
            raise ResultsError(f"{self.path} is not a file and was left as it is; give another --out") from error
        with BufferedReader(opened) as file:
            self._check_header(file.readline(_MOST_BYTES), settings)
            end = file.tell()
            # A longer line comes in pieces, none of which is believed.
            while line := file.readline(_MOST_BYTES):
                if line.endswith(b"\n"):
                    self._take(line)
                    end = file.tell()
        self._file = open_to_append(self.path)
        if os.fstat(self._file.fileno()).st_size > end:
            self._file.truncate(end)

    def _begin(self, settings: SweepSettings) -> None:
        """Write the first line, all of it or nothing."""
        line = _packed({"racer_rates": FORMAT, "settings": dict(settings), "made_with": software()})
        write_whole(self.path, line, overwrite=False)

    def _check_header(self, line: bytes, settings: SweepSettings) -> None:
        try:
            header = _Header.model_validate_json(_unpacked(line))
        except ValueError as error:
            raise ResultsError(
                f"{self.path} is not the results file of a sweep, or its first line is damaged; it was left as it is: "
                "give another --out"
            ) from error
        if header.racer_rates != FORMAT:
            raise ResultsError(
                f"{self.path} has format {header.racer_rates}, this Racer writes {FORMAT}; give another --out"
            )
        there = header.settings
        differing = [name for name in (*settings, *there) if there.get(name) != settings.get(name)]
        if differing:
            told = ", ".join(
                f"{name} {_brief(there.get(name))} (now {_brief(settings.get(name))})"
                for name in dict.fromkeys(differing)
            )
            raise ResultsError(
                f"{self.path} belongs to a sweep with other settings: {told}; nothing was changed: give another --out"
            )

    def _take(self, line: bytes) -> None:
        """Accept a line, or count it among the damaged."""
        try:
            score, brought_sha256 = _score(_Line.model_validate_json(_unpacked(line)))
            for episode in score.episodes:
                self._check(episode.metrics)
        except (ValueError, CompressionError, RacerError):
            self.damaged += 1
            return
        if score.cell in self.scores and self.scores[score.cell] != (score, brought_sha256):
            raise ResultsError(
                f"{self.path} holds two different results of the same cell, so it was not written by one sweep; it was "
                "left as it is: give another --out"
            )
        self.scores[score.cell] = score, brought_sha256

    def _check(self, metrics: Mapping[str, float]) -> None:
        """Raise ValueError unless these are values of the task's metrics."""
        if metrics.keys() != {metric.name for metric in self._metrics}:
            raise ValueError("other metrics")
        for metric in self._metrics:
            (low, high), slack = metric.bounds, _ROUNDING * max(abs(metrics[metric.name]), 1)
            if not low - slack <= metrics[metric.name] <= high + slack:
                raise ValueError("out of bounds")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what the system says into one line."""
    try:
        yield
    except HeldError as error:
        raise ResultsError(
            f"another sweep is writing to {path.parent}; nothing was changed: wait for its end, or give another --out"
        ) from error
    except OSError as error:
        raise ResultsError(
            f"cannot use {path}: {error.strerror or error}; what was finished is kept: fix that and run it again"
        ) from error


def _packed(fields: dict[str, Any]) -> bytes:
    """Return a line: JSON, its last member the CRC-32 of what stands before."""
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()[:-1]
    return body + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def _unpacked(line: bytes) -> bytes:
    """Return the JSON of a line without its checksum.

    Raises:
        ValueError: If it is damaged.
    """
    body, end = line[:-_END_BYTES], _END.fullmatch(line[-_END_BYTES:])
    if end is None or int(end[1], 16) != zlib.crc32(body):
        raise ValueError("damaged")
    return body + b"}"


def _fields(score: CellScore, brought_sha256: str) -> dict[str, Any]:
    point = score.cell.point
    return {
        "settings": point.settings.values,
        "driver": point.driver,
        "coder": point.coder,
        "brought_sha256": brought_sha256,
        "bits": point.bits,
        "noise": point.noise.kind,
        "noise_rate": point.noise.rate,
        "participant": score.cell.participant,
        "episodes": [
            {"seed": seed} | {name: value for name, value in asdict(episode).items() if value is not None}
            for seed, episode in zip(score.seeds, score.episodes, strict=True)
        ],
    }


def _score(line: _Line) -> tuple[CellScore, str]:
    settings, noise = TaskSettings.of(line.settings), Noise(line.noise, line.noise_rate)
    cell = Cell(OperatingPoint(settings, line.driver, noise, line.coder, line.bits), line.participant)
    seeds = tuple(episode.seed for episode in line.episodes)
    episodes = tuple(Score(**episode.model_dump(exclude={"seed"})) for episode in line.episodes)
    return CellScore(cell, seeds, episodes), line.brought_sha256


def _brief(value: object) -> str:
    text = "unset" if value is None else str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text[:80]
