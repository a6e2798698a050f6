"""A sweep: what is missing of its grid is driven, kept cell by cell, and written down when all is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compression.coders.coder import Coder, Fitted, coder_names, find_coder
from compression.model.latent_model import Codec, load_codec, use_one_thread
from racer.errors import ConfigError
from racer.loop.conditions import ChannelConfig, check_use, load_masks, read_fitted
from racer.rates.driving import Plan
from racer.rates.engines import Engine
from racer.rates.grid import FULL, RAW, Cell, Grid, RatesConfig, Skipped, make_grid
from racer.rates.people import draw_person
from racer.rates.provenance import coder_sha256, settings_of
from racer.rates.results import ResultsError, ResultsFile
from racer.rates.scores import CellScore

Progress = Callable[[int, int], None]
"""Told how many cells are there, and of how many."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that can be driven."""

    plan: Plan
    grid: Grid

    @property
    def hashes(self) -> dict[str, str]:
        """What each coder brings along, by its name."""
        nothing = "0" * 64
        return {RAW: nothing, FULL: nothing} | dict(self.plan.hashes)


@dataclass(frozen=True)
class Driven:
    """A sweep that is finished."""

    scores: tuple[CellScore, ...]
    """Of every cell of the grid, in order."""
    driven: int
    """Cells driven by this run; the others were there."""
    damaged: int
    """Lines of the results file that counted for nothing."""
    others: int
    """Cells in the results file that are no part of this grid."""


def prepare_sweep(config: RatesConfig, coders: Sequence[str] = (), masks: Sequence[Path] = ()) -> Sweep:
    """Return a sweep of these coders; of all that there are if none is named.

    Args:
        config: What is driven.
        coders: Names. A coder that is not named and lacks its fitted file is left out.
        masks: Fitted files; shipped ones serve where none is given.

    Raises:
        CoderError: If there is no such coder.
        ConfigError: If a coder lacks its fitted file, is named twice, or a file serves none.
        MaskError: If a file cannot be used.
    """
    use_one_thread()
    codec = load_codec()
    # `raw` and `full` are driven in any case, so that naming them is no mistake.
    found = [find_coder(name) for name in coders or coder_names() if name not in (RAW, FULL)]
    channel = ChannelConfig(mask_interval=config.mask_interval, fill=config.fill)
    lacking = {} if coders else {coder.name: _lack(coder, masks, channel, codec) for coder in found}
    found = [coder for coder in found if not lacking.get(coder.name)]
    grid = make_grid(config, found)
    models = load_masks(grid.coders, masks, codec)
    _check_unseen(config, models)
    check_use(models, channel)
    left_out = tuple(Skipped(name, config.bits, reason) for name, reason in lacking.items() if reason)
    plan = Plan(
        config,
        grid.coders,
        tuple(path.read_bytes() for path in masks),
        tuple(settings_of(config, codec).items()),
        tuple((coder.name, coder_sha256(coder, models.get(coder.name))) for coder in found),
    )
    return Sweep(plan, Grid(grid.cells, grid.skipped + left_out, grid.coders, grid.soft))


def run_sweep(sweep: Sweep, out: Path, engine: Engine, progress: Progress = lambda done, total: None) -> Driven:
    """Drive what is missing, and return the scores of the whole grid.

    Args:
        sweep: What is driven.
        out: Folder of the results file.
        engine: Drives.
        progress: Told how far it is.

    Raises:
        ResultsError: If the results file cannot be used.
        RacerError, CompressionError: If a cell cannot be driven; what was finished is kept.
    """
    cells = sweep.grid.cells
    with ResultsFile(out, dict(sweep.plan.settings)) as results:
        missing = _missing(sweep, results)
        done = len(cells) - len(missing)
        progress(done, len(cells))
        for score in engine.drive(sweep.plan, missing):
            results.append(score, sweep.hashes[score.cell.way.coder])
            done += 1
            progress(done, len(cells))
        scores = tuple(results.scores[cell][0] for cell in sorted(cells, key=lambda cell: cell.order))
        return Driven(scores, len(missing), results.damaged, len(results.scores) - len(cells))


def _missing(sweep: Sweep, results: ResultsFile) -> list[Cell]:
    """Return the cells that are not there yet.

    Raises:
        ResultsError: If one that is there was driven with another fitted file, or on other tracks.
    """
    config = sweep.plan.config
    tracks: dict[int, tuple[int, ...]] = {}
    missing = []
    for cell in sweep.grid.cells:
        if cell not in results.scores:
            missing.append(cell)
            continue
        score, brought = results.scores[cell]
        coder, person = cell.way.coder, cell.participant
        if brought != sweep.hashes[coder]:
            raise ResultsError(
                f"{results.path} holds results of {coder} with another fitted file or another version of it; nothing "
                "was changed: give another --out"
            )
        if person not in tracks:
            tracks[person] = draw_person(config.seed, person, config.tracks).tracks
        if tuple(episode.track_seed for episode in score.episodes) != tracks[person]:
            raise ResultsError(
                f"{results.path} holds results on other tracks than follow from the seed, so no sweep wrote them; "
                "nothing was changed: give another --out"
            )
    return missing


def _lack(coder: Coder, masks: Sequence[Path], channel: ChannelConfig, codec: Codec) -> str:
    """Return why a coder cannot be driven for want of a fitted file; nothing if it can."""
    if coder.needs is None:
        return ""
    files = [mask for mask in (read_fitted(path, codec) for path in masks) if mask.record.objective == coder.needs]
    if not files and coder.shipped is None:
        return f"it needs a file fitted to {coder.needs}: give one with --mask"
    try:
        check_use({coder.name: files[0] if files else coder.read(coder.shipped, codec.sha256)}, channel)  # type: ignore[arg-type]
    except ConfigError:
        return "its mask was trained for another mask interval or fill: give one with --mask"
    return ""


def _check_unseen(config: RatesConfig, models: dict[str, Fitted]) -> None:
    """Raise ConfigError if a coder was fitted to a track that it would be driven on."""
    driven = {
        track
        for number in range(config.participants)
        for track in draw_person(config.seed, number, config.tracks).tracks
    }
    for name, model in models.items():
        seen = driven.intersection(model.record.track_seeds)
        if seen:
            raise ConfigError(
                f"{name} was fitted to track {min(seen)}, which this sweep would drive on; give another --seed"
            )
