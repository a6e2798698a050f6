"""Build the wheel for whoever has no compiler, and try it where there is none, as one JSON object.

    python scripts/build_wheel.py --out dist
    python scripts/build_wheel.py --out dist --no-build-isolation --python python3.12 --python python3.13

One wheel serves CPython 3.11 and all that follow (abi3). It is built from the files that git tracks, as they are now,
and installed into a fresh environment without a compiler on its path, which borrows this one's other packages. There it
has to draw by compiled code what pygame draws. `--python` names other versions that have to load the compiled module.
On Linux the wheel is named after glibc 2.17 (manylinux), which the module must not ask more of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

HERE = Path(__file__).resolve().parents[1]
LIBC = 2, 17
"""The oldest glibc that the wheel is for."""
TRIED = """
import hashlib, json, sys
import racer
from racer.software import everything
from racer.tasks.registry import make_task

frame = make_task("car-racing").start(1).frame()
print(json.dumps({"from": racer.__file__, **everything()["drawing"], "frame": hashlib.sha256(frame).hexdigest()}))
"""
LOADED = "import sys; sys.path.insert(0, sys.argv[1]); import _raster; print(_raster.scene.__name__)"


def build(out: Path, isolated: bool) -> Path:
    """Build the wheel from what git tracks and return it."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=HERE, capture_output=True, check=True).stdout
    with TemporaryDirectory() as scratch:
        source, made = Path(scratch, "source"), Path(scratch, "made")
        for name in tracked.decode().split("\0")[:-1]:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / name, source / name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made), str(source)]
        environment = dict(os.environ)
        if sys.platform == "linux":
            settings = Path(scratch, "platform.cfg")
            settings.write_text(f"[bdist_wheel]\nplat_name = manylinux_{LIBC[0]}_{LIBC[1]}_{platform.machine()}\n")
            environment["DIST_EXTRA_CONFIG"] = str(settings)
        subprocess.run([*command, *([] if isolated else ["--no-build-isolation"])], env=environment, check=True)
        (wheel,) = made.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, out / wheel.name))


def extract(wheel: Path, folder: Path) -> Path:
    """Return the compiled module of a wheel; SystemExit if there is none, or it is for one version of Python alone."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if Path(name).name in ("_raster.abi3.so", "_raster.pyd")]
        if len(names) != 1 or "-abi3-" not in wheel.name:
            raise SystemExit(f"{wheel} holds no module for all versions of Python: is there a C compiler?")
        return Path(archive.extract(names[0], folder))


def newest_libc(module: Path) -> tuple[int, int]:
    """Return the newest glibc that a module asks for; (0, 0) where it asks for none."""
    asked = re.findall(rb"GLIBC_(\d+)\.(\d+)", module.read_bytes())
    return max(((int(major), int(minor)) for major, minor in asked), default=(0, 0))


def tried(wheel: Path, folder: Path) -> dict[str, str]:
    """Install a wheel into a fresh environment without a compiler, draw there, and return who drew what."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    tools = folder / ("Scripts" if os.name == "nt" else "bin")
    python = str(tools / "python")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True)
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, check=True
    )
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    Path(where.stdout.decode().strip(), "borrowed.pth").write_text("\n".join(borrowed))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PATH": str(tools), "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run([python, "-c", TRIED], cwd=folder, env=environment, capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    if not Path(found["from"]).is_relative_to(folder.resolve()) or shutil.which("cc", path=str(tools)):
        raise SystemExit(f"what was tried is {found['from']}, and not the wheel without a compiler")
    if found["car-racing"] != "compiled":
        raise SystemExit(f"{wheel} was installed, and {found['car-racing']} draws: the bytes differ on this machine")
    return found


def main() -> None:
    """Build and try the wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the wheel")
    parser.add_argument("--no-build-isolation", action="store_true", help="build with the setuptools that is here")
    parser.add_argument("--python", action="append", default=[], help="another Python to load the module in")
    args = parser.parse_args()
    wheel = build(args.out, not args.no_build_isolation)
    with TemporaryDirectory() as scratch:
        module = extract(wheel, Path(scratch))
        if (libc := newest_libc(module)) > LIBC:
            raise SystemExit(f"the module asks for glibc {libc[0]}.{libc[1]}: build on an older system")
        found = tried(wheel, Path(scratch).resolve() / "environment")
        for python in args.python:
            subprocess.run([python, "-c", LOADED, str(module.parent)], stdout=subprocess.DEVNULL, check=True)
    told = {"wheel": str(wheel), "bytes": wheel.stat().st_size, "glibc": ".".join(map(str, libc))}
    drawn = {"drawn_by": found["car-racing"], "frame": found["frame"], "loaded_by": args.python}
    print(json.dumps(told | drawn, indent=2))


if __name__ == "__main__":
    main()
