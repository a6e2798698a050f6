from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import disk

ROOT = Path(disk.__file__).parents[1]


def test_the_doors_need_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, disk.reading, disk.writing;"
        "print(*{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'})"
    )
    child = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert child.stdout.split() == ["disk"]
