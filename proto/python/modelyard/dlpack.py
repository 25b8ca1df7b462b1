# SPDX-License-Identifier: Apache-2.0
"""Regions for array libraries, by DLPack and the C library (proto/client/holding.h, dlpack.h).

A ``Base`` is a whole region as bytes, for whoever speaks DLPack: ``torch.from_dlpack``, ``cupy.from_dlpack`` … What they make of it
keeps the mapping and the attachment without Python: the last tensor's death, in whatever thread, ends both.
"""
from __future__ import annotations

import ctypes
import functools
import os
from typing import Any, List, Optional, Tuple, TYPE_CHECKING

from .attach import FILE
from .errors import WORDS, error

if TYPE_CHECKING:
    from .attach import Attachment

LIBRARY = "libmodelyard.so.0"
CPU, CUDA = 1, 2  # DLDeviceType
HOST = -1  # YARD_HOLDING_HOST
FORMS = {"vmm": 1, "ipc": 2}  # cuda_import.h


class _Error(ctypes.Structure):  # yard_error_t
    _fields_ = [("code", ctypes.c_int), ("text", ctypes.c_char * 512)]


class _Handle(ctypes.Structure):  # yard_cuda_handle_t
    _fields_ = [("form", ctypes.c_int32), ("fd", ctypes.c_int32), ("bytes", ctypes.c_uint8 * 64), ("size", ctypes.c_uint64),
                ("uuid", ctypes.c_char * 72)]


class _Seen(ctypes.Structure):  # yard_holding_region_t
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("device", ctypes.c_int), ("writable", ctypes.c_bool)]


_POINTER, _ERROR = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(_Error)
FUNCTIONS = {
    "yard_holding_new": (ctypes.c_int, [ctypes.c_int, _POINTER, _ERROR]),
    "yard_holding_map": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, _ERROR]),
    "yard_holding_import": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(_Handle), _ERROR]),
    "yard_holding_count": (ctypes.c_size_t, [ctypes.c_void_p]),
    "yard_holding_region": (_Seen, [ctypes.c_void_p, ctypes.c_size_t]),
    "yard_holding_drop": (None, [_POINTER]),
    "yard_dlpack_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]),
    "yard_dlpack_versioned_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]),
    "yard_dlpack_destroy": (None, [_POINTER]),
    "yard_dlpack_versioned_destroy": (None, [_POINTER]),
}


@functools.lru_cache(maxsize=None)
def library() -> Any:
    """The C library, by $MODELYARD_LIBRARY or where the system has it. Raises ``NotServed`` when it is not there."""
    name = os.environ.get("MODELYARD_LIBRARY") or LIBRARY
    try:
        loaded = ctypes.CDLL(name)
        for function, (answer, arguments) in FUNCTIONS.items():
            getattr(loaded, function).restype = answer
            getattr(loaded, function).argtypes = arguments
    except (OSError, AttributeError) as cause:
        raise error("not_served", f"torch's tensors need the C library of this version, and {cause}; install it, or name its file in "
                                  f"MODELYARD_LIBRARY. numpy's arrays work without it") from cause
    return loaded


def _check(code: int, failure: _Error) -> None:
    if code:  # -1 is the first word of errors.def
        raise error(WORDS[-code - 1], failure.text.decode(errors="replace"))


class Holding:
    """The regions of an attachment in C's hands (proto/client/holding.h)."""

    def __init__(self, connection: int) -> None:
        self._self = ctypes.c_void_p()
        self._library = library()
        failure = _Error()
        _check(self._library.yard_holding_new(connection, ctypes.byref(self._self), ctypes.byref(failure)), failure)

    def __del__(self) -> None:
        if getattr(self, "_self", None):
            self._library.yard_holding_drop(ctypes.byref(self._self))

    def map(self, descriptor: int, size: int) -> None:
        """A host region: a file, copy on write."""
        failure = _Error()
        _check(self._library.yard_holding_map(self._self, descriptor, size, ctypes.byref(failure)), failure)

    def open(self, form: str, handle: Any, size: int, uuid: str) -> None:
        """A CUDA region: a whole allocation of ``size`` bytes on the device ``uuid``; ``handle`` is a descriptor (form "vmm"), which
        stays the caller's, or 64 bytes ("ipc")."""
        if form not in FORMS:
            raise error("not_implemented", f"the loader shares its memory as {form}, which this client does not know; update it")
        row = _Handle(form=FORMS[form], fd=-1, size=size, uuid=uuid.encode())
        if form == "vmm":
            row.fd = handle
        else:
            row.bytes = (ctypes.c_uint8 * 64).from_buffer_copy(handle)
        failure = _Error()
        _check(self._library.yard_holding_import(self._self, ctypes.byref(row), ctypes.byref(failure)), failure)

    def region(self, number: int) -> _Seen:
        return self._library.yard_holding_region(self._self, number)

    def capsule(self, number: int, versioned: bool) -> Any:
        make, name = ((self._library.yard_dlpack_versioned_new, VERSIONED) if versioned
                      else (self._library.yard_dlpack_new, PLAIN))
        return _capsule_new(make(self._self, number), name, _unused)


def hold(attachment: "Attachment") -> Holding:
    """The attachment's regions, in their order."""
    holding = Holding(attachment.connection.socket.fileno())
    for region in attachment.regions:
        if region.form == FILE:
            holding.map(region.descriptor, region.size)
        else:
            holding.open(region.form, region.handle or region.descriptor, region.size, region.uuid)
    return holding


class Base:
    """One region as a DLPack producer: bytes, one dimension."""

    def __init__(self, holding: Holding, number: int) -> None:
        self._holding, self._number = holding, number
        region = holding.region(number)
        self.bytes: int = region.bytes
        self.writable: bool = region.writable
        self._device = (CPU, 0) if region.device == HOST else (CUDA, region.device)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return self._device

    def __dlpack__(self, *, stream: Any = None, max_version: Optional[Tuple[int, int]] = None,
                   dl_device: Optional[Tuple[int, int]] = None, copy: Optional[bool] = None) -> Any:
        """The bytes were there before the lease was, so there is no stream to wait for. Neither copies nor moves."""
        if copy or (dl_device is not None and tuple(dl_device) != self._device):
            raise BufferError("a region is handed out where it is; copy what was made of it")
        return self._holding.capsule(self._number, max_version is not None and max_version[0] >= 1)


def bases(holding: Holding) -> List[Base]:
    return [Base(holding, number) for number in range(library().yard_holding_count(holding._self))]


# --- capsules: Python's wrapping, whose name says whether a consumer took what is in it
PLAIN, VERSIONED = ctypes.c_char_p(b"dltensor"), ctypes.c_char_p(b"dltensor_versioned")
_capsule_new = ctypes.pythonapi.PyCapsule_New
_capsule_new.restype, _capsule_new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
# By address: the capsule is dying, and must not be referred to.
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _unused(capsule: int) -> None:
    for name, end in ((PLAIN, "yard_dlpack_destroy"), (VERSIONED, "yard_dlpack_versioned_destroy")):
        if _is_valid(capsule, name):
            getattr(library(), end)(ctypes.byref(ctypes.c_void_p(_pointer(capsule, name))))


# A capsule may outlive this module, when the interpreter ends: what it calls must outlive both.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_unused))
