"""Which of a study's settings decide what people do: sittings are analysed together where these are the same.

Planning (how many people, the title, the primary outcome) and wording (texts, language, questions) decide nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from racer.loop.conditions import MASKED_CONDITIONS

_PLANNING = ("title", "participants", "pilots", "experimenter", "language", "font", "primary")
_LATER = ("catch", "repeats", "mixed", "probes")
_MET = ("photodiode", "sounds")
"""What a participant sees or hears of the section about markers."""
_LATE_ACTIONS = ("action_delay", "action_loss")
_TRAINED_BEFORE = {"constants": "racer", "labels": "released", "negative_label": None}
_WORDS_OF_ITEMS = ("text", "low", "high", "kind", "options", "free")
_NEWER = {"decimals": 0, "least": None, "most": None, "required": None}
"""Settings of items that version 0.1.0 did not have, with what leaves them as they were."""


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the deciding ones of a study's settings, as recordings keep them; what has another form is kept whole."""
    found = {name: value for name, value in settings.items() if name not in _PLANNING}
    episodes = settings.get("episodes")
    explored = episodes.get("explore") if isinstance(episodes, dict) and settings.get("pilots") else None
    if isinstance(found.get("masks"), dict):
        shown = [*_listed(settings.get("conditions")), explored]
        needed = {condition.replace("-", "_") for condition in MASKED_CONDITIONS if condition in shown}
        found["masks"] = {key: source for key, source in found["masks"].items() if key in needed}
        if "pilot" not in found["masks"].values():  # nothing is trained as the section says
            found.pop("training", None)
    if isinstance(episodes, dict):
        # Without any, what people do is as it was before there were such settings.
        found["episodes"] = {name: value for name, value in episodes.items() if value or name not in _LATER}
    if isinstance(channel := found.get("channel"), dict):  # likewise
        found["channel"] = {name: value for name, value in channel.items() if value or name not in _LATE_ACTIONS}
    if isinstance(training := found.get("training"), dict):  # likewise
        found["training"] = {name: value for name, value in training.items() if value != _TRAINED_BEFORE.get(name)}
        if not found["training"]:
            del found["training"]
    if isinstance(found.get("screens"), dict):
        # Whether there is a consent decides what people do, and how it is worded does not.
        screens = {name: value for name, value in found["screens"].items() if name != "instructions"}
        found["screens"] = screens | {"consent": bool(screens.get("consent"))}
    marked = found.pop("markers", None)
    if isinstance(marked, dict):
        met = {name: marked[name] for name in _MET if marked.get(name)}
        found |= {"markers": met} if met else {}
    if isinstance(found.get("questionnaires"), dict):
        custom = [_wordless(entry) for entry in _listed(found["questionnaires"].get("custom"))]
        found["questionnaires"] = found["questionnaires"] | {"custom": custom}
    return found


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """Return the hash of the deciding ones of a study's settings, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(deciding(settings), sort_keys=True).encode()).hexdigest()


def recorded_sha256(config: Mapping[str, Any]) -> str | None:
    """Return the hash of what decided when a session was recorded, given its configuration; None where it had none."""
    settings = config.get("study")
    told: str | None = config.get("study_settings_sha256")
    return settings_sha256(settings) if isinstance(settings, dict) else told


def differing(config: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the deciding settings, such as `channel.bits`, in which a session's configuration differs from a study."""
    recorded = config.get("study")
    return sorted(paths(deciding(recorded), deciding(settings))) if isinstance(recorded, dict) else []


def value_at(settings: Mapping[str, Any], key: str) -> str:
    """Return a setting by its dotted key, as JSON; `-` where there is none."""
    value: Any = settings
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            return "-"
        value = value[name]
    return json.dumps(value, ensure_ascii=False)


def paths(one: Mapping[str, Any], other: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the dotted names, such as `channel.bits`, of the values in which two tables differ."""
    for name in {**one, **other}:
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from paths(first, second, f"{before}{name}.")
        elif first != second:
            yield f"{before}{name}"


def _wordless(entry: Any) -> Any:
    """Return what decides of a questionnaire: as version 0.1.0 wrote it, where it could have asked the same."""
    if not isinstance(entry, dict):
        return entry
    items = [_wordless_item(item) if isinstance(item, dict) else item for item in _listed(entry.get("items"))]
    kept = {name: value for name, value in entry.items() if (name, value) != ("per_page", 1)}
    return kept | {"items": items}


def _wordless_item(item: dict[str, Any]) -> dict[str, Any]:
    kind, options = item.get("kind", "scale"), item.get("options")
    found = {
        name: value
        for name, value in item.items()
        if name not in _WORDS_OF_ITEMS and not (name in _NEWER and value == _NEWER[name])
    }
    found["free"] = item.get("free", kind == "text")
    if kind not in ("scale", "text"):
        found["kind"] = kind
    return found | ({"options": sorted(options)} if options and isinstance(options, dict) else {})


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
