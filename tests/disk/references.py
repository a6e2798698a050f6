"""What a module's source refers to, called or not, by full name: seen through imports, aliases and `getattr`."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

UNKNOWN = "?"
"""What stands for a value that is no module, nor a member of one."""
_IMPORTERS = ("importlib.import_module", "builtins.__import__", "sessions.extras.import_extra")


@dataclass(frozen=True)
class Reference:
    """Something that a module names."""

    name: str
    """`os.open`; `?.read_text` where it is not known of what; `os.*` where it is not known what of it."""
    node: ast.expr
    call: ast.Call | None
    """The call of it, if it is called where it stands."""


class Names:
    """What the names of a module stand for; which function they are of is not looked at.

    Args:
        source: Of the module.
    """

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self._nodes = list(ast.walk(tree))
        self._own = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
        self._bound: dict[str, str] = {}
        for node in self._nodes:
            self._bind(node)
        for node in self._nodes * 2:  # an alias may have an alias
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                name = self._name(node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if not name.startswith(UNKNOWN) and (text := _text(target)):
                        self._bound[text] = name

    def references(self) -> Iterator[Reference]:
        """Yield all, the longest of each: `os.path.join`, and neither `os.path` nor `os`."""
        calls = {node.func: node for node in self._nodes if isinstance(node, ast.Call)}
        parts = {node.value for node in self._nodes if isinstance(node, ast.Attribute)}
        kinds = [getattr(node, name, None) for node in self._nodes for name in ("annotation", "returns")]
        told = {each for kind in kinds if kind is not None for each in ast.walk(kind)}
        for node in self._nodes:
            if node in told:
                continue
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                yield Reference(f"{node.module}.*", ast.Name("*"), None)
            elif (
                isinstance(node, ast.Attribute | ast.Name | ast.Call)
                and node not in parts
                and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
                and (name := self._name(node)) != UNKNOWN
            ):
                yield Reference(name, node, calls.get(node))

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]
                self._bound[each.asname or first] = each.name if each.asname else first
        elif isinstance(node, ast.ImportFrom):
            self._bound |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}

    def _name(self, node: ast.expr) -> str:
        if (known := self._bound.get(_text(node))) is not None:
            return known
        if isinstance(node, ast.Name):
            return f"builtins.{node.id}" if hasattr(builtins, node.id) and node.id not in self._own else UNKNOWN
        if isinstance(node, ast.Attribute):
            return f"{self._name(node.value)}.{node.attr}"
        if isinstance(node, ast.Call) and node.args:
            called, first, *others = self._name(node.func), *node.args
            if called in _IMPORTERS:
                return str(first.value) if isinstance(first, ast.Constant) else UNKNOWN
            if called == "builtins.getattr" and others:
                member = others[0].value if isinstance(others[0], ast.Constant) else "*"
                return f"{self._name(first)}.{member!s}"
        return UNKNOWN


def _text(node: ast.expr) -> str:
    """Return `a.b.c`; nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (text := _text(node.value)):
        return f"{text}.{node.attr}"
    return ""
