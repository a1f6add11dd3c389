"""The Apple Silicon contract, for a machine that has no Apple in it.

Code run inside `apple_silicon()` fails on any float64 or complex128 tensor and on any operator that
has no MPS kernel according to the installed torch's own `native_functions.yaml`. The backward
pass is watched as well, as long as it is run inside.

    with apple_silicon():
        loss = step()
        loss.backward()
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
import torchgen
import yaml
from torch._C import DispatchKey
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FORBIDDEN = (torch.float64, torch.complex128)

# Composite operators that ask for the device and then call its own kernel: on the CPU they would
# show what the CPU calls, so what they call on MPS is written here (aten/src/ATen/native/Convolution.cpp)
# and looked up like any other operator.
CHOSEN_BY_DEVICE = {
    "convolution": ("_mps_convolution", "_mps_convolution_transpose"),
    "convolution_backward": ("mps_convolution_backward", "mps_convolution_transpose_backward"),
}


class ContractBroken(AssertionError):
    """What was used that Apple Silicon does not have, one line each."""


@contextmanager
def apple_silicon() -> Iterator[None]:
    """Watch everything run inside; raise `ContractBroken` with every offence at the end.

    Attention is held to its plain form, which is the one MPS takes when gradients are asked for.
    """
    watch = _Watch()
    with sdpa_kernel(SDPBackend.MATH), watch:
        yield
    if watch.offences:
        raise ContractBroken("not on Apple Silicon:\n" + "\n".join(sorted(watch.offences)))


@lru_cache(maxsize=1)
def operators() -> dict[str, dict]:
    """native_functions.yaml by operator name ("add.Tensor"), with the names it generates pointing at what they wrap."""
    path = os.path.join(os.path.dirname(torchgen.__file__), "packaged", "ATen", "native", "native_functions.yaml")
    with open(path, encoding="utf-8") as file:
        entries = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    table = {_name(entry["func"]): entry for entry in entries}
    for name, entry in list(table.items()):
        for generated in filter(None, re.split(r",\s*", entry.get("autogen", ""))):
            table.setdefault(generated, {"wraps": name})
    return table


def dispatch_keys(name: str) -> frozenset[str] | None:
    """The backends an operator is registered for, following delegates; None if torch's table does not know it."""
    entry = operators().get(name)
    if entry is None:
        return None
    if "wraps" in entry:
        return dispatch_keys(entry["wraps"])
    if "structured_delegate" in entry:
        return dispatch_keys(entry["structured_delegate"])
    # An operator without a dispatch section is made of others (torchgen/model.py).
    sections = entry.get("dispatch", {"CompositeImplicitAutograd": ""})
    return frozenset(key.strip() for keys in sections for key in keys.split(","))


def _name(schema: str) -> str:
    return schema.split("(", 1)[0].strip()


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.offences: set[str] = set()
        self._open: list = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = self._run(func, args, kwargs)
        for leaf in tree_leaves((args, kwargs, out)):
            dtype = leaf.dtype if isinstance(leaf, torch.Tensor) else leaf
            if isinstance(dtype, torch.dtype) and dtype in FORBIDDEN:
                self.offences.add(f"{func}: {dtype}")
        return out

    def _run(self, func, args, kwargs):
        namespace, name = func.name().split("::", 1)
        keys = dispatch_keys(name) if namespace == "aten" else None
        if namespace == "profiler":  # marks for the profiler; they compute nothing
            pass
        elif keys is None:
            self.offences.add(f"{func}: not an operator of {namespace}'s that torch lists for MPS")
        elif "MPS" in keys:
            pass
        elif func in self._open:
            # What a mode returns is detached on the way out, which would open detach within detach for ever.
            pass
        elif name in CHOSEN_BY_DEVICE:
            for chosen in CHOSEN_BY_DEVICE[name]:
                if "MPS" not in (dispatch_keys(chosen) or ()):
                    self.offences.add(f"{func}: {chosen}, which it calls there, has no MPS kernel")
        else:
            # A composite operator is as available as what it calls, so its parts are run under the watch.
            for composite in ("CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional", "CompositeImplicitAutograd"):
                if composite in keys:
                    return self._opened(func, getattr(DispatchKey, composite), args, kwargs)
            self.offences.add(f"{func}: no MPS kernel, only {', '.join(sorted(keys))}")
        return func(*args, **kwargs)

    def _opened(self, func, key, args, kwargs):
        self._open.append(func)
        try:
            with self:
                return func._op_dk(key, *args, **kwargs)
        finally:
            self._open.pop()
