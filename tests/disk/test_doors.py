"""Every file is opened, made and renamed through `disk`: held by reading the source of all packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import disk

ROOT = Path(disk.__file__).parents[1]
PACKAGES = ("compression", "racer", "sessions")
METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "savefig"),
    *("open", "save", "rename", "memmap", "open_memmap", "savez", "savez_compressed", "fromfile", "tofile", "savetxt"),
    *("genfromtxt", "loadtxt", "fdopen", "load_file", "save_file", "safe_open", "ZipFile", "ParquetWriter"),
    *(
        "mkdir",
        "copyfile",
        "copytree",
        "copy2",
        "read_csv",
        "read_parquet",
        "to_csv",
        "to_parquet",
        "imread",
        "imsave",
    ),
}
NAMES = {"open", "FileIO", "File", "safe_open", "load_file", "save_file", "ZipFile"}
MODULES = {
    "os": {"mkdir", "makedirs", "open", "rename", "replace", "link", "symlink", "truncate"},
    "h5py": {"File"},
    "io": {"open", "FileIO"},
    "shutil": {"copy", "move", "copyfile", "copy2", "copytree"},
    **dict.fromkeys(("np", "numpy", "torch", "pickle"), frozenset({"load", "save", "savez", "memmap", "fromfile"})),
}
TEMPORARY = {"NamedTemporaryFile", "TemporaryDirectory", "mkdtemp", "mkstemp", "TemporaryFile"}

ALLOWED = {
    "sessions/reader.py": {"h5py.File": "reads through a ReadOnlyFile, which a door has opened"},
    "sessions/recorder.py": {
        "h5py.File": "writes to a StagedFile",
        "FileIO": "makes the recording anew (O_EXCL), for a CommittedFile",
    },
    "sessions/storage/committed_file.py": {"FileIO": "its own file, to which commits go"},
    "sessions/export/export.py": {"zipfile.ZipFile": "around a file from open_new", "archive.open": "within it"},
    "sessions/export/formats.py": {"parquet.ParquetWriter": "around a file from open_new"},
    "racer/recordings/lerobot_export.py": {"self._parquet.ParquetWriter": "around a file from open_new"},
    "racer/cli.py": {
        "tempfile.NamedTemporaryFile": "the details of a defect, where the system keeps such files",
        "os.open": "of the null device",
    },
    "racer/tasks/image_files.py": {"Image.open": "a file that a door has opened"},
    "racer/training/collect.py": {
        "np.load": "a file that a door has opened",
        "np.memmap": "a file that a door has opened",
        "np.savez": "into a whole_stream",
    },
    "racer/training/concepts.py": {
        "np.load": "a file that a door has opened",
        "np.savez": "into a whole_stream",
    },
    "racer/training/models.py": {"os.replace": "what was made in a scratch_folder"},
    "racer/training/sheets.py": {"Image.fromarray(tiled(rows)).save": "to memory"},
    "racer/rates/page.py": {"(files('racer.rates') / 'page.html').read_text": "the package's own"},
    "racer/report/drawing.py": {"figure.savefig": "to memory"},
    "racer/report/scripting.py": {"(files('racer.report') / name).read_text": "the package's own"},
    "racer/report/write.py": {
        **dict.fromkeys(("os.rename", "os.replace"), "what was made in a scratch_folder, and what it replaces"),
        **dict.fromkeys(("shutil.copytree", "shutil.copy2"), "into a scratch_folder, following no link"),
    },
    "racer/window/texts.py": {
        "(files('racer.window') / 'languages' / f'{language}.toml').read_bytes": "the package's own"
    },
    "racer/window/gallery.py": {"pygame.image.save": "to memory"},
    "racer/watch/server.py": {"(files('racer.watch') / 'page.html').read_bytes": "the package's own"},
    "racer/study/crowd.py": {
        "os.rename": "what was made in a scratch_folder",
        "Image.fromarray(large[:, :, 0] if large.shape[2] == 1 else large).save": "to memory",
    },
    "racer/study/init.py": {"(_FOLDER / f'{template}.toml').read_text": "the package's own"},
    "compression/coders/pictures.py": {
        "self._pillow.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).save": "to memory",
        "self._pillow.open": "from memory",
    },
}
"""By file, each call that may stand there, and why it is no way around the doors."""


def calls(source: str) -> Iterator[str]:
    """Yield the functions of a module's calls that could open, make or rename a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        told = ast.unparse(node.func)
        if isinstance(node.func, ast.Name):
            if node.func.id in NAMES:
                yield told
        elif isinstance(node.func, ast.Attribute):
            name, owner = node.func.attr, ast.unparse(node.func.value)
            if owner in MODULES:
                if name in MODULES[owner]:
                    yield told
            elif (
                name in TEMPORARY
                or (name in METHODS and not (owner == "sessions" and name == "open"))
                # str.replace takes two arguments, Path.replace takes one
                or (name == "replace" and len(node.args) == 1 and not node.keywords)
            ):
                yield told


OTHERS = {
    # Not of files, whatever they are called.
    *("self._open", "h5a.open", "h5d.open", "self._experimenter.open"),
}


def found(package: str) -> dict[str, set[str]]:
    told = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        ways = {each for each in calls(path.read_text(encoding="utf-8")) if each not in OTHERS}
        if ways:
            told[name] = ways
    return told


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_other_way_in_or_out(package: str) -> None:
    others = {name: ways - set(ALLOWED.get(name, {})) for name, ways in found(package).items()}
    assert {name: ways for name, ways in others.items() if ways} == {}


def test_what_is_allowed_stands_there() -> None:
    everything = {name: ways for package in PACKAGES for name, ways in found(package).items()}
    assert {name: set(ways) - everything.get(name, set()) for name, ways in ALLOWED.items()} == {
        name: set() for name in ALLOWED
    }


@pytest.mark.parametrize(
    "source",
    [
        *("open(path)", "path.open('w')", "path.read_bytes()", "np.load(path)", "h5py.File(path)", "FileIO(path)"),
        *("path.replace(other)", "os.replace(a, b)", "tempfile.mkdtemp()", "safe_open(path, 'np')", "os.open(a, 0)"),
        *(
            "path.mkdir()",
            "os.makedirs(path)",
            "figure.savefig(path)",
            "zipfile.ZipFile(path)",
            "path.write_text('x')",
            "pd.read_csv(path)",
        ),
    ],
)
def test_a_way_around_is_found(source: str) -> None:
    assert list(calls(source)) != []
