"""A device `cuda` for machines without one: it computes as the processor does, and refuses to be mixed with it.

Whatever goes by way of it therefore comes to the same bytes, or says what was left on the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.optim import adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_MAY_MIX = ("index", "index_put_", "copy_")
"""Operations that take indices, or values, from the processor as well, as they do of a real one."""


class _There(torch.Tensor):
    """A tensor that lies on the device."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> _There:
        made: _There = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=GPU
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


GPU = torch.device("meta")


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.__name__.partition(".")[0]
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, _There)]
    asked = kwargs.get("device")
    if there and asked is None and name not in _MAY_MIX:
        left = [each for each in tensors if not isinstance(each, _There) and each.ndim]
        assert not left, f"{name} mixes the device with the processor"
    goes = torch.device(asked).type == GPU.type if asked is not None else bool(there)
    given, named = tree_map(lambda each: each.here if isinstance(each, _There) else each, (args, kwargs))
    if asked is not None:
        named["device"] = torch.device("cpu")
        if name == "_to_copy" and given[0].device.type == "cpu" and len(named) == 1:
            named["dtype"] = given[0].dtype  # a copy, also where it is there already
    found = func(*given, **named)
    if not func._schema.returns:  # of lists, in place
        return None
    if name.endswith("_"):
        return args[0]
    if not goes or name == "_local_scalar_dense":
        return found
    return tree_map(lambda each: _There(each) if isinstance(each, torch.Tensor) else each, found)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Have a device `cuda` meanwhile."""
    with pytest.MonkeyPatch.context() as patched, _Mode():
        patched.setattr(adam, "_device_dtype_check_for_fused", lambda parameter: None)
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            yield
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)
