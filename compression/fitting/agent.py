"""Trains an agent that encodes: it imitates whoever does the task, and pays for the bits of what it acts by.

Imitation gathers what the agent itself gets to see (S. Ross, G. Gordon and D. Bagnell, "A Reduction of Imitation
Learning and Structured Prediction to No-Regret Online Learning", AISTATS 2011): the first round is done by whoever is
imitated, later ones by the agent, while the other says what it would do. The loss is the cross-entropy of those actions
plus alpha times -log2 P(z + u), with u uniform (Bader and von Bachmann 2021, equation 4). Then the agent is frozen, its
latents are ordered by the bits they take, tables are drawn up for `compression.coders.ladder`, and a decoder learns to
draw frames from what any slot may leave of the latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.coders.ladder import MOST_NUMBERS, RUNGS, TOTAL, Ladder, fit_rungs, frequencies_of
from compression.errors import TrainingError
from compression.fitting.rate_models import RATE_MODELS, RateModel, RateModelName
from compression.model.agent import LAG, Agent, QuantisedAgent, agent_sizes
from compression.model.latent_model import images_from_frames
from compression.model.sizes import Sizes
from compression.model.training.resumable import Trainer, Work
from compression.model.vae import Decoder

DecoderLoss = Literal["mse", "latent", "both"]
Progress = Callable[[str, float], None]
"""Callback (stage, fraction of the whole that is done, in [0, 1])."""
_CLIP, _DECODER_CLIP = 10.0, 50.0
_PRIOR_COUNTS = 50.0
"""Frames that the learned prior counts for in the tables, beside those that were seen."""
_DECODED = 24
"""Frames per step of the decoder's training."""
_PEAK = 1e-3
_CONTROL = 0.02
"""How fast alpha moves, in its logarithm, where a rate is twice its target."""
_CHECKPOINT_STEPS = 250
_GATHERING, _DECODING = 0.1, 0.4
"""Share of a round that gathering takes, and of the whole that the decoder takes, about."""


@dataclass(frozen=True)
class AgentConfig:
    """Settings of a training; those that make no sense raise TrainingError."""

    alpha: float = 1e-4
    """Weight of a frame's bits beside the nats of an action (equation 4), 0 or more."""
    target_bits: float | None = None
    """Bits of a frame to which a controller brings the rate, as long as the task needs as many, by moving alpha, which
    must not be 0; None: it stays."""
    free_rounds: int = 0
    """Rounds, at first, in which bits cost nothing, so that the agent learns the task before; fewer than `rounds`."""
    rate_model: RateModelName = "factorised"
    """`normal` as published, with latents of three digits; `factorised` with whole numbers."""
    latents: int = 64
    """Numbers that the policy sees of a frame; even, 2 to 256."""
    steps: int = 2000
    """Gradient steps of the agent, 1 or more; the rounds share them."""
    rounds: int = 4
    """How often frames are gathered, 1 or more."""
    batch: int = 64
    """Frames per step, 2 or more."""
    decoder_steps: int = 1500
    """Gradient steps of the decoder, 1 or more."""
    decoder_loss: DecoderLoss = "mse"
    """What the decoder minimises: the error of pixels, that of what the agent sees in the picture, or both, each in
    shares of its variance."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1e3:
            raise TrainingError(f"alpha must lie between 0 and 1000; got {self.alpha:g}")
        if min(self.steps, self.rounds, self.decoder_steps) < 1 or self.batch < 2 or self.steps < self.rounds:
            raise TrainingError("steps must be as many as rounds or more, and rounds and decoder steps 1 or more")
        if self.target_bits is not None and not (0 < self.target_bits <= 1e6 and self.alpha > 0):
            raise TrainingError("target bits must lie above 0, and so must the alpha that is begun with")
        if not 0 <= self.free_rounds < self.rounds:
            raise TrainingError(f"free rounds must lie between 0 and {self.rounds - 1}; got {self.free_rounds}")
        if self.rate_model not in RATE_MODELS or self.decoder_loss not in get_args(DecoderLoss):
            raise TrainingError(f"there is no rate model {self.rate_model!r} or no decoder loss {self.decoder_loss!r}")


@dataclass(frozen=True)
class Gathered:
    """What was seen in some trials, and what should have been done."""

    frames: NDArray[np.uint8]
    """uint8[N, H, W, C]"""
    actions: NDArray[np.uint8]
    """uint8[N], what whoever is imitated would do on seeing them."""
    starts: NDArray[np.int64]
    """int64[E + 1], where trials begin, and the end."""

    def before(self) -> NDArray[np.int64]:
        """Return for each frame the one `LAG` steps before, int64[N]; at a trial's beginning its first."""
        begins = np.repeat(self.starts[:-1], np.diff(self.starts))
        return np.maximum(np.arange(len(self.frames)) - LAG, begins)


Gather = Callable[[int, QuantisedAgent | None], Gathered]
"""Gathers a round, given its number and the agent; None in the first round, which somebody else does."""


@dataclass(frozen=True)
class AgentFit:
    """Result of a training."""

    tensors: dict[str, NDArray[np.floating[Any]]]
    """Tensors of the fitted file."""
    rate_model: RateModel
    """Learned rate model, for its cross-entropy; its coordinates are in the file's order."""
    alpha: float
    """Final value of alpha."""


def train_agent(
    sizes: Sizes,
    gather: Gather,
    config: AgentConfig,
    work: Work,
    device: torch.device,
    progress: Progress = lambda stage, done: None,
) -> AgentFit:
    """Return a trained agent with its tables and decoder. What is done is kept: a killed training goes on.

    Args:
        sizes: Of the latent model that shares the task.
        gather: Does trials; called once per round.
        config: Settings.
        work: Keeps rounds, stages and checkpoints.
        device: To train the networks on.
        progress: Told how far it is, over all.

    Raises:
        TrainingError: If the training goes astray, or `work` cannot be used.
        SizeError: If no agent has so many latents.
    """
    own = agent_sizes(sizes, config.latents)
    pupil = _new_pupil(own, config)
    rounds: list[Gathered] = []
    for number in range(config.rounds):
        begun, share = number / config.rounds * (1 - _DECODING), (1 - _DECODING) / config.rounds
        progress("gathering", begun)
        rounds.append(_gathered(work, number, gather, None if number == 0 else pupil.acting()))

        def told(done: float, begun: float = begun, share: float = share) -> None:
            progress("agent", begun + share * (_GATHERING + (1 - _GATHERING) * done))

        pupil = _taught(pupil, _joined(rounds), number, config, work, device, told)
    last, everything = rounds[-1], _joined(rounds)
    acting = pupil.acting()
    latents, last_latents = (acting.latents(part.frames) for part in (everything, last))
    step = _step(pupil.rate_model, last_latents)
    tables = _tables(pupil.rate_model, last_latents, step)
    order = np.argsort(-_entropies(tables[1]), kind="stable")
    pupil.reorder(order)
    numbers = np.rint(latents[:, order].astype(np.float64) / step).astype(np.int64)
    lowest, frequencies = (table[order] for table in tables)
    last_numbers = numbers[-len(last.frames) :]
    rungs = fit_rungs(lowest, frequencies, np.clip(last_numbers, lowest, lowest + (frequencies > 0).sum(1) - 1))
    ladder = Ladder(lowest, frequencies, rungs)

    def drawn(done: float) -> None:
        progress("decoder", 1 - _DECODING + _DECODING * done)

    decoder = _decoder(own, pupil.agent, everything.frames, numbers, step, ladder, config, work, device, drawn)
    tensors: dict[str, NDArray[np.floating[Any]]] = {
        f"{part}.{name}": tensor.half().numpy()
        for part, network in {"agent": pupil.agent, "decoder": decoder}.items()
        for name, tensor in network.state_dict().items()
    }
    tables32 = {"lowest": lowest, "frequencies": frequencies, "rungs": rungs, "step": np.array([step])}
    progress("done", 1.0)
    return AgentFit(
        tensors | {name: table.astype(np.float32) for name, table in tables32.items()},
        pupil.rate_model.eval(),
        float(pupil.alpha),
    )


class Pupil(nn.Module):
    """What is trained together: an agent and the rate model of its latents."""

    def __init__(self, sizes: Sizes, rate_model: RateModelName, alpha: float) -> None:
        super().__init__()
        self.agent = Agent(sizes)
        self.rate_model: RateModel = RATE_MODELS[rate_model](sizes.latents)
        self.alpha: Tensor
        self.register_buffer("alpha", torch.tensor(alpha))

    def acting(self) -> QuantisedAgent:
        """Return the agent as it is used."""
        return QuantisedAgent(self.agent, self.rate_model.step)

    def reorder(self, order: NDArray[np.intp]) -> None:
        """Give the latents another order, in place."""
        last, first = self.agent.extractor.layers[-1], self.agent.policy[0]
        assert isinstance(last, nn.Linear) and isinstance(first, nn.Linear)
        index = torch.from_numpy(order)
        with torch.no_grad():
            last.weight.copy_(last.weight[index].clone())
            last.bias.copy_(last.bias[index].clone())
            first.weight.copy_(torch.cat([part[:, index] for part in first.weight.chunk(2, 1)], 1))
            for parameter in self.rate_model.parameters():
                parameter.copy_(parameter[index].clone())


def _new_pupil(sizes: Sizes, config: AgentConfig) -> Pupil:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Pupil(sizes, config.rate_model, config.alpha)


def _gathered(work: Work, number: int, gather: Gather, acting: QuantisedAgent | None) -> Gathered:
    def make() -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in vars(gather(number, acting)).items()}

    return Gathered(**{name: tensor.numpy() for name, tensor in work.stage(f"round-{number}", make).items()})


def _joined(rounds: list[Gathered]) -> Gathered:
    offsets = np.cumsum([0, *(len(part.frames) for part in rounds)])
    starts = [part.starts[:-1] + offset for part, offset in zip(rounds, offsets, strict=False)]
    return Gathered(
        np.concatenate([part.frames for part in rounds]),
        np.concatenate([part.actions for part in rounds]),
        np.concatenate([*starts, offsets[-1:]]),
    )


def _taught(
    pupil: Pupil,
    data: Gathered,
    number: int,
    config: AgentConfig,
    work: Work,
    device: torch.device,
    progress: Callable[[float], None],
) -> Pupil:
    """Return the pupil after a round, rounded as its file will be."""
    steps = config.steps // config.rounds
    before, name = data.before(), f"agent-{number}"

    def train() -> dict[str, Tensor]:
        network = pupil.train().requires_grad_(True).to(device)
        trainer = Trainer(network, work, name, config.seed + number, steps, average=True)
        step = network.rate_model.step

        def loss(_: int) -> Tensor:
            index = torch.randint(len(data.frames), (config.batch,), generator=trainer.generator).numpy()
            frames = np.concatenate([data.frames[index], data.frames[before[index]]])
            z = network.agent.extractor(images_from_frames(torch.from_numpy(frames).to(device)))
            noise = torch.rand(z.shape, generator=trainer.generator) - 0.5
            noisy = z + step * noise.to(device)
            labels = torch.from_numpy(data.actions[index].astype(np.int64)).to(device)
            imitation = nn.functional.cross_entropy(network.agent(*noisy.chunk(2)), labels)
            # The rate model follows the latents whatever alpha is; alpha says how the latents follow it.
            rate = network.rate_model.bits(noisy.detach()).mean()
            if config.alpha and number >= config.free_rounds:
                rate = rate + float(network.alpha) * network.rate_model.bits(noisy).sum(1).mean()
                if config.target_bits is not None:
                    with torch.no_grad():  # what is sent is rounded, and costs less than with noise
                        bits = network.rate_model.bits(step * torch.round(z / step)).sum(1).mean()
                        network.alpha.mul_(torch.exp(_CONTROL * (bits / config.target_bits - 1).clamp(-1, 1)))
            total: Tensor = imitation + rate
            return total

        trained = trainer.run(loss, _PEAK, _CLIP, _CHECKPOINT_STEPS, progress)
        return {key: tensor.cpu() for key, tensor in trained.state_dict().items()}

    state = work.stage(name, train)
    pupil.cpu()
    pupil.load_state_dict(state)
    with torch.no_grad():
        for parameter in pupil.agent.parameters():
            parameter.copy_(parameter.half().float())
    return pupil.eval().requires_grad_(False)


def _step(rate_model: RateModel, latents: NDArray[np.float32]) -> float:
    """Return what the coder rounds to: as the rate model does, or doubled until the tables hold all numbers."""
    step = rate_model.step
    spread = float((latents.max(0) - latents.min(0)).max())
    while rate_model.step < 1 and spread / step > MOST_NUMBERS - 2:
        step *= 2
    return step


def _tables(
    rate_model: RateModel, latents: NDArray[np.float32], step: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least number of each coordinate and the frequencies; what was seen, and the rate model's besides."""
    numbers = np.rint(latents.astype(np.float64) / step).astype(np.int64)
    median = np.median(numbers, 0).astype(np.int64)
    reach = MOST_NUMBERS // 2
    numbers = np.clip(numbers, median - reach, median + reach)
    lowest, highest = numbers.min(0), numbers.max(0)
    # One more on each side, where it is likely enough to be seen.
    candidates = lowest - 1 + np.arange(int((highest - lowest).max()) + 3)[:, None]
    with torch.inference_mode():
        fine = -rate_model.bits(torch.from_numpy(candidates.astype(np.float32) * step)).numpy().astype(np.float64)
    learned = np.exp2(fine) * (step / rate_model.step)
    columns = []
    for place in range(latents.shape[1]):
        first = int(lowest[place]) - 1
        width = int(highest[place]) - first + 2
        weights = _PRIOR_COUNTS * learned[:width, place]
        weights += np.bincount(numbers[:, place] - first, minlength=width)
        inside = np.flatnonzero(weights > weights.sum() / (2 * TOTAL))
        begin, end = int(inside[0]), min(int(inside[-1]) + 1, int(inside[0]) + MOST_NUMBERS)
        columns.append((first + begin, frequencies_of(weights[begin:end])))
    frequencies = np.zeros((len(columns), max(len(table) for _, table in columns)), np.int64)
    for row, (_, table) in zip(frequencies, columns, strict=True):
        row[: len(table)] = table
    return np.array([first for first, _ in columns]), frequencies


def _entropies(frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = frequencies / TOTAL
    entropies: NDArray[np.float64] = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(1)
    return entropies


def _decoder(
    sizes: Sizes,
    agent: Agent,
    frames: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    step: float,
    ladder: Ladder,
    config: AgentConfig,
    work: Work,
    device: torch.device,
    progress: Callable[[float], None],
) -> Decoder:
    """Return a decoder of what may be received, rounded as its file will be; every other frame is sent as it is."""
    sample = images_from_frames(torch.from_numpy(frames[:: max(1, len(frames) // 512)]))
    pixel_variance = float(sample.var(0).mean().clamp_min(1e-6))
    with torch.inference_mode():
        latent_variance = float(agent.extractor(sample).var(0).mean().clamp_min(1e-6))

    def train() -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            network = Decoder(sizes)
        network.to(device)
        extractor = agent.extractor.to(device)
        trainer = Trainer(network, work, "decoder", config.seed, config.decoder_steps, average=True)

        def loss(_: int) -> Tensor:
            index = torch.randint(len(frames), (_DECODED,), generator=trainer.generator).numpy()
            rungs = torch.randint(RUNGS, (_DECODED,), generator=trainer.generator).numpy()
            rungs[::2] = RUNGS - 1
            received = torch.from_numpy(ladder.received(numbers[index], rungs) * np.float32(step)).to(device)
            images = images_from_frames(torch.from_numpy(frames[index]).to(device))
            drawn = network(received)
            total = torch.zeros((), device=device)
            if config.decoder_loss != "latent":
                total = total + ((drawn - images) ** 2).mean() / pixel_variance
            if config.decoder_loss != "mse":
                seen = extractor(drawn.clamp(0, 1))
                total = total + ((seen - extractor(images)) ** 2).mean() / latent_variance
            return total

        trained = trainer.run(loss, _PEAK, _DECODER_CLIP, _CHECKPOINT_STEPS, progress)
        agent.cpu()
        return {name: tensor.cpu() for name, tensor in trained.state_dict().items()}

    decoder = Decoder(sizes)
    decoder.load_state_dict({name: tensor.half().float() for name, tensor in work.stage("decoder", train).items()})
    return decoder.eval().requires_grad_(False)


def open_work(folder: Path, config: AgentConfig, told: dict[str, Any]) -> Work:
    """Return the folder in which a training leaves what it has.

    Args:
        folder: Is made if it is not there.
        config: Settings.
        told: All else that decides what comes of it.

    Raises:
        TrainingError: If it holds another training, or cannot be used.
    """
    return Work(folder, {"config": asdict(config), **told})
