"""Fill in the tables of docs/reference.md from the code: commands, study file, recordings, packets, masks.

    python scripts/documents/write_reference.py            # rewrites what stands between the markers
    python scripts/documents/write_reference.py --check    # exit code 1 if that would change anything

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference.md"
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


_TYPES: Final = {
    "dict[str, Any]": "JSON object",
    "dict[str, str]": "JSON object of texts",
    "tuple[str, ...]": "list of texts",
    "tuple[int, ...]": "list of numbers",
    "TaskRecord": "JSON object",
    "MaskInterval": "`episode` or `step`",
    "FillName": "`hold`, `prior` or `predict`",
}
_IN_WORDS: Final = {
    "See `names.check_name`.": "1 to 64 ASCII letters, digits, `-` and `_`, not starting with `-`.",
    "; see `names.check_name`": "",
    "`Step.time_ns`": "`time_ns`",
}
"""What the code's own words are for those who do not read it."""


def main() -> None:
    """Rewrite the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if the page is out of date")
    arguments = parser.parse_args()
    before = PAGE.read_text()
    after = fill_in(before)
    if arguments.check:
        sys.exit(f"{PAGE} is out of date: run python scripts/documents/write_reference.py" if before != after else 0)
    PAGE.write_text(after)


def fill_in(page: str) -> str:
    """Return the page with every generated part made anew."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]().strip()}\n\n{match[4]}", page)


def commands() -> str:
    """Return every command with its arguments and options."""
    from racer.cli import make_app

    return "\n\n".join(_commands("racer", make_app()))


def _commands(path: str, app: typer.Typer) -> Iterable[str]:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        yield from _command(f"{path} {name}", command.callback, str(command.epilog or ""))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(f"{path} {group.name}", group.typer_instance)


def _command(name: str, callback: Callable[..., Any], epilog: str) -> Iterable[str]:
    hints = get_type_hints(callback, include_extras=True)
    signature = inspect.signature(callback).parameters
    parameters = [Parameter(key, hints[key], signature[key].default) for key in signature if key != "context"]
    words = [parameter.usage for parameter in parameters if parameter.usage]
    yield f"### {name}"
    yield inspect.cleandoc(callback.__doc__ or "")
    yield f"```text\n{' '.join([name, '[OPTIONS]', *words])}\n```"
    yield table(("argument or option", "value", "default", "meaning"), [parameter.row for parameter in parameters])
    if epilog:
        word, _, example = epilog.partition(": ")
        yield f"{word}: {', or '.join(f'`{each}`' for each in example.split(', or '))}"


class Parameter:
    """An argument or option of a command, as its function declares it.

    Args:
        name: Of the function's parameter.
        hint: Its type with typer's `Argument` or `Option`.
        default: Its default; `inspect.Parameter.empty` where it must be given.
    """

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self._kind, self._info = get_args(hint)[:2]
        optional = [each for each in get_args(self._kind) if each is not type(None)]
        if isinstance(self._kind, UnionType):
            (self._kind,) = optional
        self._many = get_origin(self._kind) is list
        if self._many:
            (self._kind,) = get_args(self._kind)
        self._argument = isinstance(self._info, ArgumentInfo)
        self._default = default
        # Within `Annotated`, typer keeps the first of an option's names as if it were its default.
        declared = [name for name in (self._info.default, *(self._info.param_decls or ())) if isinstance(name, str)]
        written = [name for names in declared for name in names.split("/")]
        self.names = [name.upper()] if self._argument else written or [f"--{name.replace('_', '-')}"]

    @property
    def usage(self) -> str:
        """How it stands in the usage line; empty for what may be left out."""
        name = self.names[0] + ("..." if self._many and self._argument else "")
        if self._required:
            return name if self._argument else f"{name} {self._kind.__name__.upper()}"
        return f"[{name}]" if self._argument else ""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Names, value, default and meaning."""
        repeatable = "; repeatable" if self._many and not self._argument else ""
        default = f"`{self._default}`" if isinstance(self._default, str | float | int | Path) else ""
        default = "" if self._default is False else default
        names = ", ".join(f"`{name}`" for name in self.names)
        return names, self._value() + repeatable, "required" if self._required else default, _prose(self._info.help)

    @property
    def _required(self) -> bool:
        return self._default is inspect.Parameter.empty

    def _value(self) -> str:
        if self._kind is bool:
            return ""
        if issubclass(self._kind, StrEnum):
            return ", ".join(f"`{choice.value}`" for choice in self._kind)
        word = {int: "whole number", float: "number", str: "text", Path: "path"}[self._kind]
        low, high = self._info.min, self._info.max
        if low is None:
            return word
        end = "2^63 - 1" if high == 2**63 - 1 else high
        return f"{word}, {low} or more" if high is None else f"{word}, {low} to {end}"


def study_keys() -> str:
    """Return the keys of a study file, section by section."""
    from racer.study.file import StudyFile

    parts = []
    for title, model in _sections("", StudyFile):
        fields, documented = model.model_fields.items(), _documented(model)
        rows = [(f"`{name}`", _toml(field), _prose(documented[name][1])) for name, field in fields if not _inner(field)]
        if undocumented := [name for name, _, meaning in rows if not meaning]:
            sys.exit(f"{model.__name__}: say what {', '.join(undocumented)} means")
        parts.append(f"### {title}\n\n{_prose(model.__doc__ if title.startswith('`') else '')}".strip())
        parts.append(table(("key", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _sections(name: str, model: type[BaseModel]) -> Iterable[tuple[str, type[BaseModel]]]:
    yield (f"`{name}`" if name else "At the top"), model
    for key, field in model.model_fields.items():
        inner = _inner(field)
        if inner is None:
            continue
        path = f"{name}.{key}".strip(".") if name else key
        bare = path.strip("[]")
        yield from (
            _sections(f"[[{bare}]]" if _is_list(field) else f"[{bare}]", inner)
            if not name
            else _sections(f"[[{name.strip('[]')}.{key}]]" if _is_list(field) else f"[{name.strip('[]')}.{key}]", inner)
        )


def _is_list(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is tuple


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a section, or of the entries of a list of sections."""
    annotation: Any = field.annotation
    if _is_list(field):
        annotation = annotation.__args__[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _toml(field: FieldInfo) -> str:
    """Return a default as it stands in a study file."""
    if field.is_required():
        return "required"
    default = field.default
    return "" if default is None else f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def recording() -> str:
    """Return the schema of a recording."""
    from sessions import schema

    attributes = [
        ("schema_version", "int", f"{schema.SCHEMA_VERSION}; a reader refuses others."),
        ("status", "str", "`running` (also what a kill leaves behind), `complete` or `aborted`."),
    ]
    of_episode = [
        ("status", "str", "As of the recording: `complete` means driven to its end."),
        ("rejected", "bool", "The experimenter had it driven again. Missing means no."),
        ("n_steps", "int", "Rows of every column."),
    ]
    task = _example_task()
    columns = [
        (
            f"`{column.name}`",
            f"{np.dtype(column.dtype).name}{_shape(column, task)}",
            _sentence(column.meaning) + _ONLY_WHERE.get(column.name, ""),
            column.unit,
        )
        for column in schema.episode_columns(task).values()
    ]
    return "\n\n".join(
        [
            "### Attributes of the file",
            table(("attribute", "type", "meaning"), [*_coded(attributes), *_attributes(schema.SessionInfo)]),
            "### Attributes of an episode, `/episodes/000` and on",
            table(("attribute", "type", "meaning"), [*_coded(of_episode), *_attributes(schema.EpisodeInfo)]),
            "### Columns of an episode",
            schema.ROW_MEANING,
            "The metrics are those of car-racing here; L is the number of latents, B that of blocks.",
            table(("column", "type of a row", "meaning", "unit or range"), columns),
            "### Rows of `/events`",
            table(("field", "type", "meaning"), _attributes(schema.Event)),
            "### Rows of `/answers`",
            table(("field", "type", "meaning"), _attributes(schema.Answer)),
        ]
    )


_ONLY_WHERE = {
    "frame": " Only where frames were kept.",
    "applied": " Only where a link lies between the person and the task.",
}


def _example_task() -> Any:
    """Return the record of a task, to see which columns follow from it."""
    from racer.tasks.latent_model import load_task_model
    from racer.tasks.record import record_of
    from racer.tasks.registry import make_task

    task = make_task()
    return record_of(task, load_task_model(task.spec))


def _shape(column: Any, task: Any) -> str:
    named = {"packet": "[packet_bytes]", "latent": "[L]", "received": "[L]", "mask": "[B]", "frame": "[H, W, C]"}
    if column.name in named:
        return named[column.name]
    return f"[{', '.join(map(str, column.shape))}]" if column.shape else ""


def _coded(rows: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [(f"`{name}`", kind, meaning) for name, kind, meaning in rows]


def _attributes(data: type) -> list[tuple[str, str, str]]:
    """Return name, type and docstring of each field of a dataclass."""
    rows = []
    for name, (kind, meaning) in _documented(data).items():
        for code, words in _IN_WORDS.items():
            meaning = meaning.replace(code, words)
        rows.append((f"`{name}`", _TYPES.get(kind, kind), _prose(meaning)))
    return rows


def _documented(data: type) -> dict[str, tuple[str, str]]:
    """Return each field's type and docstring as they stand in a class, or in one that it inherits from."""
    found: dict[str, tuple[str, str]] = {}
    for each in reversed(data.__mro__):
        if each.__module__ != data.__module__:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                meaning = str(following.value.value) if documented else ""  # type: ignore[union-attr]
                found[statement.target.id] = ast.unparse(statement.annotation), meaning
    return found


def packet() -> str:
    """Return a packet worked out number by number."""
    from compression.coders.packet import layout_for
    from compression.masks import mask_table
    from racer.tasks.latent_model import load_task_model
    from racer.tasks.registry import make_task

    layout = layout_for(85, load_task_model(make_task().spec).sizes)
    index = 11
    sent = ", ".join(str(block) for block in np.flatnonzero(mask_table(layout.blocks, layout.sent)[index]))
    symbols = [position % levels for position, levels in enumerate(layout.levels)]
    value = index
    lines = [f"mask index                               {value}"]
    for position, (symbol, levels) in enumerate(zip(symbols, layout.levels, strict=True)):
        value = value * levels + symbol
        if position < 2 or position == len(symbols) - 1:
            lines.append(f"x {levels} + {symbol:<2} (feature {position:>2} of those sent)    = {value}")
        elif position == 2:
            lines.append("...")
    data = layout.pack(index, symbols)
    lines += [
        f"as {len(data)} bytes, big-endian                    {data.hex()}",
        f"bits needed of 85: {value.bit_length()}",
    ]
    example = (
        f"An example: mask {index} sends blocks {sent}. With the symbols {symbols[0]}, {symbols[1]}, ... {symbols[-1]}:"
    )
    return f"{example}\n\n```text\n" + "\n".join(lines) + "\n```"


def mask() -> str:
    """Return what a mask file says of itself."""
    from compression.fitting.fitted import FittedRecord

    return table(("key", "type", "meaning"), _attributes(FittedRecord))


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *escaped))


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


PARTS: Final[dict[str, Callable[[], str]]] = {
    "commands": commands,
    "study": study_keys,
    "recording": recording,
    "packet": packet,
    "mask": mask,
}

if __name__ == "__main__":
    main()
