"""A whole simulated study of single pictures: pilots, masks trained trial by trial, evaluation, report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_models import write_tiny_model

import sessions
from compression.fitting.fitted import load_fitted
from compression.model.latent_model import load_model
from compression.model.sizes import Sizes
from racer.drivers.families import viewers
from racer.engines import LocalEngine
from racer.recordings.verification import verify_recordings
from racer.report.study import report_study
from racer.report.write import write_report
from racer.sitting.protocol import PILOT_SEEDS
from racer.study.file import load_study
from racer.study.run import run_study
from racer.training.train import read_training_set

STUDY = """
title = "thick or thin"
pilots = 1
conditions = ["raw", "random", "pico"]
[task]
name = "digits"
question = "thickness"
page = 3
model = "model"
[training]
labels = "paper"
[episodes]
practice = 0
calibration = 3
exploration = 3
evaluation = 1
steps = 8
[channel]
bits = 8
fill = "prior"
"""
# The model knows ten answers, and this question has two.
SIZES = Sizes(frame=(32, 32, 1), latents=6, blocks=3, actions=10, hidden=0, dense=8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(viewers, "_LEARNT", 500)
    viewers._learnt.cache_clear()
    folder = tmp_path / "thickness"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    write_tiny_model(folder / "model", SIZES)
    return folder


def test_a_study_of_pictures_goes_from_its_file_to_its_report(folder: Path) -> None:
    study = load_study(folder)
    run = run_study(study, 2, engine=LocalEngine(1), iterations=3)
    assert len(run.recordings) == 3 and [path.name for path in run.masks] == ["pico.safetensors"]
    drivers, met = {}, {}
    for path in run.recordings:
        with sessions.open(path) as session:
            protocol = session.info.protocol
            drivers[protocol] = session.info.driver
            seeds = np.concatenate([episode.stimulus for episode in session.episodes])
            met.setdefault(protocol, set()).update(seeds.tolist())
            if protocol == "evaluation":
                asked = {episode.info.condition: episode.stimulus.tolist() for episode in session.episodes}
                assert asked["raw"] == asked["random"] == asked["pico"]
    # The family that trains never scores.
    assert drivers == {"pilot": "viewer-network", "evaluation": "simulated"}
    assert max(met["pilot"]) < PILOT_SEEDS <= min(met["evaluation"])

    model = load_model(folder / "model")
    mask = load_fitted(folder / "masks" / "pico.safetensors", model)
    assert set(mask.record.seeds) <= met["pilot"] and mask.record.config["labels"] == "paper"
    trained = read_training_set([path for path in run.recordings if "pilot" in path.name], True, folder / "model")
    assert len(trained.episodes) == 48 and all(len(episode.actions) == 1 for episode in trained.episodes)
    assert trained.model.sizes.actions == 2

    report = report_study(study.recordings)
    assert [score.condition for score in report.conditions] == ["raw", "random", "pico"]
    written = write_report(study.recordings, folder / "report.html", model=folder / "model", masks=run.masks)
    assert written.left_out == {}
    page = written.page.read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in ("agreement_over_budgets", "samples", "figure6_strips"))
    assert 'id="task_matrix"' not in page and "How many bits does an answer take?" in page
    with (written.files / "agreement_over_budgets.csv").open(encoding="utf-8", newline="") as numbers:
        assert {"png", "jpeg", "first-blocks", "random", "pico for thickness"} <= {
            row[1] for row in csv.reader(numbers)
        }

    verified = verify_recordings(list(run.recordings), jobs=1, model=folder / "model").recordings
    failed = [found.detail for each in verified for found in each.findings if found.outcome == "fail"]
    assert failed == []
