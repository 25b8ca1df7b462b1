"""The whole way: from a source to a record, its folder and its memory, over the bus, with every actor a process of its own."""
import hashlib
import json
import os
import signal
import struct

import msgpack
import pytest

import make_models
from yard import Failed, wait_for

ALL = ("broker", "recorder", "downloader", "prober", "installer", "loader")
KEYS = {  # R2.6: exactly the seed's payloads
    "model_install_downloading": {"source", "local_path", "bytes", "total_bytes", "parts", "timestamp"},
    "model_install_running": {"source", "timestamp"},
    "model_install_completed": {"source", "total_bytes", "key", "timestamp"},
    "model_install_error": {"source", "error_type", "error", "timestamp"},
    "model_install_cancelled": {"source", "timestamp"},
}


def finished(client, job, timeout=60):
    """The install, when it has ended."""
    rows = client.ask("install.wait", {"ids": [job]}, timeout=timeout)["jobs"]
    assert len(rows) == 1 and rows[0]["in_terminal_state"], rows
    return rows[0]


def install(client, source, timeout=60, **more):
    job = client.ask("install.import", {"source": source, **more})["job"]
    return finished(client, job["id"], timeout)


def sha256(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def staging(yard):
    return [name for name in os.listdir(os.path.join(yard.models, ".staging"))]


def check_placed(yard, job, original):
    """The folder is whole, proven, read-only, and named as the rules say."""
    config = job["config_out"]
    path = os.path.join(yard.models, config["path"])
    assert sha256(path) == sha256(original)
    assert os.stat(path).st_mode & 0o777 == 0o444
    manifest = json.load(open(os.path.join(os.path.dirname(path), ".modelyard.json")))
    assert manifest["config"]["key"] == job["key"] == config["key"]
    row = manifest["files"][0]
    assert row["sha256"] == sha256(path) and row["bytes"] == os.path.getsize(path)
    assert len(row["crc32c"]) == 8 * -(-row["bytes"] // row["chunk_bytes"])
    return path


# R2.1 R2.2 R2.5 R2.6 R4.1 R4.2 R9.1 R9.2
def test_a_lora_comes_over_http_and_is_recorded_probed_and_proven(yard, nginx):
    make_models.lora_sd1_whole(nginx.root / "water colour.safetensors", 40)
    yard.start(*ALL)
    heard = yard.subscriber("model_install_", "model_record_")
    client = yard.client(hello=True)
    asked = client.ask("install.import", {"source": nginx.url + "/slow/water%20colour.safetensors"})
    assert asked["existed"] is False and asked["job"]["status"] in ("waiting", "downloading") and len(asked["job"]["key"]) == 32
    job = finished(client, asked["job"]["id"])
    assert job["status"] == "completed" and job["complete"] and not job["errored"], job
    config = job["config_out"]
    assert (config["type"], config["base"], config["format"]) == ("lora", "sd-1", "lycoris")
    assert config["hash"].startswith("imohash:") and config["source"].startswith(nginx.url)
    check_placed(yard, job, nginx.root / "water colour.safetensors")
    assert client.ask("record.get", {"key": job["key"]})["config"] == config
    events = []
    while not events or events[-1][0] != "model_install_completed":
        topic, stamp, body = heard.recv_multipart()
        name, subject = topic.decode().split("/")[:2]
        if name.startswith("model_"):
            events.append((name, subject, msgpack.unpackb(body), msgpack.unpackb(stamp)))
    installs = [row for row in events if row[0].startswith("model_install_")]
    assert all(set(body) == KEYS[name] for name, _, body, _ in installs)
    assert all(subject == str(job["id"]) for _, subject, _, _ in installs)
    order = [name for name, *_ in installs]
    assert order.count("model_install_completed") == 1 and order.count("model_install_running") == 1
    first_running = order.index("model_install_running")
    assert set(order[:first_running]) == {"model_install_downloading"} and first_running >= 2
    assert order[first_running:] == ["model_install_running", "model_install_completed"]
    progress = [body["bytes"] for name, _, body, _ in installs if name == "model_install_downloading"]
    assert progress == sorted(progress)
    assert installs[-1][2]["key"] == job["key"]
    assert staging(yard) == []


# R2.1 R2.6 R2.9
def test_a_local_file_is_copied_without_downloading_events(yard, tmp_path):
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    yard.start("broker", "recorder", "prober", "installer")
    heard = yard.subscriber("model_install_")
    client = yard.client()
    job = install(client, source)
    assert job["status"] == "completed", job
    assert job["local_path"] == source and job["config_out"]["path"] == "sd-1/lora/mine/mine.safetensors"
    path = check_placed(yard, job, source)
    assert os.stat(path).st_ino != os.stat(source).st_ino
    names = []
    while "model_install_completed" not in names:
        topic = heard.recv_multipart()[0].decode()
        if topic.startswith("model_"):
            names.append(topic.split("/")[0])
    assert names == ["model_install_running", "model_install_completed"]


# R2.2
def test_move_takes_the_file_only_after_the_record(yard, tmp_path):
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    digest = sha256(source)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    asked = client.ask("install.import", {"local": {"path": source, "move": True}})
    job = finished(client, asked["job"]["id"])
    assert job["status"] == "completed"
    wait_for(lambda: not os.path.exists(source), what="the move")
    assert sha256(os.path.join(yard.models, job["config_out"]["path"])) == digest


# R2.4 R2.8
def test_two_installs_at_once_and_a_third_equal_to_the_first(yard, nginx):
    for name in ("one", "two"):
        make_models.lora_sd1_whole(nginx.root / f"{name}.safetensors", 6)
    yard.start(*ALL)
    client = yard.client()
    first = client.ask("install.import", {"source": nginx.url + "/slow/one.safetensors"})
    second = client.ask("install.import", {"source": nginx.url + "/slow/two.safetensors"})
    again = client.ask("install.import", {"source": nginx.url + "/slow/one.safetensors"})
    assert again["existed"] and again["job"]["id"] == first["job"]["id"] != second["job"]["id"]
    done = client.ask("install.wait", {"ids": []}, timeout=60)["jobs"]
    assert sorted(job["id"] for job in done) == [first["job"]["id"], second["job"]["id"]]
    assert {job["status"] for job in done} == {"completed"}
    listed = client.ask("install.list", {"source": nginx.url + "/slow/one.safetensors"})["jobs"]
    assert [job["id"] for job in listed] == [first["job"]["id"]]
    assert [job["id"] for job in client.ask("install.list", {"key": second["job"]["key"]})["jobs"]] == [second["job"]["id"]]
    assert client.ask("install.list", {"live": True})["jobs"] == []


# R2.7
def test_an_unknown_file_is_undecided_and_goes_on_from_its_bytes(yard, nginx):
    make_models.plain(str(nginx.root / "odd.safetensors"))
    yard.start(*ALL)
    client = yard.client()
    job = install(client, nginx.url + "/odd.safetensors")
    assert job["status"] == "error" and job["error_type"] == "ambiguous" and "type, base" in job["error"], job
    assert client.ask("record.search", {})["records"] == []
    assert client.ask("install.sync", {})["staging_removed"] == 0, "the bytes are kept"
    requests = nginx.access_log.read_text().count("odd.safetensors")
    job = install(client, nginx.url + "/odd.safetensors",
                  config={"type": "embedding", "base": "sd-1", "format": "embedding_file", "name": "odd one"})
    assert job["status"] == "completed", job
    assert nginx.access_log.read_text().count("odd.safetensors") == requests, "nothing was fetched again"
    assert job["config_out"]["path"] == "sd-1/embedding/odd_one/odd.safetensors"
    check_placed(yard, job, nginx.root / "odd.safetensors")


def hostile(root):
    good = make_models.lora_sd1(str(root / "good.safetensors"))
    data = open(good, "rb").read()
    (root / "short.safetensors").write_bytes(data[:-100])
    (root / "long.safetensors").write_bytes(data + b"polyglot")
    (root / "bomb.safetensors").write_bytes(struct.pack("<Q", 2 ** 40) + b"{}")
    (root / "empty.safetensors").write_bytes(b"")
    (root / "page.safetensors").write_bytes(b"<!DOCTYPE html><html><body>please log in</body></html>")


# R7.4
@pytest.mark.parametrize("path, error_type", [
    ("/absent.safetensors", "not_found"), ("/forbidden/x.safetensors", "not_authorised"),
    ("/short.safetensors", "invalid_file"), ("/long.safetensors", "invalid_file"), ("/bomb.safetensors", "too_large"),
    ("/empty.safetensors", "invalid_file"), ("/page.safetensors", None)])
def test_bad_files_and_bad_servers_end_by_name_and_leave_nothing(yard, nginx, path, error_type):
    hostile(nginx.root)
    yard.start(*ALL)
    heard = yard.subscriber("model_install_")
    client = yard.client()
    job = install(client, nginx.url + path)
    assert job["status"] == "error" and len(job["error"]) > 20, job
    if error_type:
        assert job["error_type"] == error_type, job
    assert client.ask("record.search", {})["records"] == []
    assert [name for name in os.listdir(yard.models) if not name.startswith(".")] == []
    while True:
        topic, _, body = heard.recv_multipart()
        if topic.startswith(b"model_install_error"):
            assert set(msgpack.unpackb(body)) == KEYS["model_install_error"]
            break
    client.ask("install.sync", {})
    assert staging(yard) == []


# R2.1
@pytest.mark.parametrize("ask, code", [
    ({}, "invalid_source"), ({"source": "relative/path/x"}, "invalid_source"), ({"source": "/nonexistent"}, "invalid_source"),
    ({"source": "org/name"}, "not_implemented"), ({"source": "/tmp"}, "not_implemented"),
    ({"local": {"path": "/etc/hostname", "inplace": True}}, "not_implemented"), ({"source": 7}, "invalid_message"),
    ({"source": "http://h/x", "config": {"type": "no such type"}}, "invalid_message")])
def test_bad_sources_are_refused_at_once(yard, ask, code):
    yard.start("broker", "recorder", "installer")
    with pytest.raises(Failed) as failure:
        yard.client().ask("install.import", ask)
    assert failure.value.code == code and len(failure.value.text) > 20


# R2.8
def test_a_cancelled_install_leaves_nothing_behind(yard, nginx):
    make_models.lora_sd1_whole(nginx.root / "big.safetensors", 40)
    yard.start(*ALL)
    heard = yard.subscriber("model_install_", "download_")
    client = yard.client()
    job = client.ask("install.import", {"source": nginx.url + "/slower/big.safetensors"})["job"]
    while not heard.recv_multipart()[0].startswith(b"download_running"):
        pass
    wait_for(lambda: staging(yard) and os.listdir(os.path.join(yard.models, ".staging", str(job["id"]))), what="a part file")
    cancelled = client.ask("install.cancel", {"id": job["id"]})
    assert cancelled["status"] == "cancelled"
    names = []
    while "model_install_cancelled" not in names:
        names.append(heard.recv_multipart()[0].decode().split("/")[0])
    wait_for(lambda: staging(yard) == [], what="the clean-up")
    with pytest.raises(Failed) as failure:
        client.ask("install.cancel", {"id": job["id"]})
    assert failure.value.code == "too_late"


# R2.10
def test_delete_takes_record_and_files(yard, tmp_path):
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    job = install(client, source)
    gone = client.ask("install.delete", {"key": job["key"]})
    assert gone["files_removed"] and gone["config"]["key"] == job["key"]
    assert os.listdir(os.path.join(yard.models, "sd-1", "lora")) == [] and staging(yard) == []
    with pytest.raises(Failed) as failure:
        client.ask("install.delete", {"key": job["key"]})
    assert failure.value.code == "unknown_model"
    again = install(client, source)
    assert again["status"] == "completed" and again["key"] != job["key"]


# R2.9
def test_a_taken_name_gets_the_keys_first_digits(yard, tmp_path):
    one = make_models.lora_sd1(str(tmp_path / "same.safetensors"))
    (tmp_path / "b").mkdir()
    two = make_models.lora_sd1(str(tmp_path / "b" / "same.safetensors"), rank=4)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    first, second = install(client, one), install(client, two)
    assert first["config_out"]["path"] == "sd-1/lora/same/same.safetensors"
    assert second["config_out"]["path"] == f"sd-1/lora/same-{second['key'][:8]}/same.safetensors"
    check_placed(yard, first, one)
    check_placed(yard, second, two)


# R2.12
def test_the_database_is_rebuilt_from_the_manifests(yard, tmp_path):
    source = make_models.lora_sd1(str(tmp_path / "mine.safetensors"))
    other = make_models.lora_sd1(str(tmp_path / "other.safetensors"), rank=4)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    job, spoiled = install(client, source), install(client, other)
    before = client.ask("record.get", {"key": job["key"]})["config"]
    for actor in ("installer", "recorder"):
        yard.kill(actor, signal.SIGTERM)
    for name in os.listdir(yard.home):
        if name.startswith("yard.db"):
            os.unlink(os.path.join(yard.home, name))
    path = os.path.join(yard.models, spoiled["config_out"]["path"])
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    os.makedirs(os.path.join(yard.models, ".staging", "4711"))
    yard.start("recorder", "installer")
    client = yard.client()

    def recovered():
        return client.ask("record.exists", {"key": job["key"]})["exists"]
    wait_for(recovered, what="the recovery")
    after = client.ask("record.get", {"key": job["key"]})["config"]
    assert after == before
    wait_for(lambda: staging(yard) == [], what="the sweep")
    wait_for(lambda: "sync.unproven" in yard.log("installer"), what="the word about the spoiled model")
    assert not client.ask("record.exists", {"key": spoiled["key"]})["exists"]


# R2.13 R9.1: killed once in mid-install, each; then everything completes
@pytest.mark.parametrize("victim", ["downloader", "installer", "recorder", "broker", "loader", "prober"])
def test_a_killed_actor_costs_nothing(make_yard, nginx, victim):
    yard = make_yard(**{"jobs.lease_ms": "2000"})
    make_models.lora_sd1_whole(nginx.root / "one.safetensors", 12)
    yard.start(*ALL)
    client = yard.client()
    job = client.ask("install.import", {"source": nginx.url + "/slow/one.safetensors"})["job"]
    directory = os.path.join(yard.models, ".staging", str(job["id"]))

    def part():
        return os.path.isdir(directory) and any(
            name.endswith(".part") and os.path.getsize(os.path.join(directory, name)) > 1000000 for name in os.listdir(directory))
    wait_for(part, what="the first megabyte")
    process = yard.named[victim]
    yard.kill(victim)
    yard.processes.remove(process)
    yard.start(victim)
    client = yard.client()
    wait_for(lambda: not pending(client, job["id"]), timeout=90, what="the end of the install")
    done = client.ask("install.get", {"id": job["id"]})
    assert done["status"] == "completed", done
    check_placed(yard, done, nginx.root / "one.safetensors")
    with_key = [row for row in client.ask("record.search", {})["records"] if row["config"]["key"] == job["key"]]
    assert len(with_key) == 1
    wait_for(lambda: staging(yard) == [], what="the end of staging")


def pending(client, job):
    try:
        return not client.ask("job.get", {"id": job})["status"] in ("completed", "error", "cancelled")
    except (Failed, TimeoutError):
        return True
