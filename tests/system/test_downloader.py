# SPDX-License-Identifier: Apache-2.0
"""The downloader against servers that misbehave, killed where it hurts, and told to stop."""
import os
import signal

import pytest
from yard import wait_for
from yard_fixture_downloader import BadServer, Downloads, content, sha256

SIZE = 200000
QUICK = {"download.backoff_ms": "20", "download.backoff_max_ms": "100", "download.stall_ms": "700",
         "download.tries_max": "4", "jobs.lease_ms": "3000"}


@pytest.fixture
def server(tmp_path):
    one = BadServer(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def start(make_yard, server):
    """A yard of broker, recorder and one downloader, with quick retries."""
    def run(faults=None, **settings):
        yard = make_yard(**{**QUICK, **settings})
        yard.start("broker", "recorder")
        yard.start("downloader", faults=faults)
        return Downloads(yard, server)
    return run


# What a server does, what the request says, how the bytes must come out: one yard for all of them.
GOOD = [
    ("ok", {}),
    ("ok,etag:abc", {"size": SIZE, "sha256": sha256(SIZE)}),
    ("plain", {"sha256": sha256(SIZE)}),
    ("plain,notag", {}),
    ("chunked,plain", {}),
    ("chunked,plain", {"size": SIZE}),
    ("nolength,plain", {"sha256": sha256(SIZE)}),
    ("cap:30000", {}),
    ("longer:5000", {"sha256": sha256(SIZE)}),
    ("short:60000", {}),
    ("reset:70000,weak:w", {"sha256": sha256(SIZE)}),
    ("first:2.stall~90000", {}),
    ("first:2.status~503", {}),
    ("first:1.shift", {}),
    ("first:1.norange", {}),
    ("first:1.short~50000,notag", {}),
    ("first:2.reset~90000,plain", {}),
    ("first:1.silent", {}),
]


@pytest.mark.parametrize("size", [SIZE, 0, 1, 40 * 1024 * 1024 + 1])
def test_files_of_all_sizes_come_whole(start, size):
    downloads = start()
    for behaviour, request in (("ok", {}), ("ok", {"size": size, "sha256": sha256(size)}), ("plain", {})):
        row = downloads.fetch(behaviour, size, **request)
        assert row["status"] == "completed", row
        assert row["data"] == content(size) and row["download_result"]["verified"] == ("sha256" in request)


def test_a_file_comes_whole_through_servers_that_misbehave(start):
    downloads = start()
    for behaviour, request in GOOD:
        row = downloads.fetch(behaviour, SIZE, **request)
        assert row["status"] == "completed", (behaviour, row)
        assert row["data"] == content(SIZE), behaviour


BAD = [
    ("status:404", {}, "not_found"),
    ("status:410", {}, "not_found"),
    ("status:401", {}, "not_authorised"),
    ("status:403", {}, "not_authorised"),
    ("status:418", {}, "http_failed"),
    ("status:500", {}, "http_failed"),
    ("loop", {}, "http_failed"),
    ("redirect:file~|||etc|passwd", {}, "http_failed"),
    ("redirect:ftp~||127.0.0.1|x", {}, "http_failed"),
    ("html", {}, "invalid_file"),
    ("json", {}, "invalid_file"),
    ("gzip", {}, "http_failed"),
    ("ok", {"size": SIZE + 1}, "integrity"),
    ("ok", {"sha256": "0" * 64}, "integrity"),
    ("total:300000", {}, "source_changed"),
    ("shift", {}, "http_failed"),
    ("norange", {}, "http_failed"),
    ("stall:0", {}, "stalled"),
    ("silent", {}, "stalled"),
    ("nolength,plain", {}, "integrity"),
]


def test_what_cannot_be_fetched_ends_with_its_name(start):
    downloads = start()
    for behaviour, request, error_type in BAD:
        row = downloads.fetch(behaviour, SIZE, **request)
        assert (row["status"], row["error_type"]) == ("error", error_type), (behaviour, row)
        assert row["error"], behaviour
        assert os.listdir(os.path.dirname(row["path"])) == [], (behaviour, "a part file or journal is left")


# R3.4: without preserve_partial_downloads nothing stays of a download that failed, however much of it was there.
def test_a_download_that_fails_for_good_deletes_its_partial_file(start):
    downloads = start()
    job, path = downloads.submit("first:1.short~100000,stall:0", SIZE)
    wait_for(lambda: os.path.exists(path + ".journal"), what="a checkpoint")
    row = downloads.wait(job)
    assert row["status"] == "error" and row["error_type"] == "stalled", row
    assert os.listdir(os.path.dirname(path)) == []


def test_a_file_of_an_install_is_made_in_staging_and_nowhere_else(start, tmp_path):
    downloads = start()
    client = downloads.client
    client.ask("job.submit", {"kind": "install", "step": "resolve", "install": {"source": downloads.server.url + "/x"}})
    grant = client.ask("job.lease", {"kinds": ["install"], "node": "n", "member": "m", "room": 1, "holding": []})["grants"][0]
    path = str(tmp_path / "model.safetensors")
    with open(path, "wb") as file:
        file.write(b"somebody's file")
    child = client.ask("job.expand", {"job": grant["job"]["id"], "token": grant["token"], "step": "probe", "children": [
        {"kind": "download", "download": {"source": downloads.server.url + "/ok/1000/x", "path": path}}]})["children"][0]
    row = downloads.wait(child)
    assert (row["status"], row["error_type"]) == ("error", "invalid_message") and ".staging" in row["error"], row
    with open(path, "rb") as file:
        assert file.read() == b"somebody's file"


# Elsewhere a file that has the name is no proof: it is anybody's.
def test_a_file_outside_of_staging_is_not_taken_for_the_download(start, tmp_path):
    downloads = start()
    path = str(tmp_path / "model.safetensors")
    with open(path, "wb") as file:
        file.write(b"an older version")
    job = downloads.client.ask("job.submit", {"kind": "download", "download": {
        "source": f"{downloads.server.url}/ok/{SIZE}/model.safetensors", "path": path}})["job"]["id"]
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    with open(path, "rb") as file:
        assert file.read() == content(SIZE)


def test_html_is_no_fault_of_a_file_that_is_no_model(start):
    row = start().fetch("html", 0, name="readme.html")
    assert row["status"] == "completed", row


# R3.2: a URL that is none is invalid_source.
def test_sources_that_are_no_urls_are_refused(start):
    downloads = start()
    port = downloads.server.ports[0]
    for source in ("file:///etc/passwd", f"http://user:pass@127.0.0.1:{port}/ok/10/a", "ftp://127.0.0.1/x", "http://"):
        path = os.path.join(downloads.yard.models, "x", "y")
        job = downloads.client.ask("job.submit", {"kind": "download", "download": {"source": source, "path": path}})["job"]
        row = downloads.wait(job["id"])
        assert (row["status"], row["error_type"]) == ("error", "invalid_source"), row
        assert "pass@" not in row["error"]
    assert not downloads.server.requests()


def test_private_addresses_are_refused_unless_configured(start):
    downloads = start(**{"download.allow_private": "false"})
    port = downloads.server.ports[0]
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"):
        row = downloads.fetch("ok", base=f"http://{host}:{port}")
        assert (row["status"], row["error_type"]) == ("error", "forbidden_address"), (host, row)
        assert "download.allow_private" in row["error"]
    assert not downloads.server.requests()


def test_a_credential_is_shown_to_its_own_origin_only(start):
    downloads = start()
    server = downloads.server
    secret = "tok-3c9f51"
    elsewhere = server.other.replace(":", "~").replace("/", "|") + "|ok,etag~x|200000|there"
    row = downloads.fetch("redirect:" + elsewhere.replace(",etag~x", ""), token=secret)
    assert row["status"] == "completed", row
    first, second = server.requests()
    assert first["authorization"] == f"Bearer {secret}" and second["authorization"] is None
    assert second["referer"] is None and second["encoding"] == "identity"
    row = downloads.fetch("redirect:|ok|200000|here", token=secret)
    assert row["status"] == "completed", row
    assert [one["authorization"] for one in server.requests()[2:]] == [f"Bearer {secret}"] * 2
    for actor in ("downloader", "recorder", "broker"):
        assert secret not in downloads.yard.log(actor)


def test_retry_after_is_honoured(start):
    downloads = start()
    row = downloads.fetch("first:1.status~429,retry:1")
    assert row["status"] == "completed", row
    assert row["ended_ms"] - row["started_ms"] >= 1000


def test_a_resumed_file_asks_for_the_rest_with_its_validator(start):
    downloads = start()
    row = downloads.fetch("first:1.short~60000,etag:v7")
    assert row["status"] == "completed", row
    first, second = downloads.server.requests()
    assert first["range"] == "bytes=0-" and first["if_range"] is None
    assert second["range"] == "bytes=60000-" and second["if_range"] == '"v7"'


def test_a_file_that_changes_at_its_source_is_fetched_anew(start):
    downloads = start()
    row = downloads.fetch("short:150000,changed:2", SIZE)
    assert row["status"] == "completed", row
    assert row["data"] == content(SIZE, 1)


def test_a_killed_downloader_goes_on_from_its_journal(start):
    size = SIZE * 10
    downloads = start()
    yard = downloads.yard
    # The end of a connection is a checkpoint: after the first one the journal is there.
    job, path = downloads.submit("first:1.short~100000,drip:20000:50", size)
    wait_for(lambda: os.path.exists(path + ".journal"), what="a checkpoint")
    yard.kill("downloader")
    yard.processes.remove(yard.named["downloader"])
    yard.start("downloader")
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    with open(path, "rb") as file:
        assert file.read() == content(size)
    asked = [one for one in downloads.server.requests() if one["if_range"]]
    assert asked and int(asked[-1]["range"][6:-1]) >= 100000


@pytest.mark.parametrize("point", ["downloader.after_write", "downloader.before_rename", "downloader.after_rename"])
def test_killed_at_a_fault_point_the_next_member_finishes(start, point):
    downloads = start(faults=point + ":1:kill")
    yard = downloads.yard
    job, path = downloads.submit("ok", SIZE)
    killed = yard.named["downloader"]
    assert killed.wait(20) != 0
    yard.processes.remove(killed)
    yard.start("downloader")
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    with open(path, "rb") as file:
        assert file.read() == content(SIZE)
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]
    if point == "downloader.after_rename":
        assert len(downloads.server.requests()) == 1, "the named file was fetched again"


def test_a_broken_disk_ends_the_download_and_keeps_nothing_of_it(start):
    downloads = start(faults="downloader.after_write:1")
    row = downloads.fetch("ok")
    assert (row["status"], row["error_type"]) == ("error", "disk_failed"), row
    assert not os.listdir(os.path.dirname(row["path"]))


# R3.3: cancel cleans its temporary files, pause keeps them.
def test_a_cancelled_download_leaves_nothing(start):
    downloads = start()
    job, path = downloads.submit("drip:20000:100", SIZE * 10)
    wait_for(lambda: downloads.client.ask("job.get", {"id": job}).get("bytes"), what="progress")
    downloads.client.ask("job.cancel", {"id": job})
    wait_for(lambda: not os.listdir(os.path.dirname(path)), what="the part file's end")
    assert downloads.wait(job)["status"] == "cancelled"


# R3.3
def test_a_paused_download_goes_on_where_it_was(start):
    downloads = start()
    job, path = downloads.submit("drip:20000:50", SIZE * 5)
    wait_for(lambda: downloads.client.ask("job.get", {"id": job}).get("bytes"), what="progress")
    downloads.client.ask("job.pause", {"id": job})
    wait_for(lambda: "result=stopped" in downloads.yard.log("downloader"), what="the pause")
    assert os.path.exists(path + ".part") and os.path.exists(path + ".journal")
    downloads.client.ask("job.start", {"id": job})
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    with open(path, "rb") as file:
        assert file.read() == content(SIZE * 5)
    assert downloads.server.requests()[-1]["if_range"]


def test_sigterm_hands_the_lease_back_and_keeps_the_bytes(start):
    downloads = start()
    yard = downloads.yard
    job, path = downloads.submit("drip:20000:50", SIZE * 5)
    wait_for(lambda: downloads.client.ask("job.get", {"id": job}).get("bytes"), what="progress")
    assert yard.kill("downloader", signal.SIGTERM) == 0
    row = downloads.client.ask("job.get", {"id": job})
    assert row["status"] not in ("completed", "error"), row
    assert os.path.exists(path + ".journal")
    yard.start("downloader")
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    assert downloads.server.requests()[-1]["if_range"]


def test_a_restarted_recorder_and_broker_do_not_lose_a_download(start):
    downloads = start()
    yard = downloads.yard
    job, path = downloads.submit("drip:20000:50", SIZE * 10)
    wait_for(lambda: downloads.client.ask("job.get", {"id": job}).get("bytes"), what="progress")
    for actor in ("recorder", "broker"):
        yard.kill(actor)
        yard.processes.remove(yard.named[actor])
        yard.start(actor)
    downloads.client = yard.client()
    wait_for(lambda: any(one["actor"] == "recorder" for one in downloads.client.ask("yard.actors")["actors"]),
             what="the recorder's hello")
    row = downloads.wait(job)
    assert row["status"] == "completed", row
    with open(path, "rb") as file:
        assert file.read() == content(SIZE * 10)
    assert downloads.fetch("ok")["status"] == "completed", "work is leased again"


def test_a_member_thought_dead_cannot_spoil_its_successor_s_file(start):
    downloads = start()
    yard = downloads.yard
    job, path = downloads.submit("first:1.short~100000,drip:20000:50", SIZE * 10)
    wait_for(lambda: os.path.exists(path + ".journal"), what="a checkpoint")
    old = yard.named["downloader"]
    old.send_signal(signal.SIGSTOP)
    try:
        yard.start("downloader")  # the lease of the first one lapses; its lock does not
        wait_for(lambda: "download.lock_taken" in yard.log("downloader"), what="the successor's copy")
        old.send_signal(signal.SIGCONT)
        row = downloads.wait(job)
        assert row["status"] == "completed", f"{row['error_type']}: {row['error']}\n{yard.log('downloader')}"
        with open(path, "rb") as file:
            assert file.read() == content(SIZE * 10)
    finally:
        old.kill()
        old.wait()
        yard.processes.remove(old)
    assert os.listdir(os.path.dirname(path)) == ["model.safetensors"]


# R3.6: at most max_parallel at once.
def test_many_downloads_share_one_member(start):
    downloads = start(**{"download.max_parallel": "3"})
    jobs = [downloads.submit("drip:50000:5", SIZE) for _ in range(12)]
    for job, path in jobs:
        assert downloads.wait(job)["status"] == "completed"
        with open(path, "rb") as file:
            assert file.read() == content(SIZE)
