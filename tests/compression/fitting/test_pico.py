from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.errors import TrainingError
from compression.fitting.config import CONSTANTS, PicoConfig
from compression.fitting.discriminators import ActionDiscriminator, ImageDiscriminator, budgeted
from compression.fitting.fitted import FittedModel, FittedRecord, dump_fitted
from compression.fitting.mask_policy import LearnedMask
from compression.fitting.pico import TrainingSummary, fit_mask
from compression.fitting.recorded import RecordedEpisode
from compression.masks import MaskInterval, features_of, mask_table
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from compression.model.vae import VAE

SIZES = Sizes((64, 64, 3), latents=32, blocks=8, actions=3, hidden=256, dense=512)
RECORD = FittedRecord("pico", "ab" * 32, ("p01",), ("0a1b2c",), (7,), {}, "step", "hold")
Tensors = dict[str, NDArray[np.float32]]
MATTER = [2, 5]
"""The blocks that the made-up driver looks at."""
PAINTED = [1, 6]
"""The blocks that the made-up decoder paints with."""
BRIEF = PicoConfig(iterations=30, batch=32)


def record_episode(rng: np.random.Generator, original: bool, steps: int, interval: MaskInterval) -> RecordedEpisode:
    """Return an episode of a driver who steers by the sum of the features of `MATTER`, as far as they are shown."""
    latents = rng.standard_normal((steps, 32)).astype(np.float32)
    masks = np.ones((steps, 8), bool)
    if not original:
        masks = mask_table(8, 4)[rng.integers(70, size=steps)].copy()
        if interval == "episode":
            masks[:] = masks[0]
    received = np.where(np.repeat(masks, 4, axis=1), latents, 0).astype(np.float32)
    wheel = received.reshape(steps, 8, 4)[:, MATTER].sum(axis=(1, 2))
    actions = (1 + np.sign(wheel) * (np.abs(wheel) > 1)).astype(np.uint8)
    return RecordedEpisode(latents, received, actions, masks, original)


def record_episodes(
    count: tuple[int, int], steps: int, interval: MaskInterval = "step", seed: int = 0
) -> list[RecordedEpisode]:
    rng = np.random.default_rng(seed)
    kinds = [True] * count[0] + [False] * count[1]
    return [record_episode(rng, original, steps, interval) for original in kinds]


@pytest.fixture(scope="module")
def few() -> list[RecordedEpisode]:
    return record_episodes((3, 3), steps=20)


@pytest.fixture(scope="module")
def fitted(model: LatentModel) -> tuple[Tensors, TrainingSummary]:
    return fit_mask(record_episodes((6, 14), steps=120), "step", "hold", model, PicoConfig(iterations=300, batch=128))


def masks_of(tensors: Tensors, sizes: Sizes = SIZES) -> NDArray[np.bool_]:
    """Return the masks, bool[100, blocks], of half of the blocks that a policy chooses on new latents."""
    policy = LearnedMask(FittedModel(tensors, RECORD, ""), sizes)
    latents = np.random.default_rng(99).standard_normal((100, sizes.latents)).astype(np.float32)
    return np.stack([policy.choose(latent, sizes.blocks // 2) for latent in latents])


score_rows = st.lists(st.lists(st.floats(-30, 30, width=32), min_size=8, max_size=8), min_size=1, max_size=4)


@settings(max_examples=100)
@given(score_rows, st.integers(1, 7))
def test_budgeted_probabilities_sum_to_the_blocks(rows: list[list[float]], blocks: int) -> None:
    probabilities = budgeted(torch.tensor(rows), blocks)
    assert probabilities.shape == (len(rows), 8)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert torch.allclose(probabilities.sum(1), torch.full((len(rows),), float(blocks)), atol=1e-3)


@settings(max_examples=100)
@given(score_rows, st.integers(1, 8))
def test_budgeted_probabilities_keep_the_order_of_the_scores(rows: list[list[float]], blocks: int) -> None:
    scores = torch.tensor(rows)
    probabilities = budgeted(scores, blocks)
    for row, probability in zip(scores, probabilities, strict=True):
        assert (probability[row.argsort()].diff() >= 0).all()


def test_raising_one_score_takes_from_the_others() -> None:
    scores = torch.zeros(1, 8)
    scores[0, 3] = 2
    probabilities = budgeted(scores, 4)[0]
    assert probabilities[3] > 0.5
    assert (probabilities[[0, 1, 2, 4, 5, 6, 7]] < 0.5).all()


def test_a_constant_added_to_all_scores_changes_nothing() -> None:
    scores = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(budgeted(scores, 4), budgeted(scores + 7, 4), atol=1e-9)


@pytest.mark.parametrize("blocks", [1, 4, 7])
def test_budgeted_has_the_right_gradient(blocks: int) -> None:
    scores = torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: budgeted(s, blocks), (scores,), eps=1e-5, atol=1e-5)


@pytest.mark.parametrize("spread", [1e3, 1e6])
def test_budgeted_stays_finite_where_scores_are_far_apart(spread: float) -> None:
    scores = (spread * torch.tensor([[1.0, 1, 1, -1, -1, -1, -1, -1], [1, 1, 1, 1, 1, -1, -1, -1]])).requires_grad_()
    probabilities = budgeted(scores, 4)
    probabilities[:, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(probabilities).all()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("actions", [2, 3, 10])
def test_the_action_discriminators_logit_is_that_of_the_classifiers_probability(actions: int) -> None:
    generator = torch.Generator().manual_seed(2)
    sizes = replace(SIZES, actions=actions)
    model = ActionDiscriminator(sizes).double().eval()
    x = torch.randn(50, 256 + 32, generator=generator, dtype=torch.float64) * 5
    action = torch.randint(actions, (50,), generator=generator)
    with torch.no_grad():
        probability = model.classifier(x).softmax(1)[torch.arange(50), action]
        assert torch.allclose(model(x, action), (probability / (1 - probability)).log(), atol=1e-9)


def test_where_actions_stand_alone_each_has_a_probability_by_itself() -> None:
    model = ActionDiscriminator(SIZES, alone=True).eval()
    x, action = torch.randn(50, 256 + 32) * 5, torch.randint(3, (50,))
    with torch.no_grad():
        found = model.probabilities(x)
        assert torch.allclose(found.gather(1, action[:, None])[:, 0], model(x, action).sigmoid())
        assert (found.sum(1) - 1).abs().max() > 0.1


def test_the_image_discriminator_sees_mask_and_history_and_latent() -> None:
    model = ImageDiscriminator(SIZES).eval()
    mask = torch.rand(1, 8, requires_grad=True)
    x = torch.randn(1, 256 + 32, requires_grad=True)
    model(mask, x).backward()
    assert mask.grad is not None
    assert x.grad is not None
    assert (mask.grad != 0).all()
    assert (x.grad != 0).float().mean() > 0.9


def test_the_fitted_mask_sends_the_blocks_that_the_driver_steers_by(
    fitted: tuple[Tensors, TrainingSummary],
) -> None:
    frequency = masks_of(fitted[0]).mean(axis=0)
    assert frequency[MATTER].min() > 0.9
    others = np.delete(frequency, MATTER)
    assert others.mean() < 0.4


def test_the_summary_says_how_the_fit_went(fitted: tuple[Tensors, TrainingSummary]) -> None:
    summary = fitted[1]
    assert (summary.positive_steps, summary.negative_steps, summary.held_out_episodes) == (5 * 120, 11 * 120, 4)
    assert summary.action_accuracy is not None
    assert summary.action_accuracy > 0.6
    assert summary.calibration_error is not None
    assert 0 <= summary.calibration_error < 0.4
    assert summary.mean_d_original is not None
    assert summary.mean_d_compressed is not None
    assert summary.mean_d_original > summary.mean_d_compressed
    assert summary.mean_d_policy > summary.mean_d_random
    assert sum(summary.block_frequency) == pytest.approx(4)


@pytest.mark.parametrize(
    ("count", "steps"), [((10, 15), 150), ((6, 60), 30)], ids=["a pilot's episodes", "many short episodes"]
)
def test_with_one_mask_per_episode_the_fitted_mask_sends_them_too(
    model: LatentModel, count: tuple[int, int], steps: int
) -> None:
    episodes = record_episodes(count, steps, interval="episode")
    network, _ = fit_mask(episodes, "episode", "hold", model, PicoConfig(iterations=200, batch=128))
    assert masks_of(network).mean(axis=0)[MATTER].min() > 0.8


def test_by_the_labels_of_the_paper_originals_are_told_from_what_was_compressed(model: LatentModel) -> None:
    config = PicoConfig(iterations=120, batch=128, labels="paper", imagined=2)
    network, summary = fit_mask(record_episodes((8, 8), 60), "step", "hold", model, config)
    assert summary.mean_d_original is not None and summary.mean_d_compressed is not None
    # p(T = 1 | a, x): of what both kinds of steps would have led to, nobody can say more than half.
    assert summary.mean_d_compressed < 0.5 < summary.mean_d_original < 0.8
    assert masks_of(network).mean(axis=0)[MATTER].min() > 0.8


def test_the_label_of_negatives_decides_how_much_is_believed(model: LatentModel, few: list[RecordedEpisode]) -> None:
    doubtful, sure = (fit_mask(few, "step", "hold", model, replace(BRIEF, negative_label=label))[1] for label in (0, 1))
    assert doubtful.mean_d_compressed is not None and sure.mean_d_compressed is not None
    assert doubtful.mean_d_compressed < sure.mean_d_compressed


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_with_a_name_are_settings(name: str) -> None:
    config = PicoConfig(**CONSTANTS[name])
    assert (config.iterations, config.patience) == ((600, 4) if name == "racer" else (10_000, 0))


@pytest.mark.parametrize("wrong", [{"labels": "none"}, {"negative_label": 1.5}, {"patience": -1}])
def test_settings_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"label|patience"):
        PicoConfig(**wrong)


def test_a_network_that_gets_no_better_is_trained_no_further(model: LatentModel, few: list[RecordedEpisode]) -> None:
    config = replace(BRIEF, iterations=200, members=1, imagined=0)
    lasted = []
    for patience in (0, 1):
        _, summary = fit_mask(few, "step", "hold", model, replace(config, patience=patience))
        lasted.append({point.stage: point.iteration for point in summary.curve})
        for stage in lasted[-1]:
            losses = [point.held_out_loss for point in summary.curve if point.stage == stage]
            assert patience == 0 or min(losses) in losses[-2:], "it ends by the first look without a lower loss"
    assert set(lasted[0].values()) == {200}
    assert min(lasted[1].values()) < 200


def same_weights(one: Tensors, other: Tensors) -> bool:
    return all((one[name] == other[name]).all() for name in one)


def test_the_same_seed_gives_the_same_file_and_another_seed_another(
    model: LatentModel, few: list[RecordedEpisode]
) -> None:
    first, _ = fit_mask(few, "step", "hold", model, BRIEF)
    torch.rand(5)  # the global generator has no say
    again, _ = fit_mask(few, "step", "hold", model, BRIEF)
    other, _ = fit_mask(few, "step", "hold", model, replace(BRIEF, seed=1))
    assert same_weights(first, again)
    assert dump_fitted(first, RECORD) == dump_fitted(again, RECORD)
    assert not same_weights(first, other)


def test_training_leaves_torchs_global_state_alone(model: LatentModel, few: list[RecordedEpisode]) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit_mask(few, "step", "hold", model, BRIEF)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_last_iterations_count(model: LatentModel, few: list[RecordedEpisode]) -> None:
    one, _ = fit_mask(few, "step", "hold", model, replace(BRIEF, iterations=1))
    twenty, _ = fit_mask(few, "step", "hold", model, replace(BRIEF, iterations=20))
    assert not same_weights(one, twenty), "20 iterations trained no more than 1"


def test_progress_only_grows_and_ends_at_one(model: LatentModel, few: list[RecordedEpisode]) -> None:
    told: list[tuple[str, float]] = []
    fit_mask(few, "step", "hold", model, BRIEF, progress=lambda stage, done: told.append((stage, done)))
    fractions = [done for _, done in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert list(dict.fromkeys(stage for stage, _ in told)) == [
        "action discriminator",
        "model of the driver",
        "image discriminator",
        "mask policy",
        "done",
    ]


class Painter(nn.Module):
    """A decoder in which each feature of the blocks `PAINTED` shades an eighth of the picture, and no other does."""

    layers = nn.Sequential()

    def forward(self, latents: Tensor, layers: object = None) -> Tensor:
        mask = np.zeros(8, bool)
        mask[PAINTED] = True
        shades = 0.5 + 0.15 * latents[:, torch.from_numpy(features_of(mask, 4))]
        return shades[:, None, :, None].expand(-1, 3, -1, 64).repeat_interleave(8, dim=2)


def test_the_perceptual_objective_sends_the_blocks_that_matter_for_pixels(model: LatentModel) -> None:
    vae = VAE(SIZES)
    vae.decoder = Painter()  # type: ignore[assignment]
    config = PicoConfig(objective="perceptual", iterations=300, batch=128)
    network, summary = fit_mask(record_episodes((4, 14), steps=60), "step", "hold", replace(model, vae=vae), config)
    assert masks_of(network).mean(axis=0)[PAINTED].min() > 0.9
    assert summary.action_accuracy is None
    assert summary.calibration_error is None
    assert summary.mean_d_original is None
    assert summary.mean_d_compressed is None


@pytest.mark.parametrize(("count", "kind"), [((1, 5), "calibration"), ((5, 1), "exploration"), ((0, 0), "calibration")])
def test_too_few_episodes_are_refused_in_one_line_that_names_the_kind(
    model: LatentModel, count: tuple[int, int], kind: str
) -> None:
    with pytest.raises(TrainingError, match=kind) as error:
        fit_mask(record_episodes(count, steps=5), "step", "hold", model, BRIEF)
    assert "\n" not in str(error.value)


def test_episodes_without_steps_do_not_count(model: LatentModel) -> None:
    rng = np.random.default_rng(0)
    empty = [record_episode(rng, original, 0, "step") for original in (True, False)]
    with pytest.raises(TrainingError):
        fit_mask([*record_episodes((1, 1), steps=5), *empty], "step", "hold", model, BRIEF)


def test_a_driver_who_never_turns_can_be_fitted(model: LatentModel, few: list[RecordedEpisode]) -> None:
    straight = [replace(episode, actions=np.ones_like(episode.actions)) for episode in few]
    tensors, summary = fit_mask(straight, "step", "hold", model, BRIEF)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert np.isfinite(summary.mean_d_policy)


def drive_any(sizes: Sizes, seed: int, original: bool) -> RecordedEpisode:
    """Return an episode of a driver who picks an action by the block of features 1, as far as it is shown."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((60, sizes.latents)).astype(np.float32)
    masks = np.ones((60, sizes.blocks), bool)
    if not original:
        table = mask_table(sizes.blocks, sizes.blocks // 2)
        masks = table[rng.integers(len(table), size=60)].copy()
    received = np.where(np.repeat(masks, sizes.block_size, axis=1), latents, 0).astype(np.float32)
    pull = received[:, sizes.block_size : 2 * sizes.block_size].sum(axis=1)
    actions = np.digitize(pull, np.linspace(-2, 2, sizes.actions - 1)).astype(np.uint8)
    return RecordedEpisode(latents, received, actions, masks, original)


def test_a_mask_is_fitted_to_models_of_any_sizes(any_model: LatentModel) -> None:
    sizes = any_model.sizes
    episodes = [drive_any(sizes, seed, seed % 2 == 0) for seed in range(12)]
    tensors, summary = fit_mask(episodes, "step", "hold", any_model, PicoConfig(iterations=150, batch=128, members=1))
    assert masks_of(tensors, sizes).mean(axis=0)[1] > 0.8
    assert sum(summary.block_frequency) == pytest.approx(sizes.blocks // 2)


def test_settings_are_resolved_for_a_model() -> None:
    assert PicoConfig().resolved(SIZES) == PicoConfig(blocks=4)
    assert PicoConfig(blocks=2).resolved(SIZES).blocks == 2
    for blocks in (8, 9):
        with pytest.raises(TrainingError, match="between 1 and 7"):
            PicoConfig(blocks=blocks).resolved(SIZES)
    with pytest.raises(TrainingError, match="1 or more"):
        PicoConfig(blocks=0)
