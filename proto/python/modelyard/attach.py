# SPDX-License-Identifier: Apache-2.0
"""The conversation on the attach socket (proto/load.def, attach_hello): a lease's token in, regions and the directory's bytes out.

The connection is the attachment: while it is open the loader counts us, and keeps the bytes. So everything that maps a region
holds the connection, and its last holder's death ends it.
"""
from __future__ import annotations

import mmap
import os
import socket
from typing import Any, Dict, List, Optional, Tuple

import msgpack

from .errors import error

ATTACH_S = 10.0  # a loader answers in less than a millisecond
PACKET_MAX = 256 * 1024  # 64 regions of at most 340 bytes are 22 KiB
DESCRIPTORS_MAX = 128  # of one packet: it carries 64 regions, and the directory
REGIONS_MAX = 256  # load_model_answer.regions
FILE = "file"  # attach_form; the others are on a GPU


class Connection:
    """Ours to the loader, closed when nobody holds it any more."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def __del__(self) -> None:
        self.socket.close()


class _Shared(mmap.mmap):
    """A mapped file that keeps the connection: arrays on it keep it, and so the attachment."""

    connection: Optional[Connection] = None


class Region:
    """A file of the model, mapped when it is first looked at, or an allocation on a GPU: a row of attach_answer."""

    def __init__(self, row: Dict[str, Any], descriptor: Optional[int], connection: Connection) -> None:
        self.name: str = row["name"]
        self.size: int = row["bytes"]
        self.form: str = row.get("form", FILE)
        self.uuid: str = row.get("device_uuid", "")
        self.handle = bytes.fromhex(row.get("handle", ""))  # of form ipc, which has no descriptor
        self.descriptor = descriptor
        self._connection = connection
        self._shared: Optional[_Shared] = None

    def __del__(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def shared(self) -> _Shared:
        """The file's own pages, for reading."""
        if self.form != FILE:
            raise error("not_implemented", f"the model lies on {self.name}, which numpy does not reach; use Model.torch, or load it "
                                           "with device=\"host\"")
        if self._shared is None:
            self._shared = _Shared(self.descriptor, self.size, mmap.MAP_SHARED, mmap.PROT_READ)
            self._shared.connection = self._connection
        return self._shared


class Attachment:
    """What came: ``regions``, and the ``directory`` as bytes with its count of ``tensors``."""

    def __init__(self, path: str, lease: str) -> None:
        self.connection = Connection()
        self.regions: List[Region] = []
        descriptors: List[int] = []
        try:
            door = self.connection.socket
            door.settimeout(ATTACH_S)
            door.connect(path)
            door.send(msgpack.packb({"lease": lease, "protocol": 1}))
            answer, descriptors = _receive(door)
            self.tensors: int = answer["tensors"]
            rows = list(answer.get("regions", ()))
            directory_bytes = answer["directory_bytes"]
            while answer.get("more") and len(rows) < REGIONS_MAX:
                answer, further = _receive(door)
                descriptors += further
                rows += answer.get("regions", ())
            if len(descriptors) != 1 + sum(map(_has_descriptor, rows)):
                raise error("bad_frame", f"the loader sent {len(descriptors)} descriptors for a directory and {len(rows)} regions")
            self.directory: bytes = os.pread(descriptors[0], directory_bytes, 0)
            for row in rows:
                if row.get("form", FILE) == FILE:
                    _check(descriptors[1], row)
                self.regions.append(Region(row, descriptors.pop(1) if _has_descriptor(row) else None, self.connection))
        except FileNotFoundError as cause:
            raise error("not_local", f"there is no attach socket {path} on this machine: attach where the loader runs") from cause
        except OSError as cause:
            raise error("gone", f"the attach socket {path} does not answer ({cause}); load again") from cause
        finally:
            _close(descriptors)


def _receive(door: socket.socket) -> Tuple[Dict[str, Any], List[int]]:
    packet, descriptors, flags, _ = socket.recv_fds(door, PACKET_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC)
    try:
        if not packet:
            raise error("gone", "the loader closed the attach connection without an answer; load again")
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise error("bad_frame", "the loader's answer is larger than this client takes, or this process has no descriptors "
                                     "left (ulimit -n)")
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


def _has_descriptor(row: Dict[str, Any]) -> bool:
    return row.get("form", FILE) != "ipc"


def _check(descriptor: int, row: Dict[str, Any]) -> None:
    """A file must be what the loader opened."""
    state = os.fstat(descriptor)
    if (state.st_dev, state.st_ino, state.st_size) != (row["device"], row["inode"], row["bytes"]):
        raise error("integrity", f"{row['name']} changed since it was loaded; load it again")
