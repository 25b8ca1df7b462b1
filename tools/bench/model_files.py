# SPDX-License-Identifier: Apache-2.0
"""Models to measure loaders with: files of real bytes or of holes, with the manifest that an install leaves, their records, and
their end."""
from __future__ import annotations

import ctypes
import ctypes.util
import functools
import json
import os
from typing import Any

import numpy

import make_models
import modelyard
from yard import wait_for

TENSORS = 2000  # of a large diffusion or language model
CHUNK = 8 << 20  # of a manifest's checksums (the installer's)
MIB = 1 << 20


def sparse(yard: Any, name: str, size: int) -> str:
    """A file that takes no disk: to look at, not to read."""
    return make_models.many(_place(yard, name), TENSORS, size)


def filled(yard: Any, name: str, size: int, tensors: int = TENSORS, manifest: bool = False) -> str:
    """A file of noise, each block different, on the disk when this returns."""
    path = make_models.many(_place(yard, name), tensors, size)
    block = numpy.random.default_rng(1).integers(0, 256, CHUNK, "uint8")
    sums, end = [], os.stat(path).st_size
    with open(path, "r+b") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
        for number, at in enumerate(range(0, end, CHUNK)):
            block[::4096] = number % 251  # no two blocks alike, for disks that look for it
            begin = max(at, header)
            file.seek(begin)
            file.write(block[begin - at:min(CHUNK, end - at)].data)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        while manifest and (data := file.read(CHUNK)):
            sums.append(f"{_crc32c(data):08x}")
    if manifest:
        row = {"path": os.path.basename(path), "bytes": end, "sha256": "0" * 64, "chunk_bytes": CHUNK, "crc32c": "".join(sums)}
        with open(os.path.join(os.path.dirname(path), ".modelyard.json"), "w") as file:
            json.dump({"version": 1, "job": 1, "config": _config(yard, path, "0" * 32), "files": [row]}, file)
    return path


def add(yard: Any, client: Any, path: str, number: int) -> str:
    """Its record; the key."""
    key = f"{number:032x}"
    client.ask("record.add", {"config": _config(yard, path, key)})
    return key


def place_of(client: Any, device: str) -> str:
    """Of the loader that serves it."""
    places = [row["place"] for row in client.ask("yard.actors")["actors"]]
    return next(place for place in places if place.startswith("loader/") and place.endswith("/" + device))


def evict(client: Any, key: str, place: str = "") -> None:
    """All of its memory goes. The loader hears of an attachment's end on that attachment's own socket: perhaps after our ask."""
    suffix = f"@{place}" if place else ""

    def evicted() -> bool:
        try:
            client.ask("load.evict" + suffix, {"key": key})
        except modelyard.Conflict:
            return False
        return True

    def gone() -> bool:
        now = client.ask("load.device" + suffix)
        return now["held_bytes"] == now["draining_bytes"] == now["reserved_bytes"] == 0
    wait_for(evicted, what="the end of the attachment")
    wait_for(gone, what="the end of the model")


def cached_share(client: Any, place: str = "") -> float:
    """How much of all that a loader has read came from the page cache, 0 to 1; of loads that began cold it ought to be none."""
    now = client.ask("load.device" + (f"@{place}" if place else ""))
    return now["cached_bytes"] / max(now["read_bytes"], 1)


def _config(yard: Any, path: str, key: str) -> dict:
    return {"key": key, "name": os.path.basename(path), "type": "lora", "base": "sd-1", "format": "lycoris", "hash": "",
            "path": os.path.relpath(path, yard.models), "total_bytes": os.stat(path).st_size}


def _place(yard: Any, name: str) -> str:
    folder = os.path.join(yard.models, name)
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, "model.safetensors")


@functools.lru_cache(maxsize=None)
def _isal() -> Any:
    library = ctypes.CDLL(ctypes.util.find_library("isal") or "libisal.so.2")
    library.crc32_iscsi.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32]
    library.crc32_iscsi.restype = ctypes.c_uint32
    return library


def _crc32c(data: bytes) -> int:
    """As the product's; a wrong sum would end the load."""
    return ~_isal().crc32_iscsi(data, len(data), 0xFFFFFFFF) & 0xFFFFFFFF
