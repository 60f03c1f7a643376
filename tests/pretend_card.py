"""A pretended graphics card: tensors that live in ordinary memory and are as touchy as those of a real card.

While `with pretend_card.here():` lasts there is a device `card`. What is put there computes as on the processor, but
reading it without `.cpu()`, mixing it with tensors that are not there, or drawing from it with a generator of elsewhere
raises what CUDA would raise. Whatever passes here may still be slow or wrong on a card; what fails here fails there.

A tensor of the card wraps an ordinary one, and a mode of torch's dispatcher sees every operation (as torch's own
`FakeTensor` does). torch then believes in an accelerator for good: use it in a process of its own. No autocast.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
import torch
from torch.utils._device import _device_constructors
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "card"
aten = torch.ops.aten
COPIES = {  # not several at once: CUDA copies those only within one device
    aten.copy_.default,
    aten._to_copy.default,
    aten._copy_from.default,
}
"""What may read from anywhere."""
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""What takes indices from the processor, too."""
JOINS = {aten.cat.default, aten.stack.default}
"""What does not even take a scalar of the processor."""


class CardTensor(torch.Tensor):
    """A tensor on the card; `raw` is where its numbers really are."""

    @staticmethod
    def __new__(cls, raw):
        layout = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, raw.shape, device=f"{NAME}:0", **layout)

    def __init__(self, raw):
        self.raw = raw

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def __repr__(self):
        return f"CardTensor({self.raw!r})"

    def __getitem__(self, key):
        """As any tensor's; lists and arrays are read by a part of torch that no subclass sees."""
        keys = key if isinstance(key, tuple) else (key,)
        return super().__getitem__(tuple(torch.tensor(k) if isinstance(k, list | np.ndarray) else k for k in keys))

    def tolist(self):
        return self.raw.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() to copy it first")


CardTensor.__module__ = "torch"  # as that of any tensor


ours = set()
"""Addresses of the card's generators, which is all that an operation is told."""


class Generator(torch.Generator):
    """Knows where its randomness belongs."""

    def __new__(cls, device="cpu"):
        self = super().__new__(cls, "cpu")
        (ours.add if torch.device(device).type == NAME else ours.discard)(self._cdata)
        return self


def computed(func, args, kwargs):
    """One operation, wherever it belongs."""
    flat = tree_flatten((args, kwargs))[0]
    cards = [x for x in flat if isinstance(x, CardTensor)]
    device = kwargs.get("device")
    told = device is not None and torch.device(device).type == NAME
    if not cards and not told:
        return func(*args, **kwargs)
    check(func, args, kwargs, flat, cards)
    known = {id(x.raw): x for x in cards}
    given, options = tree_map_only(CardTensor, lambda x: x.raw, (args, kwargs))
    if device is not None:
        options["device"] = "cpu"
    found = func(*given, **options)
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():  # a new shape for what is already there
            return func(*args, **kwargs)
    if func is aten.copy_.default and not isinstance(args[0], CardTensor):
        return args[0]
    if device is not None and not told:
        return found
    return tree_map_only(torch.Tensor, lambda x: known.get(id(x)) if id(x) in known else CardTensor(x), found)


def check(func, args, kwargs, flat, cards):
    """Raises `RuntimeError` where a real card would."""
    dice = kwargs.get("generator")
    if dice is not None and dice._cdata not in ours:
        raise RuntimeError(f"{func}: Expected a '{NAME}' device type for generator but found 'cpu'")
    if func in COPIES:
        return
    elsewhere = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, CardTensor)]
    if func in INDEXED and isinstance(args[0], CardTensor):
        values = [x for x in args[2:3] if isinstance(x, torch.Tensor)]
        elsewhere = [x for x in values if not isinstance(x, CardTensor)]
    if cards and any(x.ndim or func in JOINS for x in elsewhere):
        shapes = [tuple(x.shape) for x in flat if isinstance(x, torch.Tensor)]
        raise RuntimeError(f"{func} of {shapes}: Expected all tensors to be on the same device, {NAME}:0, not cpu")


class Card(TorchDispatchMode):
    """Sees what is made on the card out of nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.is_inference_mode_enabled():  # in which operations come before they are taken apart
            with self:
                found = func.decompose(*args, **kwargs or {})
            if found is not NotImplemented:
                return found
        return computed(func, args, kwargs or {})


class Backend:
    """What torch asks of the module of a device; its randomness is that of the processor."""

    def is_initialized(self):
        return True

    is_available = is_initialized

    def _is_in_bad_fork(self):
        return False

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def manual_seed_all(self, seed):
        pass

    def get_rng_state(self, device=0):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=0):
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


@cache
def built():
    """The device has a name."""
    _device_constructors()  # a list of functions that torch keeps: of the true ones, before `here` replaces two
    _setup_privateuseone_for_python_backend(NAME, Backend())


@contextmanager
def here():
    """There is a card while the block runs, and everything that asks for a device finds it."""
    built()
    with pytest.MonkeyPatch.context() as patch, Card():
        patch.setenv("ACCELERATE_TORCH_DEVICE", f"{NAME}:0")
        patch.setattr(torch, "Generator", Generator)
        for name in ("tensor", "as_tensor"):  # of lists and arrays, which no mode sees
            patch.setattr(torch, name, _moved(getattr(torch, name)))
        yield torch.device(NAME, 0)


def _moved(make):
    def made(data, *, dtype=None, device=None, **more):
        if device is None or torch.device(device).type != NAME:
            return make(data, dtype=dtype, device=device, **more)
        return (data if isinstance(data, torch.Tensor) else make(data, dtype=dtype)).to(device, dtype)

    return made
