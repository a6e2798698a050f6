"""Held-out pictures judged by simulated people: what is charged, what agrees, which masks can be compared."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import comb, log2
from pathlib import Path

import numpy as np
import pytest
from tiny_models import tiny_model, transform_tensors

from compression.coders.packet import layout_for
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.mask_policy import MaskNetwork
from compression.masks import FixedMask, MaskPolicy
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from racer.drivers.families import viewers
from racer.drivers.registry import families_for
from racer.errors import ConfigError
from racer.rates.judged_plot import AGREEMENT, MATRIX, PICTURES, agreement_lines, draw_judged
from racer.rates.judging import SAMPLES, Judged, Rule, budgets, judge, judges, paper_bits, rules_for
from racer.tasks.registry import make_task

SIZES = Sizes(frame=(32, 32, 1), latents=6, blocks=3, actions=10, hidden=0, dense=8)
FAMILIES = ("viewer-neighbours", "viewer-trees")
SLOTS = (8, 16)


def fixed(block: int, rng: np.random.Generator) -> MaskPolicy:
    return FixedMask(np.eye(SIZES.blocks, dtype=np.float32)[block])


def fitted(objective: str, settings: dict[str, str]) -> FittedModel:
    rng = np.random.default_rng(0)
    tensors = MaskNetwork(SIZES).tensors() if objective != "pico-transform" else transform_tensors(SIZES, rng)
    record = FittedRecord(objective, "ab" * 32, (), (), (), {}, "episode", "prior", "digits", settings)
    return FittedModel(tensors, record, f"{objective} {settings}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return tiny_model(tmp_path_factory.mktemp("model"), SIZES)


@pytest.fixture(scope="module")
def judged(model: LatentModel) -> Judged:
    patched = pytest.MonkeyPatch()
    patched.setattr(viewers, "_LEARNT", 500)
    viewers._learnt.cache_clear()
    components = [fitted("pico-transform", {"question": question}) for question in ("thickness", "digit")]
    rules = (
        *rules_for(components, SIZES),
        Rule("pico", "thickness", partial(fixed, 1)),
        Rule("pico", "digit", partial(fixed, 2)),
    )
    task = make_task("digits", {"question": "thickness"})
    found = judge(task, ("thickness", "digit"), model, rules, (2, *SLOTS), "prior", FAMILIES, people=2, pictures=12)
    patched.undo()
    viewers._learnt.cache_clear()
    return found


def test_every_rule_is_charged_what_its_packets_take(judged: Judged) -> None:
    for row in judged.rows:
        if row.slot and row.coder == "first-blocks":
            layout = layout_for(row.slot, SIZES)
            assert row.bits == pytest.approx(row.slot - log2(comb(layout.blocks, layout.sent)))
        elif row.slot:
            assert row.bits == row.slot
    slots = {row.coder: {each.slot for each in judged.rows if each.coder == row.coder} for row in judged.rows}
    assert slots["pico"] == set(SLOTS), "a slot that no mask fits into is left out"
    assert slots["pico-transform"] == {2, *SLOTS}
    files = {row.coder: row.bits for row in judged.rows if row.coder in ("jpeg", "png")}
    assert files["png"] > files["jpeg"] > 1000


def test_the_papers_rate_of_16_features_is_its_85_bits_or_nearly() -> None:
    drawn = np.random.default_rng(0).standard_normal((20_000, 16)).astype(np.float32)
    assert paper_bits(drawn) / len(drawn) == pytest.approx(85.9, abs=0.2)
    assert paper_bits(np.zeros(2, np.float32)) == pytest.approx(2 * 4.648, abs=0.01)
    assert 1000 < paper_bits(np.full(1, 60, np.float32)) < np.inf


def test_the_papers_rate_stands_beside_packets_bits_and_counts_no_mask(judged: Judged) -> None:
    rates = {(row.rule, row.slot): row.paper_bits for row in judged.rows}
    whole = rates.pop(("full", 0))
    assert whole is not None and rates.pop(("png", 0)) is rates.pop(("jpeg", 0)) is None
    masked = [rate for (rule, _), rate in rates.items() if "transform" not in rule]
    assert all(rate is not None and 0 < rate < whole for rate in masked) and masked.count(None) == 0
    assert {rate for (rule, _), rate in rates.items() if "transform" in rule} == {None}, "it sends no features"


def test_who_sees_the_original_agrees_most(judged: Judged) -> None:
    for question in judged.questions:
        own = {row.rule: row.value for row in judged.rows if row.question == question and row.slot in (0, SLOTS[0])}
        assert max(own, key=lambda rule: own[rule]) == "png"
    assert all(row.people.shape == (4,) and 0 <= row.people.min() <= row.people.max() <= 1 for row in judged.rows)


def test_samples_are_draws_of_one_packet_and_differ(judged: Judged) -> None:
    sample = judged.samples[0]
    shown = sample.shown["random", SLOTS[0]]
    assert shown.shape == (SAMPLES, *SIZES.frame) and (shown[0] != shown[1]).any()


def test_figures_hold_curves_samples_and_a_matrix_of_what_each_mask_keeps(judged: Judged) -> None:
    drawn = {each.name: each for each in draw_judged(judged)}
    assert list(drawn) == [AGREEMENT, PICTURES, MATRIX]
    column = drawn[AGREEMENT].header.index("paper_bits")
    assert [row[column] for row in drawn[AGREEMENT].rows] == [row.paper_bits for row in judged.rows]
    cells = {row[:3]: row[3:] for row in drawn[MATRIX].rows}
    for coder, slots in (("pico", SLOTS), ("pico-transform", (2, *SLOTS))):
        own = {cell for cell in cells if cell[0].startswith(f"{coder} for")}
        assert own == {(f"{coder} for {a}", b, n) for a in judged.questions for b in judged.questions for n in slots}
        assert all(cells[f"{coder} for {name}", name, slot][3] == 0 for name in judged.questions for slot in slots)
    marks = [mark for part in drawn[AGREEMENT].parts for mark in part.marks]
    assert len(marks) == len(judged.rows) and any(mark.picture for mark in marks)
    lines = list(agreement_lines(drawn[AGREEMENT]))
    assert any(line.startswith("asked digit, pico for thickness: ") and "at 16 bits" in line for line in lines)


def test_one_question_has_no_matrix(judged: Judged) -> None:
    rows = tuple(row for row in judged.rows if row.question == "digit" and row.asked in ("", "digit"))
    names = [each.name for each in draw_judged(replace(judged, questions=("digit",), rows=rows))]
    assert names == [AGREEMENT, PICTURES]


def test_masks_are_told_apart_by_the_question_they_were_trained_for() -> None:
    given = [fitted("pico", {"question": "digit"}), fitted("pico", {"question": "thickness"}), fitted("perceptual", {})]
    labels = [rule.label for rule in rules_for([*given, fitted("perceptual", {})], SIZES)]
    assert labels == ["first-blocks", "random", "pico for digit", "pico for thickness", "perceptual"]
    with pytest.raises(ConfigError, match="two files for pico and question digit"):
        rules_for([given[0], given[0]], SIZES)
    with pytest.raises(ConfigError, match="does not say which question"):
        rules_for([fitted("pico", {})], SIZES)


def test_whoever_a_mask_was_fitted_to_does_not_judge(model: LatentModel) -> None:
    task = make_task("digits", {})
    assert judges(task, ["viewer-network"]) == (*FAMILIES, "viewer-convolution")
    with pytest.raises(ConfigError, match="no family"):
        judge(task, ["digit"], model, rules_for((), SIZES), SLOTS, "prior", judges(task, families_for(task.spec)))
    with pytest.raises(ConfigError, match="are the least"):
        judge(task, ["digit"], model, rules_for((), SIZES), (2,), "prior", FAMILIES)


def test_budgets_lie_around_the_studys(tmp_path: Path) -> None:
    assert budgets(16, SIZES) == (1, 8, 16, 32, 64)
