"""`racer crowd`, as it is typed."""

from __future__ import annotations

import csv
from pathlib import Path

from command_builders import Racer, strictly
from picture_folders import draw_folder
from tiny_models import write_tiny_model

from compression.model.sizes import Sizes

STUDY = """
title = "Crowd"
conditions = ["raw"]
pilots = 0
task = { name = "folder", images = "pictures", size = 16, model = "model" }
episodes = { practice = 0, evaluation = 1, steps = 3 }
"""


def test_pictures_go_out_and_answers_come_in_under_the_columns_of_a_platform(run: Racer, tmp_path: Path) -> None:
    draw_folder(tmp_path / "pets" / "pictures")
    write_tiny_model(tmp_path / "pets" / "model", Sizes((16, 16, 3), 8, 4, 2, 0, 16))
    (tmp_path / "pets" / "study.toml").write_text(STUDY)
    sent = run("crowd export pets --out trials --sets 1")
    assert (sent.code, sent.err) == (0, "")
    assert "Wrote 3 pictures in 1 sets" in sent.out and "racer crowd import pets --trials trials" in sent.out
    with (tmp_path / "trials" / "trials.csv").open(newline="") as file:
        images = [row["image"] for row in csv.DictReader(file)]
    lines = ["WorkerId,image,answer,seconds", *(f"W7,{image},left,0.5" for image in images), "W7,x.png,left,1"]
    (tmp_path / "answers.csv").write_text("\n".join(lines))
    words = "crowd import pets --trials trials --answers answers.csv --column worker=WorkerId --column time=seconds"
    told = strictly(run(f"{words} --json").out)
    assert list(told["recordings"]) == ["W7"] and Path(told["recordings"]["W7"]).name.startswith("crowd01_evaluation_")
    assert told["left_out"] == ["line 5: x.png is not a picture of these trials"]
    again = run(words)
    assert again.code == 0 and "left out worker W7: somebody else answered crowd01 before" in again.out
    assert "Recorded 0 workers" in again.out


def test_what_is_no_column_is_refused_in_one_line(run: Racer) -> None:
    refused = run("crowd import pets --trials trials --answers answers.csv --column who=WorkerId")
    assert refused.code == 2 and refused.out == "" and len(refused.err.splitlines()) == 1
    assert "--column takes one of worker, image, answer, time" in refused.err
