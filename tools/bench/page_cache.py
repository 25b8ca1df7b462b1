# SPDX-License-Identifier: Apache-2.0
"""Files that the page cache does not hold, and the proof: mincore(2) counts what it holds of them.

What lies below this machine (a disk's own cache, the host of a virtual one) is out of reach: a cold figure is only worth
something beside a peer that read the same file in the same round.
"""
from __future__ import annotations

import ctypes
import mmap
import os
import subprocess

import processes

LEFT_MAX = 0.001  # of a file: what the kernel may keep of it (a page that someone holds just now) and it still counts as cold
UNFIT = ("tmpfs", "ramfs")  # file systems whose files are the page cache, as stat(1) calls them
PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


def held(path: str) -> float:
    """How much of a file is in the page cache, 0 to 1."""
    size = os.stat(path).st_size
    pages = (size + PAGE - 1) // PAGE
    seen = (ctypes.c_ubyte * pages)()
    file = os.open(path, os.O_RDONLY)
    try:
        at = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
    finally:
        os.close(file)
    if at in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), f"cannot map {path}")
    rc = _libc.mincore(at, size, seen)
    _libc.munmap(at, size)
    if rc:
        raise OSError(ctypes.get_errno(), f"mincore of {path}")
    return (pages - bytes(seen).translate(_LOW_BIT).count(0)) / pages


_LOW_BIT = bytes(number & 1 for number in range(256))  # the other bits of mincore's answer mean nothing


def drop(path: str) -> float:
    """Drops it, and looks; how much the kernel kept. An OSError when that is too much to call it cold."""
    processes.forget_pages(path)
    kept = held(path)
    if kept > LEFT_MAX:
        raise OSError(f"the kernel keeps {kept:.1%} of {path} in the page cache (is it mapped somewhere?): this is not cold")
    return kept


def fill(path: str) -> None:
    """Reads it through the cache, so that the next reader finds all of it there."""
    with open(path, "rb", buffering=0) as file:
        while file.readinto(_block):
            pass


_block = bytearray(8 << 20)


def on_a_disk(folder: str) -> bool:
    """Is a file here something else than page cache?"""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    return kind not in UNFIT
