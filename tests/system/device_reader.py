"""Another process that gets at a GPU's memory: attaches with a lease, imports the memory, copies it to the host, writes it to a file.

    device_reader.py LIBCUDART ATTACH_SOCKET LEASE FILE [NUMBER OF THE DEVICE]      then a line "ready", and it ends when its stdin does

It speaks the attach socket and CUDA's own functions by itself, and nothing of the product's.
"""
import ctypes
import os
import socket
import sys

import msgpack

READ, POSIX_FD, DEVICE_TO_HOST = 1, 1, 2


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", ctypes.c_int)]


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * 64)]


def must(code, what):
    if code:
        sys.exit(f"{what}: {code}")


def attach(path, lease):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(path)
    connection.send(msgpack.packb({"lease": lease, "protocol": 1}))
    packet, descriptors, _, _ = socket.recv_fds(connection, 1 << 18, 64)
    return connection, msgpack.unpackb(packet), descriptors


def entry(cudart, name):
    function, found = ctypes.c_void_p(), ctypes.c_int()
    must(cudart.cudaGetDriverEntryPointByVersion(name.encode(), ctypes.byref(function), 12000, ctypes.c_ulonglong(0), ctypes.byref(found)), name)
    return function.value


def import_vmm(cudart, descriptor, size, device):
    handle, pointer = ctypes.c_ulonglong(), ctypes.c_ulonglong()
    access = Access(Location(1, device), READ)
    u64, fn = ctypes.c_ulonglong, ctypes.CFUNCTYPE
    must(fn(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(entry(cudart, "cuMemImportFromShareableHandle"))(
        ctypes.addressof(handle), descriptor, POSIX_FD), "import")
    must(fn(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, u64, u64)(entry(cudart, "cuMemAddressReserve"))(
        ctypes.addressof(pointer), size, 0, 0, 0), "reserve")
    must(fn(ctypes.c_int, u64, ctypes.c_size_t, ctypes.c_size_t, u64, u64)(entry(cudart, "cuMemMap"))(pointer, size, 0, handle, 0), "map")
    must(fn(ctypes.c_int, u64, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)(entry(cudart, "cuMemSetAccess"))(
        pointer, size, ctypes.addressof(access), 1), "access")

    def close():
        must(fn(ctypes.c_int, u64, ctypes.c_size_t)(entry(cudart, "cuMemUnmap"))(pointer, size), "unmap")
        must(fn(ctypes.c_int, u64)(entry(cudart, "cuMemRelease"))(handle), "release")
        must(fn(ctypes.c_int, u64, ctypes.c_size_t)(entry(cudart, "cuMemAddressFree"))(pointer, size), "free")
    return pointer.value, close


def import_ipc(cudart, handle):
    pointer = ctypes.c_void_p()
    must(cudart.cudaIpcOpenMemHandle(ctypes.byref(pointer), Handle.from_buffer_copy(bytes.fromhex(handle)), 1), "open")
    return pointer.value, lambda: must(cudart.cudaIpcCloseMemHandle(ctypes.c_void_p(pointer.value)), "close")


def main():
    library, path, lease, target = sys.argv[1:5]
    device = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    connection, answer, descriptors = attach(path, lease)
    if answer.get("failure"):
        sys.exit(answer["failure"]["code"])
    region = answer["regions"][0]
    cudart = ctypes.CDLL(library)
    must(cudart.cudaSetDevice(device), "device")
    pointer, close = import_vmm(cudart, descriptors[1], region["bytes"], device) if region["form"] == "vmm" else import_ipc(cudart, region["handle"])
    data = ctypes.create_string_buffer(region["bytes"])
    must(cudart.cudaMemcpy(data, ctypes.c_void_p(pointer), ctypes.c_size_t(region["bytes"]), DEVICE_TO_HOST), "copy")
    with open(target, "wb") as file:
        file.write(os.pread(descriptors[0], answer["directory_bytes"], 0).ljust(1 << 20, b"\0"))
        file.write(data.raw)
    print("ready", flush=True)
    sys.stdin.read()
    close()
    for descriptor in descriptors:
        os.close(descriptor)
    connection.close()


if __name__ == "__main__":
    main()
