"""Store and disk are made to agree, when there are more models than a page of records holds."""
import hashlib
import json
import os

from yard import Failed, wait_for

MODELS = 300  # record.search gives 256 at once
BYTES = b"\0" * 16


def config(number):
    return {"key": f"{number:032x}", "name": f"model {number}", "type": "lora", "base": "sd-1", "format": "lycoris",
            "path": f"sd-1/lora/model-{number}/model.safetensors", "hash": f"imohash:{number:032x}", "total_bytes": len(BYTES)}


def place(yard, row, folder=None):
    folder = os.path.join(yard.models, folder or os.path.dirname(row["path"]))
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(BYTES)
    described = {"path": "model.safetensors", "bytes": len(BYTES), "sha256": hashlib.sha256(BYTES).hexdigest(),
                 "chunk_bytes": 8 << 20, "crc32c": "00000000"}
    with open(os.path.join(folder, ".modelyard.json"), "w") as manifest:
        json.dump({"version": 1, "job": 1, "config": row, "files": [described]}, manifest)


def sync(client):
    """One from its beginning: the one of the start may still be running."""
    def look():
        try:
            return client.ask("install.sync")
        except Failed as failure:
            assert failure.code == "busy", failure
    return wait_for(look, what="the sync")


# R2.12
def test_a_sync_records_the_one_model_that_has_no_record(yard):
    yard.start("broker", "recorder", "installer")
    client = yard.client()
    lost = config(MODELS // 2)
    for number in range(MODELS):
        place(yard, config(number))
        if number != MODELS // 2:
            client.ask("record.add", {"config": config(number)})
    found = sync(client)
    assert (found["recovered"], found["unproven"]) == (1, 0), found
    assert client.ask("record.get", {"key": lost["key"]})["config"]["path"] == lost["path"]
    assert sync(client)["recovered"] == 0


def test_folders_with_the_same_key_are_one_model(yard):
    yard.start("broker", "recorder", "installer")
    client = yard.client()
    client.ask("record.add", {"config": config(1)})
    for copy in ("a", "b", "c"):
        place(yard, config(1), f"sd-1/lora/one-{copy}")
        place(yard, config(2), f"sd-1/lora/two-{copy}")
    assert sync(client)["recovered"] == 1, "the first folder of the second model"
    records = client.ask("record.search")["records"]
    assert [row["config"]["key"] for row in records] == [config(1)["key"], config(2)["key"]]
    assert records[0]["config"]["path"] == config(1)["path"], "a record is not overwritten by a copy's manifest"
