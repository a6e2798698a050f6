"""Trains RL-ASC in its three stages (section III.C of arXiv 2208.04094).

First come two labellers: H, the task's network (equation 4), on trials of its own, and F on the coder's. H says what of
its labels is lost and, by its features, how far two images are apart (equation 11), as a share of how far the features
of images are from their mean. Stage I trains encoder and generator end to end, stage II the agent with both fixed, by
policy gradient with a baseline, stage III all together. At last tables are counted.

What differs from the paper, and why:

- In stage I the levels are the finest for half of the frames only and drawn by chance for the others, and bits have a
  price: the agent is to choose among frames that the generator knows how to make.
- The generator is trained on the cross-entropy of H's labels (equation 9, pixel by pixel), which has a gradient, and on
  absolute pixel differences, beside equation 33; in stage I the discriminator comes in at half-time. It takes its step
  together with the generator's, not in turns. The agent's reward is equation 12, with the mean intersection over union.
- The price of a bit is drawn for every frame and told to the agent: one agent serves all rates.
- The agent does not draw a level and wait for what comes of it (REINFORCE, equations 13 to 15). All six levels of each
  concept are tried beside the levels drawn for the others, so that the gradient is the expectation over a choice, not
  a sample of it (expected policy gradient, Ciosek and Whiteson, 2020; the baseline is that of Foerster et al., 2018).
  So nothing is discounted: a choice is credited with all that it changes, at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compression.errors import TrainingError
from compression.model.latent_model import chosen_device
from compression.model.training.resumable import Trainer, Work
from compression.model.training.train import repeatable
from compression.rl_asc.codec import images_of
from compression.rl_asc.counting import fitted_tensors
from compression.rl_asc.critic import critic_losses
from compression.rl_asc.judge import Judge
from compression.rl_asc.labelling import GROUP, Labelled, train_labeller
from compression.rl_asc.networks import LEVELS, Design, System, down_scaled, masks_of, split_features
from compression.rl_asc.policy import Policy, drawn
from compression.rl_asc.settings import ConceptConfig
from compression.rl_asc.soft_coder import SoftCoder, at_levels

Progress = Callable[[str, float], None]
"""Told the stage and the fraction of the whole training that is done, in [0, 1]."""
_FINEST = len(LEVELS) - 1
_HARD = 1000.0
"""Softness at which bits are those of the centre that is told."""
_FEW = 4
"""One of so many frames of a step of stage III teaches the agent."""
_HINGE_PRICE = 0.1
"""Weight of the discriminator's own loss: Adam's steps do not depend on it, and the clipped norm is the coder's."""
_SHARES = {"labellers": 0.15, "stage I": 0.45, "stage II": 0.15, "stage III": 0.2, "tables": 0.05}
"""Stages, and the time that each takes of the whole, about."""


def train_concepts(
    data: Labelled,
    judged: Labelled,
    parts: int,
    work: Path,
    config: ConceptConfig,
    progress: Progress = lambda stage, done: None,
    device: torch.device | str = "cpu",
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the tensors of a fitted file. The same data and settings give the same ones, killed in between or not.

    Args:
        data: What the coder is trained on.
        judged: What the task's network is trained on, of other trials.
        parts: M.
        work: Folder in which the training leaves what it has; given again, a killed training goes on.
        config: Settings.
        progress: Called now and then.
        device: To train on.

    Raises:
        TrainingError: If the data do not do, `work` holds another training, or a file cannot be written.
    """
    height, width, channels = data.frames.shape[1:]
    try:
        design = Design((height, width, channels), parts, config.channels)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    decisive = {name: value for name, value in asdict(config).items() if name != "checkpoint_steps"}
    kept = Work(work, {"config": decisive, "design": asdict(design), "data": [data.sums(), judged.sums()]})
    with repeatable():
        training = _Training(design, config, data, judged, kept, chosen_device(device), progress)
        return training.run()


class _Joint(nn.Module):
    """What stage III trains."""

    def __init__(self, coder: SoftCoder, policy: Policy) -> None:
        super().__init__()
        self.coder, self.policy = coder, policy


class _Training:
    def __init__(
        self,
        design: Design,
        config: ConceptConfig,
        data: Labelled,
        judged: Labelled,
        work: Work,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self._design, self._config, self._data, self._judged = design, config, data, judged
        self._work, self._device, self._progress = work, device, progress
        self._weights = data.cell_weights(design.parts)
        self._prices = torch.tensor(config.prices, device=device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._system = System(design).to(device)
            self._coder = SoftCoder(design, self._system).to(device)
            self._policy = Policy(self._system.agent, len(config.prices), design.parts).to(device)

    def run(self) -> dict[str, NDArray[np.floating[Any]]]:
        config, design, data = self._config, self._design, self._data
        told = self._stage("labellers")
        judge = train_labeller(
            self._judged, design.parts, self._work, "judge", config, self._device, lambda done: told(done / 2)
        )
        labeller = train_labeller(
            data, design.parts, self._work, "labeller", config, self._device, lambda done: told(0.5 + done / 2)
        )
        self._system.labeller.load_state_dict(labeller.state_dict())
        some = data.frames[:: max(1, len(data.frames) // GROUP)]
        self._judge = Judge(judge, images_of(some).to(self._device), design.parts, config.perceptual_price)
        self._coder.load_state_dict(self._work.stage("coder", self._train_coder))
        self._policy.load_state_dict(self._work.stage("agent", self._train_agent))
        joint = _Joint(self._coder, self._policy)
        joint.load_state_dict(self._work.stage("joint", lambda: self._train_joint(joint)))
        self._stage("tables")(0.0)
        return fitted_tensors(design, self._system, self._weights, config.prices, data.frames)

    def _train_coder(self) -> dict[str, Tensor]:
        config, coder = self._config, self._coder
        trainer = Trainer(coder, self._work, "coder", config.seed, config.coder_steps, average=True)

        def loss(step: int) -> Tensor:
            images, labels = self._data.batch(config.batch, trainer.generator, self._device)
            cells, masks = self._cells(labels)
            levels = torch.randint(len(LEVELS), masks.shape[:2], generator=trainer.generator)
            finest = torch.rand(len(levels), 1, generator=trainer.generator) < 0.5
            levels = torch.where(finest, torch.full_like(levels, _FINEST), levels).to(self._device)
            features = coder.encoder(images)
            values, bits = coder.quantised(features, cells, config.softness)
            shown = self._shown(coder, values, masks, cells, levels)
            price = torch.full((len(images),), config.coder_price, device=self._device)
            spent = at_levels(bits, cells, levels)
            opposed = step >= config.coder_steps // 2
            wanted = self._judge.look(images)
            return self._loss(coder, images, wanted, labels, features, masks, shown, spent, price, opposed)

        told = self._stage("stage I")
        return dict(trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told).state_dict())

    def _train_agent(self) -> dict[str, Tensor]:
        config, policy, coder = self._config, self._policy, self._coder
        trainer = Trainer(policy, self._work, "agent", config.seed, config.agent_steps)
        coder.requires_grad_(False)

        def loss(step: int) -> Tensor:
            images, labels, which = self._priced(trainer.generator)
            cells, masks = self._cells(labels)
            with torch.no_grad():
                features = coder.encoder(images)
                values, bits = coder.quantised(features, cells, _HARD)
            scores = policy.agent(split_features(features, masks), masks, self._prices[which]).log_softmax(2)
            levels = drawn(scores, trainer.generator)
            gains = self._gains(self._judge.look(images), labels, cells, masks, values, bits, levels, which)
            entropy = config.entropy * (1 - step / config.agent_steps)
            return policy.loss(scores, gains, which, masks.flatten(2).amax(2), entropy)

        told = self._stage("stage II")
        trained = trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told)
        coder.requires_grad_(True)
        return dict(trained.state_dict())

    def _train_joint(self, joint: _Joint) -> dict[str, Tensor]:
        config, coder = self._config, self._coder
        trainer = Trainer(joint, self._work, "joint", config.seed, config.joint_steps, average=True)
        few = slice(max(1, config.batch // _FEW))

        def loss(step: int) -> Tensor:
            images, labels, which = self._priced(trainer.generator)
            price = self._prices[which]
            cells, masks = self._cells(labels)
            features = coder.encoder(images)
            scores = joint.policy.agent(split_features(features.detach(), masks), masks, price).log_softmax(2)
            levels = drawn(scores, trainer.generator)
            values, bits = coder.quantised(features, cells, config.softness)
            shown = self._shown(coder, values, masks, cells, levels)
            spent = at_levels(bits, cells, levels)
            wanted = self._judge.look(images)
            coded = self._loss(coder, images, wanted, labels, features, masks, shown, spent, price, True)
            values, bits = coder.quantised(features[few].detach(), cells[few], _HARD)
            seen = [each[few] for each in wanted]
            gains = self._gains(seen, labels[few], cells[few], masks[few], values, bits, levels[few], which[few])
            chosen = joint.policy.loss(scores[few], gains, which[few], masks[few].flatten(2).amax(2), 0.0)
            return coded + config.policy_price * chosen

        told = self._stage("stage III")
        return dict(trainer.run(loss, config.learning_rate / 4, 1.0, config.checkpoint_steps, told).state_dict())

    def _shown(self, coder: SoftCoder, values: Tensor, masks: Tensor, cells: Tensor, levels: Tensor) -> Tensor:
        images: Tensor = coder.generator(split_features(at_levels(values, cells, levels), masks), masks, levels)
        return images

    def _gains(
        self,
        wanted: list[Tensor],
        labels: Tensor,
        cells: Tensor,
        masks: Tensor,
        values: Tensor,
        bits: Tensor,
        levels: Tensor,
        which: Tensor,
    ) -> Tensor:
        """Return minus the criterion of each level of each concept, the others as drawn, float32[N, M, Q]."""
        gains = torch.zeros(*levels.shape, len(LEVELS), device=levels.device)
        rows, parts = masks.flatten(2).amax(2).nonzero(as_tuple=True)
        at, seen, price = torch.arange(len(rows)), [each[rows] for each in wanted], self._prices[which][rows]
        with torch.no_grad():
            for level in range(len(LEVELS)):
                tried = levels[rows]
                tried[at, parts] = level
                shown = self._shown(self._coder, values[:, rows], masks[rows], cells[rows], tried)
                spent = at_levels(bits[:, rows], cells[rows], tried).flatten(1).sum(1)
                gains[rows, parts, level] = -self._judge.criterion(seen, labels[rows], shown, spent, price)
        return gains

    def _loss(
        self,
        coder: SoftCoder,
        images: Tensor,
        wanted: list[Tensor],
        labels: Tensor,
        features: Tensor,
        masks: Tensor,
        shown: Tensor,
        bits: Tensor,
        price: Tensor,
        opposed: bool,
    ) -> Tensor:
        """Return what encoder and generator are trained on, and the discriminator beside them."""
        config = self._config
        there = masks.flatten(2).amax(2).flatten().bool()
        named = coder.classifier(split_features(features, masks)).flatten(0, 1)[there]
        which = torch.arange(self._design.parts, device=masks.device).repeat(len(masks))[there]
        total: Tensor = (
            self._judge.gradient(wanted, labels, shown)
            + config.pixel_price * (shown - images).abs().mean()
            + config.concept_price * functional.cross_entropy(named, which)
            + (price * bits.flatten(1).sum(1)).mean()
        )
        hinge, fooling, matching = critic_losses(coder.critic, images, shown, masks)
        if opposed:
            total = total + config.adversarial_price * fooling + config.matching_price * matching
        return total + _HINGE_PRICE * hinge

    def _priced(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return frames and labels, and which price of a bit each frame pays."""
        images, labels = self._data.batch(self._config.batch, generator, self._device)
        which = torch.randint(len(self._prices), (len(images),), generator=generator)
        return images, labels, which.to(self._device)

    def _cells(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return down-scaled label maps and their masks."""
        cells = down_scaled(labels, self._weights.to(labels.device))
        return cells, masks_of(cells, self._design.parts)

    def _stage(self, name: str) -> Callable[[float], None]:
        names = list(_SHARES)
        before = sum(_SHARES[each] for each in names[: names.index(name)])
        self._progress(name, before)
        return lambda done: self._progress(name, before + _SHARES[name] * done)
