"""`racer train --objective interaction` and `racer model tune` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_builders import Racer, Refuse, strictly
from racing_builders import car_racing_model
from training_builders import keyboard_pilot

import sessions
from compression.model.latent_model import load_model
from racer.recordings.withdrawal import find_traces
from sessions.maintenance.withdraw import plan_withdrawal


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for name in ("p01", "p02"):
        keyboard_pilot(tmp_path / "recordings", car_racing_model(), name)
    return tmp_path / "recordings"


def test_a_decoder_is_tuned_shown_and_used(run: Racer, refuse: Refuse, recordings: Path, tmp_path: Path) -> None:
    fitted = run("train recordings --objective interaction --iterations 25 --out R.safetensors")
    assert (fitted.code, fitted.err) == (0, "")
    assert "Next: racer model tune recordings --interaction R.safetensors --out FOLDER" in fitted.out
    tuned = run("model tune recordings --interaction R.safetensors --out tuned --iterations 25 --steps 2 --json")
    assert (tuned.code, tuned.err) == (0, "")
    told = strictly(tuned.out)
    model = load_model(tmp_path / "tuned")
    assert told["model"] == "tuned" and told["card"]["tuned_from"] == car_racing_model().sha256
    assert told["card"]["sha256"] == model.sha256 and model.latents_sha256 == car_racing_model().sha256
    shown = run("model show tuned")
    assert (shown.code, shown.err) == (0, "") and "not the card's" not in shown.out
    assert "of 2 people: keyboard" in shown.out and "fitted for it   coarse, pico" in shown.out
    assert "tuned/before_and_after.png" in shown.out
    seen = run(
        "session start p03 --protocol evaluation --conditions coarse --bits 5 --model tuned --driver simulated "
        "--headless --practice 0 --evaluation 1 --steps 3 --data seen"
    )
    assert (seen.code, seen.err) == (0, "")
    assert run("session verify seen --model tuned").code == 0
    (path,) = (tmp_path / "seen").glob("p03*")
    with sessions.open(path) as session:
        assert session.info.model_sha256 == model.sha256
        received = session.episodes[0].received
    assert (model.decode_latents(received) != car_racing_model().decode_latents(received)).any()
    refuse("model tune recordings --out tuned", "tuned holds a latent model and was left as it is")
    refuse("train recordings --objective interaction --out R.safetensors", "R.safetensors exists and was left as it is")
    (only,) = [str(path.relative_to(tmp_path)) for path in recordings.glob("p01*")]
    refuse(
        f"model tune {only} --interaction R.safetensors --iterations 25 --out other",
        "was fitted to other recordings than these",
    )
    refuse(f"train {only} --objective interaction --iterations 25 --out other.safetensors", "recordings of one person")
    refuse(
        "model tune recordings --interaction tuned/pico.safetensors --iterations 25 --out other",
        "fitted for pico, not for",
    )
    refuse("model tune recordings --weight 0 --out other", "must lie above 0")
    refuse("train recordings --objective interaction --labels paper --out other.safetensors", "belong to PICO")
    traces = find_traces(plan_withdrawal("p01", recordings))
    found = {str(trace.path.relative_to(tmp_path)) for trace in traces if trace.kind == "mask"}
    assert {"R.safetensors", "tuned/model.safetensors"} <= found, "whoever withdraws is told of them"
    refuse("model tune nowhere --out other", "nowhere")
