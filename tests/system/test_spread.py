"""One model onto several GPUs, here the simulated ones (tests/simcuda): who reads what, who gets it from whom, and what happens when one fails."""
import os
import subprocess

import msgpack
import numpy
import pytest

import make_models
from test_device import LIBCUDART, READER, SIMULATION, tensors_in
from test_load import add, bytes_of, place
from test_resident import MIB, model_file
from yard import Failed, select_wait, wait_for

GATHER_BYTES = 688_000_000  # spread_part.h: what is reserved for NCCL
DEVICES_MIB = 64

pytestmark = pytest.mark.skipif(not os.path.exists(LIBCUDART), reason="no simulated CUDA: the toolkit was not there when this was built")


class Gpus:
    """A yard with a loader for each of several simulated GPUs."""

    def __init__(self, yard, count, **environment):
        self.yard, self.count = yard, count
        self.log = os.path.join(yard.home, "simcuda.log")
        self.environment = {"LD_LIBRARY_PATH": SIMULATION, "SIMCUDA_STATE": os.path.join(yard.home, "simcuda.state"),
                            "SIMCUDA_LOG": self.log, "SIMCUDA_MEMORY": str(DEVICES_MIB * MIB), "SIMCUDA_DEVICES": str(count),
                            **environment}
        yard.start("broker", "recorder")

    def start(self, number, faults=None, **environment):
        self.yard.start(f"loader@cuda:{number}", faults=faults, wait=False, **{**self.environment, **environment})

    def start_all(self, faults=None, **environment):
        """faults and environment: of device number -> its own."""
        for number in range(self.count):
            self.start(number, (faults or {}).get(number), **environment.get(f"of_{number}", {}))
        for number in range(self.count):
            self.yard.ready(f"loader@cuda:{number}")
        return self.client()

    def client(self):
        client = self.yard.client(hello=True)
        rows = client.ask("yard.actors")["actors"]
        self.node = next(row["place"] for row in rows if "/cuda:" in row["place"]).split("/")[1]
        return client

    def at(self, client, number, method, body=None, **meta):
        return client.ask(f"{method}@loader/{self.node}/cuda:{number}", body, **meta)

    def spread(self, client, key, devices=None, timeout=60, lead=0, **ask):
        names = [f"cuda:{number}" for number in (devices if devices is not None else range(self.count))]
        return client.ask(f"load.spread@loader/{self.node}/cuda:{lead}", {"key": key, "devices": names, **ask}, timeout=timeout)

    def numbers(self, client, number):
        return self.at(client, number, "load.device")

    def read_bytes(self, client):
        return [self.numbers(client, number)["read_bytes"] for number in range(self.count)]

    def tensors(self, answer, number):
        """name -> bytes, as another process reads them on the device."""
        path = os.path.join(self.yard.home, f"read{number}")
        process = subprocess.Popen(["/usr/bin/python3", READER, LIBCUDART, answer["attach"], answer["lease"], path, str(number)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **self.environment})
        assert process.stdout.readline() == "ready\n", self.said()
        process.stdin.close()
        assert process.wait(20) == 0
        process.stdout.close()
        return tensors_in(path)

    def said(self, *expected):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as file:
            return [line for line in file.read().splitlines()
                    if "simcuda.fault " not in line and not any(word in line for word in expected)]

    def settled(self, client, numbers=None):
        """All memory of these devices is free again, when what is nobody's has gone."""
        for number in numbers if numbers is not None else range(self.count):
            def free():
                self.at(client, number, "load.evict")
                row = self.numbers(client, number)
                return row["free_bytes"] == row["budget_bytes"] and row["reserved_bytes"] == 0
            wait_for(free, what=f"all memory of cuda:{number} free")

    def unload(self, client, answer, numbers=None):
        for row in answer["devices"]:
            if row.get("load"):
                client.ask(f"load.release@{row['place']}", {"lease": row["load"]["lease"]})
        self.settled(client, numbers)

    def end(self, numbers=None, *expected):
        """The loaders leave nothing behind, and made no mistake."""
        for number in numbers if numbers is not None else range(self.count):
            process = self.yard.named[f"loader@cuda:{number}"]
            process.terminate()
            assert process.wait(20) == 0, self.yard.log(f"loader@cuda:{number}")
        assert self.said(*expected) == []


@pytest.fixture
def gpus(make_yard):
    def make(count, settings=None, **environment):
        yard = make_yard(**{"loader.device_bytes": str(GATHER_BYTES + DEVICES_MIB * MIB), "loader.spread_ms": "5000", **(settings or {})})
        return Gpus(yard, count, **environment)
    return make


def loads(answer):
    return {row["device"]: row["load"] for row in answer["devices"] if row.get("load")}


def ways(answer):
    return [row["way"] for row in answer["devices"]]


@pytest.mark.parametrize("count", [2, 8])
def test_each_device_has_all_bytes_and_each_byte_was_read_once(gpus, count):  # R6.9 R9.4
    bed = gpus(count)
    path = model_file(bed.yard, "one", 40)
    key, client = add(bed.yard, path), bed.start_all()
    answer = bed.spread(client, key)
    assert ways(answer) == ["gathered"] * count and not answer["fallback"] and answer["mode"] == "replicate"
    assert len({load["plan"] for load in loads(answer).values()}) == 1
    assert len({load["device_uuid"] for load in loads(answer).values()}) == count
    want = bytes_of(path)
    for number in range(count):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == want
    read = bed.read_bytes(client)
    assert 40 * MIB <= sum(read) < 41 * MIB and max(read) <= 40 * MIB // count + 8 * MIB
    assert all(bed.numbers(client, number)["reserved_bytes"] == 0 for number in range(count))
    again = bed.at(client, 0, "load.model", {"key": key})
    assert again["shared"], "it is in the cache as any other"
    bed.at(client, 0, "load.release", {"lease": again["lease"]})
    bed.unload(client, answer)
    bed.end()


def test_who_lacks_the_model_gets_it_from_a_device_that_has_it(gpus):  # R6.9
    bed = gpus(3)
    path = model_file(bed.yard, "one", 40)
    key, client = add(bed.yard, path), bed.start_all()
    first = bed.at(client, 1, "load.model", {"key": key})
    client.follow("model_spread_")
    answer = bed.spread(client, key)
    assert ways(answer) == ["received", "present", "received"] and not answer["fallback"]
    assert [load["shared"] for load in loads(answer).values()] == [False, True, False]
    for number in range(3):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == bytes_of(path)
    assert bed.read_bytes(client)[0] == bed.read_bytes(client)[2] == 0
    _, topic, told, _ = client.next_event()
    assert topic == f"model_spread_completed/{key}/" and told["devices"] == "cuda:0 cuda:1 cuda:2" and told["mode"] == "replicate"
    assert ways(bed.spread(client, key)) == ["present"] * 3, "then there is nothing to do"
    client.close()
    bed.yard.clients.remove(client)
    client = bed.yard.client(hello=True)  # all leases ended with their asker
    assert first["lease"]
    wait_for(lambda: not any(row["state"] == "leased" for number in range(3) for row in bed.at(client, number, "load.list")["loads"]),
             what="the end of the leases")
    bed.unload(client, {"devices": []})
    bed.end()


def test_a_spread_to_one_device_is_a_load(gpus):
    bed = gpus(1)
    path = make_models.lora_sd1(place(bed.yard, "sd-1", "lora", "one", "one.safetensors"))
    key, client = add(bed.yard, path), bed.start_all()
    answer = bed.spread(client, key, keep=True)
    assert ways(answer) == ["read"] and not answer["fallback"]
    assert bed.tensors(loads(answer)["cuda:0"], 0) == bytes_of(path)
    client.close()
    bed.yard.clients.remove(client)
    client = bed.yard.client(hello=True)
    assert [row["owner"] for row in bed.at(client, 0, "load.list")["loads"]] == ["yard"]
    bed.unload(client, answer)
    bed.end()


def test_what_cannot_be_is_refused_with_a_sentence(gpus):
    bed = gpus(2)
    path = make_models.lora_sd1(place(bed.yard, "sd-1", "lora", "one", "one.safetensors"))
    key, client = add(bed.yard, path), bed.start_all()
    for devices, more, code, word in (([0, 0], {}, "invalid_message", "cuda:0 is named twice"), ([1], {}, "wrong_place", "ask load.spread@loader/"),
                                      ([0, 1], {"mode": "shard"}, "invalid_message", "slices"),
                                      ([0, 1], {"slices": [{"pattern": "*", "axis": 0}]}, "invalid_message", "slices"),
                                      ([0, 1], {"submodel": "unet"}, "no_submodel", "no parts")):
        with pytest.raises(Failed) as failure:
            bed.spread(client, key, devices, **more)
        assert failure.value.code == code and word in failure.value.text, failure.value
    with pytest.raises(Failed) as failure:
        bed.spread(client, "f" * 32)
    assert failure.value.code == "unknown_model"
    with pytest.raises(Failed) as failure:
        client.ask(f"load.spread@loader/{bed.node}/cuda:0", {"key": key, "devices": ["host"]})
    assert failure.value.code == "invalid_message"
    bed.settled(client)
    bed.end()


def test_a_device_without_a_loader_is_left_out_and_the_others_go_on(gpus):
    bed = gpus(3)
    path = model_file(bed.yard, "one", 20)
    key, client = add(bed.yard, path), bed.start_all()
    answer = bed.spread(client, key, [0, 1, 2, 7])
    assert ways(answer)[:3] == ["gathered"] * 3 and answer["devices"][3]["failure"]["code"] == "not_served"
    assert sum(bed.read_bytes(client)) < 21 * MIB
    bed.unload(client, answer)
    bed.end()


def test_loaders_with_other_files_do_not_exchange_bytes(gpus, tmp_path):
    bed = gpus(2)
    path = model_file(bed.yard, "one", 4)
    other = os.path.join(str(tmp_path), os.path.relpath(path, bed.yard.models))
    os.makedirs(os.path.dirname(other))
    with open(path, "rb") as file, open(other, "wb") as copy:
        copy.write(file.read()[:-1] + b"!")  # the same header, other bytes
    key = add(bed.yard, path)
    settings = bed.yard.settings
    bed.start(0)
    bed.yard.settings = {**settings, "models_dir": str(tmp_path)}
    bed.start(1)
    bed.yard.settings = settings
    for number in range(2):
        bed.yard.ready(f"loader@cuda:{number}")
    client = bed.client()
    answer = bed.spread(client, key)
    assert ways(answer) == ["read", "read"] and answer["devices"][1]["failure"]["code"] == "conflict"
    assert "models_dir" in answer["devices"][1]["failure"]["text"]
    assert bed.tensors(loads(answer)["cuda:0"], 0) == bytes_of(path)
    bed.settled(client, [1])
    bed.unload(client, answer)
    bed.end()


def test_a_device_without_room_is_left_out(gpus):
    bed = gpus(3)
    path = model_file(bed.yard, "one", 20)
    key, client = add(bed.yard, path), bed.start_all(of_1={"SIMCUDA_MEMORY": str(8 * MIB)})
    answer = bed.spread(client, key)
    assert ways(answer) == ["gathered", "read", "gathered"] and answer["devices"][1]["failure"]["code"] == "out_of_memory"
    for number in (0, 2):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == bytes_of(path)
    bed.settled(client, [1])
    bed.unload(client, answer)
    bed.end()


def test_a_device_without_room_for_the_exchange_reads_for_itself(make_yard):
    bed = Gpus(make_yard(**{"loader.device_bytes": str(GATHER_BYTES + DEVICES_MIB * MIB)}), 3)
    path = model_file(bed.yard, "one", 30)
    key = add(bed.yard, path)
    settings = bed.yard.settings
    for number in range(3):
        bed.yard.settings = {**settings, **({"loader.device_bytes": str(40 * MIB)} if number == 1 else {})}
        bed.start(number)
    for number in range(3):
        bed.yard.ready(f"loader@cuda:{number}")
    client = bed.client()
    answer = bed.spread(client, key)
    assert ways(answer) == ["gathered", "read", "gathered"] and not answer["fallback"]
    for number in range(3):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == bytes_of(path)
    assert [read // MIB for read in bed.read_bytes(client)] == [15, 30, 15]
    bed.unload(client, answer)
    assert ways(bed.spread(client, key, [1, 2], lead=1)) == ["read", "read"]
    held = bed.at(client, 2, "load.evict")
    assert held["models"] == 0
    again = bed.spread(client, key, [0, 1, 2])
    assert ways(again) == ["received", "present", "present"], "from the one that has room to give"
    client.close()
    bed.yard.clients.remove(client)
    bed.unload(bed.client(), {"devices": []})
    bed.end()


def test_a_device_that_waits_for_room_too_long_is_left_out(gpus):
    bed = gpus(2, {"loader.spread_ms": "700", "loader.device_bytes": str(GATHER_BYTES + 30 * MIB)})
    paths = [model_file(bed.yard, f"m{number}", 20, number) for number in range(2)]
    keys = [add(bed.yard, path, number, name=f"m{number}") for number, path in enumerate(paths, 1)]
    client = bed.start_all()
    held = bed.at(client, 1, "load.model", {"key": keys[1]})
    answer = bed.spread(client, keys[0])
    assert ways(answer) == ["read", "read"] and answer["devices"][1]["failure"]["code"] == "timeout"
    assert "loader.spread_ms" in answer["devices"][1]["failure"]["text"]
    bed.at(client, 1, "load.release", {"lease": held["lease"]})
    bed.unload(client, answer)
    bed.end()


FAULTS = ["ncclCommInitRankConfig:1=5", "ncclCommInitRankConfig:1=hang", "ncclAllGather:1=hang", "ncclAllGather:1=async6",
          "ncclAllGather:1=2", "ncclAllGather:2=hang"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_exchange_that_fails_ends_everywhere_and_each_reads_for_itself(gpus, fault):
    bed = gpus(3, {"loader.spread_ms": "1500"})
    path = model_file(bed.yard, "one", 30)
    key, client = add(bed.yard, path), bed.start_all(of_1={"SIMCUDA_FAULTS": fault})
    client.follow("model_spread_")
    answer = bed.spread(client, key)
    assert ways(answer) == ["read"] * 3 and answer["fallback"] and answer["fallback_reason"]
    for number in range(3):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == bytes_of(path)
    names = [client.next_event()[1].partition("/")[0] for _ in range(2)]
    assert names == ["model_spread_fallback", "model_spread_completed"]
    again = bed.spread(client, key)
    assert ways(again) == ["present"] * 3 and not again["fallback"]
    bed.unload(client, {"devices": answer["devices"] + again["devices"]})
    bed.end(None, "nccl.")


def test_a_group_that_cannot_be_made_is_no_reason_to_fail(gpus):
    bed = gpus(2)
    path = model_file(bed.yard, "one", 4)
    key, client = add(bed.yard, path), bed.start_all(of_0={"SIMCUDA_FAULTS": "ncclGetUniqueId:1=2"})
    answer = bed.spread(client, key)
    assert ways(answer) == ["read"] * 2 and answer["fallback"]
    assert ways(bed.spread(client, key)) == ["present"] * 2
    client.close()
    bed.yard.clients.remove(client)
    bed.unload(bed.yard.client(hello=True), {"devices": []})
    bed.end()


PHASES = ["turn", "joined", "gather", "exchange", "gathered", "complete"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_peer_that_is_killed_is_left_out_and_the_others_finish(gpus, phase):
    bed = gpus(3, {"loader.spread_ms": "3000"})
    path = model_file(bed.yard, "one", 30)
    key, client = add(bed.yard, path), bed.start_all(faults={1: f"loader.spread_{phase}:1:kill"})
    answer = bed.spread(client, key)
    assert bed.yard.named["loader@cuda:1"].wait(20) == -9
    assert answer["devices"][1]["failure"]["code"] in ("gone", "not_served"), answer["devices"][1]["failure"]
    assert answer["fallback"] == (phase in ("gather", "exchange", "gathered"))
    for number in (0, 2):
        assert bed.tensors(loads(answer)[f"cuda:{number}"], number) == bytes_of(path)
    bed.unload(client, answer, [0, 2])
    bed.yard.processes.remove(bed.yard.named["loader@cuda:1"])
    bed.start(1)
    bed.yard.ready("loader@cuda:1")
    answer = bed.spread(client, key)
    assert ways(answer) == ["gathered"] * 3, "with a new life of the device it is as before"
    bed.unload(client, answer)
    bed.end(None, "nccl.")


@pytest.mark.parametrize("phase", PHASES)
def test_when_the_leader_is_killed_the_others_give_everything_back(gpus, phase):
    bed = gpus(3, {"loader.spread_ms": "3000"})
    path = model_file(bed.yard, "one", 30)
    key, client = add(bed.yard, path), bed.start_all(faults={0: f"loader.spread_{phase}:1:kill"})
    with pytest.raises(Failed) as failure:
        bed.spread(client, key)
    assert failure.value.code == "gone"
    bed.yard.processes.remove(bed.yard.named["loader@cuda:0"])
    wait_for(lambda: not any(row["state"] != "idle" for number in (1, 2) for row in bed.at(client, number, "load.list")["loads"]),
             what="the end of what the leader had asked for")
    bed.unload(client, {"devices": []}, [1, 2])
    bed.end([1, 2], "nccl.")


def test_an_asker_that_gives_up_leaves_nothing_behind(gpus):
    bed = gpus(2, SIMNCCL_LINK_MB="4")
    path = model_file(bed.yard, "one", 30)
    key, client = add(bed.yard, path), bed.start_all()
    ident = client.send(f"load.spread@loader/{bed.node}/cuda:0", {"key": key, "devices": ["cuda:0", "cuda:1"]})
    wait_for(lambda: all(bed.numbers(client, number)["read_bytes"] > 0 for number in range(2)), what="an exchange under way")
    client.socket.send_multipart([b"YARD1B" + ident, b"", msgpack.packb({})])
    bed.settled(client)
    bed.end(None, "nccl.")


def test_who_loads_the_same_model_meanwhile_shares_it_and_gets_it_when_the_spread_is_given_up(gpus):
    bed = gpus(2, SIMNCCL_LINK_MB="4")
    path = model_file(bed.yard, "one", 30)
    key, client = add(bed.yard, path), bed.start_all()
    ident = client.send(f"load.spread@loader/{bed.node}/cuda:0", {"key": key, "devices": ["cuda:0", "cuda:1"]})
    wait_for(lambda: all(bed.numbers(client, number)["read_bytes"] > 0 for number in range(2)), what="an exchange under way")
    other = client.send(f"load.model@loader/{bed.node}/cuda:1", {"key": key})
    select_wait(0.2)
    client.socket.send_multipart([b"YARD1B" + ident, b"", msgpack.packb({})])
    answer = client.result(other)
    assert answer["shared"] and bed.tensors(answer, 1) == bytes_of(path)
    bed.settled(client, [0])
    bed.unload(client, {"devices": [{"place": answer["place"], "load": answer}]})
    bed.end(None, "nccl.")


def test_spreads_over_the_same_devices_take_turns(gpus):
    bed = gpus(3, {"loader.device_bytes": str(GATHER_BYTES + 200 * MIB)}, SIMCUDA_MEMORY=str(256 * MIB))
    paths = [model_file(bed.yard, f"m{number}", 6, number) for number in range(6)]
    keys = [add(bed.yard, path, number, name=f"m{number}") for number, path in enumerate(paths, 1)]
    client = bed.start_all()
    orders = [[0, 1, 2], [1, 2], [0, 2], [1, 2], [0, 1], [0, 1, 2]]
    idents = [client.send(f"load.spread@loader/{bed.node}/cuda:{devices[0]}", {"key": key, "devices": [f"cuda:{n}" for n in devices]})
              for key, devices in zip(keys, orders)]
    answers = [client.result(ident, 60) for ident in idents]
    for devices, path, answer in zip(orders, paths, answers):
        assert ways(answer) == ["gathered"] * len(devices) and not answer["fallback"], answer
        assert bed.tensors(loads(answer)[f"cuda:{devices[-1]}"], devices[-1]) == bytes_of(path)
    for answer in answers:
        bed.unload(client, answer, [])
    bed.unload(client, {"devices": []})
    bed.end()


# --- slices
def sliced_model(yard):
    """Tensors of which slices are short, long, odd; and some that stay whole."""
    generator = numpy.random.default_rng(3)
    path = place(yard, "sd-1", "lora", "cut", "cut.safetensors")
    arrays = {"layers.0.up": generator.integers(0, 1 << 15, (1200, 96), dtype="uint16"),
              "layers.0.down": generator.integers(0, 1 << 15, (600, 1024), dtype="uint16"),
              "layers.1.up": generator.integers(0, 1 << 15, (3000, 4000), dtype="uint16"),
              "layers.1.down": generator.integers(0, 1 << 15, (4, 1 << 20), dtype="uint16"),
              "layers.1.deep": generator.integers(0, 1 << 15, (3, 8, 5, 7), dtype="uint16"),
              "norm": generator.integers(0, 1 << 15, (13,), dtype="uint16"),
              "layers.2.down": generator.integers(0, 1 << 15, (5000, 2000), dtype="uint16")}
    make_models.write(path, [(name, "F16", array.shape, array.tobytes()) for name, array in arrays.items()])
    return path, arrays


SLICES = [{"pattern": "layers.*.up", "axis": 0}, {"pattern": "*.down", "axis": 1}, {"pattern": "*.deep", "axis": 1}]
AXES = {"up": 0, "down": 1, "deep": 1}


@pytest.mark.parametrize("count", [2, 4])
def test_each_device_has_its_slices_of_rows_and_columns(gpus, count):  # R6.9 R9.4
    bed = gpus(count, {"loader.device_bytes": str(128 * MIB)}, SIMCUDA_MEMORY=str(128 * MIB))
    path, arrays = sliced_model(bed.yard)
    key, client = add(bed.yard, path), bed.start_all()
    answer = bed.spread(client, key, mode="shard", slices=SLICES)
    assert ways(answer) == ["read"] * count and not answer["fallback"] and answer["mode"] == "shard"
    assert len({load["plan"] for load in loads(answer).values()}) == count
    for number in range(count):
        found = bed.tensors(loads(answer)[f"cuda:{number}"], number)
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            axis = AXES.get(name.split(".")[-1])
            want = array if axis is None else numpy.split(array, count, axis)[number]
            assert found[name] == numpy.ascontiguousarray(want).tobytes(), (number, name)
    whole = bed.at(client, 1, "load.model", {"key": key})
    assert not whole["shared"], "slices are another thing than the whole"
    assert {name: data for name, data in bed.tensors(whole, 1).items()} == {name: array.tobytes() for name, array in arrays.items()}
    bed.at(client, 1, "load.release", {"lease": whole["lease"]})
    again = bed.spread(client, key, mode="shard", slices=SLICES)
    assert ways(again) == ["present"] * count
    bed.unload(client, {"devices": answer["devices"] + again["devices"]})
    bed.end()


def test_a_tensor_that_cannot_be_cut_is_named(gpus):
    bed = gpus(3)
    path, _ = sliced_model(bed.yard)
    key, client = add(bed.yard, path), bed.start_all()
    for slices, word in (([{"pattern": "*.down", "axis": 1}], "layers.0.down"), ([{"pattern": "norm", "axis": 1}], "norm"),
                         ([{"pattern": "norm", "axis": 0}], "13 elements")):
        with pytest.raises(Failed) as failure:
            bed.spread(client, key, mode="shard", slices=slices)
        assert failure.value.code == "invalid_message" and word in failure.value.text, failure.value
    bed.settled(client)
    bed.end()
