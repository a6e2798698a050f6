"""What a training came to, in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compression.fitting.interaction import InteractionSummary
from compression.fitting.pico import TrainingSummary
from compression.fitting.pico_rate import RateSummary
from racer.training.train import Summary


def explained(summary: Summary | InteractionSummary) -> list[str]:
    """Return what a training came to, line by line."""
    if isinstance(summary, InteractionSummary):
        return _interaction(summary)
    return _levels(summary) if isinstance(summary, RateSummary) else _mask(summary)


def outcome(summary: Summary | InteractionSummary) -> dict[str, Any]:
    """Return what a training came to as JSON has it; its curves stand in a file of their own."""
    return {name: value for name, value in asdict(summary).items() if name != "curve"}


def verdict(summary: Summary) -> str:
    """Return in a sentence whether what was trained is any good."""
    if isinstance(summary, RateSummary):
        share = 100 * summary.action_accuracy
        return f"The driver's actions are predicted in {share:.0f} % of held-out steps, averaged over the actions."
    ours, random, episodes = summary.mean_d_policy, summary.mean_d_random, summary.held_out_episodes
    judged = f"on {episodes} held-out episodes: mean D(p, x) {ours:.3f} against {random:.3f}"
    if ours > random:
        return f"The mask did better than random ones {judged}."
    return (
        f"The mask did NO better than random ones {judged}. "
        "Record more pilots before anybody is evaluated with it, or look at how they did."
    )


def in_short(summary: Summary) -> str:
    """Return what is sent, in a line."""
    if isinstance(summary, RateSummary):
        bits, levels = min(summary.levels.items())
        return f"levels of each {summary.quantised} at {bits} bits: {_levels_sent(levels)}"
    frequency = "  ".join(f"{block}:{100 * sent:.0f} %" for block, sent in enumerate(summary.block_frequency))
    return f"blocks sent: {frequency}"


def _mask(summary: TrainingSummary) -> list[str]:
    lines = [
        f"Trained on {summary.positive_steps} steps under full and {summary.negative_steps} under random masks.",
        f"On {summary.held_out_episodes} held-out episodes:",
    ]
    if summary.action_accuracy is not None:
        lines += [
            f"  action discriminator: {_accuracy(summary.action_accuracy, summary.calibration_error)}",
            f"  mean D(a, x): {summary.mean_d_original:.3f} on seeing the original, "
            f"{summary.mean_d_compressed:.3f} under random masks",
        ]
    return [
        *lines,
        f"  mean D(p, x): {summary.mean_d_policy:.3f} under the new mask, "
        f"{summary.mean_d_random:.3f} under random ones",
        f"  {in_short(summary)}",
    ]


def _interaction(summary: InteractionSummary) -> list[str]:
    lines = [
        f"Trained on {summary.steps} steps of {summary.people} people, {summary.members} members. On people that a "
        "member has not met:",
        f"  action as on the original: {_with_predicted(summary.agreement, summary.agreement_foreseen)}, correlation "
        f"{summary.agreement_correlation:.2f}, calibration error {summary.calibration_error:.3f}",
    ]
    if summary.kept is None or summary.kept_foreseen is None:
        return lines
    kept = _with_predicted(summary.kept, summary.kept_foreseen)
    return [*lines, f"  no failure for a second: {kept}, correlation {summary.kept_correlation:.2f}"]


def _with_predicted(measured: float, predicted: float) -> str:
    return f"{100 * measured:.1f} % of the steps, {100 * predicted:.1f} % predicted"


def _levels(summary: RateSummary) -> list[str]:
    return [
        f"Trained on {summary.steps} steps. On {summary.held_out_episodes} held-out episodes:",
        f"  model of the driver: {_accuracy(summary.action_accuracy, summary.calibration_error)}",
        *(
            f"  levels of each {summary.quantised} at {bits} bits: {_levels_sent(levels)}"
            for bits, levels in summary.levels.items()
        ),
    ]


def _levels_sent(levels: tuple[int, ...]) -> str:
    """Return what is sent, the finest first, and its levels."""
    sent = sorted((place for place, count in enumerate(levels) if count > 1), key=lambda place: -levels[place])
    return "  ".join(f"{place}:{levels[place]}" for place in sent)


def _accuracy(accuracy: float, calibration_error: float | None) -> str:
    return f"accuracy {accuracy:.2f}, averaged over the actions, calibration error {calibration_error:.3f}"
