"""`racer model`: a latent model from the command line, and what is told of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_builders import Racer, Refuse, strictly
from PIL import Image
from tiny_models import GREY, write_tiny_model
from training_builders import collect_short_runs, draw_noise

from compression.model.header import shipped_model
from compression.model.latent_model import load_model
from compression.model.sizes import Sizes
from racer.training.collect import CollectConfig
from racer.training.models import CARD
from racer.training.sheets import DEVIATIONS, GAP

BRIEF = "--latents 8 --blocks 2 --vae-steps 1 --world-model-steps 1 --device cpu --jobs 1"


def test_a_model_of_a_task_is_trained_shown_and_used(run: Racer, tmp_path: Path) -> None:
    collect_short_runs("lunar-lander", {"view": "12"}, CollectConfig(2, 2), tmp_path / "m.work" / "frames", steps=3)
    trained = run(f"model train --task lunar-lander --set view=12 --out m --runs 2 --held-out-runs 2 {BRIEF}")
    assert trained.code == 0
    assert "Next: racer play --task lunar-lander --model m" in trained.out
    shown = run("model show m")
    assert (shown.code, shown.err) == (0, "")
    assert "8 features in 2 blocks, 4 actions" in shown.out
    assert "driver simulated, with bursts of wrong actions" in shown.out
    assert load_model(tmp_path / "m").sha256[:12] in shown.out and "not the card's" not in shown.out
    for name in ("reconstructions.png", "traversals.png"):
        assert f"m/{name}" in shown.out and (tmp_path / "m" / name).is_file()
    told = strictly(run("model show m --json").out)
    assert told["sha256"] == load_model(tmp_path / "m").sha256
    assert told["card"] == strictly((tmp_path / "m" / CARD).read_text())
    assert told["pictures"] == ["m/reconstructions.png", "m/traversals.png"]
    played = run(
        "play --task lunar-lander --model m --driver simulated --headless --steps 2 --episodes 1 --condition random"
    )
    assert (played.code, played.err) == (0, "")


def test_a_model_of_grey_pictures_is_trained_and_shown(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    draw_noise(tmp_path / "pictures")
    train = f"model train --images pictures --grey --size 32 --out m --work w {BRIEF}"
    trained = run(f"{train} --json")
    assert (trained.code, trained.err) == (0, "")
    told = strictly(trained.out)
    assert told["model"] == "m" and told["card"]["sizes"]["frame"] == [32, 32, 1]
    assert (tmp_path / "w").is_dir() and not (tmp_path / "m.work").exists()
    shown = run("model show m")
    assert "32 x 32 grey, 8 features in 2 blocks" in shown.out and "next frame" not in shown.out
    refuse(train, "m holds a latent model and was left as it is")


def write_model(folder: Path, sizes: Sizes = GREY) -> None:
    """Write a model of random weights with a card that says the least that one does."""
    write_tiny_model(folder, sizes)
    held_out: dict[str, Any] = {"psnr_unquantised_db": 20.0, "quantisation_cost_db": 0.5, "informative_features": 3}
    at = [{"settings": {"dots": 3}, "share_of_variance": [0.125, 1.0]}]
    explained = {"by": "the dot", "share_of_variance": [0.25, 0.5], "at": at}
    held_out |= {"nats_per_feature": [1.0, 0.5], "explained": explained}
    (folder / CARD).write_text(json.dumps({"held_out": held_out, "sha256": "of another"}))


def test_a_card_of_other_weights_is_told_and_so_is_what_features_are_about(run: Racer, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    shown = run("model show m")
    assert (shown.code, shown.err) == (0, "")
    assert "not the card's" in shown.out
    assert "about           the dot, percent of each feature: 25 50\n                at dots 3: 12 100\n" in shown.out
    assert "coarse" in shown.out and "picture " not in shown.out


def test_what_features_look_like_is_drawn_to_a_new_file(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    told = strictly(run("model show m --pictures features.png --json").out)
    assert told["pictures"] == ["features.png"]
    with Image.open(tmp_path / "features.png") as picture:
        assert picture.size == (len(DEVIATIONS) * (40 + GAP) - GAP, GREY.latents * (40 + GAP) - GAP)
    refuse("model show m --pictures features.png", "features.png exists and was left as it is")


def test_sizes_are_told_also_where_the_card_has_none(run: Racer) -> None:
    shown = run(f"model show {shipped_model('car-racing')}")
    assert "sizes           64 x 64 colour, 32 features in 8 blocks, 3 actions, state of 256" in shown.out


def test_a_shipped_model_is_shown_with_what_comes_back_of_its_task_s_frames(run: Racer, refuse: Refuse) -> None:
    model = shipped_model("lunar-lander")
    shown = run(f"model show {model} --pictures features.png")
    assert "picture         features.png\npicture         features_reconstructions.png\n" in shown.out
    with Image.open("features_reconstructions.png") as picture:
        frames = np.asarray(picture)
    assert frames.shape == (2 * 64 + GAP, 10 * (64 + GAP) - GAP, 3)
    seen, comes_back = (half.astype(float) for half in (frames[:64], frames[-64:]))
    assert np.corrcoef(seen.ravel(), comes_back.ravel())[0, 1] > 0.9
    refuse(f"model show {model} --pictures features.png", "features.png exists and was left as it is")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("model train --out m", "--task NAME, or --images DIR"),
        ("model train --out m --task lunar-lander --images pictures", "--task NAME, or --images DIR"),
        ("model train --out m --task moon", "there is no task 'moon'"),
        ("model train --out m --task lunar-lander --set view=wide", "view"),
        ("model train --out m --task lunar-lander --set view", "NAME=VALUE"),
        ("model train --out m --images .", "0 pictures"),
        ("model train --out m --images nowhere", "cannot list nowhere"),
        ("model train --out m --images . --size 300", "--size"),
        ("model train --out m --task lunar-lander --runs 1", "--runs"),
        ("model train --task lunar-lander", "--out"),
        ("model show nowhere", "make one with `racer model train`"),
        ("model show .", "make one with `racer model train`"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(arguments: str, told: str, refuse: Refuse) -> None:
    refuse(arguments, told)


def test_a_card_without_a_model_is_one_line(refuse: Refuse, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    refuse("model show m", "model.safetensors")


@pytest.mark.parametrize("card", ['{"held_out": {}}', '{"held_out": {"psnr_unquantised_db": 1}, "sizes": [1]}'])
def test_a_card_that_says_too_little_is_one_line(card: str, refuse: Refuse, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "m" / CARD).write_text(card)
    refuse("model show m", CARD)


def test_the_folder_of_a_training_may_be_removed_when_it_is_done(run: Racer, tmp_path: Path) -> None:
    draw_noise(tmp_path / "pictures")
    run(f"model train --images pictures --size 16 --out m {BRIEF}")
    shutil.rmtree(tmp_path / "m.work")
    assert run("model show m").code == 0
