"""One sitting: goes through its agenda, records what happens, and closes the file whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racer.drivers.driver import Driver
from racer.loop.attended import EpisodeResult, EpisodeRun, Setup, Unrecorded
from racer.loop.display import Display, EndSession, Page, RedoEpisode, Reply
from racer.loop.lockstep import Stepwise, alone
from racer.loop.pacing import Pacer, PaceSummary
from racer.loop.patience import PatientRecorder
from racer.sitting.agenda import AgendaItem, Asking, Consent, Drive
from racer.sitting.answers import ACCEPTED, CONSENT, DECLINED, NOTE
from racer.sitting.markers import MarkedRecorder, Markers
from racer.window.texts import Texts
from sessions import Recorder, StorageWaitError


@dataclass(frozen=True)
class SittingSetup:
    """Everything that decides how a sitting runs."""

    agenda: tuple[AgendaItem, ...]
    setup: Setup
    texts: Texts
    respondent: np.random.Generator | None = None
    """Draws the answers to questionnaires where nobody sits there to give them; None asks at the display."""
    windowed: bool = False
    """Whether there is a window, at which somebody may sit whoever drives."""


@dataclass(frozen=True)
class SittingResult:
    """How a sitting went."""

    path: Path | None
    """The recording; None where nothing was recorded."""
    complete: bool
    """Whether every drive and every questionnaire of the agenda was gone through."""
    episodes: list[EpisodeResult]
    """The accepted ones."""
    pace: PaceSummary | None
    declined: bool = False
    """Whether the participant chose not to take part."""


class SittingRun:
    """Goes through the agenda of one sitting.

    Args:
        sitting: What to run.
        driver: Steers.
        display: Shows frames and passes time.
        recorder: Freshly opened; closed by `run`.
        pacer: Keeps real time; None runs as fast as the machine allows.
        on_episode: Told of each finished episode.
        clock: Monotonic nanoseconds.
        markers: Are told what is recorded, as it happens; None for nobody.
    """

    def __init__(
        self,
        sitting: SittingSetup,
        driver: Driver,
        display: Display,
        recorder: Recorder | Unrecorded,
        pacer: Pacer | None = None,
        on_episode: Callable[[EpisodeResult], None] = lambda result: None,
        clock: Callable[[], int] = time.monotonic_ns,
        markers: Markers | None = None,
    ) -> None:
        self._sitting = sitting
        self._display = display
        self._recorder: PatientRecorder | Unrecorded
        on_shown = None
        if not isinstance(recorder, Recorder):
            self._recorder = recorder
        elif markers is None:
            self._recorder = PatientRecorder(recorder, self._wait_for_room)
        else:
            self._recorder = marked = MarkedRecorder(recorder, self._wait_for_room, markers, clock)
            on_shown = marked.shown
        self._path = recorder.final_path if isinstance(recorder, Recorder) else None
        self._pacer = pacer
        self._on_episode = on_episode
        self._clock = clock
        self._episodes = EpisodeRun(sitting.setup, driver, display, self._recorder, pacer, clock, on_shown)
        self._results: list[EpisodeResult] = []
        self._redoable: int | None = None
        """Place in the agenda of the last drive, while it can be driven again."""
        self._consented = not any(isinstance(item, Consent) for item in sitting.agenda)
        self._declined = False
        self._place = 0
        """Position in the agenda."""

    def run(self) -> SittingResult:
        """Go through the agenda, record every step and close the file, whatever happens.

        Raises:
            Whatever the driver, the display or the recorder raises, after the file has been closed as aborted.
        """
        return alone(self.go(), self._sitting.setup.model)

    def go(self) -> Stepwise[SittingResult]:
        """Do the same as a generator, whose caller encodes and decodes."""
        self._display.listener = self._note
        with self._recorder:
            try:
                yield from self._go_through()
            except EndSession:
                pass  # over the last page this loses nothing; earlier, `complete` says so
            finally:
                self._display.listener = None
            left = self._sitting.agenda[self._place :]
            complete = self._consented and all(isinstance(item, Page) for item in left)
            self._recorder.close("complete" if complete else "aborted")
        pace = self._pacer.summary() if self._pacer else None
        return SittingResult(self._path, complete, self._results, pace, self._declined)

    def _go_through(self) -> Stepwise[None]:
        agenda = self._sitting.agenda
        while self._place < len(agenda) and not self._declined:
            begun = self._episodes.begun
            try:
                yield from self._meet(agenda[self._place])
            except RedoEpisode:
                self._redo(cut_short=self._episodes.begun > begun)
            else:
                self._place += 1

    def _meet(self, item: AgendaItem) -> Stepwise[None]:
        if isinstance(item, Drive):
            yield from self._drive(item)
        elif isinstance(item, Asking):
            self._ask(item)
        elif isinstance(item, Consent):
            self._ask_consent(item)
        else:
            self._display.page(item)

    def _drive(self, drive: Drive) -> Stepwise[None]:
        result = yield from self._episodes.drive(drive.plan, drive.heading, drive.before, drive.total)
        self._results.append(result)
        self._redoable = self._place
        self._on_episode(result)

    def _redo(self, cut_short: bool) -> None:
        """Flag the episode that was cut short, or else the last one, and go back to it; without one, go on."""
        if cut_short:
            self._recorder.reject_episode()
        elif self._redoable is not None:
            self._recorder.reject_episode()
            self._results.pop()
            self._place = self._redoable
        self._redoable = None

    def _ask(self, asking: Asking) -> None:
        """Ask page by page; the answers of a page are recorded at once, and the last one to an item counts."""
        pages, respondent = asking.pages(self._sitting.texts), self._sitting.respondent
        given: dict[int, tuple[str, ...]] = {}
        index = 0
        while index < len(pages):
            items, heading = pages[index]
            if respondent is not None:
                reply = Reply(tuple(item.by_chance(respondent) for item in items))
            else:
                reply = self._display.ask(items, heading, given.get(index, ()), back=index > 0)
            given[index] = reply.answers
            if reply.back:
                index -= 1
                continue
            for item, answer in zip(items, reply.answers, strict=True):
                self._recorder.answer(asking.name(item), answer, self._clock())
            index += 1

    def _ask_consent(self, consent: Consent) -> None:
        choice = self._display.choose(consent.page, consent.choices)
        self._recorder.answer(CONSENT, DECLINED if choice else ACCEPTED, self._clock())
        self._declined = bool(choice)
        self._consented = not choice
        if choice:
            self._display.page(consent.declined)

    def _wait_for_room(self, error: StorageWaitError) -> None:
        """Tell whoever sits there that the disk refuses, and the experimenter why, until they want to try again."""
        if self._sitting.respondent is not None and not self._sitting.windowed:
            raise error  # nobody sits there
        texts = self._sitting.texts
        self._note("pause", "storage", self._clock())
        page = Page(texts.disk_full_title, (*texts.disk_full_lines, str(error)))
        self._display.choose(page, (texts.disk_full_retry,))
        self._note("resume", "storage", self._clock())

    def _note(self, kind: str, detail: str, time_ns: int) -> None:
        if kind == "key_down" and self._sitting.setup.switch is not None:
            self._sitting.setup.switch.key(detail)
        if kind == NOTE:
            self._recorder.answer(NOTE, detail, time_ns)
        elif self._consented:
            # What somebody does who has not agreed to take part is nobody's business.
            episode = max(self._episodes.begun - 1, 0)
            self._recorder.event(kind, detail, time_ns, episode, self._episodes.step)
