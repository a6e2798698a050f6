"""Writing: the report's page and, in a folder beside it, its figures and numbers as files; all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from compression.errors import CompressionError
from disk.reading import open_plain, read_plain
from disk.writing import make_folder, scratch_folder, sync_folder, write_whole
from racer import __version__
from racer.errors import RacerError
from racer.report.budgets import over_budgets
from racer.report.figures import draw_figures
from racer.report.page import GENERATOR, Pictures, named_exclusions, render_page
from racer.report.recordings import Evaluations, read_evaluations
from racer.report.strips import NoStripError, draw_strips, film_strips
from racer.report.study import StudyContext, StudyReport, analyse
from racer.report.traversals import draw_traversals
from racer.study.amendments import Amendment

NUMBERS = "report.json"
_MOST_NUMBERS = 2**28
_HEAD_BYTES = 4096
"""Bytes at the head of a page within which its generator is named."""


class ReportFileError(RacerError):
    """The report cannot be written where it was asked for."""


@dataclass(frozen=True)
class Written:
    """A report on disk."""

    page: Path
    files: Path
    """Folder with each figure as SVG, PNG and CSV, and all numbers in report.json."""
    report: StudyReport
    left_out: dict[str, str]
    """Figures that could not be drawn, by name, and why."""


def write_report(
    folder: Path,
    out: Path,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
    item_texts: Mapping[tuple[str, str], str] | None = None,
    model: Path | None = None,
    beforehand: StudyContext | None = None,
    amendments: tuple[Amendment, ...] = (),
    version: int | None = None,
    masks: Sequence[Path] = (),
) -> Written:
    """Analyse the recordings in a folder and write the report. The same recordings give the same bytes.

    A page that an earlier report wrote is replaced, and so are its files. Other files in the folder beside it are kept.

    Args:
        folder: Holds the recordings.
        out: The page, such as report.html; its files go to report_files/ beside it.
        overwrite: Whether to replace a page, or files, that are no report's.
        progress: Told in a few words what is being done.
        item_texts: Wording of questionnaire items by (questionnaire, item id), where known.
        model: Folder that may hold the latent model that the recordings were made with, besides the one that comes with
            the task.
        beforehand: What was preregistered, if anything was.
        amendments: Of the study.
        version: Only who took part after so many amendments; everybody if None.
        masks: Fitted files, of which a task of single pictures draws what they keep over budgets.

    Raises:
        NothingToReportError: If there is nothing to analyse; nothing is written.
        ReportFileError: If it cannot be written; what was there before is as it was.
        RecordingError: If a recording that was readable a moment ago no longer is.
        WeightsError: If `model` holds no latent model.
    """
    files = out.with_name(f"{out.stem}_files")
    _refuse_foreign(out, files, overwrite)
    progress("reading recordings")
    evaluations = read_evaluations(folder, amendments, version)
    report = analyse(evaluations, folder, beforehand)
    progress("drawing figures")
    pictures = draw_pictures(evaluations, report, model, masks, progress)
    contents: dict[str, bytes] = {}
    for illustration in pictures.drawn.values():
        contents[f"{illustration.name}.svg"] = illustration.svg
        contents[f"{illustration.name}.png"] = illustration.png
        contents[f"{illustration.name}.csv"] = illustration.csv
    contents[NUMBERS] = _numbers(report, pictures, [*contents, NUMBERS])
    page = render_page(report, pictures, files.name, item_texts or {}).encode()
    progress("writing")
    _replace(out, page, files, contents, overwrite)
    return Written(out, files, report, pictures.left_out)


def draw_pictures(
    evaluations: Evaluations,
    report: StudyReport,
    folder: Path | None = None,
    masks: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda stage: None,
) -> Pictures:
    """Return every picture of a study, film strips and latent traversals included.

    Args:
        evaluations: Of at least one participant.
        report: Their analysis.
        folder: Of the latent model; None for the one that comes with the task.
        masks: See `write_report`.
        progress: Told in a few words what is being done.

    Raises:
        RecordingError: If a recording cannot be read.
        CompressionError: If `folder` holds no latent model, or a mask cannot be used with it.
    """
    from compression.model.latent_model import use_one_thread
    from racer.recordings.models import NotHereError, find_model

    use_one_thread()
    left_out: dict[str, str] = {}
    film = None
    try:
        film = film_strips(evaluations, folder)
    except NoStripError as error:
        left_out["figure6_strips"] = f"There are no film strips: {error}."
    drawn = {illustration.name: illustration for illustration in draw_figures(report, film)}
    if film is not None:
        drawn["figure6_strips"] = draw_strips(film)
    try:
        pico = [block.sent for block in report.blocks if block.condition == "pico"]
        model = find_model(evaluations.people[0].sitting.info, folder)
        drawn["traversals"] = draw_traversals(model, pico[0] if pico else None)
    except NotHereError as error:
        left_out["traversals"] = f"There are no pictures of the blocks: {error}."
    if not report.task.paced:
        try:
            drawn |= {each.name: each for each in over_budgets(evaluations, masks, folder, progress)}
        except (RacerError, CompressionError) as error:
            left_out["agreement_over_budgets"] = f"There are no figures over bit budgets: {error}."
    return Pictures(drawn, left_out)


def _numbers(report: StudyReport, pictures: Pictures, names: list[str]) -> bytes:
    """Return all numbers as JSON, with the names of the files written beside them."""
    content = {
        "made_by": GENERATOR,
        "version": __version__,
        "files": sorted(names),
        "report": asdict(report) | {"excluded": named_exclusions(report)},
        "figures": {name: {"header": picture.header, "rows": picture.rows} for name, picture in pictures.drawn.items()},
        "figures_left_out": pictures.left_out,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _refuse_foreign(out: Path, files: Path, overwrite: bool) -> None:
    """Raise ReportFileError unless the report may be written there."""
    try:
        if out.is_dir():
            raise ReportFileError(f"{out} is a folder; give the report a file name with --out, such as report.html")
        if files.is_symlink() or (files.exists() and not files.is_dir()):
            raise ReportFileError(f"{files} is not a folder and was left as it is; the report needs one of that name")
        if out.exists() and not overwrite and not _is_report(out):
            raise ReportFileError(
                f"{out} is not a report that Racer wrote and was left as it is; give another name with --out, or add "
                "--overwrite"
            )
    except OSError as error:
        raise ReportFileError(f"cannot write {out}: {error.strerror}; give another name with --out") from error


def _is_report(page: Path) -> bool:
    with open_plain(page) as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(_HEAD_BYTES)


def _earlier_files(files: Path) -> set[str]:
    """Return the names that an earlier report gave to files in its folder."""
    try:
        content = json.loads(read_plain(files / NUMBERS, _MOST_NUMBERS))
        names = content["files"] if content["made_by"] == GENERATOR else []
        return {name for name in names if isinstance(name, str) and name == Path(name).name}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def report_of(path: Path) -> tuple[Path, ...]:
    """Return the page and the files of the report that a file belongs to, its folder last; nothing if to none."""
    page = path.with_suffix(".html") if path.suffix == ".html" else _page_of(path.parent)
    files = page.with_name(f"{page.stem}_files")
    try:
        if not _is_report(page):
            return ()
    except OSError:
        return ()
    theirs = sorted(files / name for name in _earlier_files(files))
    alone = files.is_dir() and not files.is_symlink() and set(files.iterdir()) <= set(theirs)
    return (page, *theirs, *((files,) if alone else ()))


def _page_of(files: Path) -> Path:
    return files.with_name(files.name.removesuffix("_files") + ".html")


def _replace(out: Path, page: bytes, files: Path, contents: dict[str, bytes], overwrite: bool) -> None:
    """Put the page and its files in place of earlier ones; if that fails, put the earlier ones back."""
    earlier = files.with_name(f".{files.name}.earlier")
    try:
        make_folder(out.parent)
        _settle(files, earlier)
        # Beside the page, hence on its disk: a rename there moves a file at once or not at all.
        with scratch_folder(out.parent) as folder:
            staged = folder / "new"
            make_folder(staged)
            for path, data in {folder / "page": page, **{staged / name: contents[name] for name in contents}}.items():
                write_whole(path, data, overwrite=False)
            _keep_foreign(files, staged, overwrite)
            try:
                if files.exists():
                    os.rename(files, earlier)
                os.rename(staged, files)
                os.replace(folder / "page", out)
                sync_folder(out.parent)
            except BaseException:  # Ctrl-C, too
                if not staged.exists():
                    os.rename(files, staged)
                _settle(files, earlier)
                raise
            _settle(files, earlier)
    except OSError as error:
        raise ReportFileError(
            f"cannot write {out}: {error.strerror or error}; nothing was changed: give another name with --out"
        ) from error


def _settle(files: Path, earlier: Path) -> None:
    """Put earlier files back where there are no others, also after a kill, and remove them where there are."""
    if not earlier.is_dir() or earlier.is_symlink():
        return
    if os.path.lexists(files):
        shutil.rmtree(earlier)
    else:
        os.rename(earlier, files)


def _keep_foreign(files: Path, staged: Path, overwrite: bool) -> None:
    """Copy what no report wrote from the folder about to be replaced."""
    ours = _earlier_files(files)
    for path in sorted(files.iterdir()) if files.exists() else []:
        if path.name in ours:
            continue
        if not (staged / path.name).exists():
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, staged / path.name, symlinks=True)
            else:
                shutil.copy2(path, staged / path.name, follow_symlinks=False)
        elif not overwrite:
            raise ReportFileError(
                f"{path} belongs to no report and was left as it is; give another name with --out, or add --overwrite"
            )
