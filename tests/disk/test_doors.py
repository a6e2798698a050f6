"""Every file is opened, made and renamed through `disk`: held by reading the source of all packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from references import UNKNOWN, Names

import disk

ROOT = Path(disk.__file__).parents[1]
PACKAGES = ("compression", "racer", "sessions")
OF_A_MODULE = re.compile(
    r"(\w+_)?(fd|p)?open(_\w+)?|load(_\w+)?|loadtxt|genfromtxt|save\w*|read_\w+|write_\w+|\w*memmap|from_?file|to_?file"
    r"|copy\w+|move|rename\w*|replace|link|symlink|truncate|mkdir|makedirs|mkfifo|mknod|mk\w*temp|\w*Temporary\w+"
    r"|\w*File\w*|\w*(Reader|Writer|Dataset)|im(read|save)|connect|CDLL|truetype|\w*Font|Sound"
    r"|basicConfig|system|run|Popen|check_\w+|exec\w*|spawn\w*|eval|__import__|import_module|\*",
    re.ASCII,
)
"""What opens files, or runs what does, by what it is called; of any module that is not of these packages."""
OF_ANYTHING = re.compile(
    r"(read|write)_(text|bytes)|touch|(sym|hard)link_to|open(_memmap)?|fdopen|load(_file)?|loadtxt|genfromtxt|fromfile"
    r"|save(z\w*|fig|txt|_file)?|memmap|tofile|rename|mkdir|copyfile|copytree|copy2|safe_open|\w*ZipFile|\w*ParquetWriter"
    r"|read_(csv|json|parquet|table|pickle|excel|hdf|feather)|to_(csv|json|parquet|pickle|excel|hdf|feather)|im(read|save)",
    re.ASCII,
)
"""The same of a value, whatever it is."""
NOT_OF_FILES = re.compile(
    r"re\.compile|(copy|dataclasses)\.(copy|deepcopy|replace)|numpy\.copy(sign|to)|math\.copysign|builtins\.File\w+|zipfile\.BadZipFile"
    r"|io\.Buffered(Reader|Writer)|numpy\.lib\.format\.(read|write)_\w+|safetensors\.(numpy|torch)\.(load|save)"
    r"|h5py\.(Dataset|check_string_dtype|h5[ad]\.open)|cryptography\.\S+\.load_pem_private_key"
)
"""Takes what is open already, or bytes, or nothing of the kind."""

BY_NAME = "a part that is named, by its module"
ENTRY = "an entry point of an installed package"
IN_MEMORY = "to memory"
OPENED = "a file that a door has opened"
OWN = "the package's own"
ALLOWED = {
    "compression/coders/coder.py": {"importlib.import_module": BY_NAME, "point.load": ENTRY},
    "compression/coders/pictures.py": {
        "self._pillow.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).save": IN_MEMORY,
        "self._pillow.open": "from memory",
    },
    "racer/cli.py": {
        "importlib.import_module": BY_NAME,
        "tempfile.NamedTemporaryFile": "the details of a defect, where the system keeps such files",
        "os.open": "of the null device",
        "signal.*": "a signal",
    },
    "racer/drivers/registry.py": {"importlib.import_module": BY_NAME, "point.load": ENTRY},
    "racer/rates/page.py": {"(files('racer.rates') / 'page.html').read_text": OWN},
    "racer/recordings/lerobot_export.py": {
        "self._parquet.ParquetWriter": "around a file from open_new",
        "pyarrow.*": "a type of values",
    },
    "racer/recordings/video.py": {"imageio_ffmpeg.write_frames": "to a whole_file, by ffmpeg"},
    "racer/report/drawing.py": {"figure.savefig": IN_MEMORY},
    "racer/report/scripting.py": {"(files('racer.report') / name).read_text": OWN},
    "racer/report/write.py": {
        **dict.fromkeys(("os.rename", "os.replace"), "what was made in a scratch_folder, and what it replaces"),
        **dict.fromkeys(("shutil.copytree", "shutil.copy2"), "into a scratch_folder, following no link"),
    },
    "racer/software.py": {"subprocess.run": "git, in the folder that the package was checked out to"},
    "racer/study/crowd.py": {
        "os.rename": "what was made in a scratch_folder",
        "Image.fromarray(large[:, :, 0] if large.shape[2] == 1 else large).save": IN_MEMORY,
    },
    "racer/study/init.py": {"(_FOLDER / f'{template}.toml').read_text": OWN},
    "racer/tasks/car_racing/rendering.py": {"pygame.font.Font": "pygame's own"},
    "racer/tasks/image_files.py": {"PIL.Image.open": OPENED},
    "racer/tasks/pictures/digits.py": {"sklearn.datasets.load_digits": "that package's own"},
    "racer/tasks/pictures/task.py": {"importlib.import_module": BY_NAME},
    "racer/tasks/registry.py": {"importlib.import_module": BY_NAME, "point.load": ENTRY},
    "racer/training/collect.py": {
        **dict.fromkeys(("numpy.load", "numpy.memmap"), OPENED),
        "numpy.savez": "into a whole_stream",
    },
    "racer/training/concepts.py": {"numpy.load": OPENED, "numpy.savez": "into a whole_stream"},
    "racer/training/curves.py": {"tensorboard.summary.writer.record_writer.RecordWriter": IN_MEMORY},
    "racer/training/models.py": {"os.replace": "what was made in a scratch_folder"},
    "racer/training/sheets.py": {"Image.fromarray(tiled(rows)).save": IN_MEMORY},
    "racer/watch/server.py": {"(files('racer.watch') / 'page.html').read_bytes": OWN},
    "racer/window/fonts.py": dict.fromkeys(
        ("pygame.font.Font", "pygame.freetype.Font"), "the package's own, and what the system lists as its fonts"
    ),
    "racer/window/gallery.py": {"pygame.image.save": IN_MEMORY},
    "racer/window/lost_display.py": {"ctypes.CDLL": "the library that SDL has loaded"},
    "racer/window/texts.py": {"(files('racer.window') / 'languages' / f'{language}.toml').read_bytes": OWN},
    "racer/window/tones.py": {"pygame.mixer.Sound": "from memory"},
    "sessions/export/export.py": {"zipfile.ZipFile": "around a file from open_new", "archive.open": "within it"},
    "sessions/export/formats.py": {
        "pyarrow.parquet.ParquetWriter": "around a file from open_new",
        "pyarrow.*": "a type of values",
    },
    "sessions/extras.py": {"importlib.import_module": "a package that the caller names"},
    "sessions/reader.py": {"h5py.File": "reads through a ReadOnlyFile, which a door has opened"},
    "sessions/recorder.py": {"h5py.File": "writes to a StagedFile"},
    "sessions/storage/interrupts.py": {"signal.*": "a signal"},
    "sessions/storage/plugins.py": {"ctypes.CDLL": "the library that h5py has loaded"},
}
"""By file, each reference that may stand there, and why it is no way around the doors."""

OTHERS = {"self._open", "self._experimenter.open", "display.load", "table.load", "self._tables[stored].load"}
"""Not of files, whatever they are called."""


def ways(source: str) -> Iterator[str]:
    """Yield what a module refers to that could open, make or rename a file."""
    for reference in Names(source).references():
        first, last = reference.name.partition(".")[0], reference.name.rpartition(".")[2]
        if first in (*PACKAGES, "disk") or NOT_OF_FILES.fullmatch(reference.name):
            continue
        if first != UNKNOWN:
            if OF_A_MODULE.fullmatch(last):
                yield reference.name
        # str.replace takes two arguments, Path.replace one
        elif OF_ANYTHING.fullmatch(last) or (last == "replace" and _takes_one(reference.call)):
            yield ast.unparse(reference.node)


def _takes_one(call: ast.Call | None) -> bool:
    return call is None or (len(call.args) == 1 and not call.keywords)


@cache
def found(package: str) -> dict[str, set[str]]:
    told = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if there := set(ways(path.read_text(encoding="utf-8"))) - OTHERS:
            told[path.relative_to(ROOT).as_posix()] = there
    return told


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_other_way_in_or_out(package: str) -> None:
    others = {name: there - set(ALLOWED.get(name, {})) for name, there in found(package).items()}
    assert {name: there for name, there in others.items() if there} == {}


def test_what_is_allowed_stands_there() -> None:
    everything = {name: there for package in PACKAGES for name, there in found(package).items()}
    assert {name: set(there) - everything.get(name, set()) for name, there in ALLOWED.items()} == {
        name: set() for name in ALLOWED
    }


@pytest.mark.parametrize(
    "source",
    [
        "open(path)",
        "path.open('w')",
        "path.read_bytes()",
        "import numpy as np\nnp.load(path)",
        "import h5py\nh5py.File(path)",
        "from io import FileIO\nFileIO(path)",
        "path.replace(other)",
        "map(path.replace, paths)",
        "import os\nos.replace(a, b)",
        "import os\nos.open(a, 0)",
        "import os\nos.makedirs(path)",
        "import tempfile\ntempfile.mkdtemp()",
        "from safetensors import safe_open\nsafe_open(path, 'np')",
        "path.mkdir()",
        "figure.savefig(path)",
        "import zipfile\nzipfile.ZipFile(path)",
        "path.write_text('x')",
        "pd.read_csv(path)",
        "from os import open as o\no(path, 0)",
        "from os import *",
        "from shutil import copyfile\ncopyfile(a, b)",
        "from numpy import load\nload(path)",
        "list(map(open, paths))",
        "from functools import partial\npartial(open, path)()",
        "import os\ngetattr(os, 'open')(path, 0)",
        "import os\ngetattr(os, name)(path, 0)",
        "import os\nway = os\nway.open(path, 0)",
        "import builtins\nbuiltins.open(path)",
        "__import__('os').open(path, 0)",
        "import importlib\nimportlib.import_module('os').open(path, 0)",
        "import pyarrow.parquet as pq\npq.read_table(path)",
        "import pyarrow.parquet as pq\npq.write_table(table, path)",
        "from sessions.extras import import_extra\nself._pq = import_extra('pyarrow.parquet', '', '')\n"
        "self._pq.write_table(table, path)",
        "import pygame\npygame.image.load(path)",
        "import torch\ntorch.jit.load(path)",
        "from filelock import FileLock\nFileLock(path)",
        "import pandas as pd\npd.read_json(path)",
        "import logging\nlogging.FileHandler(path)",
        "import logging\nlogging.basicConfig(filename=path)",
        "import subprocess\nsubprocess.Popen(command)",
        "class Log:\n    open: Opener = open",
    ],
)
def test_a_way_around_is_found(source: str) -> None:
    assert list(ways(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "text.replace('a', 'b')",
        "from dataclasses import replace\nreplace(config, steps=3)",
        "import re\nre.compile('x')",
        "from io import FileIO\ndef read(file: FileIO) -> FileIO: ...",
        "def open(path): ...\nopen(path)",
        "import sessions\nsessions.open(path)",
        "from disk.writing import open_new\nopen_new(path)",
        "getattr(self, name)",
    ],
)
def test_what_opens_nothing_is_not_taken_for_it(source: str) -> None:
    assert list(ways(source)) == []
