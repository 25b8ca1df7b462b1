"""Resident models: read once, checked, sealed, budgeted; what is idle goes when room is needed."""
import ctypes
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import threading

import msgpack
import numpy
import pytest

import make_models
import modelyard
from test_load import add, bytes_of, key_of, place
from yard import ROOT, Failed, wait_for

RELEASE = os.environ.get("YARD_RELEASE_BUILD", os.path.join(ROOT, "build", "release"))
RELEASE = RELEASE if os.path.exists(os.path.join(RELEASE, "bin", "modelyard-loader")) else None
F_GET_SEALS, SHRINK, GROW, FUTURE_WRITE = 1034, 2, 4, 16
MIB = 1 << 20


def model_file(yard, name, mib, seed=1):
    """A LoRA-like file of real bytes."""
    path = place(yard, "sd-1", "lora", name, name + ".safetensors")
    data = numpy.random.default_rng(seed).integers(0, 255, mib * MIB, dtype="uint8")
    return make_models.write(path, [("lora_unet_a", "U8", (mib * MIB // 2,), data[:mib * MIB // 2].tobytes()),
                                    ("lora_unet_b", "F16", (mib * MIB // 4,), data[mib * MIB // 2:].tobytes())])


def crc32c(data):
    """RFC 3720 B.4, by Intel's library (libisal2), which leaves the last complement to the caller."""
    crc = ISAL.crc32_iscsi(data, len(data), 0xffffffff) & 0xffffffff
    return crc ^ 0xffffffff


ISAL = ctypes.CDLL("libisal.so.2")
ISAL.crc32_iscsi.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint]
assert crc32c(b"123456789") == 0xe3069283


def manifest(path, key, chunk=65536):
    """What an install writes beside a file."""
    with open(path, "rb") as file:
        data = file.read()
    config = {"key": key, "name": "one", "type": "lora", "base": "sd-1", "format": "lycoris", "path": "x", "hash": ""}
    row = {"path": os.path.basename(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "chunk_bytes": chunk,
           "crc32c": "".join(f"{crc32c(data[at:at + chunk]):08x}" for at in range(0, len(data), chunk))}
    with open(os.path.join(os.path.dirname(path), ".modelyard.json"), "w") as file:
        json.dump({"version": 1, "job": 1, "config": config, "files": [row]}, file)


def attach(answer):
    """The raw attach socket: (connection, answer, descriptors)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(10)
    connection.connect(answer["attach"])
    connection.send(msgpack.packb({"lease": answer["lease"], "protocol": 1}))
    packet, descriptors, _, _ = socket.recv_fds(connection, 1 << 18, 64)
    return connection, msgpack.unpackb(packet), descriptors


def resident_pages(file, pages):
    """mincore(2) over a mapping of the file."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    at = libc.mmap(None, pages * 4096, 1, 1, file, 0)
    vector = ctypes.create_string_buffer(pages)
    assert libc.mincore(at, pages * 4096, vector) == 0
    libc.munmap(at, pages * 4096)
    return sum(byte & 1 for byte in vector.raw)


def device(client):
    return client.ask("load.device")


def settled(client):
    """Its numbers, when nothing is on its way out any more."""
    wait_for(lambda: device(client)["draining_bytes"] == 0 and device(client)["reserved_bytes"] == 0, what="the end of draining")
    return device(client)


@pytest.fixture
def small(make_yard):
    """A loader with room for three models of 4 MiB and a bit; gives (yard, client with hello, keys)."""
    yard = make_yard(**{"loader.host_bytes": str(13 * MIB)})
    yard.start("broker", "recorder", "loader")
    keys = [add(yard, model_file(yard, f"m{number}", 4, number), number, name=f"m{number}") for number in range(6)]
    yield yard, yard.client(hello=True), keys


def test_a_resident_model_is_the_files_bytes_in_sealed_memory(yard):  # R6.1 R6.5
    path = model_file(yard, "one", 20)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    answer = client.ask("load.model", {"key": key, "form": "resident"})
    assert answer["form"] == "resident" and answer["regions"] == [{"name": "one.safetensors", "bytes": os.path.getsize(path)}]
    assert {"record", "open", "parse", "directory", "room", "prepare", "read", "finish", "lease"} <= {row["name"] for row in answer["phases"]}
    connection, attached, descriptors = attach(answer)
    with open(path, "rb") as file:
        want = file.read()
    state = os.fstat(descriptors[1])
    assert (state.st_dev, state.st_ino) == (attached["regions"][0]["device"], attached["regions"][0]["inode"])
    assert state.st_ino != os.stat(path).st_ino
    assert os.pread(descriptors[1], len(want) + 1, 0) == want
    seals = fcntl.fcntl(descriptors[1], F_GET_SEALS)
    assert seals & (SHRINK | GROW | FUTURE_WRITE) == SHRINK | GROW | FUTURE_WRITE
    with pytest.raises(OSError):
        os.ftruncate(os.open(f"/proc/self/fd/{descriptors[1]}", os.O_RDWR), 0)
    with open(os.path.join(answer["view"], "one.safetensors"), "rb") as file:
        assert file.read() == want
    os.truncate(path, 100)  # what happens to the file now is nothing to it
    assert os.pread(descriptors[1], len(want), 0) == want
    connection.close()


def test_two_clients_share_one_copy_and_the_python_client_reads_it(yard):  # R6.5
    path = model_file(yard, "one", 8)
    yard.start("broker", "recorder", "loader")
    key, want = add(yard, path), bytes_of(path)
    with modelyard.connect(yard.run) as first, modelyard.connect(yard.run) as second:
        one, two = first.load(key=key, form="resident"), second.load(key=key, form="resident")
        assert not one.shared and two.shared and one.form == "resident"
        assert {name: one[name].tobytes() for name in one} == want == {name: two[name].tobytes() for name in two}
        assert device(yard.client())["held_bytes"] == os.path.getsize(path)


def test_chunks_are_held_against_the_manifest(yard):
    good, bad = (model_file(yard, name, 1, seed) for seed, name in enumerate(("good", "bad")))
    yard.start("broker", "recorder", "loader")
    keys = [add(yard, path, number, name=str(number)) for number, path in enumerate((good, bad), 1)]
    manifest(good, keys[0])
    manifest(bad, keys[1])
    with open(bad, "r+b") as file:
        file.seek(700_000)
        byte = file.read(1)[0]
        file.seek(700_000)
        file.write(bytes([byte ^ 1]))
    client = yard.client(hello=True)
    answer = client.ask("load.model", {"key": keys[0], "form": "resident"})
    assert answer["checked_bytes"] == os.path.getsize(good)
    with pytest.raises(Failed) as failure:
        client.ask("load.model", {"key": keys[1], "form": "resident"})
    assert failure.value.code == "integrity" and "bad.safetensors" in failure.value.text
    assert settled(client)["held_bytes"] == os.path.getsize(good)
    client.ask("load.model", {"key": keys[1]})  # mapped, nothing is read, so nothing is checked


def test_the_least_recently_used_goes_when_room_is_needed(small):  # R6.5
    yard, client, keys = small
    follower = yard.client(hello=True)
    follower.follow("model_evicted")
    for key in keys[:3]:
        answer = client.ask("load.model", {"key": key, "form": "resident"})
        client.ask("load.release", {"lease": answer["lease"]})
    answer = client.ask("load.model", {"key": keys[0], "form": "resident"})
    assert answer["shared"]
    client.ask("load.release", {"lease": answer["lease"]})
    client.ask("load.model", {"key": keys[3], "form": "resident"})
    _, topic, body, _ = follower.next_event()
    assert topic == f"model_evicted/{keys[1]}/" and body["reason"] == "room" and body["model_key"] == keys[1]
    states = {row["key"]: row["state"] for row in client.ask("load.list")["loads"]}
    assert states == {keys[0]: "idle", keys[2]: "idle", keys[3]: "leased"}


def test_a_leased_model_is_never_evicted_and_the_load_waits_for_it(small):  # R6.2 R6.5 E5
    _, client, keys = small
    leases = [client.ask("load.model", {"key": key, "form": "resident"})["lease"] for key in keys[:3]]
    assert client.ask("load.estimate", {"key": keys[3], "form": "resident"})["fit"] == "waiting"
    waiting = client.send("load.model", {"key": keys[3], "form": "resident"})
    wait_for(lambda: device(client)["waiting_bytes"] > 0, what="a load that waits")
    assert not client.answers.get(waiting)
    client.ask("load.release", {"lease": leases[1]})
    assert client.result(waiting)["config"]["key"] == keys[3]
    assert settled(client)["held_bytes"] < 13 * MIB
    with pytest.raises(Failed) as failure:
        client.ask("load.evict", {"key": keys[0]})
    assert failure.value.code == "conflict"


def test_a_load_that_waits_ends_with_its_deadline_and_its_asker(small):
    _, client, keys = small
    for key in keys[:3]:
        client.ask("load.model", {"key": key, "form": "resident"})
    with pytest.raises(Failed) as failure:
        client.ask("load.model", {"key": keys[3], "form": "resident"}, deadline_ms=300)
    assert failure.value.code == "timeout"
    ident = client.send("load.model", {"key": keys[4], "form": "resident"})
    wait_for(lambda: device(client)["waiting_bytes"] > 0, what="a load that waits")
    client.socket.send_multipart([b"YARD1B" + ident, b"", msgpack.packb({})])
    wait_for(lambda: device(client)["waiting_bytes"] == 0, what="the end of the wait")
    assert settled(client)["reserved_bytes"] == 0


def test_a_model_larger_than_the_budget_is_refused_at_once(make_yard):
    yard = make_yard(**{"loader.host_bytes": str(2 * MIB)})
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, model_file(yard, "one", 4)), yard.client(hello=True)
    assert client.ask("load.estimate", {"key": key, "form": "resident"})["fit"] == "never"
    with pytest.raises(Failed) as failure:
        client.ask("load.model", {"key": key, "form": "resident"})
    assert failure.value.code == "out_of_memory" and "loader.host_bytes" in failure.value.text
    assert settled(client)["peak_bytes"] == 0
    assert client.ask("load.model", {"key": key})["form"] == "mapped"


def test_of_loads_that_race_for_the_last_room_one_wins_and_all_come_through(small):  # E5
    yard, client, keys = small
    results = []

    def work(key):
        mine = modelyard.connect(yard.run)
        for _ in range(5):
            model = mine.load(key=key, form="resident")
            results.append((key, model["lora_unet_a"][:16].tobytes()))
            model.release()
        mine.close()
    threads = [threading.Thread(target=work, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 5 * len(keys) and len(set(results)) == len(keys)
    numbers = settled(client)
    assert numbers["peak_bytes"] <= 13 * MIB and numbers["leases"] == 0


def test_equal_asks_share_one_load(yard):
    key = None
    path = model_file(yard, "one", 16)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    asked = [client.send("load.model", {"key": key, "form": "resident"}) for _ in range(8)]
    answers = [client.result(ident) for ident in asked]
    assert [answer["shared"] for answer in answers].count(False) == 1
    assert device(client)["read_bytes"] == os.path.getsize(path)


def test_a_prefetched_model_is_there_and_nobodys(yard):
    path = model_file(yard, "one", 8)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    assert client.ask("load.prefetch", {"key": key, "form": "resident"})["bytes"] == os.path.getsize(path)
    assert [row["state"] for row in client.ask("load.list")["loads"]] == ["idle"]
    assert client.ask("load.estimate", {"key": key, "form": "resident"})["fit"] == "loaded"
    answer = client.ask("load.model", {"key": key, "form": "resident"})
    assert answer["shared"]
    client.ask("load.release", {"lease": answer["lease"]})
    assert client.ask("load.evict")["models"] == 1
    assert settled(client)["held_bytes"] == 0


def test_a_prefetched_mapped_model_comes_into_the_page_cache(yard):
    path = model_file(yard, "one", 8)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    pages = os.path.getsize(path) // 4096
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    assert resident_pages(file, pages) < pages // 2
    client.ask("load.prefetch", {"key": key})
    wait_for(lambda: resident_pages(file, pages) == pages, what="the pages")
    os.close(file)


def test_an_idle_model_goes_after_its_time(make_yard):
    yard = make_yard(**{"loader.idle_ms": "300"})
    path = model_file(yard, "one", 1)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    follower = yard.client(hello=True)
    follower.follow("model_evicted")
    lease = client.ask("load.model", {"key": key, "form": "resident"})["lease"]
    client.ask("load.release", {"lease": lease})
    assert follower.next_event()[2]["reason"] == "time"
    assert settled(client)["models"] == 0


def test_a_file_that_was_replaced_is_loaded_anew_and_the_old_bytes_stay_with_who_has_them(yard):
    path = model_file(yard, "one", 4, seed=1)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    with modelyard.connect(yard.run) as python:
        old = python.load(key=key, form="resident")
        before = old["lora_unet_a"].tobytes()
        os.rename(model_file(yard, "two", 4, seed=2), path)
        new = python.load(key=key, form="resident")
        assert not new.shared and new["lora_unet_a"].tobytes() != before == old["lora_unet_a"].tobytes()
        assert device(client)["draining_bytes"] > 0
        old.release()
        del old
        assert settled(client)["held_bytes"] == os.path.getsize(path)
        new.release()


def test_progress_is_told_while_a_load_reads_and_its_failure_too(yard):
    path = model_file(yard, "one", 4)
    yard.start("broker", "recorder", "loader", faults="loader.before_finish:1")
    key, client = add(yard, path), yard.client(hello=True)
    client.follow("model_load_")
    context = {"queue_id": "q", "queue_item_id": 7, "queue_batch_id": "b", "graph_execution_state_id": "g"}
    with pytest.raises(Failed):
        client.ask("load.model", {"key": key, "form": "resident", "context": context})
    names, last = [], None
    while "model_load_failed" not in names:
        _, topic, last, _ = client.next_event()
        names.append(topic.partition("/")[0])
    assert names[0] == "model_load_started" and last["queue_item_id"] == 7 and last["error_type"] == "internal"
    assert settled(client)["held_bytes"] == 0 and device(client)["models"] == 0


def test_five_hundred_loads_and_unloads_leave_nothing_behind(make_yard):  # E4
    """On the optimised build: what a sanitizer keeps says nothing about memory."""
    if not RELEASE:
        pytest.skip("no release build")
    yard = make_yard(build=RELEASE, **{"loader.host_bytes": str(3 * MIB)})
    yard.start("broker", "recorder", "loader")
    keys = [add(yard, model_file(yard, f"m{number}", 1, number), number, name=f"m{number}") for number in range(4)]
    client, process = yard.client(hello=True), yard.named["loader"]

    def cycle(number):
        lease = client.ask("load.model", {"key": keys[number % 4], "form": "resident"})["lease"]
        client.ask("load.release", {"lease": lease})

    def look():
        settled(client)
        with open(f"/proc/{process.pid}/statm") as file:
            return len(os.listdir(f"/proc/{process.pid}/fd")), int(file.read().split()[1]) * 4096
    for number in range(50):
        cycle(number)
    client.ask("load.evict")
    before = look()
    for number in range(500):
        cycle(number)
    client.ask("load.evict")
    after = look()
    assert after[0] == before[0], "descriptors"
    assert after[1] - before[1] < 16 * MIB, "memory"
    assert settled(client)["held_bytes"] == 0
    assert device(client)["evictions"] > 400


def test_a_loader_that_is_told_to_stop_while_it_reads_ends_clean(yard):  # E8
    path = model_file(yard, "one", 64)
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    ident = client.send("load.model", {"key": key, "form": "resident"})
    wait_for(lambda: device(client)["reserved_bytes"] or device(client)["held_bytes"], what="a load under way")
    yard.named["loader"].terminate()
    assert yard.named["loader"].wait(20) == 0, yard.log("loader")
    assert client.result(ident)["form"] == "resident", "what was asked before the end is done"


def test_a_path_is_loaded_without_a_record(yard, tmp_path):  # R6.8
    path = str(tmp_path / "loose.safetensors")
    make_models.plain(path)
    os.symlink(path, tmp_path / "link.safetensors")
    yard.start("broker", "recorder", "loader")
    client = yard.client(hello=True)
    for one in (path, str(tmp_path / "link.safetensors")):
        answer = client.ask("load.path", {"path": one})
        assert answer["form"] == "mapped" and answer["tensors"] == 3 and answer["config"]["path"] == one
    answer = client.ask("load.path", {"path": path, "loader": "safetensors", "as": {"form": "resident"}})
    assert answer["form"] == "resident"
    for ask, code in (({"path": "relative"}, "invalid_message"), ({"path": str(tmp_path / "none.safetensors")}, "model_not_found"),
                      ({"path": path, "loader": "nobody"}, "not_implemented"), ({"path": "/etc/hostname"}, "not_implemented")):
        with pytest.raises(Failed) as failure:
            client.ask("load.path", ask)
        assert failure.value.code == code, failure.value


def test_another_precision_than_the_files_is_not_implemented_yet(yard):  # R6.10
    path = make_models.lora_sd1(place(yard, "sd-1", "lora", "one", "one.safetensors"))
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    assert client.ask("load.model", {"key": key, "precision": "float16"})["form"] == "mapped"
    with pytest.raises(Failed) as failure:
        client.ask("load.model", {"key": key, "precision": "bfloat16"})
    assert failure.value.code == "not_implemented" and "float16" in failure.value.text


def test_a_lease_is_locked_for_longer(yard):  # R6.2
    path = make_models.plain(place(yard, "a", "one.safetensors"))
    yard.start("broker", "recorder", "loader")
    key, client = add(yard, path), yard.client(hello=True)
    lease = client.ask("load.model", {"key": key}, ttl_s=1)["lease"]
    assert client.ask("load.lock", {"lease": lease, "ttl_s": 600}) == {}
    state = client.ask("load.lock", {"lease": lease, "state": True})["state"]
    assert state["form"] == "resident" and state["config"]["key"] == key
    client.ask("load.release", {"lease": state["lease"]})
    with pytest.raises(Failed) as failure:
        client.ask("load.lock", {"lease": "0" * 32})
    assert failure.value.code == "unknown_lease"


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
def test_another_pid_namespace_is_not_local(yard):
    path = make_models.plain(place(yard, "a", "one.safetensors"))
    yard.start("broker", "recorder", "loader")
    key = add(yard, path)
    program = f"""
import sys; sys.path.insert(0, {os.path.join(ROOT, "proto", "python")!r})
import modelyard
with modelyard.connect({yard.run!r}) as yard:
    try:
        yard.load(key={key!r})
    except modelyard.YardError as failure:
        print(failure.code, failure.text)
"""
    for words, want in ((["unshare", "--pid", "--fork"], "not_local"), ([], "")):
        done = subprocess.run([*words, "/usr/bin/python3", "-c", program], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(want) if want else done.stdout == "", done.stdout
