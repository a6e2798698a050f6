"""Bits against meaning: coder rl-asc, one level for all concepts, standard codecs and `coarse`, picture by picture.

    racer model train-coder --task car-racing --out build/rl-asc.safetensors
    python scripts/studies/rl_asc_curves.py --task car-racing --mask build/rl-asc.safetensors

A network that labels pixels learns from trials of its own (seeds from 4,000,000 on) and scores frames of others (from
5,000,000 on): its mean intersection over union with what is really there, over the parts that are in either (RL-ASC,
equation 6), beside PSNR and SSIM. Bits are those of real packets: rl-asc's shortest, those of files of the other codecs
with their headers, and the slot of `coarse`. `rl-asc` takes one agent's choices at each price of a bit; `one-level`
the same networks, tables and packets with each of the six levels for all concepts. Intervals are 95 %, bootstrap over
trials, the same ones for all.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from compression.coders.coder import CoderSettings, find_coder
from compression.coders.range_coding import Reader, pack, shortest
from compression.errors import PacketError
from compression.fitting.fitted import FittedModel
from compression.model.latent_model import LatentModel, use_one_thread
from compression.model.training.resumable import Work
from compression.noise import Link
from compression.rl_asc.codec import ConceptCodec, codec_of, images_of
from compression.rl_asc.labelling import Labelled, train_labeller
from compression.rl_asc.measures import mean_iou, psnr, ssim
from compression.rl_asc.networks import LEVELS
from compression.rl_asc.settings import ConceptConfig
from racer.rates.rate_difference import monotone, rate_difference, rising_curve
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.labelled import Seeds, Use, collect_labelled
from sessions.export.cells import csv_bytes

_RESAMPLES = 1000
_SLOTS = (12, 27, 42, 85, 128, 170)
_FILES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "jpeg": ("JPEG", [{"quality": quality} for quality in (1, 5, 10, 20, 40)]),
    "webp": ("WEBP", [{"quality": quality, "method": 6} for quality in (0, 10, 25, 50)]),
    "jpeg2000": (
        "JPEG2000",
        [{"quality_mode": "rates", "quality_layers": [ratio], "no_jp2": True} for ratio in (80, 40)],
    ),
}
Frames = NDArray[np.uint8]
Row = dict[str, str | float]


@dataclass(frozen=True)
class Point:
    """One setting of one coder."""

    coder: str
    setting: str
    bits: NDArray[np.float64]
    """float64[N]"""
    shown: Frames
    """uint8[N, H, W, C]"""


def main() -> None:
    """Parse the command line, run, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="car-racing")
    parser.add_argument("--mask", type=Path, help="file of racer model train-coder; the others alone if left out")
    parser.add_argument("--alone", action="store_true", help="leave the standard codecs and coarse out")
    parser.add_argument("--trials", type=int, default=24, help="held-out trials, scored")
    parser.add_argument("--learnt", type=int, default=60, help="trials that the scoring network learns from")
    parser.add_argument("--steps", type=int, default=600, help="gradient steps of the scoring network")
    parser.add_argument("--snr", help="also through white Gaussian noise of these ratios, dB, with commas between")
    parser.add_argument("--out", type=Path, default=Path("build/rl-asc-curves"), help="folder of table and figure")
    args = parser.parse_args()
    use_one_thread()
    spec = make_task(args.task).spec
    model = load_task_model(spec)
    parts = len(spec.labels)
    frames, labels, _ = _collected(args.task, "score", args.learnt, args.out)
    config = ConceptConfig(labeller_steps=args.steps, seed=1)
    work = Work(args.out / "score", {"task": args.task, "learnt": args.learnt, "steps": args.steps})
    scorer = train_labeller(Labelled(frames, labels), parts, work, "labeller", config, torch.device("cpu"))
    frames, truth, seeds = _collected(args.task, "held_out", args.trials, args.out)
    trials = np.unique(seeds)
    drawn = np.random.default_rng(0).integers(len(trials), size=(_RESAMPLES, len(trials)))

    def measured(point: Point) -> Row:
        with torch.inference_mode():
            found = [scorer(images_of(point.shown[at : at + 64])).argmax(1).numpy() for at in range(0, len(truth), 64)]
        iou = mean_iou(truth, np.concatenate(found), parts)
        bits, means = (np.array([each[seeds == seed].mean() for seed in trials]) for each in (point.bits, iou))
        low, high = np.percentile(means[drawn].mean(1), [2.5, 97.5])
        row: Row = {
            "coder": point.coder,
            "setting": point.setting,
            "bits": round(float(bits.mean()), 1),
            "miou": round(float(means.mean()), 4),
            "miou_low": round(float(low), 4),
            "miou_high": round(float(high), 4),
            "psnr_db": round(float(psnr(frames, point.shown).mean()), 2),
            "ssim": round(float(ssim(frames, point.shown).mean()), 4),
        }
        print("  ".join(f"{value:<10}" for value in row.values()), flush=True)
        return row

    everything = [Point("original", "", np.full(len(frames), 8.0 * frames[0].size), frames)]
    others = () if args.alone else (*everything, *_files(frames), *_coarse(model, frames))
    rows = [measured(each) for each in others]
    if args.mask:
        fitted = find_coder("rl-asc").read(args.mask, model)
        rows += [measured(each) for each in _concepts(codec_of(fitted, model.sizes), frames)]
        _compare(rows)
        if args.snr:
            noisy = _noisy(model, fitted, frames, [float(each) for each in args.snr.split(",")])
            _write([measured(point) for point in noisy], args.out / "noise.csv")
    _write(rows, args.out / "curves.csv")
    _draw(rows, args.out / "curves.png")


def _collected(task: str, use: Use, trials: int, out: Path) -> tuple[Frames, Frames, Seeds]:
    """Return frames, label maps and seeds of the frames, kept from an earlier run if there was one."""
    path = out / f"{task}-{use}-{trials}-trials.npz"
    if not path.exists():
        frames, labels, seeds = collect_labelled(task, {}, use, trials)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, frames=frames, labels=labels, seeds=seeds)
    with np.load(path, allow_pickle=False) as kept:
        return kept["frames"], kept["labels"], kept["seeds"]


def _concepts(codec: ConceptCodec, frames: Frames) -> Iterator[Point]:
    """Yield what the agent's choices and one level for all come to."""
    cells, features = codec.look(frames)
    for price in codec.prices:
        levels = codec.choose(cells, features, price)
        yield _coded(codec, "rl-asc", f"price {price:.0e}", cells, features, levels)
    for level in range(len(LEVELS)):
        levels = np.full((len(frames), codec.design.parts), level, np.int32)
        yield _coded(codec, "one-level", f"{LEVELS[level]} centres", cells, features, levels)


def _coded(
    codec: ConceptCodec,
    coder: str,
    setting: str,
    cells: NDArray[np.int32],
    features: NDArray[np.float32],
    levels: NDArray[np.int32],
) -> Point:
    bits, messages = [], []
    for number in range(len(cells)):
        parts = codec.code.symbols(cells[number], levels[number], features[number])
        bits.append(shortest(parts))
        value = pack(parts, bits[-1])
        assert value is not None
        messages.append(codec.code.read(Reader(value, bits[-1])))
    shown = np.concatenate([codec.show(messages[at : at + 16]) for at in range(0, len(messages), 16)])
    return Point(coder, setting, np.array(bits, np.float64), shown)


def _files(frames: Frames) -> Iterator[Point]:
    """Yield what files of other codecs come to, their headers included."""
    for coder, (kind, options) in _FILES.items():
        for option in options:
            bits, shown = [], []
            for frame in frames:
                file = io.BytesIO()
                Image.fromarray(frame).save(file, kind, **option)
                bits.append(8.0 * file.tell())
                shown.append(np.asarray(Image.open(file).convert("RGB")))
            setting = " ".join(str(value) for value in option.values() if not isinstance(value, bool))
            yield Point(coder, setting, np.array(bits), np.stack(shown))


def _coarse(model: LatentModel, frames: Frames) -> Iterator[Point]:
    coder = find_coder("coarse")
    for bits in _SLOTS:
        settings = CoderSettings(bits, "episode", "hold", np.random.default_rng(0), coder.read_shipped(model))
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        shown = []
        for frame in frames:
            sender.reset()
            receiver.reset()
            shown.append(receiver.decode(sender.encode(frame, 1), 1))
        yield Point("coarse", f"{bits} bits", np.full(len(frames), float(bits)), np.stack(shown))


def _noisy(model: LatentModel, fitted: FittedModel, frames: Frames, ratios: list[float]) -> Iterator[Point]:
    """Yield what is shown after noise on bits sent as +1 and -1 and decided upon one by one (RL-ASC, figure 12).

    Nothing corrects errors. What is no packet any more is lost, and the receiver shows what it shows at first.
    """
    for name in ("rl-asc", "coarse", "jpeg"):
        coder = find_coder(name)
        own = fitted if coder.needs == fitted.record.objective else coder.read_shipped(model)
        settings = CoderSettings(_SLOTS[-1], "episode", "hold", np.random.default_rng(0), own)
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        for ratio in ratios:
            link = Link("gaussian", 10 ** (-ratio / 20), np.random.default_rng(1))
            bits, shown = [], []
            for frame in frames:
                sender.reset()
                receiver.reset()
                packet = sender.encode(frame, 1)
                bits.append(float(_SLOTS[-1] if coder.hard else 8 * len(packet)))
                try:
                    shown.append(receiver.decode(link.carry(packet, int(bits[-1])), 1))
                except PacketError:
                    shown.append(receiver.decode(None, 1))
            yield Point(name, f"{ratio:g} dB", np.array(bits), np.stack(shown))


def _write(rows: list[Row], path: Path) -> None:
    path.write_bytes(csv_bytes(list(rows[0]), (row.values() for row in rows)))


def _compare(rows: list[Row]) -> None:
    """Print how many more bits the agent needs than one level for all, and the reverse of others."""
    for other in dict.fromkeys(str(row["coder"]) for row in rows if row["coder"] not in ("original", "rl-asc")):
        found = rate_difference(_curve(rows, other), _curve(rows, "rl-asc"))
        told = f"{found.percent:+.1f} %" if found.percent is not None else f"none: {found.reason}"
        print(f"bits of rl-asc at equal mIoU, against {other} (Bjontegaard): {told}")


def _curve(rows: list[Row], coder: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = sorted((float(str(row["bits"])), float(str(row["miou"]))) for row in rows if row["coder"] == coder)
    rates, merits = (np.array(each) for each in zip(*points, strict=True))
    return rising_curve(rates, monotone(merits))


def _draw(rows: list[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for coder in dict.fromkeys(str(row["coder"]) for row in rows if row["coder"] != "original"):
        points = sorted((float(str(row["bits"])), float(str(row["miou"]))) for row in rows if row["coder"] == coder)
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=coder)
    axes.set(xscale="log", xlabel="bits per frame", ylabel="mIoU")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
