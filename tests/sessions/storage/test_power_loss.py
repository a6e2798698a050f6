"""What is left of a recording when the power fails: of the writes since the last fsync, any may be lost."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import recording_child
from fake_disk import FakeDisk, apply
from session_builders import EPISODE, SESSION, Clock, random_steps
from test_durability import check_recording

from sessions import Recorder
from sessions.storage.journal import PAGE


def pages(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what a device writes whole or not at all."""
    end = offset + len(data)
    for start in range(offset - offset % PAGE, end, PAGE):
        first, last = max(start, offset), min(start + PAGE, end)
        yield first, data[first - offset : last - offset]


def after_power_loss(durable: bytes, changes: list[tuple[int, bytes | None]], rng: random.Random) -> bytes:
    """Return a file of which the changes since the last fsync are there in part: some pages, some of its lengths."""
    image = bytearray(durable)
    lengths = rng.randint(0, len(changes))
    # Changes of the length that the file system still noted: lengths are noted in order, data are not.
    share = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    length = len(durable)
    for number, (offset, data) in enumerate(changes):
        if data is None:
            if number < lengths:
                del image[offset:]
                length = offset
            continue
        if number < lengths:
            length = max(length, offset + len(data))
        for start, page in pages(offset, data):
            if rng.random() < share:
                apply(image, (start, page))
    return bytes(image[:length].ljust(length, b"\0"))


@pytest.mark.parametrize("seed", range(2))
def test_power_loss_at_any_moment_leaves_all_that_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    log = (disk := FakeDisk()).log
    monkeypatch.setattr(os, "fsync", lambda descriptor: log.append(None))
    recorder = Recorder(tmp_path, SESSION, clock=(clock := Clock()), make_file=disk.make)
    committed = [(len(log), 0)]
    total = 0
    for index in range(3):
        recorder.begin_episode(EPISODE)
        for step in random_steps(recording_child.STEPS, seed=index):
            clock.now_ns += 60_000_000
            before = len(log)
            recorder.append(step)
            recorder.event("step", str(total), 0, 0, 0)
            total += 1
            if len(log) > before:
                committed.append((len(log), check_recording(recorder.path, "running")))
        recorder.end_episode("complete")
        committed.append((len(log), total))
    recorder.abandon()

    rng = random.Random(seed)
    ruin = tmp_path / "ruin.h5"
    seen: set[int] = set()
    for _ in range(200):
        at = rng.randint(committed[0][0], len(log))
        last_sync = max((i + 1 for i in range(at) if log[i] is None), default=0)
        image = bytearray()
        for change in log[:last_sync]:
            apply(image, change)
        ruin.write_bytes(after_power_loss(bytes(image), [c for c in log[last_sync:at] if c is not None], rng))
        steps = check_recording(ruin, "running")
        assert steps >= max(number for done, number in committed if done <= at)
        seen.add(steps)
    assert len(seen) > 10
