"""Training of an agent that encodes: it learns to act, alpha takes its bits away, and nothing is lost by a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from compression.coders.agent import FittedAgent, check_agent, fitted_agent
from compression.errors import SizeError, TrainingError
from compression.fitting.agent import AgentConfig, AgentFit, Gathered, open_work, train_agent
from compression.fitting.agent_card import measure
from compression.fitting.fitted import FittedModel, FittedRecord, dump_fitted
from compression.model.agent import LAG, Agent, Extractor, QuantisedAgent, agent_sizes
from compression.model.sizes import Sizes
from compression.tensor_files import parse_tensors

SIZES = Sizes((12, 12, 1), latents=4, blocks=2, actions=2, hidden=0, dense=8)
CONFIG = AgentConfig(latents=6, steps=200, rounds=2, batch=32, decoder_steps=80)
CPU = torch.device("cpu")


def scene(seed: int, count: int = 300) -> Gathered:
    """Return frames with a bright bar, which is to be answered by its side, and noise in all other columns."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 60, (count, 12, 12, 1), dtype=np.uint8)
    columns = rng.integers(0, 12, count)
    frames[np.arange(count), :, columns] = 250
    return Gathered(frames, (columns >= 6).astype(np.uint8), np.array([0, count // 3, count]))


def gather(number: int, acting: QuantisedAgent | None) -> Gathered:
    assert (acting is None) == (number == 0)
    return scene(number)


def trained(folder: Path, config: AgentConfig = CONFIG, told: Callable[[str, float], None] | None = None) -> AgentFit:
    work = open_work(folder, config, {})
    return train_agent(SIZES, gather, config, work, CPU, told or (lambda stage, done: None))


def file_of(fit: AgentFit) -> bytes:
    return dump_fitted(fit.tensors, FittedRecord("agent", "ab" * 32, (), (), (), {}))


def fitted_of(fit: AgentFit) -> FittedAgent:
    data = file_of(fit)
    record = FittedRecord("agent", "ab" * 32, (), (), (), {})
    fitted = FittedModel(parse_tensors(data)[0], record, str(hash(data)))
    check_agent(fitted, SIZES)
    return fitted_agent(fitted, SIZES)


def right(fitted: FittedAgent) -> float:
    """Return how often an agent is right about frames that it has not met."""
    test = scene(99)
    latents = fitted.acting.rounded(fitted.acting.latents(test.frames))
    return float((fitted.acting.act(latents, latents[test.before()]) == test.actions).mean())


def test_alpha_takes_bits_and_not_the_answer_and_bits_are_coded_near_the_entropy(tmp_path: Path) -> None:
    cards = []
    for alpha, decoder_steps in ((0.0, CONFIG.decoder_steps), (3e-2, 1)):
        fit = trained(tmp_path / str(alpha), replace(CONFIG, alpha=alpha, decoder_steps=decoder_steps))
        fitted = fitted_of(fit)
        assert right(fitted) > 0.95
        cards.append(measure(fitted, fit.rate_model, scene(98, 50).frames))
    free, paid = cards
    assert paid["coded_bits_per_frame"] < free["coded_bits_per_frame"] / 2
    for card in cards:
        assert card["coded_bits_per_frame"] < 1.1 * 6 * card["coded_entropy_bits_per_latent"] + 2
        assert card["coded_entropy_bits_per_latent"] <= card["cross_entropy_bits_per_latent"]
    assert free["squared_error"] < free["squared_error_of_mean_frame"]


def test_a_rate_above_its_target_is_brought_down_by_raising_alpha(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=300, decoder_steps=1, free_rounds=1, target_bits=8.0, alpha=1e-3)
    fit = trained(tmp_path, config)
    card = measure(fitted_of(fit), fit.rate_model, scene(98, 50).frames)
    assert fit.alpha > config.alpha
    assert 4 < card["coded_bits_per_frame"] < 1.2 * 8
    assert right(fitted_of(fit)) > 0.9


def test_bits_cost_nothing_in_free_rounds(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, decoder_steps=1, free_rounds=1)
    rates = [
        trained(tmp_path / f"{alpha}", replace(config, alpha=alpha)).rate_model.state_dict() for alpha in (0.0, 1.0)
    ]
    first = [load_file(tmp_path / f"{alpha}" / "agent-0.safetensors") for alpha in (0.0, 1.0)]
    assert all((first[0][name] == first[1][name]).all() for name in first[0] if name != "alpha")
    assert any((rates[0][name] != rates[1][name]).any() for name in rates[0])


class Killed(Exception):
    """Ends a training before its end."""


@pytest.mark.parametrize("killed_at", [("agent", 0.5), ("decoder", 0.8)])
def test_a_killed_training_goes_on_and_gives_the_same_bytes(
    killed_at: tuple[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compression.fitting.agent._CHECKPOINT_STEPS", 7)
    config = replace(CONFIG, steps=40, decoder_steps=30, decoder_loss="both")

    def kill(stage: str, done: float) -> None:
        if stage == killed_at[0] and done > killed_at[1]:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "killed", config, kill)
    assert file_of(trained(tmp_path / "killed", config)) == file_of(trained(tmp_path / "whole", config))
    with pytest.raises(TrainingError, match="holds a training with other settings"):
        trained(tmp_path / "killed", replace(config, alpha=0.5))


def test_the_published_rate_model_gives_a_coder_whose_tables_hold_its_latents(tmp_path: Path) -> None:
    fit = trained(tmp_path, replace(CONFIG, steps=40, decoder_steps=2, rate_model="normal", decoder_loss="latent"))
    fitted = fitted_of(fit)
    card = measure(fitted, fit.rate_model, scene(98, 50).frames)
    assert fitted.step > fit.rate_model.step == 1e-3
    assert card["coded_entropy_bits_per_latent"] < card["entropy_bits_per_latent"]
    assert card["outside_tables"] < 0.02


def test_latents_come_in_the_order_of_the_bits_that_they_take(tmp_path: Path) -> None:
    shares = fitted_of(trained(tmp_path, replace(CONFIG, steps=40, decoder_steps=1))).ladder.frequencies / 8192
    entropies = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(1)
    assert (np.diff(entropies) <= 0).all()


def test_the_frame_before_is_one_of_the_same_trial() -> None:
    before = Gathered(np.zeros((20, 1, 1, 1), np.uint8), np.zeros(20, np.uint8), np.array([0, 7, 20])).before()
    assert before[:8].tolist() == [0, 0, 0, 0, 0, 1, 2, 7]
    assert before[-1] == 19 - LAG


@pytest.mark.parametrize("frame", [(8, 8, 1), (28, 28, 1), (40, 24, 3), (8, 256, 1), (256, 256, 3)])
def test_frames_of_any_size_have_latents_and_actions(frame: tuple[int, int, int]) -> None:
    sizes = agent_sizes(replace(SIZES, frame=frame), 4)
    latents = Extractor(sizes)(torch.zeros(2, frame[2], *frame[:2]))
    assert latents.shape == (2, 4)
    assert Agent(sizes)(latents, latents).shape == (2, 2)


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"alpha": -1},
        {"target_bits": 0.0},
        {"target_bits": 9.0, "alpha": 0},
        {"free_rounds": 4},
        {"alpha": float("nan")},
        {"rounds": 0},
        {"steps": 1},
        {"rate_model": "none"},
    ):
        with pytest.raises(TrainingError):
            AgentConfig(**wrong)
    with pytest.raises(SizeError, match="even number; got 3"):
        agent_sizes(SIZES, 3)


def test_a_file_for_frames_of_other_sizes_is_refused(tmp_path: Path) -> None:
    fit = trained(tmp_path, replace(CONFIG, steps=2, decoder_steps=1))
    record = FittedRecord("agent", "ab" * 32, (), (), (), {})
    for name, spoilt in {
        "frequencies": fit.tensors["frequencies"] + np.float32(0.5),
        "step": np.zeros(1, np.float32),
        "lowest": np.zeros((), np.float32),
    }.items():
        fitted = FittedModel({**fit.tensors, name: spoilt}, record, name)  # type: ignore[dict-item]
        with pytest.raises(ValueError):
            check_agent(fitted, SIZES)
    whole = FittedModel(parse_tensors(file_of(fit))[0], record, "whole")
    with pytest.raises(ValueError, match="does not hold what agent needs"):
        check_agent(whole, replace(SIZES, frame=(40, 40, 3)))


def test_what_networks_come_to_is_a_number_of_the_tables_whatever_it_is(tmp_path: Path) -> None:
    fit = trained(tmp_path, replace(CONFIG, steps=2, decoder_steps=1))
    fitted = fitted_of(fit)
    latents = np.repeat(np.array([[np.nan], [np.inf], [-np.inf], [3e38]], np.float32), 6, 1)
    nothing, most, least, large = fitted.numbers(latents)
    assert (nothing == fitted.ladder.clipped(np.zeros(6, np.int64))).all()
    assert (most == fitted.ladder.highest).all() and (large == most).all() and (least == fitted.ladder.lowest).all()
