"""`racer agent`: an agent from the command line, what is told of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import crossing
import pytest
from command_builders import Racer, Refuse, strictly
from tiny_models import GREY, write_tiny_model

from compression.coders.agent import AGENT
from compression.fitting.fitted import dump_fitted
from compression.model.latent_model import load_model
from racer.training.agent import LENGTH

BRIEF = (
    "agent train --task crossing --driver crossing:make --model m --latents 4 --steps 2 --rounds 1 --trials 2 "
    "--held-out-trials 2 --decoder-steps 1"
)


@pytest.fixture(autouse=True)
def found() -> Iterator[None]:
    with crossing.installed():
        yield


def test_an_agent_is_planned_trained_shown_and_driven_by(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "m", GREY)
    planned = run(f"{BRIEF} --out a.safetensors --dry-run --json")
    assert strictly(planned.out)["held_out_frames_at_most"] == 2 * LENGTH * 8
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    trained = run(f"{BRIEF} --out a.safetensors --json")
    assert (trained.code, trained.err) == (0, "")
    told = strictly(trained.out)
    assert told["agent"] == "a.safetensors" and told["card"]["latents"] == 4
    shown = run("agent show a.safetensors --model m")
    assert (shown.code, shown.err) == (0, "")
    assert "imitating crossing:make" in shown.out and "bits a latent" in shown.out and "way left" in shown.out
    assert strictly(run("agent show a.safetensors --model m --json").out)["record"]["config"]["card"] == told["card"]
    driven = run(
        "rates --task crossing --model m --drivers crossing:make --coders agent --mask a.safetensors --bits 5,12 "
        "--participants 1 --episodes 1 --jobs 1 --out r --json"
    )
    assert driven.code == 0 and strictly(driven.out)
    refuse(f"{BRIEF} --out a.safetensors", "a.safetensors exists and was left as it is")
    refuse("agent show a.safetensors --task car-racing", "was fitted for other weights")


def test_a_card_from_anybody_neither_stops_nor_steers_the_terminal(run: Racer, refuse: Refuse, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "m", GREY)
    run(f"{BRIEF} --out a.safetensors --json")
    fitted = AGENT.read(tmp_path / "a.safetensors", load_model(tmp_path / "m"))

    def spoil(**others: object) -> None:
        config = fitted.record.config | {"card": {**fitted.record.config["card"], **others}, "seed": "\x1b[2J\n"}
        data = dump_fitted(fitted.tensors, replace(fitted.record, config=config, drivers=("\x1b[2J",)))
        (tmp_path / "b.safetensors").write_bytes(data)

    spoil()
    shown = run("agent show b.safetensors --model m")
    assert shown.code == 0 and "bits a latent" in shown.out and "\x1b" not in shown.out
    for wrong in ({"frames": "\x1b[2J", "squared_error": None}, {"squared_error_at_": 1}, {"agent": {"home": "far"}}):
        spoil(**wrong)
        refuse("agent show b.safetensors --model m", "holds a card that is damaged")


def test_what_is_no_agent_is_refused_in_one_line(refuse: Refuse, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "m", GREY)
    (tmp_path / "text.safetensors").write_text("no agent")
    refuse("agent show text.safetensors --model m", "text.safetensors is not a readable agent file")
    refuse("agent show m/coarse.safetensors --task crossing --model m", "was fitted for coarse, not for agent")
    refuse("agent show nowhere.safetensors", "nowhere.safetensors is not a readable agent file")
    refuse(f"{BRIEF.replace('crossing --d', 'guess --d')} --out a.safetensors", "waits for answers")
    refuse(f"{BRIEF} --out a.safetensors --latents 3", "must be an even number; got 3")
    refuse(f"{BRIEF} --out a.safetensors --device cuda --driver nobody", "unknown driver 'nobody'")
