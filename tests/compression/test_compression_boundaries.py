from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import compression

ROOT = Path(compression.__file__).parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(compression.__path__, "compression."))
FORBIDDEN = {"racer", "sessions", "pygame", "gymnasium", "Box2D", "h5py"}


def test_importing_all_of_compression_loads_nothing_of_the_other_packages() -> None:
    assert len(MODULES) >= 11
    script = f"import sys, {', '.join(MODULES)}; print('\\n'.join({{name.split('.')[0] for name in sys.modules}}))"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert child.returncode == 0, child.stderr
    loaded = set(child.stdout.split())
    assert "compression" in loaded
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
    assert not imported & {"pickle", "cPickle", "dill", "joblib"}, "a model file must not be able to run code"
