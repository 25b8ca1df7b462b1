# SPDX-License-Identifier: Apache-2.0
"""A model's tensors as torch's: views of one base tensor per region, 2,000 of them in a few milliseconds.

Types that this torch does not know come as integers that hold the same bits; ``Model.dtype_of`` says what they are.
"""
from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Tuple

import torch

from .directory import Directory
from .dlpack import Holding, bases

#: For each type of a file torch's names for it, the first that this torch has counts; the last is the same bits as integers.
NAMES = {"BOOL": ("bool",), "I8": ("int8",), "U8": ("uint8",), "I16": ("int16",), "U16": ("uint16", "int16"), "F16": ("float16",),
         "BF16": ("bfloat16",), "I32": ("int32",), "U32": ("uint32", "int32"), "F32": ("float32",), "I64": ("int64",),
         "U64": ("uint64", "int64"), "F64": ("float64",), "C64": ("complex64",), "F8_E4M3": ("float8_e4m3fn", "uint8"),
         "F8_E5M2": ("float8_e5m2", "uint8"), "F8_E8M0": ("float8_e8m0fnu", "uint8"), "F8_E4M3FNUZ": ("float8_e4m3fnuz", "uint8"),
         "F8_E5M2FNUZ": ("float8_e5m2fnuz", "uint8")}
KINDS = {word: next(getattr(torch, name) for name in names if hasattr(torch, name)) for word, names in NAMES.items()}
#: With the bytes of an element.
TYPES = {word: (kind, torch.empty(0, dtype=kind).element_size()) for word, kind in KINDS.items()}
#: Two elements in a byte: torch counts bytes, so its last dimension is half of the file's.
PAIRS = {"F4": getattr(torch, "float4_e2m1fn_x2", None)}


class Tensors:
    """Makes tensors of a holding's regions. Copies are made of what is asked for as copies, and of what cannot be viewed: a tensor
    whose offset is not a multiple of its element's size. These are made once, and noted in ``copied``."""

    def __init__(self, directory: Directory, holding: Holding, copied: Dict[str, int]) -> None:
        self._directory, self._copied = directory, copied
        self._bases: List[torch.Tensor] = [torch.from_dlpack(base) for base in bases(holding)]
        self._typed: Dict[Tuple[int, str], Callable[..., torch.Tensor]] = {}
        self._aligned: Dict[str, torch.Tensor] = {}

    def make(self, names: Iterable[str], copy: bool) -> Dict[str, torch.Tensor]:
        one, index = self._one, self._directory.index
        made = {name: one(name, index[name]) for name in names}
        return {name: tensor.clone() for name, tensor in made.items()} if copy else made

    def _one(self, name: str, number: int) -> torch.Tensor:
        directory = self._directory
        word = directory.element(number, TYPES)
        if word is None:
            return self._packed(number)
        kind, width = TYPES[word]
        region, offset, _ = directory.place(number)
        shape = directory.filled(name, number, width)
        if offset % width:
            return self._copy(name, number).view(kind).view(shape)
        base = self._typed.get((region, word)) or self._cut(region, word)
        return base(shape, strides_of(shape), offset // width)

    def _cut(self, region: int, word: str) -> Callable[..., torch.Tensor]:
        """The region as elements of one kind, from which one call makes a tensor."""
        kind, width = TYPES[word]
        base = self._bases[region]
        self._typed[region, word] = base[:len(base) // width * width].view(kind).as_strided
        return self._typed[region, word]

    def _packed(self, number: int) -> torch.Tensor:
        """A flat tensor of bytes, but for pairs that torch knows."""
        region, offset, size = self._directory.place(number)
        flat = self._bases[region][offset:offset + size]
        shape, kind = self._directory.shape(number), PAIRS.get(self._directory.dtype(number))
        if kind is None or not shape or shape[-1] % 2:
            return flat
        return flat.view((*shape[:-1], shape[-1] // 2)).view(kind)

    def _copy(self, name: str, number: int) -> torch.Tensor:
        """Its bytes, moved to where they may begin; once, so that what is written there is seen by who asks again."""
        if name not in self._aligned:
            region, offset, size = self._directory.place(number)
            self._aligned[name] = self._bases[region][offset:offset + size].clone()
            self._copied[name] = size
        return self._aligned[name]


def strides_of(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """Row-major, in elements."""
    if len(shape) < 2:
        return (1,) * len(shape)
    if len(shape) == 2:
        return shape[1], 1
    strides, step = [1] * len(shape), 1
    for at in range(len(shape) - 1, 0, -1):
        step *= shape[at]
        strides[at - 1] = step
    return tuple(strides)
