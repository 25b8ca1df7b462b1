# SPDX-License-Identifier: Apache-2.0
"""A loaded model as read-only numpy arrays on the model's own file, without a copy.

The bytes are mapped, not read: an array costs nothing until it is touched, and then the page cache is what every process
shares. A mapping, and with it the attachment that the loader counts, lives until the last array on it has died; the lease ends
with the ``with``, or with ``release``. Types that numpy does not know come as unsigned integers that hold the same
bits (``BF16`` as uint16, the eight-bit floats as uint8, see ``VIEWS``); ``dtype_of`` says what they are.
"""
from __future__ import annotations

import mmap
import os
import socket
import struct
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, TYPE_CHECKING

import msgpack

from .errors import error

try:
    import numpy
except ImportError as cause:  # the rest of the package works without it
    raise ImportError("yard.load gives numpy arrays, and numpy is not installed; install python3-numpy") from cause

if TYPE_CHECKING:
    from .yard import Yard

ATTACH_S = 10.0  # a loader answers in less than a millisecond
PACKET_MAX = 256 * 1024  # 64 regions of at most 340 bytes are 22 KiB
DESCRIPTORS_MAX = 64  # of one packet
REGIONS_MAX = 256  # load_model_answer.regions

#: How each type of a file is read: numpy's own type where there is one.
TYPES = {"BOOL": "?", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "I32": "<i4", "U32": "<u4",
         "F32": "<f4", "I64": "<i8", "U64": "<u8", "F64": "<f8", "C64": "<c8"}
#: Where there is none: the unsigned integer that holds the same bits. Of one byte per element ...
VIEWS = {"BF16": "<u2", "F8_E5M2": "u1", "F8_E4M3": "u1", "F8_E8M0": "u1", "F8_E4M3FNUZ": "u1", "F8_E5M2FNUZ": "u1"}
#: ... and packed (F4: two elements in a byte, F6: four in three): a flat array of bytes; ``shape_of`` counts elements.
PACKED = ("F4", "F6_E2M3", "F6_E3M2")

# proto/directory.h
HEADER = struct.Struct("<8sIIQQQQQQ")
MAGIC = b"YARDDIR1"
VERSION = 1
ROW_MAJOR = 2 ** 64 - 1
ROW = numpy.dtype([("name", "<u4"), ("name_bytes", "<u4"), ("dtype", "<u4"), ("dtype_bytes", "<u4"), ("shape", "<u4"),
                   ("rank", "<u4"), ("region", "<u4"), ("reserved", "<u4"), ("offset", "<u8"), ("bytes", "<u8"),
                   ("strides", "<u8"), ("reserved_too", "<u8")])


class _Attachment:
    """The connection to the loader: while it is open, the loader counts us. Every mapping holds it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __del__(self) -> None:
        self._connection.close()


class _Region(mmap.mmap):
    """A mapped file that keeps its attachment: arrays on it keep it, and so the attachment."""

    attachment: Optional[_Attachment] = None


def _receive(connection: socket.socket) -> Tuple[Dict[str, Any], List[int]]:
    packet, descriptors, flags, _ = socket.recv_fds(connection, PACKET_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC)
    try:
        if not packet:
            raise error("gone", "the loader closed the attach connection without an answer; load again")
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise error("bad_frame", "the loader's answer is larger than any that this client knows")
        answer = msgpack.unpackb(packet)
        if answer.get("failure"):
            failure = answer["failure"]
            raise error(failure["code"], failure["text"], failure)
        return answer, descriptors
    except BaseException:
        _close(descriptors)
        raise


def _close(descriptors: List[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _map(descriptor: int, region: Dict[str, Any], attachment: _Attachment) -> _Region:
    state = os.fstat(descriptor)
    if (state.st_dev, state.st_ino, state.st_size) != (region["device"], region["inode"], region["bytes"]):
        raise error("integrity", f"{region['name']} changed since it was loaded; load it again")
    mapped = _Region(descriptor, region["bytes"], mmap.MAP_SHARED, mmap.PROT_READ)
    mapped.attachment = attachment
    return mapped


def _attach(path: str, lease: str) -> Tuple[bytes, int, List[_Region]]:
    """The directory's bytes, its count of tensors, and the mapped files."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    attachment = _Attachment(connection)
    descriptors: List[int] = []
    try:
        connection.settimeout(ATTACH_S)
        connection.connect(path)
        connection.send(msgpack.packb({"lease": lease, "protocol": 1}))
        answer, descriptors = _receive(connection)
        directory_bytes, tensors = answer["directory_bytes"], answer["tensors"]
        rows = list(answer.get("regions", ()))
        while answer.get("more") and len(rows) < REGIONS_MAX:
            answer, further = _receive(connection)
            descriptors += further
            rows += answer.get("regions", ())
        if len(descriptors) != len(rows) + 1:
            raise error("bad_frame", f"the loader sent {len(descriptors)} descriptors for a directory and {len(rows)} files")
        directory = os.pread(descriptors[0], directory_bytes, 0)
        return directory, tensors, [_map(fd, row, attachment) for fd, row in zip(descriptors[1:], rows)]
    except OSError as cause:
        raise error("gone", f"the attach socket {path} does not answer ({cause}); load again") from cause
    finally:
        _close(descriptors)


class _Directory:
    """The list of tensors: names at once, everything else when it is asked for."""

    def __init__(self, data: bytes, tensors: int) -> None:
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
        self._shapes = numpy.frombuffer(data, "<u8", shapes_count, shapes)
        # Plain integers by column: a list's item costs a tenth of a structured array's.
        self._columns = {field: table[field].tolist() for field in ROW.names}
        text = self._strings
        self.index = {text[at:at + size].decode(): number for number, (at, size)
                      in enumerate(zip(self._columns["name"], self._columns["name_bytes"]))}

    def dtype(self, number: int) -> str:
        at = self._columns["dtype"][number]
        return self._strings[at:at + self._columns["dtype_bytes"][number]].decode()

    def shape(self, number: int) -> Tuple[int, ...]:
        at = self._columns["shape"][number]
        return tuple(self._shapes[at:at + self._columns["rank"][number]].tolist())

    def place(self, number: int) -> Tuple[int, int, int]:
        if self._columns["strides"][number] != ROW_MAJOR:
            raise error("not_implemented", "a tensor with strides; this client reads row-major ones")
        return self._columns["region"][number], self._columns["offset"][number], self._columns["bytes"][number]


class Model(Mapping[str, "numpy.ndarray"]):
    """A leased model: a mapping from tensor names to read-only arrays, in the order of the file.

    ``config`` is the record; ``lease``, ``place``, ``device``, ``form``, ``view`` (a directory that holds the model's files, for
    readers that know only paths), ``shared``, ``took_us`` and ``phases`` are the loader's answer. Arrays may be kept
    beyond the ``with``; new ones may not be made then."""

    def __init__(self, yard: "Yard", answer: Dict[str, Any]) -> None:
        self._yard = yard
        self._released = False
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
        directory, tensors, self._regions = _attach(answer["attach"], self.lease)
        self._directory = _Directory(directory, tensors)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.release()

    def release(self) -> None:
        """Ends the lease. Arrays that exist stay; the last one's death ends the attachment."""
        if self._released:
            return
        self._released = True
        self._regions = []
        self._yard._release_quietly(self.answer)

    __eq__ = object.__eq__  # a mapping's own would compare gigabytes
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return len(self._directory.index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory.index)

    def __contains__(self, name: object) -> bool:
        return name in self._directory.index

    def __getitem__(self, name: str) -> "numpy.ndarray":
        number = self._directory.index[name]
        if self._released:
            raise ValueError(f"the lease of {self.config['name']} has ended; make arrays before that, or load it again")
        region, offset, size = self._directory.place(number)
        if region >= len(self._regions) or offset + size > len(self._regions[region]):
            raise error("invalid_file", f"the directory says that {name} lies outside of its file")
        word, shape = self._directory.dtype(number), self._directory.shape(number)
        kind = "u1" if word in PACKED else TYPES.get(word) or VIEWS.get(word)
        if kind is None:
            raise error("not_implemented", f"{name} is of type {word}, which this client does not read; update it")
        width = numpy.dtype(kind).itemsize
        flat = numpy.frombuffer(self._regions[region], kind, size // width, offset) if size else numpy.empty(0, kind)
        flat.flags.writeable = False
        return flat if word in PACKED else flat.reshape(shape)

    def dtype_of(self, name: str) -> str:
        """The type as the file names it: "F16", "BF16", "F8_E4M3" …"""
        return self._directory.dtype(self._directory.index[name])

    def shape_of(self, name: str) -> Tuple[int, ...]:
        """The shape in elements; that of the array, but for packed types."""
        return self._directory.shape(self._directory.index[name])
