"""Dataclasses as HDF5 attributes: one per field, JSON where the field is a dict or a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import h5py
import numpy as np
from h5py import h5a

from sessions.schema import MOST_TEXT_BYTES
from sessions.task_record import TaskRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    InfoT = TypeVar("InfoT", bound=DataclassInstance)


def encode_info(info: DataclassInstance) -> dict[str, Any]:
    """Return a dataclass's fields, of type str, int, bool, dict or TaskRecord, as values to store as HDF5 attributes.

    Raises:
        ValueError: If a text has more than MOST_TEXT_BYTES bytes or a NUL, or a dict is not JSON.
    """
    return {field.name: _encode(field.name, getattr(info, field.name)) for field in fields(info)}


def _encode(name: str, value: Any) -> Any:
    if isinstance(value, TaskRecord):
        value = asdict(value)
    if isinstance(value, dict):
        try:
            value = json.dumps(value, allow_nan=False, ensure_ascii=False)
        except TypeError as error:
            raise ValueError(f"{name} must be JSON: {error}") from error
    if not isinstance(value, str):
        return value if isinstance(value, bool) else np.int64(value)
    if len(value.encode()) > MOST_TEXT_BYTES or "\0" in value:
        raise ValueError(f"{name} must be at most {MOST_TEXT_BYTES} bytes of UTF-8 without NUL")
    return value


def read_info(kind: type[InfoT], group: h5py.Group, names: Mapping[str, str] = {}, **known: Any) -> InfoT:
    """Read a dataclass whose fields were stored with `encode_info`; one with a default may be missing.

    Args:
        kind: Of dataclass.
        group: Has the attributes.
        names: Of attributes, by field, where they differ.
        known: Fields that are not to be read.

    Raises:
        ValueError, TypeError, KeyError: If an attribute is missing or is not what the field needs.
    """
    hints = _hints(kind)
    values: dict[str, Any] = dict(known)
    for field in fields(kind):
        name, hint = names.get(field.name, field.name), hints[field.name]
        if field.name in known or (field.default is not MISSING and not h5a.exists(group.id, name.encode())):
            continue
        if hint in (str, int, bool):
            values[field.name] = read_attribute(group, name, hint)
        else:
            value = read_json(group, name)
            values[field.name] = TaskRecord.from_json(value) if hint is TaskRecord else value
    return kind(**values)


def read_attribute(group: h5py.Group, name: str, kind: type[Any]) -> Any:
    """Read one attribute of type str, int or bool.

    The stored type is looked at before the value, so that no object reference, array or long string is ever loaded.

    Raises:
        ValueError: If the attribute is missing or of another type.
    """
    if not h5a.exists(group.id, name.encode()):
        raise ValueError(f"attribute {name} is missing")
    stored = h5a.open(group.id, name.encode())
    text = h5py.check_string_dtype(stored.dtype)
    if kind is str:
        fits = text is not None and text.length is None
    elif kind is bool:
        fits = stored.dtype == np.bool_
    else:
        fits = text is None and stored.dtype.kind in "iu"
    if not fits or stored.shape != ():
        raise ValueError(f"attribute {name} is not of type {kind.__name__}")
    value: Any = np.empty((), stored.dtype)
    stored.read(value)
    if kind is not str:
        return kind(value[()])
    if len(value[()]) > MOST_TEXT_BYTES:
        raise ValueError(f"attribute {name} has more than {MOST_TEXT_BYTES} bytes")
    return value[()].decode()


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def read_json(group: h5py.Group, name: str) -> dict[str, Any]:
    """Read an attribute that holds a JSON object. Raises ValueError if it does not."""
    value = json.loads(read_attribute(group, name, str))
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name} is not a JSON object")
    return value
