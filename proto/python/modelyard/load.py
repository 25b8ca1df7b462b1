# SPDX-License-Identifier: Apache-2.0
"""A loaded model as numpy arrays and torch tensors on the model's own bytes, without a copy.

    with yard.load ("0123…") as model:
        model ["some.weight"]           # a numpy array, read-only
        network.load_state_dict (model.torch (), assign=True)

The bytes are mapped, not read: a tensor costs nothing until it is touched, and then the page cache is what every process
shares. The mapping, and with it the attachment that the loader counts, lives until the last array or tensor on it has died; the
lease ends with the ``with``, or with ``release``.

numpy's arrays are read-only. torch has no such tensors: on the host they are mapped copy on write, so what is written in place
stays this process's own (pages that are written then take memory of its own). Tensors on a GPU are everybody's, and are not to
be written. ``copy=True`` gives private copies of everything. What lies where its type cannot be read (an offset that is not a
multiple of the element's size, in files of old writers) is copied too, and ``Model.copied`` says so.
"""
from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, TYPE_CHECKING, Union

from .attach import Attachment

try:
    import numpy
except ImportError as cause:  # the rest of the package works without it
    raise ImportError("yard.load reads models with numpy, and numpy is not installed; install python3-numpy") from cause

from .directory import Directory

if TYPE_CHECKING:
    from torch import Tensor
    from .dlpack import Base, Holding
    from .tensors import Tensors
    from .yard import Yard

#: How each type of a file is read: numpy's own type where there is one …
TYPES = {"BOOL": "?", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "I32": "<i4", "U32": "<u4",
         "F32": "<f4", "I64": "<i8", "U64": "<u8", "F64": "<f8", "C64": "<c8"}
#: … and where there is none, the unsigned integer that holds the same bits. (Packed types: flat arrays of bytes, see ``directory``.)
VIEWS = {"BF16": "<u2", "F8_E5M2": "u1", "F8_E4M3": "u1", "F8_E8M0": "u1", "F8_E4M3FNUZ": "u1", "F8_E5M2FNUZ": "u1"}
KINDS = {word: numpy.dtype(kind) for word, kind in {**TYPES, **VIEWS}.items()}
BYTE = numpy.dtype("u1")


class Model(Mapping[str, "numpy.ndarray"]):
    """A leased model: a mapping from tensor names to read-only arrays, in the order of the file; ``torch`` gives torch's tensors.

    ``config`` is the record; ``lease``, ``place``, ``device``, ``form``, ``view`` (a directory that holds the model's files, for
    readers that know only paths), ``shared``, ``took_us`` and ``phases`` are the loader's answer. ``copied`` has the names and
    bytes of the tensors that were copied because they are not aligned. Arrays and tensors may be kept beyond the ``with``; new
    ones may not be made then."""

    def __init__(self, yard: "Yard", answer: Dict[str, Any], copy: bool = False) -> None:
        self._yard = yard
        self._copy = copy
        self.answer = answer
        self.config: Dict[str, Any] = answer["config"]
        self.lease: str = answer["lease"]
        self.place: str = answer["place"]
        self.device: str = answer["device"]
        self.form: str = answer["form"]
        self.view: str = answer["view"]
        self.shared: bool = answer["shared"]
        self.took_us: int = answer["took_us"]
        self.phases: Dict[str, int] = {phase["name"]: phase["us"] for phase in answer["phases"]}
        self.copied: Dict[str, int] = {}
        attachment = Attachment(answer["attach"], self.lease)
        self._directory = Directory(attachment.directory, attachment.tensors, [region.size for region in attachment.regions])
        self._attachment: Optional[Attachment] = attachment  # None: released
        self._holding: Optional["Holding"] = None
        self._tensors: Optional["Tensors"] = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.release()

    def release(self) -> None:
        """Ends the lease. Arrays and tensors that exist stay; the last one's death ends the attachment."""
        if self._attachment is None:
            return
        self._attachment = self._holding = self._tensors = None
        self._yard._release_quietly(self.answer)

    def _attached(self) -> Attachment:
        if self._attachment is None:
            raise ValueError(f"the lease of {self.config['name']} has ended; make arrays before that, or load it again")
        return self._attachment

    __eq__ = object.__eq__  # a mapping's own would compare gigabytes
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return len(self._directory.index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory.index)

    def __contains__(self, name: object) -> bool:
        return name in self._directory.index

    def __getitem__(self, name: str) -> "numpy.ndarray":
        directory = self._directory
        number = directory.index[name]
        region, offset, size = directory.place(number)
        word = directory.element(number, KINDS)
        kind = KINDS[word] if word else BYTE
        shape = directory.filled(name, number, kind.itemsize) if word else (size,)
        attachment = self._attached()
        if not size:
            return numpy.empty(shape, kind)
        flat = numpy.frombuffer(attachment.regions[region].shared(), kind, size // kind.itemsize, offset)
        if offset % kind.itemsize:
            self.copied[name] = size
            flat = flat.copy()
        elif self._copy:
            flat = flat.copy()
        flat.flags.writeable = self._copy
        return flat.reshape(shape)

    def torch(self, name: Optional[str] = None, *, copy: Optional[bool] = None) -> Union["Tensor", Dict[str, "Tensor"]]:
        """The tensor of a name, or a dict of all of them. ``copy``: private copies instead of views (default: as loaded).

        Needs torch, and the C library: see ``modelyard.dlpack.library``."""
        attachment = self._attached()
        if self._tensors is None:
            from .tensors import Tensors  # not before torch is asked for: it takes seconds

            self._tensors = Tensors(self._directory, self._held(attachment), self.copied)
        made = self._tensors.make(self if name is None else (name,), self._copy if copy is None else copy)
        return made if name is None else made[name]

    def bases(self) -> "Tuple[Base, ...]":
        """The model's regions, in their order, as DLPack producers of bytes: for array libraries beside torch."""
        from .dlpack import bases

        return tuple(bases(self._held(self._attached())))

    def _held(self, attachment: Attachment) -> "Holding":
        from .dlpack import hold

        if self._holding is None:
            self._holding = hold(attachment)
        return self._holding

    def dtype_of(self, name: str) -> str:
        """The type as the file names it: "F16", "BF16", "F8_E4M3" …"""
        return self._directory.dtype(self._directory.index[name])

    def shape_of(self, name: str) -> Tuple[int, ...]:
        """The shape in elements; that of the array, but for packed types."""
        return self._directory.shape(self._directory.index[name])
