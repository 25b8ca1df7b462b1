# SPDX-License-Identifier: Apache-2.0
"""Full disks: told by name, nothing half-done to be seen, and by itself again when there is room."""
import os
import signal
import subprocess

import pytest

import make_models
from test_install import ALL, check_placed
from yard import Failed, wait_for

LIVE = ("waiting", "downloading", "running")


class Disk:
    """A file system of its own, small enough to fill."""

    def __init__(self, path):
        self.path, self.mounted = str(path), False

    def mount(self, size):
        os.makedirs(self.path, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            pytest.skip(f"no right to mount a small file system: {done.stderr.strip()}")
        self.mounted = True

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def fill(self):
        with open(os.path.join(self.path, "ballast"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], check=True)
        self.mounted = False


@pytest.fixture
def small(make_yard, tmp_path):
    """small (size): a yard whose models lie on a small disk; the yard ends before its disk does."""
    disk = Disk(tmp_path / "small")
    yards = []

    def make(size):
        disk.mount(size)
        yard = make_yard(**{"models_dir": disk.path, "jobs.disk_wait_ms": "200", "download.backoff_ms": "20"})
        yard.models = disk.path
        yards.append(yard)
        return yard, disk
    yield make
    for yard in yards:
        yard.stop()
    disk.unmount()


def visible(yard):
    """What somebody who looks for models sees."""
    return [os.path.join(folder, name) for folder, _, names in os.walk(yard.models) if ".staging" not in folder for name in names
            if name != "ballast"]


def finished_files(yard, job):
    folder = os.path.join(yard.models, ".staging", str(job))
    return [name for name in os.listdir(folder) if name.endswith(".safetensors")] if os.path.isdir(folder) else []


def completes(yard, client, job, original):
    done = client.ask("install.wait", {"ids": [job]}, timeout=60)["jobs"][0]
    assert done["status"] == "completed", done
    check_placed(yard, done, original)
    wait_for(lambda: os.listdir(os.path.join(yard.models, ".staging")) == [], what="the end of staging")


def test_a_download_waits_for_room_and_goes_on(small, nginx):
    yard, disk = small("3m")
    make_models.lora_sd1_whole(nginx.root / "big.safetensors", 6)
    yard.start(*ALL)
    client = yard.client()
    job = client.ask("install.import", {"source": nginx.url + "/big.safetensors"})["job"]["id"]

    def told():
        children = client.ask("job.list", {"parent": job})["jobs"]
        return children and children[0]["error_type"] == "disk_full" and children[0]
    child = wait_for(told, what="disk_full in the download")
    assert "room" in child["error"] and child["status"] == "enqueued", child
    assert client.ask("install.get", {"id": job})["status"] in LIVE
    assert visible(yard) == [] and finished_files(yard, job) == []
    disk.grow("32m")
    completes(yard, client, job, nginx.root / "big.safetensors")


# The server does not say how long the file is: the disk is full in its middle.
def test_a_download_that_fills_the_disk_goes_on_when_there_is_room(small, tmp_path):
    from yard_fixture_downloader import BadServer, Downloads, content
    yard, disk = small("1m")
    server = BadServer(tmp_path)
    try:
        yard.start("broker", "recorder", "downloader")
        downloads = Downloads(yard, server)
        job, path = downloads.submit("chunked,etag:v", 3000000)
        wait_for(lambda: downloads.client.ask("job.get", {"id": job})["error_type"] == "disk_full", what="disk_full in the job")
        assert not os.path.exists(path)
        disk.grow("32m")
        row = downloads.wait(job)
        assert row["status"] == "completed", row
        with open(path, "rb") as file:
            assert file.read() == content(3000000)
        assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]
    finally:
        server.stop()


def test_a_local_copy_waits_for_room_and_goes_on(small, tmp_path):
    yard, disk = small("3m")
    source = str(tmp_path / "mine.safetensors")
    make_models.lora_sd1_whole(source, 6)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    job = client.ask("install.import", {"source": source})["job"]["id"]

    def told():
        row = client.ask("install.get", {"id": job})
        return row["error_type"] == "disk_full" and row
    row = wait_for(told, what="disk_full in the install")
    assert row["status"] in LIVE and not row["in_terminal_state"], row
    assert visible(yard) == [] and finished_files(yard, job) == []
    disk.grow("32m")
    completes(yard, client, job, source)


def test_placing_waits_for_room_and_goes_on(small, tmp_path):
    yard, disk = small("8m")
    source = str(tmp_path / "mine.safetensors")
    make_models.lora_sd1_whole(source, 6)
    yard.start("broker", "recorder", "prober", "installer")
    client = yard.client()
    yard.named["prober"].send_signal(signal.SIGSTOP)  # so that the disk is full between the copy and the manifest
    try:
        job = client.ask("install.import", {"source": source})["job"]["id"]
        wait_for(lambda: "step=probe" in yard.log("installer"), what="the end of the copy")
        disk.fill()
    finally:
        yard.named["prober"].send_signal(signal.SIGCONT)

    def told():
        row = client.ask("job.get", {"id": job})
        return row["error_type"] == "disk_full" and row
    row = wait_for(told, what="disk_full in the install")
    assert row["step"] == "place" and row["status"] in LIVE, row
    assert visible(yard) == []
    os.unlink(os.path.join(disk.path, "ballast"))
    completes(yard, client, job, source)


@pytest.fixture
def small_home(make_yard, tmp_path):
    """A yard whose home, but neither its sockets nor its logs, lies on a small disk."""
    disk = Disk(tmp_path / "home")
    disk.mount("4m")
    yard = make_yard(**{"jobs.disk_wait_ms": "200"})
    environment = yard.environment
    yard.environment = lambda **extra: environment(**{"MODELYARD_HOME": disk.path, **extra})
    yield yard, disk
    yard.stop()
    disk.unmount()


def submit(client, number, **more):
    ask = {"kind": "download", "download": {"source": f"http://127.0.0.1:9/{number}" + "x" * 3000, "path": f"/nowhere/{number}"}}
    return client.ask("job.submit", {**ask, **more})["job"]["id"]


def test_a_recorder_on_a_full_disk_reads_on_refuses_writes_and_recovers(small_home):
    yard, disk = small_home
    yard.start("broker", "recorder")
    client = yard.client(hello=True)
    kept = [submit(client, number) for number in range(3)]
    heard = client.follow("download_")
    disk.fill()
    refused = 0
    for number in range(3, 200):  # until the log is full too; then some more
        try:
            kept.append(submit(client, number))
            assert refused == 0, "a full disk took a write"
        except Failed as failure:
            assert failure.code == "store_failed" and "nothing of it was done" in failure.text, failure
            refused += 1
            if refused == 5:
                break
    assert refused == 5
    with pytest.raises(Failed) as failure:
        submit(client, 999, access_token="secret")
    assert failure.value.code in ("disk_full", "store_failed")
    assert [row["id"] for row in client.ask("job.list", {})["jobs"]] == kept
    assert client.ask("job.get", {"id": kept[0]})["status"] == "enqueued"
    os.unlink(os.path.join(disk.path, "ballast"))
    more = submit(client, 1000)
    assert more not in kept
    kept.append(more)
    while True:  # told too, and nothing that was refused
        ident, name, body, _ = client.next_event()
        assert ident == heard and body["id"] in kept
        if body["id"] == more:
            break
    yard.kill("recorder")
    yard.processes.remove(yard.named["recorder"])
    yard.start("recorder")
    client = yard.client()
    wait_for(lambda: yard.client().ask("job.list", {}), what="the recorder")
    assert [row["id"] for row in client.ask("job.list", {})["jobs"]] == kept
    assert os.listdir(os.path.join(disk.path, "secrets")) == []


# What waits for room on the same full disk must not turn the recorder's loop.
def test_a_delay_that_ends_on_a_full_disk_costs_no_cpu(small_home):
    yard, disk = small_home
    yard.start("broker", "recorder")
    client = yard.client()
    job = submit(client, 1)
    grant = client.ask("job.lease", {"kinds": ["download"], "node": "box", "member": "m", "room": 1, "holding": []})["grants"][0]
    client.ask("job.fail", {"job": job, "token": grant["token"], "error_type": "disk_full", "error": "full", "again": True,
                            "after_ms": 1500})
    disk.fill()

    def full():
        try:
            submit(client, 2)
        except Failed:
            return True
    wait_for(full, what="the full log")
    wait_for(lambda: "settle.failed" in yard.log("recorder"), what="a commit that failed")
    stat = f"/proc/{yard.named['recorder'].pid}/stat"

    def ticks():
        with open(stat, encoding="ascii") as file:
            return sum(int(word) for word in file.read().rpartition(")")[2].split()[11:13])
    before = ticks()
    for _ in range(3):  # a second of beats
        yard.subscriber()
    wait_for(lambda: yard.log("recorder").count("settle.failed") > 4, what="three more tries")
    assert (ticks() - before) / os.sysconf("SC_CLK_TCK") < 2.0
    os.unlink(os.path.join(disk.path, "ballast"))
    again = client.ask("job.lease", {"kinds": ["download"], "node": "box", "member": "m2", "room": 1, "holding": []})["grants"][0]
    assert again["token"] >= 1
