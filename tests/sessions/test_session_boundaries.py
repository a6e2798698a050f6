from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sessions

ROOT = Path(sessions.__file__).parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(sessions.__path__, "sessions."))
FORBIDDEN = {"racer", "compression", "torch", "pygame", "gymnasium", "Box2D"}


def test_importing_all_of_sessions_loads_nothing_of_the_other_packages() -> None:
    assert len(MODULES) >= 11
    script = f"import sys, {', '.join(MODULES)}; print('\\n'.join({{name.split('.')[0] for name in sys.modules}}))"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert child.returncode == 0, child.stderr
    loaded = set(child.stdout.split())
    assert "sessions" in loaded
    assert not loaded & FORBIDDEN


@pytest.mark.parametrize("name", MODULES)
def test_no_function_of_a_module_imports_the_other_packages_later(name: str) -> None:
    path = ROOT / name.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & FORBIDDEN
    assert not imported & {"pickle", "cPickle", "dill", "joblib"}, "a recording must not be able to run code"


def test_the_tests_of_sessions_need_none_of_the_other_packages() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & FORBIDDEN, path
