"""`racer model train-coder`: from a task with labels to a condition, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_builders import Racer, Refuse, strictly

from compression.coders.coder import find_coder
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task

BRIEF = (
    "--trials 8 --labeller-steps 1 --coder-steps 1 --agent-steps 1 --joint-steps 1 --batch 2 --device cpu --work kept"
)


def test_a_coder_is_trained_and_used(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    train = f"model train-coder --task vehicles --out coder.safetensors {BRIEF}"
    planned = run(f"{train} --dry-run")
    assert (planned.code, planned.err) == (0, "") and "Nothing was written" in planned.out
    assert not list(tmp_path.iterdir())
    trained = run(f"{train} --json")
    assert (trained.code, trained.err) == (0, "")
    told = strictly(trained.out)
    assert told["frames"] == {"coder": 8, "judge": 4} and told["parts"][0] == "sky"
    path = tmp_path / "coder.safetensors"
    assert path.stat().st_size == told["bytes"] < 3_000_000
    fitted = find_coder("rl-asc").read(path, load_task_model(make_task("vehicles").spec))
    assert fitted.record.seeds == (*range(1_500_000, 1_500_008), *range(3_000_000, 3_000_004))
    first = path.read_bytes()
    refuse(train, "coder.safetensors exists and was left as it is")
    path.unlink()
    again = run(train)
    assert again.code == 0 and "Next: racer rates --task vehicles --coders rl-asc --mask coder.safetensors" in again.out
    assert path.read_bytes() == first
    path.unlink()
    refuse(train.replace("--trials 8", "--trials 9"), "holds frames of another training")
    for damaged in (b"no frames", b"PK\x03\x04 and no more"):
        (tmp_path / "kept" / "coder.npz").write_bytes(damaged)
        refuse(train, "cannot be used")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--task digits", "does not say what its pixels show"),
        ("--task vehicles --channels 5", "channels must be one of 4, 8, 16"),
        ("--task vehicles --set colour=red", "has no setting"),
        ("--task vehicles --model nowhere", "nowhere"),
        ("--task vehicel", "did you mean"),
    ],
)
def test_what_cannot_be_trained_is_refused(refuse: Refuse, arguments: str, told: str) -> None:
    refuse(f"model train-coder --out coder.safetensors {arguments}", told)


def test_a_damaged_file_is_refused(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "coder.safetensors").write_bytes(np.random.default_rng(0).bytes(1000))
    refuse(
        "play --task vehicles --condition rl-asc --mask coder.safetensors --headless --driver simulated", "not a fitted"
    )
    refuse("play --task vehicles --condition rl-asc --headless --driver simulated", "rl-asc")
