# SPDX-License-Identifier: Apache-2.0
"""The list of a model's tensors (proto/directory.h): names at once, everything else when it is asked for."""
from __future__ import annotations

import math
import struct
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy

from .errors import error

HEADER = struct.Struct("<8sIIQQQQQQ")
MAGIC = b"YARDDIR1"
VERSION = 1
ROW_MAJOR = 2 ** 64 - 1
#: Types of less than a byte per element (F4: two in a byte, F6: four in three), and GGUF's blocks ("ggml:Q4_K"): a flat run of bytes.
PACKED = ("F4", "F6_E2M3", "F6_E3M2")
GGML = "ggml:"
ROW = numpy.dtype([("name", "<u4"), ("name_bytes", "<u4"), ("dtype", "<u4"), ("dtype_bytes", "<u4"), ("shape", "<u4"),
                   ("rank", "<u4"), ("region", "<u4"), ("reserved", "<u4"), ("offset", "<u8"), ("bytes", "<u8"),
                   ("strides", "<u8"), ("reserved_too", "<u8")])


class Directory:
    """``index`` has the number of each name, in the order of the file; everything else goes by number."""

    def __init__(self, data: bytes, tensors: int, sizes: List[int]) -> None:
        if len(data) < HEADER.size:
            raise error("invalid_file", "the directory is shorter than its header")
        magic, version, count, rows, strings, strings_bytes, shapes, shapes_count, _ = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or count != tensors:
            raise error("invalid_file", "the directory is of another form than this client reads; update the client")
        if (rows + count * ROW.itemsize > len(data) or strings + strings_bytes > len(data)
                or shapes + 8 * shapes_count > len(data)):
            raise error("invalid_file", "the directory's tables do not lie within it")
        table = numpy.frombuffer(data, ROW, count, rows)
        self._strings = data[strings:strings + strings_bytes]
        self._shapes: List[int] = numpy.frombuffer(data, "<u8", shapes_count, shapes).tolist()
        # Plain integers by column: a list's item costs a tenth of a structured array's.
        columns = {field: table[field].tolist() for field in ROW.names}
        self._dtype = list(zip(columns["dtype"], columns["dtype_bytes"]))
        self._words: Dict[Tuple[int, int], str] = {}  # a model has a handful of types
        self._shape, self._rank = columns["shape"], columns["rank"]
        self._place = list(zip(columns["region"], columns["offset"], columns["bytes"]))
        text = self._strings
        self.index: Dict[str, int] = {text[at:at + size].decode(): number for number, (at, size)
                                      in enumerate(zip(columns["name"], columns["name_bytes"]))}
        self._check(table, sizes)

    def _check(self, table: "numpy.ndarray", sizes: List[int]) -> None:
        """Every tensor lies in its region, all of them at once: nothing behind here looks again."""
        if not len(table):
            return
        if table["region"].max() >= len(sizes):
            raise error("invalid_file", "the directory names a file that the model does not have")
        size = numpy.array(sizes, "<u8")[table["region"]]
        outside = (table["offset"] > size) | (table["bytes"] > size - numpy.minimum(table["offset"], size))
        if outside.any():
            name = list(self.index)[int(outside.argmax())] if len(self.index) == len(table) else "a tensor"
            raise error("invalid_file", f"the directory says that {name} lies outside of its file")
        if (table["strides"] != ROW_MAJOR).any():
            raise error("not_implemented", "a tensor with strides; this client reads row-major ones")

    def dtype(self, number: int) -> str:
        place = self._dtype[number]
        word = self._words.get(place)
        if word is None:
            word = self._words[place] = self._strings[place[0]:place[0] + place[1]].decode()
        return word

    def element(self, number: int, known: Mapping[str, Any]) -> Optional[str]:
        """The type's word if it is one of ``known``, where GGUF's plain types are the same as others'; None for what is packed."""
        word = self.dtype(number)
        if word in known:
            return word
        plain = word[len(GGML):] if word.startswith(GGML) else word
        if plain in known:
            return plain
        if word in PACKED or word.startswith(GGML):
            return None
        raise error("not_implemented", f"a tensor of type {word}, which this client does not read; update it")

    def shape(self, number: int) -> Tuple[int, ...]:
        at = self._shape[number]
        return tuple(self._shapes[at:at + self._rank[number]])

    def place(self, number: int) -> Tuple[int, int, int]:
        """Region, offset in it, bytes."""
        return self._place[number]

    def filled(self, name: str, number: int, width: int) -> Tuple[int, ...]:
        """The shape, once it is certain that elements of width bytes fill the tensor's bytes with it."""
        shape = self.shape(number)
        if math.prod(shape) * width != self._place[number][2]:
            raise error("invalid_file", f"the directory's shape of {name}, {shape}, does not have its bytes")
        return shape
