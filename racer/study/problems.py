"""What is wrong with a study file, in words for people who have never heard of a schema."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from racer.study.sections import LIST_TAG, MOST_INTEGER, VARIED_TAG

_CROSS_CHECK = "cross_check"
_MOST_SHOWN = 60
"""Characters of the file that a message repeats."""

_RULES = {
    "string_type": "must be text in quotation marks",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": 'must be a list, as in ["a", "b"]',
    "model_type": "must be a section of its own, in [square brackets]",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
"""By pydantic's type of error. What was found is said after these."""

_LENGTHS = {
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "too_long": "must have at most {max_length} entries; has {actual_length}",
    "too_short": "must have at least {min_length} entry",
}


def misfit(key: str, reason: str) -> PydanticCustomError:
    """Return the error, for a validator of the whole file to raise, that `explain` reports under this dotted key."""
    return PydanticCustomError(_CROSS_CHECK, "{reason}", {"key": key, "reason": reason})


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return `key: what is wrong` of the first problem, and how many more there are.

    Places in lists are counted from 1. Unknown keys come first: a misspelt key is often the reason for the others.
    """
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    first = problems[0]
    key = first["ctx"]["key"] if first["type"] == _CROSS_CHECK else _dotted(_place(first))
    return f"{key}: {_wrong(first, model)}{more}"


def _wrong(problem: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _RULES:
        rule = _RULES[kind].format(**context).replace("'", '"')
        return f"{rule}; got {_shown(problem['input'])}"
    if kind in _LENGTHS:
        return _LENGTHS[kind].format(**context)
    if kind == "missing":
        return f"is missing; add a line that begins with {problem['loc'][-1]} ="
    if kind == "extra_forbidden":
        return _unknown(_place(problem), model)
    if kind == "value_error":
        return str(context["error"])
    return problem["msg"]


_FORMER = {
    "driving": "now `handling` and `speed` stand under `[task]`, `pace` and `seeds` (once `tracks`) under `[episodes]`"
}
"""Where to find what stood in sections that are gone."""


def _unknown(place: list[int | str], model: type[BaseModel]) -> str:
    """Return what the writer of an unknown key may have meant: a neighbour, or a key of another section."""
    *parents, last = (part for part in place if isinstance(part, str))
    if not parents and last in _FORMER:
        return f"unknown key `{last}`, which was Racer 0.1.0's; {_FORMER[last]}"
    sections = _sections(model)
    here = sections[tuple(parents)]
    wanted = last[:_MOST_SHOWN].lower().replace("-", "_").replace(" ", "_")
    paths = {key: ".".join((*section, key)) for section, keys in sections.items() for key in keys}
    paths |= {key: key for key in here}
    # The very key in another section, a neighbour much like it, a key elsewhere that is nearly it.
    for keys, likeness in ((tuple(paths), 1.0), (here, 0.6), (tuple(paths), 0.8)):
        if near := get_close_matches(wanted, keys, n=1, cutoff=likeness):
            guess = paths[near[0]]
            place_of_guess = " It stands above the first section." if parents and guess in sections[()] else ""
            return f"unknown key `{last[:_MOST_SHOWN]}`; did you mean `{guess}`?{place_of_guess}"
    return f"unknown key `{last[:_MOST_SHOWN]}`; known here: {', '.join(here)}"


def _sections(model: type[BaseModel], name: tuple[str, ...] = ()) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the keys of every section, by its name."""
    found = {name: tuple(model.model_fields)}
    for key, field in model.model_fields.items():
        # A section, or a list of sections.
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _sections(kind, (*name, key))
    return found


def _place(problem: ErrorDetails) -> list[int | str]:
    """Return the keys and list entries that lead to a problem, without the tags of unions."""
    place = problem["loc"]
    # The last part is the file's own word where a key is unknown, and may be anything.
    tagged = place[:-1] if problem["type"] == "extra_forbidden" else place
    return [part for part in tagged if part not in (VARIED_TAG, LIST_TAG)] + list(place[len(tagged) :])


def _dotted(place: list[int | str]) -> str:
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part[:_MOST_SHOWN]}" if text else part[:_MOST_SHOWN]
    return text


def _shown(value: Any) -> str:
    """Return a value as the file might have it, cut short; never one that is expensive to write out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) <= MOST_INTEGER else "a number that is too large"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= _MOST_SHOWN else f'"{value[:_MOST_SHOWN]}..."'
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    return "a date or time"
