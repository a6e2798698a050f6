"""Bits that answers to questions about pictures take, and what a mask trained for one question keeps of another.

    python scripts/studies/bits_for_answers.py --task vehicles --out build/vehicles

For each question of a world, pilots of one family answer it on originals and under random masks. Masks and coders are
trained on that, and `pico-transform` once more on the same answers dealt out anew (`shuffled`). People of the other
families then answer every question on held-out pictures under every rule, see `racer.rates.judging`. `best fixed`
always sends the blocks that the pilot's mask sends most often, and need not name them, as `first-blocks` need not.

Intervals are 95 %, bootstrap over people and, of what pilots trained, over pilots. Bits at equal agreement come from
curves made to rise (isotonic regression) and joined by straight lines; "-" is beyond the budgets that were tried.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from compression.coders.blocks import BlockReceiver, BlockSender, full_layout
from compression.coders.coder import find_coder
from compression.coders.packet import Layout, layout_for
from compression.fill import FillName
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedModel, FittedRecord
from compression.fitting.mask_policy import MaskNetwork
from compression.fitting.pico import fit_mask
from compression.fitting.pico_rate import fit_pico_rate
from compression.fitting.pico_transform import fit_pico_transform
from compression.fitting.recorded import RecordedEpisode
from compression.masks import FixedMask, MaskPolicy, RandomMasks, best_blocks
from compression.model.latent_model import LatentModel, use_one_thread
from racer.drivers.registry import make_driver
from racer.rates.judging import FIRST_BLOCKS, FULL, Agreed, Judged, Rule, judge, judges, rules_for
from racer.tasks.latent_model import load_task_model
from racer.tasks.pictures.task import Pictures
from racer.tasks.registry import make_task
from sessions.export.cells import Cell, csv_bytes

PILOTING = "viewer-network"
RESAMPLES = 2000
REACHED = (0.5, 0.8)
"""Shares of the way from guessing to everything that the latent model knows."""
_AT_ONCE = 64
Latents = NDArray[np.float32]
Table = NDArray[np.float64]
"""float64[pilots, people] of one rule and budget; one pilot where nobody trained it."""


def main() -> None:
    """Parse the command line, run, print tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="digits, vehicles or faces")
    parser.add_argument("--model", type=Path, help="folder of its latent model, where none comes with it")
    parser.add_argument("--pilots", type=int, default=3, help="pilots, each with masks of its own")
    parser.add_argument("--answers", type=int, default=500, help="of a pilot on originals, and as many under masks")
    parser.add_argument("--people", type=int, default=2, help="judging people of each family")
    parser.add_argument("--pictures", type=int, default=100, help="held-out pictures")
    parser.add_argument("--bits", default="1,2,3,5,8,12,18,27,42,85", help="budgets, with commas between")
    parser.add_argument("--explored", type=int, default=42, help="bits of a picture in the exploration")
    parser.add_argument("--fill", default="prior", choices=("prior", "hold"))
    parser.add_argument("--iterations", type=int, default=PicoConfig.iterations)
    parser.add_argument("--out", type=Path, required=True, help="folder for agreement.csv and equal.csv")
    arguments = parser.parse_args()
    use_one_thread()
    begun = time.monotonic()

    def progress(stage: str) -> None:
        print(f"# {time.monotonic() - begun:.0f} s: {stage}", file=sys.stderr, flush=True)

    judged = _judged(arguments, progress)
    arguments.out.mkdir(parents=True, exist_ok=True)
    chance = 1 / len(_task(arguments.task, judged.questions[0]).spec.actions)
    _write(arguments.out / "agreement.csv", _agreement(judged))
    _write(arguments.out / "equal.csv", _equal(judged, chance))


def _judged(arguments: argparse.Namespace, progress: Callable[[str], None]) -> Judged:
    task = _task(arguments.task, None)
    model = load_task_model(task.spec, arguments.model)
    questions = [question.name for question in task.world.questions]
    knows_nothing = find_coder("coarse").read_shipped(model)
    rules = list(rules_for([knows_nothing] if knows_nothing else [], model.sizes))
    for pilot in range(arguments.pilots):
        for question in questions:
            progress(f"pilot {pilot}, {question}")
            episodes = _answered(arguments, _task(arguments.task, question), model, pilot)
            rules += _trained(arguments, question, episodes, model, pilot, perceptual=question == questions[0])
    slots = [int(text) for text in arguments.bits.split(",")]
    families = judges(task, [PILOTING])
    return judge(
        task,
        questions,
        model,
        rules,
        slots,
        arguments.fill,
        families,
        arguments.people,
        arguments.pictures,
        progress=progress,
    )


def _answered(arguments: argparse.Namespace, task: Pictures, model: LatentModel, pilot: int) -> list[RecordedEpisode]:
    """Return a pilot's answers to originals, and to others under random masks."""
    count, sizes = arguments.answers, model.sizes
    frames = np.stack([task.world.picture(pilot * 2 * count + number).frame for number in range(2 * count)])
    latents = np.concatenate([model.encode_frames(frames[n : n + _AT_ONCE]) for n in range(0, len(frames), _AT_ONCE)])
    person = make_driver(PILOTING, task, 1 + pilot)
    episodes: list[RecordedEpisode] = []
    for original in (True, False):
        part = latents[:count] if original else latents[count:]
        layout = full_layout(sizes) if original else layout_for(arguments.explored, sizes)
        policy: MaskPolicy = RandomMasks(sizes.blocks, np.random.default_rng(pilot))
        received, masks = _sent(model, part, layout, policy, arguments.fill)
        shown = [model.decode_latents(received[n : n + _AT_ONCE]) for n in range(0, count, _AT_ONCE)]
        actions = np.array([person.act(frame) for frame in np.concatenate(shown)])
        episodes += [
            RecordedEpisode(
                part[n : n + 1], received[n : n + 1], actions[n : n + 1], masks[n : n + 1], original=original
            )
            for n in range(count)
        ]
    return episodes


def _sent(
    model: LatentModel, latents: Latents, layout: Layout, policy: MaskPolicy, fill: FillName
) -> tuple[Latents, NDArray[np.bool_]]:
    """Return what is received of latents, each on its own, and the masks."""
    sender, receiver = BlockSender(model, layout, policy, "episode"), BlockReceiver(model, layout, fill)
    received, masks = [], []
    for latent in latents:
        sender.reset()
        receiver.reset()
        received.append(receiver.take(sender.send(latent, 0), 0))
        masks.append(receiver.mask)
    return np.stack(received), np.stack(masks)


def _trained(
    arguments: argparse.Namespace,
    question: str,
    episodes: list[RecordedEpisode],
    model: LatentModel,
    pilot: int,
    perceptual: bool,
) -> Iterator[Rule]:
    """Yield a pilot's rules: PICO's mask for a question, the best fixed one after it, and a perceptual one."""
    model = model.for_actions(2 if question != "digit" else 10)
    sent = layout_for(arguments.explored, model.sizes).sent
    config = PicoConfig(seed=pilot, iterations=arguments.iterations, blocks=sent)
    for objective in ("pico", "perceptual")[: 1 + perceptual]:
        tensors, summary = fit_mask(episodes, "episode", arguments.fill, model, replace(config, objective=objective))
        policy = _Learned(model, tensors)
        asked = question if objective == "pico" else ""
        yield Rule(objective, asked, partial(_always, policy), name=f"{objective} {pilot}")
        if asked:
            often = np.array(summary.block_frequency, np.float32)
            yield Rule("best fixed", asked, partial(_always, FixedMask(often)), False, name=f"best fixed {pilot}")
    answers = np.random.default_rng(pilot).permutation(np.concatenate([episode.actions for episode in episodes]))
    anyones = [replace(episode, actions=answers[n : n + 1]) for n, episode in enumerate(episodes)]
    for name, fit, answered in (
        ("pico-rate", fit_pico_rate, episodes),
        ("pico-transform", fit_pico_transform, episodes),
        ("pico-transform, shuffled", fit_pico_transform, anyones),
    ):
        tensors, _ = fit(answered, model, config)
        coder = name.partition(",")[0]
        record = FittedRecord(coder, model.sha256, (), (), (), {"seed": pilot}, settings={"question": question})
        fitted = FittedModel(tensors, record, f"{name} {question} {pilot}")
        yield Rule(coder, question, None, fitted=fitted, name=f"{name} {pilot}")


def _always(policy: MaskPolicy, rng: np.random.Generator) -> MaskPolicy:
    return policy


class _Learned:
    """A mask policy that was just trained."""

    def __init__(self, model: LatentModel, tensors: dict[str, NDArray[np.float32]]) -> None:
        import torch

        self._network = MaskNetwork(model.sizes)
        state = {name.removeprefix("policy."): torch.from_numpy(value) for name, value in tensors.items()}
        self._network.load_state_dict(state)
        self._network.eval()

    def choose(self, latent: Latents, sent: int) -> NDArray[np.bool_]:
        import torch

        with torch.inference_mode():
            return best_blocks(self._network(torch.from_numpy(latent)[None])[0].numpy(), sent)


def _curves(judged: Judged, question: str) -> dict[tuple[str, str], dict[float, Table]]:
    """Return tables by bits, by rule (without its pilot) and the question that it was trained for."""
    found: dict[tuple[str, str], dict[float, list[NDArray[np.float64]]]] = {}
    for row in judged.rows:
        if row.question == question:
            found.setdefault((_rule(row), row.asked), {}).setdefault(row.bits, []).append(row.people)
    return {rule: {bits: np.stack(people) for bits, people in curve.items()} for rule, curve in found.items()}


def _rule(row: Agreed) -> str:
    """Return a row's rule without its pilot."""
    return row.coder.rstrip("0123456789").strip() if row.slot and row.coder != FIRST_BLOCKS else row.coder


def _draws(pilots: int, people: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        yield rng.integers(pilots, size=pilots), rng.integers(people, size=people)


def _agreement(judged: Judged) -> Iterator[dict[str, Cell]]:
    for question in judged.questions:
        curves = _curves(judged, question)
        for (name, asked), curve in curves.items():
            own = curves.get((name, question)) if asked not in ("", question) else None
            for bits, table in curve.items():
                means = [float(table[np.ix_(*draw)].mean()) for draw in _draws(*table.shape)]
                low, high = np.percentile(means, [2.5, 97.5])
                counted = [
                    each.paper_bits
                    for each in judged.rows
                    if (each.question, _rule(each), each.asked, each.bits) == (question, name, asked, bits)
                    and each.paper_bits is not None
                ]
                row: dict[str, Cell] = {
                    "task": judged.task,
                    "question": question,
                    "rule": f"{name} for {asked}" if asked else name,
                    "bits": round(bits, 1),
                    "paper_bits": round(float(np.mean(counted)), 1) if counted else "",
                    "pilots": table.shape[0],
                    "people": table.shape[1],
                    "agreement": round(float(table.mean()), 4),
                    "low": round(float(low), 4),
                    "high": round(float(high), 4),
                    "own_gains": "",
                    "own_gains_low": "",
                    "own_gains_high": "",
                }
                if own is not None:
                    gains = own[bits] - table
                    means = [float(gains[np.ix_(*draw)].mean()) for draw in _draws(*gains.shape)]
                    low, high = np.percentile(means, [2.5, 97.5])
                    row |= {
                        "own_gains": round(float(gains.mean()), 4),
                        "own_gains_low": round(float(low), 4),
                        "own_gains_high": round(float(high), 4),
                    }
                yield row


def _equal(judged: Judged, chance: float) -> Iterator[dict[str, Cell]]:
    """Yield the bits that rules need for a share of the way to `full`, in those of `first-blocks`."""
    for question in judged.questions:
        curves = _curves(judged, question)
        (full,) = curves[FULL, ""].values()
        first = curves[FIRST_BLOCKS, ""]
        for share in REACHED:
            for (name, asked), curve in curves.items():
                if len(curve) < 2 or asked not in ("", question) or name == FIRST_BLOCKS:
                    continue
                pilots, people = next(iter(curve.values())).shape
                every = np.arange(pilots), np.arange(people)
                found = [_needed(curve, first, full, share, chance, *draw) for draw in [every, *_draws(pilots, people)]]
                bits, of_first, ratios = found[0][0], found[0][1], [own / other for own, other in found]
                drawn = np.nan_to_num(ratios[1:], nan=np.inf, posinf=np.inf)
                low, high = np.percentile(drawn, [2.5, 97.5], method="nearest")
                yield {
                    "task": judged.task,
                    "question": question,
                    "share_of_full": share,
                    "rule": name,
                    "bits": _finite(bits, 1),
                    "bits_of_first_blocks": _finite(of_first, 1),
                    "ratio": _finite(ratios[0], 2),
                    "low": _finite(float(low), 2),
                    "high": _finite(float(high), 2),
                }


def _needed(
    curve: dict[float, Table],
    first: dict[float, Table],
    full: Table,
    share: float,
    chance: float,
    pilots: NDArray[np.intp],
    people: NDArray[np.intp],
) -> tuple[float, float]:
    """Return the bits of a rule and of `first-blocks` at the same agreement; infinite beyond the budgets tried."""
    target = chance + share * (float(full[:, people].mean()) - chance)
    return (
        _reached([(bits, float(table[np.ix_(pilots, people)].mean())) for bits, table in curve.items()], target),
        _reached([(bits, float(table[:, people].mean())) for bits, table in first.items()], target),
    )


def _reached(points: Sequence[tuple[float, float]], target: float) -> float:
    bits, values = np.array(sorted(points)).T
    rising = isotonic_regression(values).x
    if rising[-1] < target:
        return np.inf
    after = int(np.argmax(rising >= target))
    if after == 0:
        return float(bits[0])
    along = (target - rising[after - 1]) / (rising[after] - rising[after - 1])
    return float(bits[after - 1] + along * (bits[after] - bits[after - 1]))


def _finite(value: float, digits: int) -> float | str:
    return round(value, digits) if np.isfinite(value) else "-"


def _task(name: str, question: str | None) -> Pictures:
    task = make_task(name, {} if question is None else {"question": question})
    assert isinstance(task, Pictures)
    return task


def _write(path: Path, rows: Iterator[dict[str, Cell]]) -> None:
    every = list(rows)
    path.write_bytes(csv_bytes(list(every[0]), (row.values() for row in every)))
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
