"""Loading, on real processes: a record, a file, a lease, and the same bytes in another process's memory."""
import json
import os
import signal
import subprocess
import sys
import textwrap

import msgpack
import numpy
import pytest

import make_models
import modelyard
from yard import ROOT, Failed, wait_for

PYTHON = "/usr/bin/python3"
GONE_S = 20  # the broker needs five silent seconds, or a disconnect, to be sure


def key_of(number):
    return f"{number:032x}"


def add(yard, file, number=1, **fields):
    """A record for a file in the models directory, as an install would make it."""
    config = {"key": key_of(number), "name": "one", "type": "lora", "base": "sd-1", "format": "lycoris",
              "path": os.path.relpath(file, yard.models), "hash": "imohash:00", **fields}
    yard.client().ask("record.add", {"config": config})
    return config["key"]


def place(yard, *parts):
    path = os.path.join(yard.models, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


@pytest.fixture
def loaded(yard):
    """A yard with a loader, and one LoRA in it; gives (yard, key, path)."""
    path = make_models.lora_sd1(place(yard, "sd-1", "lora", "one", "one.safetensors"))
    yard.start("broker", "recorder", "loader")
    return yard, add(yard, path), path


@pytest.fixture
def client(loaded):
    with modelyard.connect(loaded[0].run) as one:
        yield one


def bytes_of(path):
    """name -> bytes, by reading the file the plain way."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: data[8 + size + row["data_offsets"][0]:8 + size + row["data_offsets"][1]] for name, row in header.items()}


def test_the_arrays_are_the_files_bytes_and_read_only(loaded, client):  # R6.1
    _, key, path = loaded
    want = bytes_of(path)
    with client.load(key=key) as model:
        assert set(model) == set(want) and len(model) == len(want)
        for name in model:
            assert model[name].tobytes() == want[name]
            assert not model[name].flags.writeable
        assert model.dtype_of(next(iter(model))) == "F16"
        assert model.config["key"] == key and model.form == "mapped"
        with pytest.raises(ValueError):
            model[next(iter(model))][...] = 0


def test_a_model_is_found_by_its_attributes(loaded, client):  # R6.1 R6.3
    yard, key, path = loaded
    with client.load(name="one", base="sd-1", type="lora") as model:
        assert model.config["key"] == key
    with pytest.raises(modelyard.UnknownModel):
        client.load(name="none of this name")
    add(yard, path, 2)
    with pytest.raises(modelyard.AmbiguousModel):
        client.load(name="one")


def test_an_unknown_key_and_no_key_are_refused(loaded, client):  # R6.3
    with pytest.raises(modelyard.UnknownModel):
        client.load(key=key_of(99))
    with pytest.raises(modelyard.InvalidMessage):
        client.load()


def test_equal_loads_share_one_model(loaded, client):
    yard, key, _ = loaded
    with client.load(key=key) as first:
        assert not first.shared
        with client.load(key=key) as second:
            assert second.shared and second.lease != first.lease
        guests = [yard.client() for _ in range(8)]
        asks = [one.send("load.model", {"key": key}, ttl_s=30) for one in guests]
        assert all(one.result(ident)["shared"] for one, ident in zip(guests, asks))


def test_loads_of_many_at_once_read_the_file_once(loaded):
    yard, key, _ = loaded
    guests = [yard.client() for _ in range(12)]
    asks = [one.send("load.model", {"key": key}, ttl_s=30) for one in guests]
    answers = [one.result(ident) for one, ident in zip(guests, asks)]
    assert sorted(answer["shared"] for answer in answers) == [False] + [True] * 11
    assert len({answer["lease"] for answer in answers}) == 12


def test_a_load_that_its_asker_gave_up_holds_nothing(loaded, client):
    yard, key, _ = loaded
    os.kill(yard.named["loader"].pid, signal.SIGSTOP)
    try:
        with pytest.raises(modelyard.Timeout):
            client.load(key=key, timeout=0.2)
    finally:
        os.kill(yard.named["loader"].pid, signal.SIGCONT)
    wait_for(lambda: client.ask("load.list")["loads"] == [], what="the end of the lease")
    with client.load(key=key) as model:
        assert len(model) > 0


def test_a_file_that_was_replaced_is_loaded_anew(loaded, client):
    _, key, path = loaded
    with client.load(key=key) as old:
        before = old["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight"]
        make_models.plain(path + ".new")
        os.rename(path + ".new", path)
        with client.load(key=key) as new:
            assert not new.shared and list(new) == ["layer.0.weight", "layer.1.weight", "layer.2.weight"]
        assert before.shape == (1280, 8) and before.any()


def test_arrays_outlive_the_lease_and_hold_the_attachment(loaded, client):
    _, key, path = loaded
    with client.load(key=key) as model:
        name = next(iter(model))
        array = model[name]
    rows = client.ask("load.list")["loads"]
    assert [(row["state"], row["attachments"]) for row in rows] == [("draining", 1)]
    assert array.tobytes() == bytes_of(path)[name]
    with pytest.raises(ValueError):
        model[name]
    del array
    wait_for(lambda: client.ask("load.list")["loads"] == [], what="the end of the attachment")


def test_release_ends_a_lease_and_its_view(loaded, client):  # R6.2
    _, key, _ = loaded
    answer = client.ask("load.model", {"key": key})
    assert os.path.isdir(answer["view"])
    assert client.ask("load.list")["loads"][0]["lease"] == answer["lease"]
    client.ask("load.release", {"lease": answer["lease"]})
    assert not os.path.exists(answer["view"]) and client.ask("load.list")["loads"] == []
    with pytest.raises(modelyard.UnknownLease):
        client.ask("load.release", {"lease": answer["lease"]})


HOLDER = textwrap.dedent("""
    import sys
    sys.path.insert (0, sys.argv [1])
    import modelyard
    yard = modelyard.connect (sys.argv [2])
    model = yard.load (key = sys.argv [3])
    arrays = [model [name] for name in model]
    print (model.lease, flush = True)
    sys.stdin.read ()
""")


def test_a_killed_client_loses_its_attachment_at_once_and_then_its_lease(loaded, client):
    yard, key, _ = loaded
    holder = subprocess.Popen([PYTHON, "-c", HOLDER, os.path.join(ROOT, "proto", "python"), yard.run, key],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lease = holder.stdout.readline().strip()
    rows = client.ask("load.list")["loads"]
    assert [(row["attachments"], row["lease"]) for row in rows] == [(1, lease[:8])]  # another's lease is not shown whole
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    wait_for(lambda: all(row["attachments"] == 0 for row in client.ask("load.list")["loads"]), timeout=2,
             what="the end of the attachment")
    wait_for(lambda: client.ask("load.list")["loads"] == [], timeout=GONE_S, what="the end of the lease")
    assert os.listdir(os.path.join(yard.run, "views")) == []
    holder.stdin.close()
    holder.stdout.close()


def test_a_leaving_clients_lease_drains_while_it_is_attached(loaded, client):
    yard, key, _ = loaded
    other = modelyard.connect(yard.run)
    model = other.load(key=key)
    array = model[next(iter(model))]
    other.close()
    wait_for(lambda: [row["state"] for row in client.ask("load.list")["loads"]] == ["draining"], timeout=GONE_S,
             what="draining")
    assert array.size
    del array, model
    wait_for(lambda: client.ask("load.list")["loads"] == [], what="the end of the attachment")


def test_a_guest_holds_a_lease_only_for_a_time(loaded, client):
    yard, key, _ = loaded
    guest = yard.client()
    with pytest.raises(Failed) as refused:
        guest.ask("load.model", {"key": key})
    assert refused.value.code == "invalid_message" and "ttl_s" in refused.value.text
    guest.ask("load.model", {"key": key}, ttl_s=1)
    wait_for(lambda: client.ask("load.list")["loads"] == [], what="the end of the lease's time")


def test_a_kept_lease_is_the_yards_and_anyone_may_end_it(loaded, client):
    yard, key, _ = loaded
    guest = yard.client()
    lease = guest.ask("load.model", {"key": key, "keep": True})["lease"]
    row = client.ask("load.list")["loads"][0]
    assert (row["owner"], row["lease"]) == ("yard", lease)
    client.ask("load.release", {"lease": row["lease"]})


def test_over_the_limit_of_leases_is_busy(make_yard):
    yard = make_yard(**{"loader.leases_max": "2"})
    path = make_models.plain(place(yard, "a.safetensors"))
    yard.start("broker", "recorder", "loader")
    key = add(yard, path)
    client = yard.client()
    for _ in range(2):
        client.ask("load.model", {"key": key, "keep": True})
    with pytest.raises(Failed) as refused:
        client.ask("load.model", {"key": key, "keep": True})
    assert refused.value.code == "busy" and "leases_max" in refused.value.text


def test_a_main_model_is_loaded_by_part_or_whole(loaded, client):  # R6.1 R6.3
    yard, lora, _ = loaded
    path = make_models.main_sd1(place(yard, "sd-1", "main", "m", "m.safetensors"))
    key = add(yard, path, 5, type="main", format="checkpoint", name="m")
    with pytest.raises(modelyard.SubmodelNeeded):
        client.load(key=key)
    with pytest.raises(modelyard.NoSubmodel):
        client.load(key=key, submodel="text_encoder_2")
    with pytest.raises(modelyard.NoSubmodel):
        client.load(key=lora, submodel="unet")
    want = bytes_of(path)
    with client.load(key=key, whole=True) as model:
        assert set(model) == set(want)
    for part, prefix in (("unet", "model.diffusion_model."), ("vae", "first_stage_model."),
                         ("text_encoder", "cond_stage_model.")):
        with client.load(key=key, submodel=part) as model:
            assert set(model) == {name for name in want if name.startswith(prefix)}
            assert all(model[name].tobytes() == want[name] for name in model)


def test_a_part_that_the_file_does_not_have_is_no_submodel(loaded, client):  # R6.3
    yard, _, path = loaded
    key = add(yard, path, 6, type="main", format="checkpoint", name="no main at all")
    with pytest.raises(modelyard.NoSubmodel):
        client.load(key=key, submodel="unet")


def diffusers(yard):
    """A main model as a folder: a vae in one file, a unet in two shards, and things that must not count."""
    first = [make_models.array(f"a{at}", make_models.numbers(at, (2, 3))) for at in range(3)]
    second = [make_models.array("b", make_models.numbers(9, (5,))), make_models.array("a0", make_models.numbers(99, (7, 7)))]
    unet = os.path.dirname(place(yard, "m", "unet", "x"))
    names = ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"]
    make_models.write(os.path.join(unet, names[0]), first)
    make_models.write(os.path.join(unet, names[1]), second)
    make_models.plain(os.path.join(unet, "consolidated.safetensors"))
    index = {"metadata": {"total_size": 1}, "weight_map": {"a0": names[0], "a1": names[0], "a2": names[0], "b": names[1]}}
    with open(os.path.join(unet, "diffusion_pytorch_model.safetensors.index.json"), "w") as file:
        json.dump(index, file)
    make_models.plain(place(yard, "m", "vae", "diffusion_pytorch_model.safetensors"))
    make_models.plain(place(yard, "m", "vae", "diffusion_pytorch_model.fp16.safetensors"), 1)
    os.mkdir(place(yard, "m", "scheduler"))
    return unet, names


def test_a_folders_part_is_loaded_from_its_shards(loaded, client):  # R6.1 R6.11
    yard, _, _ = loaded
    unet, names = diffusers(yard)
    key = add(yard, os.path.dirname(unet), 9, type="main", format="diffusers", name="folder")
    with client.load(key=key, submodel="unet") as model:
        want = {**bytes_of(os.path.join(unet, names[0])), "b": bytes_of(os.path.join(unet, names[1]))["b"]}
        assert {name: model[name].tobytes() for name in model} == want
        assert sorted(os.listdir(model.view)) == names
        with client.load(key=key, submodel="unet") as again:
            assert again.shared
    with client.load(key=key, submodel="vae") as model:
        assert list(model) == ["layer.0.weight", "layer.1.weight", "layer.2.weight"]
    for part, failure in (("text_encoder", modelyard.NoSubmodel), ("../m/vae", modelyard.NoSubmodel),
                          (".", modelyard.NoSubmodel), ("scheduler", modelyard.ModelNotFound)):
        with pytest.raises(failure):
            client.load(key=key, submodel=part)
    with pytest.raises(modelyard.SubmodelNeeded):
        client.load(key=key, whole=True)
    os.unlink(os.path.join(unet, names[1]))
    with pytest.raises(modelyard.ModelNotFound):
        client.load(key=key, submodel="unet")
    make_models.plain(os.path.join(unet, names[1]))
    with pytest.raises(modelyard.InvalidFile):
        client.load(key=key, submodel="unet")


def test_another_device_is_the_wrong_place(loaded, client):  # R6.9
    yard, key, _ = loaded
    with pytest.raises(Failed) as refused:
        yard.client().ask("load.model", {"key": key, "device": "cuda:0"}, ttl_s=5)
    assert refused.value.code == "wrong_place"
    assert refused.value.failure["place"].startswith("loader/") and refused.value.failure["place"].endswith("/cuda:0")
    with pytest.raises(modelyard.YardError):  # asked again there, where nobody is
        client.load(key=key, device="cuda:0")


def test_a_type_without_a_loader_is_not_implemented(loaded, client):  # R6.3 R6.6
    yard, _, path = loaded
    key = add(yard, path, 7, type="unknown", format="unknown", name="nothing we know")
    with pytest.raises(modelyard.NotImplemented):
        client.load(key=key)


def test_over_the_limit_of_files_is_busy_and_shared_loads_still_go(make_yard):
    yard = make_yard(**{"loader.files_max": "16"})
    yard.start("broker", "recorder", "loader")
    keys = [add(yard, make_models.plain(place(yard, f"{number}.safetensors")), number, name=str(number))
            for number in range(17)]
    client = yard.client()
    leases = [client.ask("load.model", {"key": key, "keep": True})["lease"] for key in keys[:16]]
    with pytest.raises(Failed) as refused:
        client.ask("load.model", {"key": keys[16], "keep": True})
    assert refused.value.code == "busy" and "files_max" in refused.value.text
    assert client.ask("load.model", {"key": keys[0], "keep": True})["shared"]
    client.ask("load.release", {"lease": leases[5]})
    client.ask("load.model", {"key": keys[16], "keep": True})


def test_files_that_are_gone_are_model_not_found(loaded, client):  # R6.3
    _, key, path = loaded
    os.unlink(path)
    with pytest.raises(modelyard.ModelNotFound):
        client.load(key=key)


@pytest.mark.parametrize("what", ["truncated", "huge header", "no header", "polyglot"])
def test_a_hostile_file_is_invalid_and_the_loader_lives(loaded, client, what):
    _, key, path = loaded
    with open(path, "rb") as file:
        data = file.read()
    bad = {"truncated": data[:-1], "huge header": b"\xff" * 8 + data[8:], "no header": b"", "polyglot": data + b"x"}[what]
    with open(path + ".bad", "wb") as file:
        file.write(bad)
    os.rename(path + ".bad", path)
    with pytest.raises((modelyard.InvalidFile, modelyard.TooLarge)):
        client.load(key=key)
    assert client.ask("load.list")["loads"] == []


def test_a_path_that_leads_out_is_refused(loaded, client):
    yard, _, path = loaded
    outside = make_models.plain(os.path.join(yard.home, "outside.safetensors"))
    os.symlink(outside, place(yard, "link.safetensors"))
    os.symlink(os.path.dirname(path), place(yard, "linked"))
    os.mkdir(place(yard, "folder.safetensors"))
    cases = [(outside, modelyard.Forbidden), ("link.safetensors", modelyard.Forbidden), ("linked/one.safetensors", modelyard.Forbidden), ("folder.safetensors", modelyard.InvalidFile),
             ("one.ckpt", modelyard.ModelNotFound)]
    for number, (bad, failure) in enumerate(cases):
        key = add(yard, path, 20 + number, path=bad, name=f"bad {number}")
        with pytest.raises(failure):
            client.load(key=key)
    absolute = add(yard, path, 40, path=path, name="absolute")
    client.load(key=absolute).release()


def test_unmodified_readers_open_the_view(loaded, client):
    _, key, path = loaded
    answer = client.ask("load.model", {"key": key})
    script = "import sys, hashlib, os; (n,) = os.listdir (sys.argv [1]); print (n, hashlib.sha256 (open (sys.argv [1] + '/' + n, 'rb').read ()).hexdigest ())"
    told = subprocess.run([PYTHON, "-c", script, answer["view"]], capture_output=True, text=True, check=True).stdout.split()
    import hashlib
    with open(path, "rb") as file:
        assert told == ["one.safetensors", hashlib.sha256(file.read()).hexdigest()]


def test_views_and_sockets_of_a_killed_loader_are_taken_away_by_the_next(loaded, client):
    yard, key, _ = loaded
    view = client.ask("load.model", {"key": key, "keep": True})["view"]
    sockets = [name for name in os.listdir(yard.run) if name.startswith("attach-")]
    yard.kill("loader")
    yard.processes = [process for process in yard.processes if process.actor != "loader"]
    assert os.path.islink(os.path.join(view, "one.safetensors"))
    yard.start("loader")
    assert not os.path.lexists(view)
    assert not set(sockets) & set(os.listdir(yard.run))
    with client.load(key=key) as model:
        assert len(model) > 0


def test_a_loader_that_ends_leaves_attached_arrays_readable(loaded, client):
    yard, key, path = loaded
    model = client.load(key=key)
    arrays = {name: model[name] for name in model}
    assert yard.kill("loader", signal.SIGTERM) == 0
    assert os.listdir(os.path.join(yard.run, "views")) == []
    assert {name: array.tobytes() for name, array in arrays.items()} == bytes_of(path)
    model.release()  # of a loader that is gone: nothing to do


def test_a_connection_without_a_hello_is_closed(loaded, client):
    import socket
    _, key, _ = loaded
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.settimeout(10)
        door.connect(client.ask("load.model", {"key": key})["attach"])
        assert msgpack.unpackb(door.recv(65536))["failure"]["code"] == "timeout"
        assert door.recv(10) == b""


def test_a_wrong_lease_and_a_wrong_hello_are_refused_at_the_socket(loaded, client):
    import socket
    _, key, _ = loaded
    answer = client.ask("load.model", {"key": key})

    def say(packet):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.settimeout(10)
            door.connect(answer["attach"])
            door.send(packet)
            told = msgpack.unpackb(door.recv(65536))
            return told["failure"]["code"], door.recv(10)
    assert say(msgpack.packb({"lease": "0" * 32, "protocol": 1})) == ("unknown_lease", b"")
    assert say(msgpack.packb({"lease": answer["lease"], "protocol": 2})) == ("invalid_message", b"")
    assert say(b"\xdf\xff\xff\xff\xff")[0] == "invalid_message"
    assert say(b"x" * 5000)[0] == "bad_frame"
    assert client.ask("load.list")["loads"][0]["attachments"] == 0


def test_the_seeds_events_are_told_with_the_callers_context(loaded, client):  # R6.4
    yard, key, path = loaded
    socket = yard.subscriber("model_load_")
    context = {"queue_id": "q", "queue_item_id": 7, "queue_batch_id": "b", "graph_execution_state_id": "g"}
    client.load(key=key, context=context).release()
    told = []

    def two():
        while socket.poll(0):
            topic, _, body = socket.recv_multipart()
            if not topic.startswith(b"yard_beat"):
                told.append((topic.decode(), msgpack.unpackb(body)))
        return len(told) == 2
    wait_for(two, what="both events")
    assert [topic for topic, _ in told] == [f"model_load_started/{key}/", f"model_load_completed/{key}/"]
    for _, body in told:
        assert {field: body[field] for field in context} == context
        assert (body["model_key"], body["submodel_type"], body["hash"]) == (key, "", "imohash:00")
        assert body["location"] == os.path.relpath(path, yard.models)
    assert told[1][1]["precision"] == "float16"


def test_bf16_and_fp8_are_views_of_their_bits(loaded, client):
    yard, _, _ = loaded
    path = make_models.write(place(yard, "views.safetensors"), [
        ("b", "BF16", (2, 3), bytes(range(12))), ("e", "F8_E4M3", (5,), bytes(range(5))), ("f", "F4", (4, 2), bytes(range(4))),
        ("n", "F32", (0, 7), b""), ("s", "I64", (), (7).to_bytes(8, "little"))], pad=1)
    key = add(yard, path, 8, name="views")
    with client.load(key=key) as model:
        assert model["b"].dtype == numpy.uint16 and model["b"].shape == (2, 3) and model.dtype_of("b") == "BF16"
        assert model["b"].tobytes() == bytes(range(12))
        assert model["e"].dtype == numpy.uint8 and model["e"].shape == (5,)
        assert model["f"].dtype == numpy.uint8 and model["f"].shape == (4,) and model.shape_of("f") == (4, 2)
        assert model["n"].shape == (0, 7) and model["s"].shape == () and model["s"] == 7


def test_a_load_that_breaks_after_its_lease_holds_nothing(loaded):
    yard, key, _ = loaded
    yard.kill("loader", signal.SIGTERM)
    yard.start("loader", faults="loader.after_lease:1")
    client = yard.client(hello=True)
    with pytest.raises(Failed) as broken:
        client.ask("load.model", {"key": key})
    assert broken.value.code == "internal"
    assert client.ask("load.list")["loads"] == [] and os.listdir(os.path.join(yard.run, "views")) == []
    client.ask("load.model", {"key": key})


def test_a_client_hears_follows_in_order(loaded, client):
    _, key, _ = loaded
    with client.follow("model_load_") as follow:
        for _ in range(200):  # more than half of a follow's credit
            client.ask("load.release", {"lease": client.ask("load.model", {"key": key})["lease"]})
        names = [follow.next(10).name for _ in range(400)]
    assert names == ["model_load_started", "model_load_completed"] * 200


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
