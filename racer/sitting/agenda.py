"""The agenda of a sitting: what the participant meets, in order, from the first page to the last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from racer.drivers.keyboard import Bindings
from racer.loop.display import Page
from racer.sitting.answers import CONSENT
from racer.sitting.protocol import CATCH, REPEATS, EpisodePlan
from racer.sitting.questionnaires import Item, Questionnaire
from racer.tasks.task import TaskText
from racer.window.texts import Texts

EVALUATION = "evaluation"
"""The phase whose conditions are compared."""
PRACTICE = "practice"


@dataclass(frozen=True)
class Consent:
    """The question whether to take part at all: nothing else is recorded before it, and nothing after a no."""

    page: Page
    choices: tuple[str, str]
    """To take part, and not to."""
    declined: Page
    """Shown to whoever does not."""


@dataclass(frozen=True)
class Drive:
    """An episode to drive."""

    plan: EpisodePlan
    heading: str
    """For example `Round 7 of 50`; never names the condition."""
    before: int = field(default=0, compare=False)
    """Steps of the episodes before it that are counted together with it."""
    total: int = field(default=0, compare=False)
    """Steps of all that are."""


@dataclass(frozen=True)
class Asking:
    """A questionnaire to answer."""

    questionnaire: Questionnaire
    place: str
    """`<phase>/<block>/<condition>`: what the answers are about."""

    def name(self, item: Item) -> str:
        """Return what an item's answer is recorded under."""
        return f"{self.place}/{self.questionnaire.name}/{item.id}"

    def pages(self, texts: Texts) -> list[tuple[tuple[Item, ...], str]]:
        """Return the items of each page, and what stands above them."""
        count, size = len(self.questionnaire.items), self.questionnaire.per_page
        pages: list[tuple[tuple[Item, ...], str]] = []
        for before in range(0, count, size):
            items = self.questionnaire.items[before : before + size]
            first, last = before + 1, before + len(items)
            one = texts.question.format(number=first, count=count)
            pages.append((items, one if first == last else texts.questions.format(first=first, last=last, count=count)))
        return pages


AgendaItem = Page | Consent | Drive | Asking


@dataclass(frozen=True)
class Screens:
    """What a participant meets besides the drives."""

    consent: str = ""
    """Text of the consent page, paragraphs separated by empty lines; no such page if empty."""
    instructions: str = ""
    """Text of the instructions; the built-in ones if empty."""
    key_test: bool = False
    """Whether a key of every action has to be pressed before the first drive."""
    break_every: int = 0
    """Episodes after which there is a break; 0 for no breaks."""
    break_seconds: int = 0
    """Least length of a break."""
    start: tuple[Questionnaire, ...] = ()
    """Questionnaires asked before the instructions."""
    after_condition: tuple[Questionnaire, ...] = ()
    """Questionnaires asked after each condition of the evaluation."""
    end: tuple[Questionnaire, ...] = ()
    """Questionnaires asked after the last drive."""


@dataclass(frozen=True)
class Done:
    """What of a sitting an earlier recording holds."""

    episodes: int = 0
    """Accepted episodes."""
    answers: frozenset[str] = field(default_factory=frozenset)
    """Items answered."""


def make_agenda(
    plans: Sequence[EpisodePlan],
    screens: Screens,
    texts: Texts,
    text: TaskText,
    keys: Bindings,
    attended: bool = True,
    alone: bool = False,
    probes: bool = False,
) -> tuple[AgendaItem, ...]:
    """Return everything that one sitting consists of.

    Args:
        plans: The episodes.
        screens: What comes with them.
        texts: The words of the built-in pages.
        text: What people are told of the task.
        keys: Of its actions, for the instructions.
        attended: Whether a person sits there; where not, there are no pages and no consent.
        alone: Whether trials stand alone, in a task that waits for answers: they are counted, and not their blocks.
        probes: Whether rounds of the evaluation stop to ask what would be done now; the built-in instructions say so.
    """
    agenda: list[AgendaItem] = []
    if screens.consent:
        agenda.append(_consent(screens, texts))
    agenda += [Asking(questionnaire, "start/0/-") for questionnaire in screens.start]
    asked = probes and any(plan.phase == EVALUATION for plan in plans)
    agenda.append(_instructions(len(plans), screens, texts, text, keys, asked))
    if screens.key_test and keys:
        prompt = texts.press_space_to_begin
        agenda.append(Page(texts.key_test_title, texts.key_test_lines, prompt, show_keys=True, test_keys=True))
    blocks = _blocks(plans)
    parts = sum(block[0].phase == EVALUATION for block in blocks)
    part = since_break = 0
    for block in blocks:
        evaluated, condition = block[0].phase == EVALUATION, block[0].condition
        part += evaluated
        for plan in block:
            if screens.break_every and since_break == screens.break_every:
                agenda.append(_break(plan.number, len(plans), screens, texts))
                since_break = 0
            if evaluated and parts > 1 and plan is block[0]:
                title = texts.part_title.format(number=part, count=parts)
                agenda.append(Page(title, texts.part_lines, texts.press_space))
            counted = [other for other in plans if (other.phase == PRACTICE) == (plan.phase == PRACTICE)]
            practice = texts.practice_pictures if plan.phase == PRACTICE else ""
            above = practice if alone else heading(plans, plan, texts)
            before = sum(other.steps for other in counted if other.number < plan.number)
            agenda.append(Drive(plan, above, before, sum(other.steps for other in counted)))
            since_break += plan.phase not in (CATCH, REPEATS)
        if evaluated:
            place = f"{EVALUATION}/{part}/{condition}"
            agenda += [Asking(questionnaire, place) for questionnaire in screens.after_condition]
    agenda += [Asking(questionnaire, "end/0/-") for questionnaire in screens.end]
    agenda.append(Page(texts.thanks_title, texts.thanks_lines, texts.thanks_prompt))
    return tuple(item for item in agenda if attended or isinstance(item, Drive | Asking))


def _blocks(plans: Sequence[EpisodePlan]) -> list[list[EpisodePlan]]:
    """Return episodes that belong together: of one phase and condition, single pictures with what they come behind."""
    blocks: list[list[EpisodePlan]] = []
    for plan in plans:
        like = (plan.phase, plan.condition)
        if blocks and (plan.phase in (CATCH, REPEATS) or like == (blocks[-1][0].phase, blocks[-1][0].condition)):
            blocks[-1].append(plan)
        else:
            blocks.append([plan])
    return blocks


def remaining(agenda: Sequence[AgendaItem], done: Done, welcome: Page | None) -> tuple[AgendaItem, ...]:
    """Return what is left of an agenda after an interruption.

    Episodes accepted and items answered are not met again; neither are pages that came before them.

    Args:
        agenda: The whole sitting.
        done: What an earlier recording holds.
        welcome: Shown first; None for nothing.
    """
    left: list[AgendaItem] = []
    drives = 0
    for item in agenda:
        if isinstance(item, Drive):
            drives += 1
            if drives <= done.episodes:
                left = [asking for asking in left if isinstance(asking, Asking)]
                continue
        elif isinstance(item, Consent):
            if CONSENT in done.answers:
                continue
        elif isinstance(item, Asking):
            open_items = tuple(
                question for question in item.questionnaire.items if item.name(question) not in done.answers
            )
            if not open_items:
                left = [asking for asking in left if isinstance(asking, Asking)]
                continue
            item = replace(item, questionnaire=replace(item.questionnaire, items=open_items))
        left.append(item)
    return (welcome, *left) if welcome is not None else tuple(left)


def heading(plans: Sequence[EpisodePlan], plan: EpisodePlan, texts: Texts) -> str:
    """Return, for example, `Round 7 of 50`: one count for the whole sitting, which names no condition."""
    pattern: str = getattr(texts, plan.phase)
    return pattern.format(number=plan.number + 1, count=len(plans))


def _consent(screens: Screens, texts: Texts) -> Consent:
    return Consent(
        Page(texts.consent_title, paragraphs(screens.consent)),
        (texts.agree, texts.decline),
        Page(texts.declined_title, texts.declined_lines, texts.thanks_prompt),
    )


def _instructions(episodes: int, screens: Screens, texts: Texts, text: TaskText, keys: Bindings, probes: bool) -> Page:
    names = {name.replace("-", "_"): texts.key_names(bound) for name, bound in keys.items()}
    hints = (texts.probe_hint, texts.pause_hint) if probes else (texts.pause_hint,)
    lines = (*(line.format(**names, trials=episodes) for line in text.lines), *hints)
    if screens.instructions:
        lines = paragraphs(screens.instructions)
    return Page(text.title, lines, texts.press_space_to_begin, show_keys=bool(keys))


def _break(done: int, count: int, screens: Screens, texts: Texts) -> Page:
    lines = tuple(line.format(done=done, count=count) for line in texts.break_lines)
    return Page(
        texts.break_title, lines, texts.press_space, least_seconds=screens.break_seconds, share_done=done / count
    )


def paragraphs(text: str) -> tuple[str, ...]:
    """Return the paragraphs of a text, which empty lines separate.

    Other line breaks are spaces, but before a line that begins with `- `, an item of a list.
    """
    found = (re.sub(r"[ \t]*\n[ \t]*(?=- )", "\0", each) for each in re.split(r"\n[ \t]*\n", text) if each.strip())
    return tuple("\n".join(" ".join(line.split()) for line in each.split("\0")) for each in found)
