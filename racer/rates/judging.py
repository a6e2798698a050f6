"""What simulated people answer to held-out pictures that crossed under each mask, at each budget.

For tasks whose trials stand alone. Agreement is that of PICO's released code: the probability, on seeing what arrived,
of the answer that is likeliest on seeing the original, averaged over pictures (section 5.1, figure 3, of the paper).
Packets are real. Bits are a packet's, mask included; a rule that always sends the same blocks need not name them, and
is charged without their number. JPEG at quality 1 and PNG are charged what their files take, headers included. Beside
a packet's bits stand those that the paper counts (`paper_bits`), which no packet takes: a feature costs -log2 of the
normal distribution in steps of 0.1, and the mask nothing.

One mask serves every budget, without being trained again. A mask that was trained for one question is judged under the
others as well, by the people who answer those: the paper's question 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import comb, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression.coders.blocks import BlockReceiver, BlockSender, full_layout
from compression.coders.coder import CoderSettings, LatentReceiver, LatentSender, find_coder
from compression.coders.packet import layout_for, least_bits
from compression.fill import FillName
from compression.fitting.fitted import FittedModel
from compression.fitting.mask_policy import LearnedMask
from compression.masks import FixedMask, MaskPolicy, RandomMasks, features_of
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from racer.drivers.driver import JudgingDriver
from racer.drivers.registry import families_for, make_driver, was_fitted_on
from racer.errors import ConfigError
from racer.report.statistics import Interval, bootstrap
from racer.tasks.task import Task

FIRST_PICTURE = 1_500_000_000
"""Seed of the first held-out picture: sweeps may have it, sittings and training never do."""
PICTURES, PEOPLE = 100, 3
"""Held-out pictures (the paper's), and people of each family."""
FIRST_BLOCKS, RANDOM, FULL = "first-blocks", "random", "full"
FILES = ("jpeg", "png")
"""Coders that are charged the bytes of their own files, for scale."""
SAMPLES, SAMPLED = 3, 2
"""Draws of what one packet may stand for, and pictures of which they are kept."""
PAPER_STEP = 0.1
"""Quantiser step of the paper, in standard deviations of a feature: at it 16 features cost 85.9 bits on average, and 32
cost 171.8 (the paper says 85 and 170)."""
_FIRST_PERSON = 100
_AT_ONCE = 64
_OF_ANSWERS = ("pico", "pico-rate", "pico-transform")
"""Conditions that are fitted to what was answered to a question."""
_OF_PICTURES = ("perceptual", "coarse")
"""Those that know no question."""
_MASKS = ("pico", "perceptual")
Frames = NDArray[np.uint8]
Latents = NDArray[np.float32]
Ends = tuple[LatentSender, LatentReceiver]


@dataclass(frozen=True)
class Rule:
    """A way to choose what is sent."""

    coder: str
    asked: str
    """The question that it was trained for; empty where the question does not matter."""
    policy: Callable[[np.random.Generator], MaskPolicy] | None
    """Chooses blocks; None for a coder that sends other things."""
    named: bool = True
    """Whether a packet has to say which blocks it holds."""
    fitted: FittedModel | None = None
    """What was fitted for a coder without a policy; None where nothing was."""
    name: str = ""
    """Where several are of one coder: what to call this one instead."""

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.name or self.coder} for {self.asked}" if self.asked else self.name or self.coder

    def least_bits(self, sizes: Sizes) -> int:
        """Return the smallest slot that it can use."""
        return find_coder(self.coder).least_bits(sizes) if self.policy is None else least_bits(sizes.blocks)

    def charged(self, slot: int, sizes: Sizes) -> float:
        """Return the bits of a packet, without the blocks' name where they need none."""
        if self.named or self.policy is None:
            return slot
        layout = layout_for(slot, sizes)
        return slot - log2(comb(layout.blocks, layout.sent))

    def ends(self, model: LatentModel, slot: int, fill: FillName, rng: np.random.Generator) -> Ends:
        """Return a sender and a receiver."""
        if self.policy is not None:
            layout = layout_for(slot, model.sizes)
            return BlockSender(model, layout, self.policy(rng), "episode"), BlockReceiver(model, layout, fill)
        coder, settings = find_coder(self.coder), CoderSettings(slot, "episode", fill, rng, self.fitted)
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        assert isinstance(sender, LatentSender) and isinstance(receiver, LatentReceiver)
        return sender, receiver


@dataclass(frozen=True, eq=False)
class Agreed:
    """How far people agree with themselves under one rule and budget, asked one question."""

    question: str
    rule: str
    coder: str
    asked: str
    """See `Rule`."""
    slot: int
    """Bits that a picture may take; 0 for what does not obey a slot."""
    bits: float
    """Mean bits charged for a picture."""
    people: NDArray[np.float64]
    """float64[people], mean over the pictures, in [0, 1]."""
    paper_bits: float | None = None
    """What the paper counts of a picture, on average; None for files."""

    @property
    def value(self) -> float:
        """Mean over people."""
        return float(self.people.mean())

    @property
    def interval(self) -> Interval | None:
        """95 %, percentile bootstrap over people."""
        return bootstrap(self.people[:, None], lambda means: means[:, 0])


@dataclass(frozen=True, eq=False)
class Sampled:
    """One picture and what its packets may stand for."""

    original: Frames
    """uint8[H, W, C]"""
    shown: dict[tuple[str, int], Frames]
    """uint8[SAMPLES, H, W, C] by rule and slot."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Everything that was found."""

    task: str
    questions: tuple[str, ...]
    families: tuple[str, ...]
    """Whose people judged: none that a mask was fitted to."""
    pictures: int
    rows: tuple[Agreed, ...]
    samples: tuple[Sampled, ...]


def rules_for(fitted: Iterable[FittedModel], sizes: Sizes) -> tuple[Rule, ...]:
    """Return the rules to compare: the first blocks, random ones, and those of fitted masks and coders.

    Raises:
        ConfigError: If two are of one kind and for the same question, or one does not say for which.
    """
    rules = [
        Rule(FIRST_BLOCKS, "", partial(_fixed, np.zeros(sizes.blocks, np.float32)), named=False),
        Rule(RANDOM, "", partial(RandomMasks, sizes.blocks)),
    ]
    for each in fitted:
        objective = each.record.objective
        if objective not in (*_OF_ANSWERS, *_OF_PICTURES):
            continue
        asked = str(each.record.settings.get("question", "")) if objective in _OF_ANSWERS else ""
        if objective in _OF_ANSWERS and not asked:
            raise ConfigError(f"a file for {objective} does not say which question it was trained for: train it anew")
        masked = objective in _MASKS
        policy = partial(_learned, LearnedMask(each, sizes)) if masked else None
        rule = Rule(objective, asked, policy, fitted=None if masked else each)
        if rule.label in (other.label for other in rules):
            # That which keeps the picture knows no question: one of them is as good as another.
            if asked:
                raise ConfigError(f"there are two files for {objective} and question {asked}; give one")
            continue
        rules.append(rule)
    return tuple(rules)


def judges(task: Task, fitted_on: Iterable[str]) -> tuple[str, ...]:
    """Return the families whose people may judge: all that can do the task, but for those that a mask was fitted to."""
    taken = tuple(fitted_on)
    return tuple(name for name in families_for(task.spec) if not was_fitted_on(name, taken))


def budgets(slot: int, sizes: Sizes) -> tuple[int, ...]:
    """Return one bit, and slots from half of one to four times it, as far as a mask can be named and something said."""
    least = least_bits(sizes.blocks)
    return tuple(sorted({1, *(max(bits, least) for bits in (slot // 2, slot, 2 * slot, 4 * slot))}))


def judge(
    task: Task,
    questions: Sequence[str],
    model: LatentModel,
    rules: Sequence[Rule],
    slots: Sequence[int],
    fill: FillName,
    families: Sequence[str],
    people: int = PEOPLE,
    pictures: int = PICTURES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
) -> Judged:
    """Return how far people agree with themselves under every rule and budget.

    Args:
        task: Its trials stand alone; whatever its own question is, `questions` are asked.
        questions: Names.
        model: The latent model.
        rules: What is compared.
        slots: Bits that a picture may take; those too small for a mask of this model are left out.
        fill: Where what is not sent comes from.
        families: Whose people answer.
        people: Of each family.
        pictures: Held-out ones, from `FIRST_PICTURE` on.
        seed: Of random masks.
        progress: Told what is being done.

    Raises:
        ConfigError: If nobody can judge, or no slot is large enough.
    """
    least = min(rule.least_bits(model.sizes) for rule in rules)
    slots = [slot for slot in slots if slot >= least]
    if not families or not slots:
        raise ConfigError(
            "no family of simulated people is left that a mask was not fitted to"
            if slots
            else f"no budget is large enough for a mask: {least} bits are the least"
        )
    originals = np.stack([_picture(task, FIRST_PICTURE + number) for number in range(pictures)])
    latents = _in_parts(model.encode_frames, originals)
    asked: dict[str, list[JudgingDriver]] = {}
    answers: dict[str, NDArray[np.intp]] = {}
    for question in questions:
        progress(f"asking {question}")
        about = replace(task, question=question)  # type: ignore[type-var]
        drivers = (make_driver(name, about, _FIRST_PERSON + n) for name in families for n in range(people))
        asked[question] = [driver for driver in drivers if isinstance(driver, JudgingDriver)]
        answers[question] = np.stack([each.probabilities(originals).argmax(1) for each in asked[question]])
    rows: list[Agreed] = []

    def ask(rule: Rule | str, slot: int, bits: float, shown: Frames, paper: float | None = None) -> None:
        label, coder, trained = (
            (rule, rule, "") if isinstance(rule, str) else (rule.label, rule.name or rule.coder, rule.asked)
        )
        for question in questions:
            every = np.arange(pictures)
            agreed = [
                float(each.probabilities(shown)[every, own].mean())
                for each, own in zip(asked[question], answers[question], strict=True)
            ]
            rows.append(Agreed(question, label, coder, trained, slot, bits, np.array(agreed), paper))

    for name in FILES:
        bits, shown = _filed(name, model, originals)
        ask(name, 0, bits, shown)
    whole = full_layout(model.sizes)
    first = FixedMask(np.zeros(model.sizes.blocks, np.float32))
    ends: Ends = BlockSender(model, whole, first, "episode"), BlockReceiver(model, whole, fill)
    drawn, paper = _across(ends, latents)
    ask(FULL, 0, float(whole.bits), drawn[:, 0], paper)
    kept: list[dict[tuple[str, int], Frames]] = [{} for _ in range(SAMPLED)]
    for slot in slots:
        for rule in rules:
            if slot < rule.least_bits(model.sizes):
                continue
            progress(f"{rule.label}, {slot} bits")
            drawn, paper = _across(rule.ends(model, slot, fill, np.random.default_rng([seed, slot])), latents)
            ask(rule, slot, rule.charged(slot, model.sizes), drawn[:, 0], paper)
            again = rule.ends(model, slot, fill, np.random.default_rng([seed, slot]))
            for sample, frames in zip(kept, _across(again, latents[:SAMPLED], SAMPLES)[0], strict=False):
                sample[rule.label, slot] = frames
    samples = tuple(Sampled(original, shown) for original, shown in zip(originals, kept, strict=False))
    return Judged(task.spec.name, tuple(questions), tuple(families), pictures, tuple(rows), samples)


def _across(ends: Ends, latents: Latents, draws: int = 1) -> tuple[Frames, float | None]:
    """Return what is shown of latents, float32[N, latents], each sent on its own: uint8[N, draws, H, W, C]; and the
    bits that the paper counts for one, on average, where its blocks are sent.
    """
    sender, receiver = ends
    model, received, paper = receiver.model, [], []
    for latent in latents:
        sender.reset()
        receiver.reset()
        packet = sender.send(latent, 0)
        received += [receiver.take(packet, 0) for _ in range(draws)]
        if isinstance(receiver, BlockReceiver):
            paper.append(paper_bits(latent[features_of(receiver.mask, model.sizes.block_size)]))
    shown = _in_parts(model.decode_latents, np.stack(received))
    return shown.reshape(len(latents), draws, *shown.shape[1:]), float(np.mean(paper)) if paper else None


def paper_bits(features: Latents) -> float:
    """Return the bits that the paper counts for features, float32[N], of zero mean and unit variance."""
    from scipy.special import ndtr

    steps = np.abs(np.rint(features.astype(np.float64) / PAPER_STEP))
    likely = ndtr((0.5 - steps) * PAPER_STEP) - ndtr((-0.5 - steps) * PAPER_STEP)
    return float(-np.log2(np.maximum(likely, np.finfo(np.float64).tiny)).sum())


def _filed(name: str, model: LatentModel, frames: Frames) -> tuple[float, Frames]:
    """Return the bits that frames take as files, on average, and what comes back of them."""
    coder = find_coder(name)
    settings = CoderSettings(1, "episode", "hold", np.random.default_rng(0))
    sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
    files = [sender.encode(frame, 0) for frame in frames]
    return 8 * float(np.mean([len(file) for file in files])), np.stack([receiver.decode(file, 0) for file in files])


def _picture(task: Task, seed: int) -> Frames:
    trial = task.start(seed)
    try:
        return trial.frame()
    finally:
        trial.close()


def _in_parts(work: Callable[[NDArray[Any]], NDArray[Any]], items: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([work(items[n : n + _AT_ONCE]) for n in range(0, len(items), _AT_ONCE)])


def _fixed(scores: NDArray[np.float32], rng: np.random.Generator) -> MaskPolicy:
    return FixedMask(scores)


def _learned(policy: MaskPolicy, rng: np.random.Generator) -> MaskPolicy:
    return policy
