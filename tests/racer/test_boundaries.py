"""The architecture, held by reading the source: what may import what, and where a task's own words stand."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import racer

ROOT = Path(racer.__file__).parents[1]
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "racer").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
PACKAGES = ("racer", "compression", "disk", "sessions", "scripts")
OF_DRIVING = {"off_road", "road_patches", "FRAME_SIZE"}
SCHEMA_1 = "sessions.version1"
"""Recordings of version 0.1.0 know one task, and leave its metrics to their reader."""
TASKS = ("car_racing", "lunar_lander", "pictures")


def everything_written() -> dict[str, str]:
    """Return the source of every module of every package, and of the scripts."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported anywhere below a node: modules, and whatever is taken from them as if it were one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and not node.level, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports when it is imported: nothing of its functions, or of what is for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        waiting += ast.iter_child_nodes(node)


def below(package: str, name: str) -> bool:
    """Return whether a module is a package or lies in it."""
    return name == package or name.startswith(package + ".")


def importers(package: str) -> set[str]:
    """Return the modules outside a package that import anything of it, whenever."""
    return {
        name
        for name, tree in TREES.items()
        if not below(package, name) and any(below(package, each) for each in imported(tree))
    }


def words(tree: ast.AST) -> Iterator[str]:
    """Yield every name, argument, attribute, keyword and text of a module, its docstrings included."""
    for node in ast.walk(tree):
        for name in ("id", "attr", "arg", "name", "value"):
            if isinstance(word := getattr(node, name, None), str):
                yield word


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (R. Tarjan, 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                found.append(sorted(component))

    for name in graph:
        if name not in order:
            visit(name)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_only_drivers_know_a_built_in_task(task: str) -> None:
    assert {name for name in importers(f"racer.tasks.{task}") if not below("racer.drivers", name)} == set()


def test_drivers_that_evaluate_know_nothing_of_compression() -> None:
    families = {name: tree for name, tree in TREES.items() if below("racer.drivers.families", name)}
    assert len(families) > 1
    knowing = {name for name, tree in families.items() if any(below("compression", each) for each in imported(tree))}
    assert knowing == set()


def test_families_of_drivers_know_nothing_of_each_other() -> None:
    families = {name: tree for name, tree in TREES.items() if below("racer.drivers.families", name)}
    for name, tree in families.items():
        others = {other for other in families if other not in (name, "racer.drivers.families")}
        assert not {each for each in imported(tree) if any(below(other, each) for other in others)}, name
    # What they share is the car and the hand on its wheel; how they see and decide is their own.
    (shared,) = {
        each.partition(".Hand")[0]
        for name, tree in families.items()
        for each in imported(tree)
        if below("racer.drivers", each) and not below("racer.drivers.driver", each) and each.endswith(".Hand")
    }
    assert shared == "racer.drivers.wheel"
    for module in (shared, "racer.drivers.craft"):
        known = imported(TREES[module])
        assert not {each for each in known if below("racer.drivers", each) or below("compression", each)}
    sighted = {name for name, tree in families.items() if any(".lunar_lander.sight" in each for each in imported(tree))}
    assert sighted == {"racer.drivers.families.lander_pilot"}  # the other pilots have eyes of their own


def test_networks_and_recordings_are_left_to_the_packages_that_know_how_they_are_kept() -> None:
    knowing = {
        name
        for name, tree in TREES.items()
        if any(below("torch", each) or below("h5py", each) for each in imported(tree))
    }
    assert knowing == set()


@pytest.mark.parametrize("word", sorted(OF_DRIVING))
def test_words_of_driving_stand_only_in_tasks_drivers_and_what_reads_schema_1(word: str) -> None:
    elsewhere = {
        name: source
        for name, source in everything_written().items()
        if not below("racer.tasks", name) and not below("racer.drivers", name) and name != SCHEMA_1
    }
    assert {name.partition(".")[0] for name in elsewhere} == set(PACKAGES)
    # Most modules do not have the letters anywhere: only those that do are parsed.
    suspected = {name: ast.parse(source) for name, source in elsewhere.items() if word in source}
    assert {name for name, tree in suspected.items() if any(word in each for each in words(tree))} == set()


def test_other_files_of_the_package_hold_no_words_of_driving_either() -> None:
    files = [path for ending in ("*.toml", "*.j2") for path in (ROOT / "racer").rglob(ending)]
    assert files
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {name for name, text in texts.items() if any(word in text for word in OF_DRIVING)} == set()


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {name: {each for each in at_import(tree) if each in TREES} - {name} for name, tree in TREES.items()}
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


@pytest.mark.parametrize("module", ["racer.tasks.task", "racer.tasks.registry"])
def test_what_a_task_is_can_be_asked_without_what_it_takes_to_run_one(module: str) -> None:
    code = f"import sys, {module}; print(*({{'torch', 'pygame', 'gymnasium'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("\n", "")


def test_every_built_in_task_is_described_without_what_it_takes_to_run_one() -> None:
    code = (
        "import sys; from racer.tasks.registry import BUILT_IN, make_task, needed_settings;"
        "[make_task(name).spec for name in BUILT_IN if not needed_settings(name)];"
        "print(*({'torch', 'pygame', 'gymnasium', 'Box2D'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("\n", "")


def test_a_study_is_begun_and_looked_at_without_what_it_takes_to_drive(tmp_path: Path) -> None:
    code = """
import sys
from racer import cli
for arguments in ("study init demo", "study status demo", "session list demo", "task list"):
    cli.make_app()(arguments.split(), standalone_mode=False)
print(*({"torch", "pygame", "gymnasium", "Box2D", "pandas", "statsmodels"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (result.stdout.splitlines()[-1], result.stderr) == ("", "")
