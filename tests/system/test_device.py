"""A loader on a GPU, which here is the simulated one (tests/simcuda): bytes, budgets, sharing, and what a broken device does."""
import os
import signal
import struct
import subprocess
import sys

import pytest

import make_models
from test_load import add, bytes_of, place
from test_resident import MIB, device, manifest, model_file, settled
from yard import BUILD, ROOT, Failed, wait_for

SIMULATION = os.path.join(BUILD, "simcuda")
LIBCUDART = os.path.join(SIMULATION, "libcudart.so.13")
READER = os.path.join(ROOT, "tests", "system", "device_reader.py")
DEVICE = "loader@cuda:0"

pytestmark = pytest.mark.skipif(not os.path.exists(LIBCUDART), reason="no simulated CUDA: the toolkit was not there when this was built")


class Gpu:
    """A yard whose loader serves a simulated GPU."""

    def __init__(self, yard):
        self.yard = yard
        self.log = os.path.join(yard.home, "simcuda.log")
        self.environment = {"LD_LIBRARY_PATH": SIMULATION, "SIMCUDA_STATE": os.path.join(yard.home, "simcuda.state"),
                            "SIMCUDA_LOG": self.log, "SIMCUDA_MEMORY": str(64 * MIB)}
        yard.start("broker", "recorder")

    def start(self, faults=None, **environment):
        self.yard.start(DEVICE, faults=faults, **{**self.environment, **environment})
        return self.yard.client(hello=True)

    def reader(self, answer, name="read"):
        """(process, path of what it read): a directory, padded to 1 MiB, then the memory."""
        path = os.path.join(self.yard.home, name)
        process = subprocess.Popen(["/usr/bin/python3", READER, LIBCUDART, answer["attach"], answer["lease"], path], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env={**os.environ, **self.environment})
        self.yard.processes.append(process)
        process.actor = name
        assert process.stdout.readline() == "ready\n", self.said()
        return process, path

    def said(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as file:
            return [line for line in file.read().splitlines() if "simcuda.fault " not in line]

    def close(self, process):
        process.stdin.close()
        assert process.wait(20) == 0
        self.yard.processes.remove(process)


@pytest.fixture
def gpu(make_yard):
    """loader.device_spare_bytes is 0: all 64 MiB are the loader's."""
    yard = make_yard(**{"loader.device_spare_bytes": "0"})
    return Gpu(yard)


def tensors_in(path):
    """name -> bytes, from what a reader wrote."""
    with open(path, "rb") as file:
        data = file.read()
    directory, memory = data[:1 << 20], data[1 << 20:]
    count, rows, strings = struct.unpack_from("<IQQ", directory, 12)
    found = {}
    for at in range(count):
        name, name_bytes, _, _, _, _, region, _, offset, size = struct.unpack_from("<8IQQ", directory, rows + 64 * at)
        assert region == 0
        found[directory[strings + name:strings + name + name_bytes].decode()] = memory[offset:offset + size]
    return found


def at(client, method, body=None, **meta):
    node = client.ask("yard.actors")["actors"]
    place = next(row["place"] for row in node if row["place"].endswith("/cuda:0"))
    return client.ask(f"{method}@{place}", body, **meta)


@pytest.mark.parametrize("export", ["vmm", "ipc"])
def test_the_tensors_are_on_the_device_and_another_process_reads_them_there(make_yard, export):  # R6.1 R6.9
    gpu = Gpu(make_yard(**{"loader.device_spare_bytes": "0", "loader.export": export}))
    path = make_models.lora_sd1(place(gpu.yard, "sd-1", "lora", "one", "one.safetensors"))
    key, client = add(gpu.yard, path), gpu.start()
    answer = at(client, "load.model", {"key": key})
    assert answer["form"] == "device" and answer["device"] == "cuda:0" and answer["device_uuid"].startswith("GPU-")
    assert len(answer["plan"]) == 32 and len(answer["regions"]) == 1
    process, read = gpu.reader(answer)
    assert tensors_in(read) == bytes_of(path)
    assert at(client, "load.list")["loads"][0]["attachments"] == 1
    at(client, "load.release", {"lease": answer["lease"]})
    assert at(client, "load.list")["loads"][0]["state"] == "draining"
    gpu.close(process)
    wait_for(lambda: at(client, "load.list")["loads"][0]["state"] == "idle", what="the end of the attachment")
    assert at(client, "load.evict")["models"] == 1
    wait_for(lambda: at(client, "load.device")["free_bytes"] == 64 * MIB, what="all memory free")
    gpu.yard.named[DEVICE].terminate()
    assert gpu.yard.named[DEVICE].wait(20) == 0
    assert gpu.said() == []


def test_a_large_model_goes_through_the_ring_in_chunks_and_is_checked(gpu):
    path = model_file(gpu.yard, "one", 40)
    key = add(gpu.yard, path)
    manifest(path, key, chunk=8 * MIB)
    client = gpu.start(SIMCUDA_LINK_MB="400")
    answer = at(client, "load.model", {"key": key})
    assert answer["checked_bytes"] >= 24 * MIB, "all chunks but the first, which has the header, and the last"
    process, read = gpu.reader(answer)
    assert tensors_in(read) == bytes_of(path)
    gpu.close(process)
    assert gpu.said() == []


def test_an_importer_that_is_killed_lets_go(gpu):  # E6
    path = model_file(gpu.yard, "one", 8)
    key, client = add(gpu.yard, path), gpu.start()
    answer = at(client, "load.model", {"key": key})
    process, _ = gpu.reader(answer)
    at(client, "load.release", {"lease": answer["lease"]})
    assert at(client, "load.list")["loads"][0]["state"] == "draining"
    process.kill()
    process.wait(10)
    wait_for(lambda: at(client, "load.list")["loads"][0]["state"] == "idle", timeout=2, what="the end of the attachment")


def test_an_importer_that_stands_still_keeps_the_bytes_counted(gpu):  # E6
    path = model_file(gpu.yard, "one", 8)
    key, client = add(gpu.yard, path), gpu.start()
    answer = at(client, "load.model", {"key": key})
    process, _ = gpu.reader(answer)
    os.kill(process.pid, signal.SIGSTOP)
    at(client, "load.release", {"lease": answer["lease"]})
    at(client, "load.evict")
    assert at(client, "load.device")["held_bytes"] >= 8 * MIB
    os.kill(process.pid, signal.SIGCONT)
    gpu.close(process)
    wait_for(lambda: at(client, "load.evict")["models"] or at(client, "load.device")["held_bytes"] == 0, what="the end of the model")
    wait_for(lambda: at(client, "load.device")["free_bytes"] == 64 * MIB, what="all memory free")


def test_the_owner_may_be_killed_and_the_importer_still_reads(gpu):  # E6
    path = model_file(gpu.yard, "one", 8)
    key, client = add(gpu.yard, path), gpu.start()
    answer = at(client, "load.model", {"key": key})
    process, read = gpu.reader(answer)
    gpu.yard.named[DEVICE].kill()
    gpu.yard.named[DEVICE].wait(10)
    gpu.yard.processes.remove(gpu.yard.named[DEVICE])
    gpu.close(process)  # its unmapping and releasing succeed
    assert tensors_in(read) == bytes_of(path)
    client = gpu.start()
    assert at(client, "load.model", {"key": key})["form"] == "device"


def test_models_share_the_device_and_go_for_each_other(gpu):  # R6.5 E5
    paths = [model_file(gpu.yard, f"m{number}", 20, number) for number in range(5)]
    keys = [add(gpu.yard, path, number, name=str(number)) for number, path in enumerate(paths)]
    client = gpu.start()
    for key in keys * 2:
        answer = at(client, "load.model", {"key": key})
        at(client, "load.release", {"lease": answer["lease"]})
    numbers = at(client, "load.device")
    assert numbers["evictions"] >= 7 and numbers["peak_bytes"] <= 64 * MIB and numbers["total_bytes"] == 64 * MIB
    assert gpu.said() == []


CALLS = ["cuMemCreate", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess", "cuMemExportToShareableHandle", "cudaMemcpyAsync",
         "cudaEventCreateWithFlags", "cudaEventRecord", "cudaHostRegister"]


@pytest.mark.parametrize("call", CALLS)
def test_out_of_memory_at_any_call_leaves_everything_as_it_was(gpu, call):  # E1
    """The n-th call of the name answers cudaErrorMemoryAllocation (2), for every n that a load of three chunks makes."""
    path = model_file(gpu.yard, "one", 20)
    key = add(gpu.yard, path)
    failed = 0
    for number in range(1, 4):
        client = gpu.start(SIMCUDA_FAULTS=f"{call}:{number}=2")
        try:
            at(client, "load.model", {"key": key})
        except Failed as failure:
            assert failure.code == "out_of_memory", failure
            failed += 1
            wait_for(lambda: at(client, "load.device")["free_bytes"] == 64 * MIB, what="all memory free")
        assert at(client, "load.model", {"key": key})["form"] == "device", "the next one goes"
        process = gpu.yard.named[DEVICE]
        process.terminate()
        assert process.wait(20) == 0, gpu.yard.log(DEVICE)
        gpu.yard.processes.remove(process)
        gpu.yard.clients.remove(client)
        client.close()
    assert failed or call == "cudaHostRegister", "a ring that cannot be pinned is slower, and no failure"
    assert [line for line in gpu.said() if "pageable_source" not in line] == []


@pytest.mark.parametrize("chunk", range(1, 4))
def test_a_copy_that_fails_at_any_chunk_fails_the_load(gpu, chunk):  # E3
    path = model_file(gpu.yard, "one", 20)
    key, client = add(gpu.yard, path), gpu.start(SIMCUDA_FAULTS=f"cudaMemcpyAsync:{chunk}=1")
    with pytest.raises(Failed):
        at(client, "load.model", {"key": key})
    wait_for(lambda: at(client, "load.device")["free_bytes"] == 64 * MIB, what="all memory free")
    process, read = gpu.reader(at(client, "load.model", {"key": key}))
    assert tensors_in(read) == bytes_of(path)
    gpu.close(process)


def test_wrong_bytes_on_the_device_are_found_where_copies_are_verified(make_yard):  # E3
    gpu = Gpu(make_yard(**{"loader.device_spare_bytes": "0", "loader.verify_copies": "true"}))
    path = model_file(gpu.yard, "one", 20)
    key, client = add(gpu.yard, path), gpu.start(SIMCUDA_FAULTS="cudaMemcpyAsync:2=wrong")
    with pytest.raises(Failed) as failure:
        at(client, "load.model", {"key": key})
    assert failure.value.code == "integrity" and "cuda:0" in failure.value.text
    assert at(client, "load.model", {"key": key})["form"] == "device"


def test_a_device_that_is_lost_ends_its_loader_and_the_next_one_serves(gpu):  # E2
    path = model_file(gpu.yard, "one", 20)
    key, client = add(gpu.yard, path), gpu.start(SIMCUDA_FAULTS="cudaMemcpyAsync:2=late719")
    with pytest.raises(Failed) as failure:
        at(client, "load.model", {"key": key})
    assert failure.value.code in ("device_lost", "gone")
    process = gpu.yard.named[DEVICE]
    assert process.wait(20) == 1 and "device.lost" in gpu.yard.log(DEVICE)
    gpu.yard.processes.remove(process)
    client = gpu.start()
    assert at(client, "load.model", {"key": key})["form"] == "device"


def test_a_cancelled_load_is_answered_at_once_and_gives_everything_back(gpu):
    path = model_file(gpu.yard, "one", 40)
    key, client = add(gpu.yard, path), gpu.start(SIMCUDA_LINK_MB="20")
    with pytest.raises(Failed) as failure:
        at(client, "load.model", {"key": key}, deadline_ms=400)
    assert failure.value.code == "timeout"
    wait_for(lambda: at(client, "load.device")["free_bytes"] == 64 * MIB, what="all memory free")
    assert at(client, "load.list")["loads"] == []
    assert gpu.said() == []


def test_progress_is_told_while_a_load_is_under_way(gpu):
    path = model_file(gpu.yard, "one", 40)
    key, client = add(gpu.yard, path), gpu.start(SIMCUDA_LINK_MB="40")
    client.follow("model_load_progress")
    assert at(client, "load.model", {"key": key})["view"] == ""
    first = client.next_event()[2]
    assert first["model_key"] == key and first["device"] == "cuda:0" and 0 <= first["bytes"] <= first["total_bytes"]
    assert first["total_bytes"] == pytest.approx(os.path.getsize(path), rel=0.01)


def test_the_state_dict_comes_beside_the_device(gpu):  # R6.2
    path = model_file(gpu.yard, "one", 8)
    key, client = add(gpu.yard, path), gpu.start()
    gpu.yard.start("loader")
    lease = at(client, "load.model", {"key": key})["lease"]
    state = at(client, "load.lock", {"lease": lease, "state": True})["state"]
    assert state["device"] == "host" and state["form"] == "resident" and device(client)["held_bytes"] == os.path.getsize(path)


def test_five_hundred_loads_and_unloads_leave_no_byte_on_the_device(gpu):  # E4
    paths = [model_file(gpu.yard, f"m{number}", 1, number) for number in range(3)]
    keys = [add(gpu.yard, path, number, name=str(number)) for number, path in enumerate(paths)]
    client = gpu.start(SIMCUDA_MEMORY=str(4 * MIB))
    process = gpu.yard.named[DEVICE]
    place_of = next(row["place"] for row in client.ask("yard.actors")["actors"] if row["place"].endswith("/cuda:0"))

    def cycle(number):
        lease = client.ask("load.model@" + place_of, {"key": keys[number % 3]})["lease"]
        client.ask("load.release@" + place_of, {"lease": lease})
    for number in range(20):
        cycle(number)
    before = len(os.listdir(f"/proc/{process.pid}/fd"))
    for number in range(500):
        cycle(number)
    client.ask("load.evict@" + place_of)
    wait_for(lambda: client.ask("load.device@" + place_of)["free_bytes"] == 4 * MIB, what="all memory free")
    assert len(os.listdir(f"/proc/{process.pid}/fd")) <= before
    process.terminate()
    assert process.wait(20) == 0
    assert gpu.said() == []


def test_without_a_driver_the_loader_says_so_and_the_host_goes_on(make_yard):  # E7
    gpu = Gpu(make_yard())
    with pytest.raises(AssertionError, match="ended with 2"):
        gpu.start(SIMCUDA_DEVICES="0")
    gpu.yard.processes.remove(gpu.yard.named[DEVICE])
    said = gpu.yard.log(DEVICE)
    assert "driver" in said
    path = model_file(gpu.yard, "one", 1)
    key = add(gpu.yard, path)
    gpu.yard.start("loader")
    assert gpu.yard.client(hello=True).ask("load.model", {"key": key})["form"] == "mapped"
