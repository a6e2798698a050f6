"""Write everything that Racer says to people into one file, to be read as a whole before a release.

    python scripts/documents/write_wording.py --out build/wording.txt

The help of every command, what commands print, every error, and the screens in English and German beside each other.
Errors and prints are read from the source: what is filled in stands in braces.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import tomllib
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("racer", "compression", "sessions", "disk")
_LEAST_WORDS = 3
"""Of a text that somebody reads as a sentence."""


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = [*helps(), *messages(), *screens()]
    out.write_text("\n".join(parts) + "\n")
    print(f"{out}: {sum(len(part.split()) for part in parts)} words")


def helps() -> Iterable[str]:
    """Yield the help of every command as a terminal of 120 columns shows it."""
    os.environ |= {"COLUMNS": "120", "TERM": "dumb"}
    from racer.cli import command_line

    whole = command_line()
    for words in _commands(whole):
        shown = io.StringIO()
        with redirect_stdout(shown):
            whole([*words, "--help"], standalone_mode=False, prog_name="racer")
        yield f"\n==== racer {' '.join(words)}"
        yield shown.getvalue()


def _commands(command: Any, *before: str) -> Iterable[tuple[str, ...]]:
    yield before
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, *before, name)


def messages() -> Iterable[str]:
    """Yield the errors of every module, and what it prints."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        found = list(dict.fromkeys(_messages(ast.parse(path.read_text()))))
        if found:
            yield f"\n==== {path.relative_to(ROOT)}"
            yield from (f"- {message}" for message in found)


def _messages(tree: ast.Module) -> Iterable[str]:
    """Yield every text of a few words that is no docstring, in the order of the lines."""
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    silent |= {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    texts = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in silent
    ]
    for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset)):
        said = " ".join(_said(node).split())
        if len(said.split()) >= _LEAST_WORDS and not said.startswith(("SELECT", "<")):
            yield said


def _said(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_said(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value) + "}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def screens() -> Iterable[str]:
    """Yield every text of the screens, in English and German."""
    languages = [
        tomllib.loads((ROOT / "racer" / "window" / "languages" / f"{code}.toml").read_text()) for code in ("en", "de")
    ]
    english, german = ({path: text for path, text in _texts(language)} for language in languages)
    yield "\n==== screens"
    for path, text in english.items():
        yield f"{path}\n    {text}\n    {german.get(path, '(nothing)')}"


def _texts(value: object, path: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f"{path}.{name}".strip("."))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _texts(each, f"{path}.{place}")
    elif isinstance(value, str):
        yield path, value


if __name__ == "__main__":
    main()
