"""Bits against meaning: coder rl-asc, one level for all concepts, standard codecs and `coarse`, picture by picture.

    racer model train-coder --task car-racing --out build/rl-asc.safetensors
    python scripts/studies/rl_asc_curves.py --task car-racing --mask build/rl-asc.safetensors

A network that labels pixels learns from trials of its own (seeds from 4,000,000 on) and scores frames of others (from
5,000,000 on): its mean intersection over union with what is really there, over the parts that are in either (RL-ASC,
equation 6), beside PSNR, SSIM, and the Frechet and kernel distances of FID and KID between all frames and what is shown
of them, in that network's features, averaged over places (not of Inception: they compare with nobody else's). Bits are
those of real packets: rl-asc's shortest, those of files of the other codecs with their headers, and the slot of
`coarse`; `jpeg-scan` is charged for the picture's own part of a JPEG file alone, as if both ends knew all else. `rl-
asc` takes one agent's choices at each price of a bit; `per-concept` what it chooses most often for each concept at that
price, whatever the frame; `one-level` the same networks, tables and packets with each of the six levels for all
concepts, their names not charged. Intervals are 95 %, bootstrap over trials, the same ones for all.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
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
from compression.rl_asc.measures import frechet_distance, kernel_distance, mean_iou, psnr, ssim
from compression.rl_asc.networks import LEVELS
from compression.rl_asc.settings import ConceptConfig
from racer.rates.rate_difference import monotone, rate_difference, rising_curve
from racer.tasks.latent_model import load_task_model
from racer.tasks.registry import make_task
from racer.training.labelled import Seeds, Use, collect_labelled
from sessions.export.cells import csv_bytes

_RESAMPLES = 1000
_CURVE_RESAMPLES = 300
_PICTURES = 8
"""Frames that are shown as every coder shows them."""
_SLOTS = (12, 27, 42, 85, 128, 170)
_FILES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "jpeg": ("JPEG", [{"quality": quality} for quality in (1, 5, 10, 20, 40)]),
    "webp": ("WEBP", [{"quality": quality, "method": 6} for quality in (0, 10, 25, 50)]),
    "jpeg2000": (
        "JPEG2000",
        [{"quality_mode": "rates", "quality_layers": [ratio], "no_jp2": True} for ratio in (80, 40)],
    ),
}
_SCAN, _SCAN_HEADER = b"\xff\xda", 14
"""What begins the scan of a JPEG file of three colours, and its bytes before the picture's own."""
_NULLS = "per-concept", "one-level"
_NAMES = 2
"""Place of the levels' names among the symbols of a frame that has any."""
_QUALITIES: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 10},
    "webp": {"quality": 25, "method": 6},
    "jpeg2000": {"quality_mode": "rates", "quality_layers": [40], "no_jp2": True},
}
"""Of files that cross noise."""
Frames = NDArray[np.uint8]
Row = dict[str, str | float]
Curves = dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]]
"""Bits and mean intersections over union of each trial, float64[T], of each point of each coder."""


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
    parser.add_argument(
        "--mask", type=Path, nargs="+", help="files of racer model train-coder; the shipped one if left out"
    )
    parser.add_argument("--alone", action="store_true", help="leave the standard codecs and coarse out")
    parser.add_argument("--trials", type=int, default=24, help="held-out trials, scored")
    parser.add_argument("--every", type=int, default=1, help="score one of so many of their frames")
    parser.add_argument("--learnt", type=int, default=60, help="trials that the scoring network learns from")
    parser.add_argument("--steps", type=int, default=300, help="gradient steps of the scoring network")
    parser.add_argument("--snr", help="also through white Gaussian noise of these ratios, dB, with commas between")
    parser.add_argument("--times", action="store_true", help="also time encoding and decoding")
    parser.add_argument("--out", type=Path, default=Path("build/rl-asc-curves"), help="folder of table and figure")
    args = parser.parse_args()
    use_one_thread()
    matplotlib.use("Agg")
    spec = make_task(args.task).spec
    model = load_task_model(spec)
    parts = len(spec.labels)
    frames, labels, _ = _collected(args.task, "score", args.learnt, args.out)
    config = ConceptConfig(labeller_steps=args.steps, seed=1)
    work = Work(args.out / "score", {"task": args.task, "learnt": args.learnt, "steps": args.steps})
    scorer = train_labeller(Labelled(frames, labels), parts, work, "labeller", config, torch.device("cpu"))
    frames, truth, seeds = _collected(args.task, "held_out", args.trials, args.out)
    frames, truth, seeds = frames[:: args.every], truth[:: args.every], seeds[:: args.every]
    trials = np.unique(seeds)
    drawn = np.random.default_rng(0).integers(len(trials), size=(_RESAMPLES, len(trials)))

    def seen(shown: Frames) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return what the scoring network says shown frames are, int64[N, H, W], and its features, float32[N, D]."""
        labels, features = [], []
        with torch.inference_mode():
            for at in range(0, len(truth), 64):
                inner = scorer.features(images_of(shown[at : at + 64]))
                labels.append(scorer.label(inner).argmax(1).numpy())
                features.append(inner[-1].mean((2, 3)).numpy())
        return np.concatenate(labels), np.concatenate(features)

    _, originals = seen(frames)
    curves: Curves = {}
    panels: dict[str, Frames] = {}

    def measured(point: Point) -> Row:
        found, features = seen(point.shown)
        iou = mean_iou(truth, found, parts)
        bits, means = (np.array([each[seeds == seed].mean() for seed in trials]) for each in (point.bits, iou))
        curves.setdefault(point.coder, []).append((bits, means))
        panels[f"{point.coder} {point.setting}, {bits.mean():.0f} bits"] = point.shown[
            :: max(1, len(frames) // _PICTURES)
        ]
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
            "fid_in_domain": round(frechet_distance(originals, features), 5),
            "kid_in_domain": round(kernel_distance(originals, features), 6),
        }
        print("  ".join(f"{value:<10}" for value in row.values()), flush=True)
        return row

    everything = [Point("original", "", np.full(len(frames), 8.0 * frames[0].size), frames)]
    others = () if args.alone else (*everything, *_files(frames), *_coarse(model, frames))
    rows = [measured(each) for each in others]
    coder = find_coder("rl-asc")
    files = [coder.read(path, model) for path in args.mask] if args.mask else [coder.read_shipped(model)]
    for number, fitted in enumerate(files):
        if fitted is None:
            parser.error(f"no file of rl-asc is shipped for task {args.task}: name one by --mask")
        before = set(curves) - {"original"} if number == 0 else set()
        mark = f" {number + 1}" if number else ""
        rows += [measured(each) for each in _concepts(codec_of(fitted, model.sizes), frames, mark)]
        _compare(curves, f"rl-asc{mark}", before | {f"{name}{mark}" for name in _NULLS}, drawn[:_CURVE_RESAMPLES])
    fitted = files[0]
    if args.snr and fitted:
        noisy = _noisy(model, fitted, frames, [float(each) for each in args.snr.split(",")])
        _write([measured(point) for point in noisy], args.out / "noise.csv")
    if args.times and fitted:
        _time(model, fitted, frames)
    _write(rows, args.out / "curves.csv")
    _draw(rows, args.out / "curves.png")
    _show(panels, args.out / "panels.png")


def _collected(task: str, use: Use, trials: int, out: Path) -> tuple[Frames, Frames, Seeds]:
    """Return frames, label maps and seeds of the frames, kept from an earlier run if there was one."""
    path = out / f"{task}-{use}-{trials}-trials.npz"
    if not path.exists():
        frames, labels, seeds = collect_labelled(task, {}, use, trials)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, frames=frames, labels=labels, seeds=seeds)
    with np.load(path, allow_pickle=False) as kept:
        return kept["frames"], kept["labels"], kept["seeds"]


def _concepts(codec: ConceptCodec, frames: Frames, mark: str) -> Iterator[Point]:
    """Yield what the agent's choices come to, what it usually chooses does, and one level for all."""
    cells, features = codec.look(frames)
    there = (cells[..., None] == np.arange(codec.design.parts)).any((1, 2))

    @cache
    def coded(number: int, levels: tuple[int, ...]) -> tuple[float, float, Frames]:
        """Return a frame's bits, those without the names of levels, which both ends may know, and what arrives."""
        parts = codec.code.symbols(cells[number], np.array(levels, np.int32), features[number])
        bits = shortest(parts)
        message = codec.code.read(Reader(pack(parts, bits) or 0, bits))
        return bits, shortest(parts[:_NAMES] + parts[_NAMES + 1 :]), codec.show([message])[0]

    def point(coder: str, setting: str, levels: NDArray[np.integer]) -> Point:
        told = (levels * there).tolist()
        named, bare, shown = zip(*(coded(number, tuple(row)) for number, row in enumerate(told)), strict=True)
        return Point(f"{coder}{mark}", setting, np.array(named if coder == "rl-asc" else bare), np.stack(shown))

    for price in codec.prices:
        levels = codec.choose(cells, features, price)
        yield point("rl-asc", f"price {price:.0e}", levels)
        chosen = [np.bincount(levels[there[:, part], part], minlength=1) for part in range(codec.design.parts)]
        usual = np.array([each.argmax() for each in chosen])
        print(f"price {price:.0e}: {codec.design.parts} parts' usual levels, from 0: {usual.tolist()}", flush=True)
        yield point("per-concept", f"price {price:.0e}", usual)
    for level, centres in enumerate(LEVELS):
        yield point("one-level", f"{centres} centres", np.full(codec.design.parts, level))


def _files(frames: Frames) -> Iterator[Point]:
    """Yield what files of other codecs come to, their headers included."""
    for coder, (kind, options) in _FILES.items():
        for option in options:
            files = [_file(frame, kind, option) for frame in frames]
            shown = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
            setting = " ".join(str(value) for value in option.values() if not isinstance(value, bool))
            yield Point(coder, setting, np.array([8.0 * len(file) for file in files]), shown)
            if kind == "JPEG":
                scans = [len(file) - file.rindex(_SCAN) - _SCAN_HEADER - 2 for file in files]
                yield Point("jpeg-scan", setting, 8.0 * np.array(scans), shown)


def _file(frame: Frames, kind: str, option: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, kind, **option)
    return file.getvalue()


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

    Nothing corrects errors. What is no packet or file any more is lost, and what is shown at first is shown.
    """
    blank = np.zeros(0, np.uint8)
    for name in ("rl-asc", "coarse", "predictive"):
        coder = find_coder(name)
        own = fitted if coder.needs == fitted.record.objective else coder.read_shipped(model)
        settings = CoderSettings(_SLOTS[-1], "episode", "hold", np.random.default_rng(0), own)
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        receiver.reset()
        blank = receiver.decode(None, 1)
        packets = []
        for frame in frames:
            sender.reset()
            packets.append(sender.encode(frame, 1))
        for ratio in ratios:
            link, shown = _link(ratio), []
            for packet in packets:
                receiver.reset()
                try:
                    shown.append(receiver.decode(link.carry(packet, _SLOTS[-1]), 1))
                except PacketError:
                    shown.append(blank)
            yield Point(name, f"{ratio:g} dB", np.full(len(frames), float(_SLOTS[-1])), np.stack(shown))
    for name, option in _QUALITIES.items():
        files = [_file(frame, _FILES[name][0], option) for frame in frames]
        bits = np.array([8.0 * len(file) for file in files])
        for ratio in ratios:
            link = _link(ratio)
            carried = [link.carry(file, 8 * len(file)) for file in files]
            yield Point(name, f"{ratio:g} dB", bits, np.stack([_opened(each or b"", blank) for each in carried]))


def _link(ratio: float) -> Link:
    return Link("gaussian", 10 ** (-ratio / 20), np.random.default_rng(1))


def _opened(file: bytes, blank: Frames) -> Frames:
    """Return the frame in a file that noise may have spoilt; the blank one if there is none of that size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(file))
            if image.size != blank.shape[1::-1]:
                return blank
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return blank


def _time(model: LatentModel, fitted: FittedModel, frames: Frames) -> None:
    """Print what encoding and decoding take, of the processor, per frame and in batches of 16."""
    for name in ("rl-asc", "coarse", "predictive", "jpeg", "webp"):
        coder = find_coder(name)
        own = fitted if coder.needs == fitted.record.objective else coder.read_shipped(model)
        settings = CoderSettings(85, "episode", "hold", np.random.default_rng(0), own)
        sender, receiver = coder.sender(model, settings), coder.receiver(model, settings)
        sender.reset()
        receiver.reset()
        times = []
        for frame in frames[:60]:
            begun = time.process_time()
            receiver.decode(sender.encode(frame, 1), 1)
            times.append((time.process_time() - begun) * 1000)
        print(f"{name}: {statistics.median(times):.2f} ms per frame, encoding and decoding")
    codec = codec_of(fitted, model.sizes)
    begun = time.process_time()
    for at in range(0, 64, 16):
        cells, features = codec.look(frames[at : at + 16])
        messages = []
        for number, levels in enumerate(codec.choose(cells, features, codec.prices[0])):
            parts = codec.code.symbols(cells[number], levels, features[number])
            bits = shortest(parts)
            messages.append(codec.code.read(Reader(pack(parts, bits) or 0, bits)))
        codec.show(messages)
    print(f"rl-asc in batches of 16: {(time.process_time() - begun) * 1000 / 64:.2f} ms per frame")


def _write(rows: list[Row], path: Path) -> None:
    path.write_bytes(csv_bytes(list(rows[0]), (row.values() for row in rows)))


def _compare(curves: Curves, agent: str, others: set[str], drawn: NDArray[np.int64]) -> None:
    """Print how many more bits the agent needs than others at equal mIoU (Bjontegaard), with intervals over trials.

    And by how much its mIoU lies above that of the point of each other that takes about as many bits.
    """
    for other in sorted(others):
        for bits, miou in curves[agent]:
            near, theirs = min(curves[other], key=lambda point: abs(float(np.log(point[0].mean() / bits.mean()))))
            low, high = np.percentile((miou - theirs)[drawn].mean(1), [2.5, 97.5])
            print(
                f"mIoU of {agent} with {bits.mean():.0f} bits over {other} with {near.mean():.0f}: "
                f"{(miou - theirs).mean():+.4f}, 95 %: {low:+.4f} to {high:+.4f}"
            )
        every = np.arange(drawn.shape[1])
        found = rate_difference(_curve(curves[other], every), _curve(curves[agent], every))
        told = f"{found.percent:+.1f} %" if found.percent is not None else f"none: {found.reason}"
        resampled = [rate_difference(_curve(curves[other], each), _curve(curves[agent], each)) for each in drawn]
        percents = [each.percent for each in resampled if each.percent is not None]
        if len(percents) > len(drawn) / 2:
            low, high = np.percentile(percents, [2.5, 97.5])
            told += f", 95 %: {low:+.1f} to {high:+.1f}, of {len(percents)} of {len(drawn)} resamples"
        print(f"bits of {agent} at equal mIoU, against {other} (Bjontegaard): {told}")


def _curve(
    points: list[tuple[NDArray[np.float64], NDArray[np.float64]]], trials: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    means = sorted((float(bits[trials].mean()), float(miou[trials].mean())) for bits, miou in points)
    rates, merits = (np.array(each) for each in zip(*means, strict=True))
    return rising_curve(rates, monotone(merits))


def _draw(rows: list[Row], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for coder in dict.fromkeys(str(row["coder"]) for row in rows if row["coder"] != "original"):
        points = sorted((float(str(row["bits"])), float(str(row["miou"]))) for row in rows if row["coder"] == coder)
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=coder)
    axes.set(xscale="log", xlabel="bits per frame", ylabel="mIoU")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _show(panels: dict[str, Frames], path: Path) -> None:
    """Draw the same frames as each coder shows them, one row a setting."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(panels), 1, figsize=(_PICTURES, 1.2 * len(panels)), layout="constrained")
    for each, (name, frames) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        each.imshow(np.concatenate(frames[:_PICTURES], axis=1), interpolation="nearest")
        each.set_title(name, fontsize=7)
        each.set_axis_off()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
