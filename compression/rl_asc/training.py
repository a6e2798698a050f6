"""Trains RL-ASC in its three stages (section III.C of arXiv 2208.04094).

First come two labellers: H, the task's network (equation 4), on trials of its own, and F on the coder's. H says what of
its labels is lost and, by its features, how far two images are apart (equation 11), as a share of how far the features
of images are from their mean. Stage I trains encoder and generator end to end, stage II the agent with both fixed, by
REINFORCE with a baseline, stage III all together. At last tables are counted.

What differs from the paper, and why:

- In stage I the levels are the finest for half of the frames only and drawn by chance for the others, and bits have a
  price: the agent is to choose among frames that the generator knows how to make.
- The generator is trained on the cross-entropy of H's labels (equation 9, pixel by pixel), which has a gradient, and on
  absolute pixel differences, not against a discriminator. The agent's reward is equation 12, with the mean intersection
  over union.
- The price of a bit is drawn for every frame and told to the agent: one agent serves all rates.
- The baseline of a return is the mean of the same frame's other codings (Kool, van Hoof and Welling, 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compression.errors import TrainingError
from compression.model.training.resumable import Trainer, Work
from compression.model.training.train import chosen_device, repeatable
from compression.rl_asc.codec import ConceptCodec, images_of
from compression.rl_asc.concepts import fit_map, table_shapes, whole_counts
from compression.rl_asc.networks import (
    CHANNELS,
    LEVELS,
    Classifier,
    Design,
    Labeller,
    System,
    cell_shares,
    centres,
    down_scaled,
    masks_of,
    split_features,
    symbols_of,
)

Progress = Callable[[str, float], None]
"""Told the stage and the fraction of the whole training that is done, in [0, 1]."""
_FINEST = len(LEVELS) - 1
_LEAST_DEVIATION = 1e-3
_GROUP = 64
"""Frames that pass a network together where nothing is trained."""


@dataclass(frozen=True)
class Labelled:
    """Frames and what their pixels show. Malformed ones raise TrainingError."""

    frames: NDArray[np.uint8]
    """uint8[N, H, W, C]"""
    labels: NDArray[np.uint8]
    """uint8[N, H, W]"""

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.labels.shape != self.frames.shape[:3] or len(self.frames) < 2:
            raise TrainingError("there must be 2 frames or more, each with a label map of its size")


@dataclass(frozen=True)
class ConceptConfig:
    """Settings of the training. Impossible ones raise TrainingError."""

    channels: int = 4
    """n, of the features: 4, 8 or 16."""
    labeller_steps: int = 500
    """Gradient steps of each labeller."""
    coder_steps: int = 3000
    """Gradient steps of stage I."""
    agent_steps: int = 500
    """Gradient steps of stage II."""
    joint_steps: int = 1000
    """Gradient steps of stage III."""
    batch: int = 16
    """Frames per step."""
    codings: int = 3
    """Times that each frame of stage II, which has half as many a step, is coded."""
    prices: tuple[float, ...] = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    """Lambda, for each bit of the features, that the agent is trained for."""
    coder_price: float = 2e-4
    """Lambda of stage I."""
    perceptual_price: float = 1.0
    """Eta."""
    concept_price: float = 0.02
    """Lambda 2 of equation 33, of the concepts' classification."""
    pixel_price: float = 2.0
    """Weight of the mean absolute difference of pixels in [0, 1]."""
    softness: float = 4.0
    """Sigma of equation 25, for distances in steps of the quantiser."""
    discount: float = 0.99
    """Gamma."""
    entropy: float = 0.02
    """Weight at first of the entropy of the agent's choices; falls to nothing."""
    policy_price: float = 0.1
    """Weight of the agent's loss in stage III."""
    learning_rate: float = 2e-3
    """Peak of Adam's, after which it falls along a cosine."""
    checkpoint_steps: int = 100
    """Gradient steps after which a training can go on if it is killed; it changes nothing that comes of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise TrainingError(f"channels must be one of {', '.join(map(str, CHANNELS))}; got {self.channels}")
        for name in ("labeller_steps", "coder_steps", "agent_steps", "joint_steps", "batch", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if self.codings < 2:
            raise TrainingError(f"codings must be 2 or more; got {self.codings}")


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
    kept = Work(work, {"config": decisive, "design": asdict(design), "data": [_sums(data), _sums(judged)]})
    with repeatable():
        training = _Training(design, config, data, judged, kept, chosen_device(device), progress)
        return training.run()


def train_labeller(
    data: Labelled,
    parts: int,
    work: Work,
    name: str,
    config: ConceptConfig,
    device: torch.device,
    told: Callable[[float], None] = lambda done: None,
) -> Labeller:
    """Return a network that labels pixels, trained on all labels alike, however rare."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Labeller(data.frames.shape[3], parts).to(device)
    counts = np.bincount(data.labels.ravel(), minlength=parts)
    weights = torch.from_numpy(np.where(counts, 1 / np.sqrt(np.maximum(counts, 1)), 0)).float().to(device)

    def train() -> dict[str, Tensor]:
        trainer = Trainer(network, work, name, config.seed, config.labeller_steps)

        def loss(step: int) -> Tensor:
            images, labels = _batch(data, trainer, config.batch, device)
            return functional.cross_entropy(network(images), labels, weights)

        return dict(trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told).state_dict())

    network.load_state_dict(work.stage(name, train))
    return network.eval().requires_grad_(False)


class _Prior(nn.Module):
    """How likely symbols are, by level, concept and channel: what bits are counted by until there are tables."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        shape = design.parts, design.channels
        self.logits = nn.ParameterList(
            nn.Parameter(torch.zeros(*shape, LEVELS[level])) for level in range(1, len(LEVELS))
        )


class _Coder(nn.Module):
    """What stage I trains."""

    def __init__(self, design: Design, system: System) -> None:
        super().__init__()
        self.encoder, self.generator = system.encoder, system.generator
        self.classifier, self.prior = Classifier(design), _Prior(design)

    def quantised(self, features: Tensor, cells: Tensor, softness: float) -> tuple[Tensor, Tensor]:
        """Return values and bits of features at every level, float32[Q, N, n, h, w] each.

        Values are quantised (equation 24), with the gradient of the soft ones (equation 25); bits are those of the soft
        choice among the centres.
        """
        values, bits = [torch.zeros_like(features)], [torch.zeros_like(features)]
        for level, logits in enumerate(self.prior.logits, start=1):
            places = centres(level).to(features.device)
            apart = (features[..., None] - places).abs() * (LEVELS[level] / 2)
            chosen = (-softness * apart).softmax(-1)
            soft = (chosen * places).sum(-1)
            hard = places[symbols_of(features.detach(), level)]
            values.append(soft + (hard - soft).detach())
            taken = -logits.log_softmax(-1) / np.log(2)
            bits.append((chosen * taken[cells].permute(0, 3, 1, 2, 4)).sum(-1))
        return torch.stack(values), torch.stack(bits)


class _Joint(nn.Module):
    """What stage III trains."""

    def __init__(self, coder: _Coder, agent: nn.Module) -> None:
        super().__init__()
        self.coder, self.agent = coder, agent


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
        self._weights = _cell_weights(data, design.parts)
        self._prices = torch.tensor(config.prices)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._system = System(design).to(device)
            self._coder = _Coder(design, self._system).to(device)

    def run(self) -> dict[str, NDArray[np.floating[Any]]]:
        config, design = self._config, self._design
        told = self._stage("labellers")
        judge = train_labeller(
            self._judged, design.parts, self._work, "judge", config, self._device, lambda done: told(done / 2)
        )
        labeller = train_labeller(
            self._data, design.parts, self._work, "labeller", config, self._device, lambda done: told(0.5 + done / 2)
        )
        self._system.labeller.load_state_dict(labeller.state_dict())
        self._judge = judge
        self._spread = self._spreads()
        self._coder.load_state_dict(self._work.stage("coder", self._train_coder))
        self._system.agent.load_state_dict(self._work.stage("agent", self._train_agent))
        joint = _Joint(self._coder, self._system.agent)
        joint.load_state_dict(self._work.stage("joint", lambda: self._train_joint(joint)))
        self._stage("tables")(0.0)
        return self._tensors()

    def _train_coder(self) -> dict[str, Tensor]:
        config, coder = self._config, self._coder
        trainer = Trainer(coder, self._work, "coder", config.seed, config.coder_steps, average=True)

        def loss(step: int) -> Tensor:
            images, labels = _batch(self._data, trainer, config.batch, self._device)
            cells, masks = self._cells(labels)
            levels = torch.randint(len(LEVELS), masks.shape[:2], generator=trainer.generator)
            finest = torch.rand(len(levels), 1, generator=trainer.generator) < 0.5
            levels = torch.where(finest, torch.full_like(levels, _FINEST), levels).to(self._device)
            features = coder.encoder(images)
            values, bits = coder.quantised(features, cells, config.softness)
            shown = self._shown(coder, values, masks, cells, levels)
            price = torch.full((len(images),), config.coder_price, device=self._device)
            return self._loss(coder, images, labels, features, masks, shown, _at(bits, cells, levels), price)

        told = self._stage("stage I")
        return dict(trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told).state_dict())

    def _train_agent(self) -> dict[str, Tensor]:
        config, agent, coder = self._config, self._system.agent, self._coder
        trainer = Trainer(agent, self._work, "agent", config.seed, config.agent_steps)
        coder.requires_grad_(False)

        def loss(step: int) -> Tensor:
            images, labels = _batch(self._data, trainer, max(1, config.batch // 2), self._device)
            price = self._prices[torch.randint(len(self._prices), (len(images),), generator=trainer.generator)]
            images, labels, price = (
                each.repeat_interleave(config.codings, 0) for each in (images, labels, price.to(self._device))
            )
            cells, masks = self._cells(labels)
            with torch.no_grad():
                features = coder.encoder(images)
                values, bits = coder.quantised(features, cells, 1000.0)
            scores = agent(split_features(features, masks), masks, price).log_softmax(2)
            levels = self._drawn(scores, trainer.generator)
            returns = self._returns(images, labels, cells, masks, values, bits, levels, price)
            there = masks.flatten(2).amax(2)
            chosen = scores.gather(2, levels[:, :, None])[:, :, 0]
            gain = _advantages(returns, config.codings) * there
            entropy = -(scores.exp() * scores).sum(2)
            left = 1 - step / config.agent_steps
            value: Tensor = -((gain * chosen + left * config.entropy * entropy * there).sum() / there.sum())
            return value

        told = self._stage("stage II")
        trained = trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told)
        coder.requires_grad_(True)
        return dict(trained.state_dict())

    def _train_joint(self, joint: _Joint) -> dict[str, Tensor]:
        config, coder = self._config, self._coder
        trainer = Trainer(joint, self._work, "joint", config.seed, config.joint_steps, average=True)

        def loss(step: int) -> Tensor:
            images, labels = _batch(self._data, trainer, max(1, config.batch // 2), self._device)
            price = self._prices[torch.randint(len(self._prices), (len(images),), generator=trainer.generator)]
            images, labels, price = (each.repeat_interleave(2, 0) for each in (images, labels, price.to(self._device)))
            cells, masks = self._cells(labels)
            features = coder.encoder(images)
            scores = joint.agent(split_features(features.detach(), masks), masks, price).log_softmax(2)
            levels = self._drawn(scores, trainer.generator)
            values, bits = coder.quantised(features, cells, config.softness)
            shown = self._shown(coder, values, masks, cells, levels)
            spent = _at(bits, cells, levels)
            with torch.no_grad():
                lost = self._criterion(images, labels, shown, spent.flatten(1).sum(1), price)
            chosen = scores.gather(2, levels[:, :, None])[:, :, 0] * masks.flatten(2).amax(2)
            policy = -(_advantages(-lost[:, None], 2)[:, 0] * chosen.sum(1)).mean()
            coded = self._loss(coder, images, labels, features, masks, shown, spent, price)
            total: Tensor = coded + config.policy_price * policy
            return total

        told = self._stage("stage III")
        return dict(trainer.run(loss, config.learning_rate / 4, 1.0, config.checkpoint_steps, told).state_dict())

    def _shown(self, coder: _Coder, values: Tensor, masks: Tensor, cells: Tensor, levels: Tensor) -> Tensor:
        images: Tensor = coder.generator(split_features(_at(values, cells, levels), masks), masks, levels)
        return images

    def _returns(
        self,
        images: Tensor,
        labels: Tensor,
        cells: Tensor,
        masks: Tensor,
        values: Tensor,
        bits: Tensor,
        levels: Tensor,
        price: Tensor,
    ) -> Tensor:
        """Return what each choice and those after it gain, discounted, float32[N, M] (equations 13 to 15)."""
        so_far = torch.zeros_like(levels)
        rewards = torch.zeros(levels.shape, device=levels.device)
        with torch.no_grad():

            def lost() -> Tensor:
                shown = self._shown(self._coder, values, masks, cells, so_far)
                return self._criterion(images, labels, shown, _at(bits, cells, so_far).flatten(1).sum(1), price)

            before = lost()
            for part in range(levels.shape[1]):
                if not masks[:, part].any():
                    continue
                so_far[:, part] = levels[:, part]
                after = lost()
                rewards[:, part], before = before - after, after
        returns = torch.zeros_like(rewards)
        left = torch.zeros(len(rewards), device=levels.device)
        for part in reversed(range(levels.shape[1])):
            left = rewards[:, part] + self._config.discount * left
            returns[:, part] = left
        return returns

    def _criterion(self, images: Tensor, labels: Tensor, shown: Tensor, bits: Tensor, price: Tensor) -> Tensor:
        """Return the rate-semantic-perceptual loss, float32[N] (equation 12)."""
        features = self._judge.features(shown)
        found = self._judge.label(features).argmax(1)
        return (
            price * bits
            + 1
            - _mean_iou(labels, found, self._design.parts)
            + self._config.perceptual_price * self._apart(images, features)
        )

    def _loss(
        self,
        coder: _Coder,
        images: Tensor,
        labels: Tensor,
        features: Tensor,
        masks: Tensor,
        shown: Tensor,
        bits: Tensor,
        price: Tensor,
    ) -> Tensor:
        """Return what encoder and generator are trained on."""
        config = self._config
        seen = self._judge.features(shown)
        semantic = functional.cross_entropy(self._judge.label(seen), labels)
        there = masks.flatten(2).amax(2).flatten().bool()
        named = coder.classifier(split_features(features, masks)).flatten(0, 1)[there]
        which = torch.arange(self._design.parts, device=masks.device).repeat(len(masks))[there]
        total: Tensor = (
            semantic
            + config.perceptual_price * self._apart(images, seen).mean()
            + config.pixel_price * (shown - images).abs().mean()
            + config.concept_price * functional.cross_entropy(named, which)
            + (price * bits.flatten(1).sum(1)).mean()
        )
        return total

    def _apart(self, images: Tensor, features: list[Tensor]) -> Tensor:
        """Return how far images, as H sees them, are from what is shown (equation 11), float32[N]."""
        with torch.no_grad():
            wanted = self._judge.features(images)
        each = [
            ((one - other) ** 2).flatten(1).mean(1) / spread
            for one, other, spread in zip(wanted, features, self._spread, strict=True)
        ]
        return torch.stack(each).mean(0)

    def _spreads(self) -> list[Tensor]:
        """Return the variance of H's features at each scale, over some frames."""
        some = self._data.frames[:: max(1, len(self._data.frames) // _GROUP)]
        with torch.no_grad():
            return [seen.var(0).mean() + 1e-6 for seen in self._judge.features(images_of(some).to(self._device))]

    def _cells(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return down-scaled label maps and their masks."""
        cells = down_scaled(labels, self._weights.to(labels.device))
        return cells, masks_of(cells, self._design.parts)

    def _drawn(self, scores: Tensor, generator: torch.Generator) -> Tensor:
        """Return levels drawn by chance, int64[N, M], of log-probabilities float32[N, M, Q]."""
        likely = scores.detach().exp().cpu().flatten(0, 1)
        drawn = torch.multinomial(likely, 1, generator=generator)
        return drawn.reshape(scores.shape[:2]).to(scores.device)

    def _stage(self, name: str) -> Callable[[float], None]:
        names = list(_SHARES)
        before = sum(_SHARES[each] for each in names[: names.index(name)])
        self._progress(name, before)
        return lambda done: self._progress(name, before + _SHARES[name] * done)

    def _tensors(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Return what the fitted file holds: networks rounded to half precision, and tables counted with those."""
        design, config = self._design, self._config
        halves = {name: value.detach().cpu().half() for name, value in self._system.state_dict().items()}
        rounded = System(design)
        rounded.load_state_dict({name: value.float() for name, value in halves.items()})
        tensors: dict[str, NDArray[np.floating[Any]]] = {
            f"system.{name}": value.numpy() for name, value in halves.items()
        }
        tensors["cell.weights"] = self._weights.numpy()
        tensors["prices"] = np.sort(np.array(config.prices, np.float32))
        none = {name: np.ones(shape, np.float32) for name, shape in table_shapes(design).items()}
        singles = {name: tensors[name].astype(np.float32) for name in ("cell.weights", "prices")}
        codec = ConceptCodec(design, rounded, none | singles)
        maps, levels, symbols = [], np.zeros((design.parts, len(LEVELS))), {}
        for level in range(1, len(LEVELS)):
            symbols[level] = np.zeros((design.parts, design.channels, LEVELS[level]))
        for first in range(0, len(self._data.frames), _GROUP):
            cells, features = codec.look(self._data.frames[first : first + _GROUP])
            maps.append(cells)
            there = masks_of(torch.from_numpy(cells).long(), design.parts).flatten(2).amax(2).numpy() > 0
            for price in codec.prices:
                chosen = codec.choose(cells, features, price)
                frames, parts = np.nonzero(there)
                np.add.at(levels, (parts, chosen[frames, parts]), 1)
            for level, counts in symbols.items():
                found = symbols_of(torch.from_numpy(features), level).numpy()
                channel = np.arange(design.channels)[None, :, None, None]
                np.add.at(counts, (cells[:, None], channel, found), 1)
        tensors["table.map"] = fit_map(np.concatenate(maps).astype(np.int64), design.parts)
        tensors["table.level"] = whole_counts(levels + 1)
        return tensors | {f"table.symbols{level}": whole_counts(counts + 0.5) for level, counts in symbols.items()}


def _at(each: Tensor, cells: Tensor, levels: Tensor) -> Tensor:
    """Return what is at the level of each cell's concept, [N, n, h, w], of [Q, N, n, h, w]."""
    of_cell = levels.gather(1, cells.flatten(1)).reshape(cells.shape)
    index = of_cell[None, :, None].expand(1, *each.shape[1:])
    return each.gather(0, index)[0]


def _advantages(returns: Tensor, codings: int) -> Tensor:
    """Return how much better returns, [B * K, M], are than the frame's other codings', in deviations."""
    grouped = returns.reshape(-1, codings, returns.shape[1])
    gains = (grouped - grouped.mean(1, keepdim=True)) * codings / (codings - 1)
    unit = gains.pow(2).mean().sqrt().clamp_min(_LEAST_DEVIATION)
    return (gains / unit).reshape(returns.shape)


def _mean_iou(truth: Tensor, found: Tensor, parts: int) -> Tensor:
    """Return the mean intersection over union, float32[N], over the parts in either of label maps [N, H, W]."""
    one, other = functional.one_hot(truth, parts).bool(), functional.one_hot(found, parts).bool()
    both, either = (one & other).sum((1, 2)), (one | other).sum((1, 2))
    return (both / either.clamp_min(1)).sum(1) / (either > 0).sum(1)


def _cell_weights(data: Labelled, parts: int) -> Tensor:
    """Return by what the share of a cell is measured, float32[M]: one over the share where the part is at all."""
    total, count = torch.zeros(parts), torch.zeros(parts)
    for first in range(0, len(data.labels), _GROUP):
        shares = cell_shares(torch.from_numpy(data.labels[first : first + _GROUP]).long(), parts)
        total += shares.sum((0, 2, 3))
        count += (shares > 0).sum((0, 2, 3))
    return torch.where(count > 0, count / total.clamp_min(1e-6), torch.ones(parts))


def _batch(data: Labelled, trainer: Trainer, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(len(data.frames), (size,), generator=trainer.generator).numpy()
    labels = torch.from_numpy(data.labels[chosen]).long()
    return images_of(data.frames[chosen]).to(device), labels.to(device)


def _sums(data: Labelled) -> list[int]:
    """Return numbers by which other data are told from these."""
    return [len(data.frames), int(data.frames.sum(dtype=np.int64)), int(data.labels.sum(dtype=np.int64))]
