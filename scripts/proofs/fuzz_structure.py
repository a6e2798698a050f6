"""Recordings for `fuzz_inputs.py` whose structure is changed through HDF5 itself, as somebody hostile would."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from fuzz_cases import LIMITS, STEERING, TEXTS  # type: ignore[import-not-found]
from h5py import h5d, h5g, h5p, h5s, h5t, h5z


def spoil_structure(path: Path, canary: Path, rng: random.Random) -> None:
    """Change a recording through HDF5 itself, one to three times; `canary` is a file that nobody may open."""
    with h5py.File(path, "r+") as file:
        for _ in range(rng.randint(1, 3)):
            # What cannot be changed so stays as it is.
            with suppress(ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError):
                rng.choice(_CHANGES)(file, canary, rng)


def _objects(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return found


def _any_dataset(file: h5py.File, rng: random.Random) -> tuple[h5py.Group, str, h5py.Dataset]:
    name = rng.choice([name for name in _objects(file) if isinstance(file[name], h5py.Dataset)])
    return file[name].parent, name.rpartition("/")[2], file[name]


def _delete(file: h5py.File, canary: Path, rng: random.Random) -> None:
    del file[rng.choice(_objects(file))]


def _rename(file: h5py.File, canary: Path, rng: random.Random) -> None:
    one, other = rng.sample(_objects(file), 2)
    file.move(one, rng.choice((f"{other}x", f"episodes/{rng.randrange(20):03d}", "x")))


def _link(file: h5py.File, canary: Path, rng: random.Random) -> None:
    name, other = rng.sample(_objects(file), 2)
    target = file[other]
    del file[name]
    file[name] = rng.choice(
        (h5py.SoftLink("/" + other), h5py.ExternalLink(str(canary), "/" + name), target, file["/"], h5py.SoftLink("/x"))
    )


def _attribute(file: h5py.File, canary: Path, rng: random.Random) -> None:
    place = file[rng.choice(["/", *_objects(file)])]
    name = rng.choice([*place.attrs, "status", "rejected"])
    if rng.random() < 0.2:
        del place.attrs[name]
        return
    place.attrs[name] = rng.choice(
        (
            *TEXTS,
            rng.choice(LIMITS),
            -rng.choice(LIMITS[:-2]),
            float("nan"),
            np.zeros(3),
            np.zeros((1,), "S9"),
            np.bytes_(b"\xff\xfe"),
            place.ref,
            h5py.Empty("f"),
            "a\0b",
            True,
            np.zeros((), [("a", "i4")]),
            np.array([b"x"], h5py.string_dtype()),
        )
    )


def _many_attributes(file: h5py.File, canary: Path, rng: random.Random) -> None:
    place = file[rng.choice(["/", *_objects(file)])]
    for number in range(200):
        place.attrs[f"a{number}"] = "x" * 100


def _resize(file: h5py.File, canary: Path, rng: random.Random) -> None:
    _, _, dataset = _any_dataset(file, rng)
    dataset.resize(rng.choice((0, 1, 127, 129, 2**17, 2**17 + 1, 2**40, 2**62)), axis=0)


def _other_dataset(file: h5py.File, canary: Path, rng: random.Random) -> None:
    parent, name, old = _any_dataset(file, rng)
    dtype = rng.choice((old.dtype, "<i2", ">i8", "<f8", "S16", h5py.ref_dtype, h5py.string_dtype(), "V7", "<c16", "?"))
    shape = rng.choice((old.shape, (), (0,), (5,), (2**50,), (5, 2**20), old.shape[:1] + (7,) * (old.ndim - 1)))
    chunks = rng.choice((old.chunks, None, True, (1,) * len(shape)))
    options = rng.choice(
        ({}, {"compression": "gzip"}, {"compression": "lzf"}, {"scaleoffset": 2}, {"fletcher32": True})
    )
    del parent[name]
    growing = chunks is not None and shape
    parent.create_dataset(
        name, shape, dtype, chunks=chunks, maxshape=(None,) * len(shape) if growing else None, **options
    )


def _outside(file: h5py.File, canary: Path, rng: random.Random) -> None:
    parent, name, old = _any_dataset(file, rng)
    shape, dtype = old.shape, old.dtype
    del parent[name]
    if rng.random() < 0.5:
        parent.create_dataset(name, shape, dtype, external=[(str(canary), 0, h5py.h5f.UNLIMITED)])
        return
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(str(canary), "/" + name, shape)
    parent.create_virtual_dataset(name, layout)


def _foreign_filter(file: h5py.File, canary: Path, rng: random.Random) -> None:
    parent, name, old = _any_dataset(file, rng)
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk(old.chunks)
    plist.set_filter(rng.choice((32001, 32015, 305)), h5z.FLAG_OPTIONAL)
    space = h5s.create_simple(old.shape, (h5s.UNLIMITED,) * old.ndim)
    kind = h5t.py_create(old.dtype, logical=True)
    del parent[name]
    h5d.create(parent.id, name.encode(), kind, space, plist)


def _nested_deflate(file: h5py.File, canary: Path, rng: random.Random) -> None:
    """Compress a column several times over, some as one chunk of zeros that makes megabytes of a few bytes."""
    parent, name, old = _any_dataset(file, rng)
    chunk = rng.choice((old.chunks, (2**20, *old.shape[1:])))
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk(chunk)
    for _ in range(rng.choice((2, 3, 5))):
        plist.set_deflate(9)
    rows = rng.choice((len(old), 2**17)) if chunk != old.chunks and old.dtype.itemsize <= 8 else len(old)
    space = h5s.create_simple((rows, *old.shape[1:]), (h5s.UNLIMITED, *old.shape[1:]))
    kind = h5t.py_create(old.dtype, logical=True)
    values = old[...]
    del parent[name]
    h5d.create(parent.id, name.encode(), kind, space, plist)
    parent[name][: len(values)] = values


def _filtered_heap(file: h5py.File, canary: Path, rng: random.Random) -> None:
    """Put the links of a group on a heap that lies behind filters of its own."""
    name = rng.choice([name for name in _objects(file) if isinstance(file[name], h5py.Group)])
    links = dict(file[name].items())
    plist = h5p.create(h5p.GROUP_CREATE)
    library = ctypes.CDLL(h5p.__file__)  # h5py sets filters of datasets only
    library.H5Pset_link_phase_change.argtypes = (ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)
    library.H5Pset_link_phase_change(plist.id, 0, 0)
    library.H5Pset_filter.argtypes = (ctypes.c_int64, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p)
    for _ in range(rng.choice((1, 3))):
        number = rng.choice((h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, 32015, 305))
        library.H5Pset_filter(plist.id, number, h5z.FLAG_OPTIONAL, 1, (ctypes.c_uint * 1)(9))
    attributes = dict(file[name].attrs.items())
    del file[name]
    h5g.create(file.id, name.encode(), None, plist)
    for each, value in attributes.items():
        file[name].attrs[each] = value
    for each, target in links.items():
        file[name][each] = target


def _many_links(file: h5py.File, canary: Path, rng: random.Random) -> None:
    """Give an episode, or each of its columns, thousands of names."""
    episodes, original = file["episodes"], file["episodes"][rng.choice(list(file["episodes"]))]
    for _ in range(rng.choice((300, 3000))):
        if rng.random() < 0.9:
            episodes[f"{len(episodes):03d}"] = original
        else:
            group = episodes.create_group(f"{len(episodes):03d}")
            for name, value in original.attrs.items():
                group.attrs[name] = value
            for name, column in original.items():
                group[name] = column


def _words(file: h5py.File, canary: Path, rng: random.Random) -> None:
    """Put text that steers what shows it where answers and events are."""
    table = file[rng.choice(("answers", "events"))]
    table.resize(max(len(table), 1), axis=0)
    fields = [name for name in table.dtype.names if h5py.check_string_dtype(table.dtype[name])]
    table[rng.randrange(len(table)), rng.choice(fields)] = rng.choice(STEERING).encode()


def _values(file: h5py.File, canary: Path, rng: random.Random) -> None:
    _, _, dataset = _any_dataset(file, rng)
    where = tuple(rng.randrange(0, 2) * chunk for chunk in dataset.chunks)
    dataset.id.write_direct_chunk(
        where, rng.choice((b"\xff", b"\x80", b"\x02", rng.randbytes(1))) * rng.choice((1, 64, 4096))
    )


def _many_groups(file: h5py.File, canary: Path, rng: random.Random) -> None:
    for number in range(rng.choice((20, 400))):
        file["episodes"].require_group(f"{number:03d}")


_CHANGES: tuple[Callable[[h5py.File, Path, random.Random], None], ...] = (
    _attribute,
    _attribute,
    _delete,
    _filtered_heap,
    _foreign_filter,
    _link,
    _many_attributes,
    _many_groups,
    _many_links,
    _nested_deflate,
    _other_dataset,
    _other_dataset,
    _outside,
    _rename,
    _resize,
    _values,
    _words,
    _words,
)
