"""load.remote: a source is fetched once into the cache, shared by whoever asks, and loaded by its path (R6.8)."""
import os
import signal
import subprocess
import textwrap

import pytest

import make_models
from test_load import GONE_S, PYTHON, bytes_of
from yard import ROOT, Failed, wait_for

QUICK = {"download.backoff_ms": "20", "download.backoff_max_ms": "200", "download.stall_ms": "2000", "download.tries_max": "4",
         "jobs.lease_ms": "3000"}
MIB = 1 << 20


@pytest.fixture
def start(make_yard):
    """A yard that can load what is elsewhere."""
    def run(**settings):
        yard = make_yard(**{**QUICK, **settings})
        yard.start("broker", "recorder", "downloader", "loader")
        return yard
    return run


def downloads(client):
    return client.ask("job.list", {"kind": "download"})["jobs"]


def fetched(server):
    """The requests that the server has answered, once they are in its log."""
    return server.access_log.read_text().count('"GET ')


def large(nginx, mib=4, name="large.safetensors"):
    """At /slower/ about a second for each MiB."""
    make_models.plain(str(nginx.root / name), total_bytes=mib * MIB)
    return f"{nginx.url}/slower/{name}"


def fails(client, code, ask):
    with pytest.raises(Failed) as failure:
        client.ask("load.remote", ask, timeout=60)
    assert failure.value.code == code, failure.value
    return failure.value.text


def test_a_source_is_fetched_once_and_loaded_like_a_path(start, nginx):  # R6.8
    path = make_models.lora_sd1(str(nginx.root / "one.safetensors"))
    yard, source = start(), nginx.url + "/one.safetensors?a=b"
    client = yard.client(hello=True)
    first = client.ask("load.remote", {"source": source + "#fragment"})
    cached = first["config"]["path"]
    assert cached.startswith(yard.home + "/cache/downloads/") and os.path.basename(cached) == "one.safetensors"
    assert os.listdir(os.path.dirname(cached)) == ["one.safetensors"], "a part file or journal is left"
    assert first["config"]["source"] == source and first["config"]["name"] == "one.safetensors"
    assert first["phases"][0]["name"] == "download" and first["phases"][0]["us"] > 0
    assert bytes_of(os.path.join(first["view"], "one.safetensors")) == bytes_of(path)
    assert first["tensors"] == len(bytes_of(path)) and not first["shared"]
    assert client.ask("load.remote", {"source": source})["shared"]
    assert client.ask("load.path", {"path": cached})["shared"], "the same file is the same model, whoever names it"
    os.unlink(path)  # the source may go, and the loader too
    yard.kill("loader", signal.SIGTERM)
    yard.start("loader")
    again = yard.client(hello=True).ask("load.remote", {"source": source, "as": {"form": "resident"}})
    assert again["form"] == "resident" and again["tensors"] == first["tensors"]
    assert fetched(nginx) == 1 and len(downloads(client)) == 1


def test_another_query_is_another_source(start, nginx):
    make_models.plain(str(nginx.root / "one.safetensors"))
    client = start().client(hello=True)
    paths = {client.ask("load.remote", {"source": f"{nginx.url}/one.safetensors{query}"})["config"]["path"]
             for query in ("", "?version=1", "?version=2")}
    assert len(paths) == 3 and fetched(nginx) == 3


def test_two_at_once_share_a_download(start, nginx):  # R6.8
    source, yard = large(nginx, 2), start()
    clients = [yard.client(hello=True) for _ in range(3)]
    asks = [one.send("load.remote", {"source": source}) for one in clients]
    answers = [one.result(ident, 60) for one, ident in zip(clients, asks)]
    assert sorted(answer["shared"] for answer in answers) == [False, True, True]
    assert len(downloads(clients[0])) == 1 and fetched(nginx) == 1


def test_a_finished_file_is_not_fetched_again_by_whoever_submits_it(start, nginx):
    """Between a look and a submission another's download may end: the downloader knows the cache's files for whole."""
    make_models.plain(str(nginx.root / "one.safetensors"))
    client, source = start().client(hello=True), nginx.url + "/one.safetensors"
    path = client.ask("load.remote", {"source": source})["config"]["path"]
    job = client.ask("job.submit", {"kind": "download", "download": {"source": source, "path": path}})["job"]["id"]
    row = client.ask("job.wait", {"ids": [job], "timeout_ms": 20000})["jobs"][0]
    assert row["status"] == "completed" and fetched(nginx) == 1


def test_what_cannot_be_fetched_fails_the_load_with_the_jobs_words(start, nginx):  # R6.8
    (nginx.root / "page.safetensors").write_text("<!doctype html><html><body>log in</body></html>")
    yard = start()
    client = yard.client(hello=True)
    for name, code in (("none.safetensors", "not_found"), ("forbidden/x.safetensors", "not_authorised")):
        text = fails(client, code, {"source": f"{nginx.url}/{name}"})
        job = downloads(client)[-1]
        assert (job["status"], job["error_type"]) == ("error", code) and text == job["error"][:len(text)] and text
    nginx.stop()
    try:
        fails(client, "network_failed", {"source": nginx.url + "/x.safetensors"})
    finally:
        nginx.start()
    fails(client, "invalid_file", {"source": nginx.url + "/page.safetensors"})
    assert client.ask("load.list")["loads"] == []
    make_models.plain(str(nginx.root / "none.safetensors"))
    assert client.ask("load.remote", {"source": nginx.url + "/none.safetensors"})["tensors"] == 3, "a failure is not remembered"


def test_a_private_address_stays_forbidden(start, nginx):
    make_models.plain(str(nginx.root / "one.safetensors"))
    client = start(**{"download.allow_private": "false"}).client(hello=True)
    assert "download.allow_private" in fails(client, "forbidden_address", {"source": nginx.url + "/one.safetensors"})
    assert not nginx.access_log.read_text()


def test_other_forms_of_sources_say_what_they_are(start, tmp_path):  # R6.8 R2.1
    yard = start()
    client = yard.client(hello=True)
    for source, code in (("org/name", "not_implemented"), ("org/name:fp16:unet", "not_implemented"), ("hf://org/name", "not_implemented"),
                         ("civitai:12", "not_implemented"), ("s3://bucket/key", "not_implemented"), ("ftp://host/a", "invalid_source"),
                         ("http://", "invalid_source"), ("relative.safetensors", "invalid_source"), ("C:\\a.safetensors", "invalid_source")):
        assert fails(client, code, {"source": source})
    assert "secret" not in fails(client, "invalid_source", {"source": "http://user:secret@127.0.0.1/a"})
    assert fails(client, "not_implemented", {"source": "http://127.0.0.1/a", "loader": "nobody"})
    assert fails(client, "wrong_place", {"source": "http://127.0.0.1/a", "as": {"device": "cuda:0"}})
    guest = yard.client()
    assert "ttl_s" in fails(guest, "invalid_message", {"source": "http://127.0.0.1/a"})
    assert downloads(client) == [] and not os.path.exists(yard.home + "/cache")
    path = make_models.plain(str(tmp_path / "here.safetensors"))
    assert client.ask("load.remote", {"source": path})["config"]["path"] == path, "a path is loaded where it lies"


def test_the_loader_fits_the_file_unless_one_is_named(start, nginx):  # R6.8
    make_models.plain(str(nginx.root / "one.safetensors"))
    os.link(nginx.root / "one.safetensors", nginx.root / "download")
    (nginx.root / "embedding.pt").write_bytes(b"a pickle that nobody opens")
    client = start().client(hello=True)
    assert client.ask("load.remote", {"source": nginx.url + "/one.safetensors", "loader": "safetensors"})["tensors"] == 3
    assert fails(client, "invalid_file", {"source": nginx.url + "/one.safetensors", "loader": "gguf"})
    assert "name a loader" in fails(client, "not_implemented", {"source": nginx.url + "/download"})
    answer = client.ask("load.remote", {"source": nginx.url + "/download", "loader": "files"})
    assert answer["tensors"] == 0 and [one["name"] for one in answer["regions"]] == ["download"]
    assert client.ask("load.remote", {"source": nginx.url + "/embedding.pt"})["regions"][0]["bytes"] == 26


def test_a_server_that_goes_and_comes_back_is_gone_on_with(start, nginx):  # R6.8
    source = large(nginx)
    yard = start(**{"download.tries_max": "100"})
    client = yard.client(hello=True)
    ask = client.send("load.remote", {"source": source})
    asker = yard.client()
    wait_for(lambda: any(job["bytes"] for job in downloads(asker)), what="the first bytes")
    nginx.stop()
    nginx.start()
    assert client.result(ask, 60)["tensors"] == 4
    codes = [line.split('" ')[1].split()[0] for line in nginx.access_log.read_text().splitlines()]
    assert codes[-1] == "206", codes


ASKER = textwrap.dedent("""
    import sys
    sys.path.insert (0, sys.argv [1])
    import modelyard
    yard = modelyard.connect (sys.argv [2])
    print ("asked", flush = True)
    yard.ask ("load.remote", {"source": sys.argv [3]}, timeout = None)
""")


def asker(yard, source):
    process = subprocess.Popen([PYTHON, "-c", ASKER, os.path.join(ROOT, "proto", "python"), yard.run, source],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline()
    process.stdout.close()
    return process


def test_the_end_of_the_last_asker_cancels_the_download(start, nginx):  # R6.8
    source, yard = large(nginx, 60), start()
    client = yard.client(hello=True)
    killed = asker(yard, source)
    wait_for(lambda: any(job["bytes"] for job in downloads(client)), what="the first bytes")
    second = client.send("load.remote", {"source": source})
    path = downloads(client)[0]["download"]["path"]
    killed.kill()
    killed.wait()
    wait_for(lambda: all(row["pid"] != killed.pid for row in client.ask("yard.actors")["actors"]), timeout=GONE_S,
             what="the end of the killed one")
    assert [job["status"] for job in downloads(client)] == ["running"], "another waits for it"
    client.socket.send_multipart([b"YARD1B" + second, b"", b"\x80"])  # which withdraws
    wait_for(lambda: [job["status"] for job in downloads(client)] == ["cancelled"], what="the end of the job")
    wait_for(lambda: os.listdir(os.path.dirname(path)) == [], what="the end of the part file")
    small = make_models.plain(str(nginx.root / "large.safetensors"))
    assert client.ask("load.remote", {"source": source})["tensors"] == len(bytes_of(small))


def test_a_download_that_somebody_cancels_ends_the_load(start, nginx):
    source, yard = large(nginx, 60), start()
    client = yard.client(hello=True)
    ask = client.send("load.remote", {"source": source})
    other = yard.client()
    wait_for(lambda: [job["status"] for job in downloads(other)] == ["running"], what="the download")
    other.ask("job.cancel", {"id": downloads(other)[0]["id"]})
    with pytest.raises(Failed) as failure:
        client.result(ask)
    assert failure.value.code == "cancelled"


def test_a_download_goes_on_without_its_recorder_and_its_loader(start, nginx):  # R9.1
    source, yard = large(nginx, 5), start()
    client, other = yard.client(hello=True), yard.client()
    ask = client.send("load.remote", {"source": source})
    wait_for(lambda: any(job["bytes"] for job in downloads(other)), what="the first bytes")
    yard.kill("loader")
    with pytest.raises(Failed) as failure:
        client.result(ask)
    assert failure.value.code == "gone"
    yard.start("loader")
    ask = client.send("load.remote", {"source": source})
    yard.kill("recorder")
    yard.start("recorder")
    assert client.result(ask, 60)["tensors"] == 4
    assert [job["status"] for job in downloads(client)] == ["completed"]


def test_a_download_outlives_the_broker(start, nginx):  # R9.1
    source, yard = large(nginx, 6), start()
    client, other = yard.client(hello=True), yard.client()
    client.send("load.remote", {"source": source})
    wait_for(lambda: any(job["bytes"] for job in downloads(other)), what="the first bytes")
    yard.kill("broker")
    yard.start("broker")
    for actor in ("recorder", "downloader", "loader"):
        yard.ready(actor)
    again = yard.client(hello=True)
    assert again.ask("load.remote", {"source": source}, timeout=60)["tensors"] == 4
    assert [job["status"] for job in downloads(again)] == ["completed"]


def test_a_loader_that_ends_in_peace_leaves_its_downloads_going(start, nginx):
    source, yard = large(nginx, 4), start()
    client, other = yard.client(hello=True), yard.client()
    ask = client.send("load.remote", {"source": source})
    wait_for(lambda: any(job["bytes"] for job in downloads(other)), what="the first bytes")
    assert yard.kill("loader", signal.SIGTERM) == 0
    with pytest.raises(Failed) as failure:
        client.result(ask)
    assert failure.value.code == "cancelled" and "goes on" in failure.value.text
    yard.start("loader")
    assert client.ask("load.remote", {"source": source}, timeout=60)["tensors"] == 4
    assert len(downloads(client)) == 1 and fetched(nginx) == 1
