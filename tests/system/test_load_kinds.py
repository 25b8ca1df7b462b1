"""Every kind of model that the seed loads, through the whole yard: its regions, its tensors, its files by their real names (R6.11);
which of a repository's files are meant (R6.12); which loader fits a path (R6.8)."""
import json
import os

import pytest

import make_models
from test_load import add, bytes_of, place
from yard import Failed

PICKLE = b"\x80\x02}q\x00U\x04nameq\x01."


@pytest.fixture
def bed(yard):
    """A yard with a loader; gives (yard, a client that may lease)."""
    yard.start("broker", "recorder", "loader")
    return yard, yard.client(hello=True)


def files_of(folder):
    """name below the folder -> bytes, links followed."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def tensors_of(files):
    """How many rows a directory of these files must have."""
    count = 0
    for name, data in files.items():
        if name.endswith(".safetensors"):
            header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
            count += len(header) - ("__metadata__" in header)
    return count


def check(client, method, ask, want):
    """Loads, and compares regions, tensors and the view with want (name -> bytes), in both forms of the host."""
    for form in ("mapped", "resident"):
        wrapped = {**ask, "form": form} if method == "load.model" else {**ask, "as": {**ask.get("as", {}), "form": form}}
        answer = client.ask(method, wrapped)
        assert {region["name"]: region["bytes"] for region in answer["regions"]} == {name: len(data) for name, data in want.items()}
        assert answer["tensors"] == tensors_of(want) and answer["form"] == form
        assert files_of(answer["view"]) == want
        client.ask("load.release", {"lease": answer["lease"]})


def refused(client, method, ask, code):
    with pytest.raises(Failed) as failure:
        client.ask(method, ask)
    assert failure.value.code == code, failure.value
    return failure.value.text


def test_every_kind_of_the_seed_loads(bed):  # R6.11
    yard, client = bed
    pipeline = make_models.diffusers_sd1(os.path.dirname(place(yard, "pipeline", "x")))
    onnx = make_models.onnx_sd1(os.path.dirname(place(yard, "onnx", "x")))
    adapter = make_models.ip_adapter(os.path.dirname(place(yard, "adapter", "x")))
    plus = make_models.ip_adapter(os.path.dirname(place(yard, "plus", "x")), safetensors=True)
    lora = make_models.lora_sd1(place(yard, "lora.safetensors"))
    lora_folder = os.path.dirname(make_models.plain(place(yard, "lora", "pytorch_lora_weights.safetensors")))
    inversion = make_models.write(place(yard, "word.safetensors"), [make_models.array("emb_params", make_models.numbers(1, (2, 768)))])
    inversion_pt = make_models.word(place(yard, "word.pt"), PICKLE)
    inversion_folder = os.path.dirname(make_models.word(place(yard, "word", "learned_embeds.bin"), PICKLE))
    plus_file = make_models.write(place(yard, "plus.safetensors"), [make_models.array("ip_adapter.1.to_k_ip.weight", make_models.numbers(1, (4, 3)))])
    unet, tokenizer = (files_of(os.path.join(pipeline, part)) for part in ("unet", "tokenizer"))
    plain = "diffusion_pytorch_model.safetensors"
    kinds = [
        (pipeline, {"type": "main", "format": "diffusers"}, "unet", {plain: unet[plain]}),
        (pipeline, {"type": "main", "format": "diffusers"}, "tokenizer", tokenizer),
        (pipeline, {"type": "main", "format": "diffusers"}, "scheduler", files_of(os.path.join(pipeline, "scheduler"))),
        (onnx, {"type": "main", "format": "onnx"}, None, files_of(onnx)),
        (onnx, {"type": "onnx", "format": "onnx"}, "unet", files_of(os.path.join(onnx, "unet"))),
        (onnx, {"type": "onnx", "format": "olive"}, None, files_of(onnx)),
        (adapter, {"type": "ip_adapter", "format": "invokeai"}, None, files_of(adapter)),
        (plus, {"type": "ip_adapter", "format": "invokeai"}, None, files_of(plus)),
        (plus_file, {"type": "ip_adapter", "format": "checkpoint"}, None, None),
        (lora, {"type": "lora", "format": "lycoris"}, None, None),
        (lora_folder, {"type": "lora", "format": "diffusers"}, None, files_of(lora_folder)),
        (inversion, {"type": "embedding", "format": "embedding_file"}, None, None),
        (inversion_pt, {"type": "embedding", "format": "embedding_file"}, None, None),
        (inversion_folder, {"type": "embedding", "format": "embedding_folder"}, None, files_of(inversion_folder)),
    ]
    for number, (path, fields, part, want) in enumerate(kinds):
        key = add(yard, path, number + 1, name=str(number), **fields)
        if want is None:
            with open(path, "rb") as file:
                want = {os.path.basename(path): file.read()}
        check(client, "load.model", {"key": key, **({"submodel": part} if part else {})}, want)
    assert client.ask("load.list")["loads"] == [] or all(row["state"] == "idle" for row in client.ask("load.list")["loads"])


def names_of(client, ask, method="load.model"):
    """The names of the tensors, read through the view."""
    answer = client.ask(method, ask)
    names = [name for region in answer["regions"] for name in bytes_of(os.path.join(answer["view"], region["name"]))]
    client.ask("load.release", {"lease": answer["lease"]})
    return sorted(names)


def test_the_variant_is_the_records_or_the_callers(bed):  # R6.12
    yard, client = bed
    folder = make_models.diffusers_sd1(os.path.dirname(place(yard, "m", "x")))
    fields = {"type": "main", "format": "diffusers"}
    plain, half = (add(yard, folder, number, name=str(number), **fields, **more)
                   for number, more in ((1, {}), (2, {"repo_variant": "fp16"})))
    assert client.ask("record.get", {"key": half})["config"]["repo_variant"] == "fp16"

    def unet(key, **more):
        return names_of(client, {"key": key, "submodel": "unet", **more})
    of_plain, of_half = (["unet.plain.0", "unet.plain.1"], ["unet.fp16.0", "unet.fp16.1"])
    assert unet(plain) == of_plain and unet(half) == of_half
    assert unet(plain, variant="fp16") == of_half and unet(half, variant="") == of_plain and unet(half, variant="fp32") == of_plain
    config = client.ask("record.get", {"key": half})["config"]
    assert names_of(client, {"config": config, "submodel": "unet"}) == of_half, "a record that the caller gives says it too"

    # The record's is a preference, the caller's is not.
    held = client.ask("load.model", {"key": half, "submodel": "text_encoder"})
    assert [region["name"] for region in held["regions"]] == ["model.safetensors"]
    for key in (plain, half):
        text = refused(client, "load.model", {"key": key, "submodel": "text_encoder", "variant": "fp16"}, "not_found")
        assert "fp16" in text and "plain" in text
    assert names_of(client, {"key": plain, "submodel": "vae"}) == ["vae.fp16.0", "vae.fp16.1"], "the only one there is"
    for part in ("tokenizer", "scheduler"):
        assert client.ask("load.model", {"key": half, "submodel": part})["tensors"] == 0

    client.ask("record.update", {"key": half, "changes": {"repo_variant": ""}})
    assert unet(half) == of_plain
    client.ask("record.update", {"key": half, "changes": {"repo_variant": "onnx"}})
    assert unet(half) == of_plain, "a kind of files that is not there is none"
    refused(client, "load.model", {"key": half, "submodel": "unet", "variant": "onnx"}, "not_found")
    yard.kill("recorder")
    yard.start("recorder")
    assert client.ask("record.get", {"key": half})["config"]["repo_variant"] == "onnx"


def test_an_installs_overrides_carry_the_variant(yard, tmp_path):  # R6.12
    yard.start("broker", "recorder", "prober", "installer", "loader")
    path = make_models.lora_sd1(str(tmp_path / "one.safetensors"))
    client = yard.client(hello=True)
    job = client.ask("install.import", {"source": path, "config": {"repo_variant": "fp16"}})["job"]["id"]
    done = client.ask("install.wait", {"ids": [job], "timeout_ms": 60000}, timeout=70)["jobs"][0]
    assert done["status"] == "completed" and done["config_out"]["repo_variant"] == "fp16", done
    assert client.ask("load.model", {"key": done["key"]})["config"]["repo_variant"] == "fp16"


def test_the_loader_that_fits_a_path_is_found_by_looking(bed, tmp_path):  # R6.8
    yard, client = bed
    gguf, split, loose = tmp_path / "gguf", tmp_path / "split", tmp_path / "loose"
    make_models.gguf(str(gguf / "model.gguf"), [("a.weight", 8), ("b.weight", 32)])
    make_models.word(str(gguf / "config.json"), b"{}")
    for number in range(2):
        make_models.gguf(str(split / f"m-0000{number + 1}-of-00002.gguf"), [(f"t{number}", 4)], (number, 2, 2))
    loose.mkdir()
    make_models.plain(str(loose / "model.safetensors"))
    for folder, tensors, names in ((gguf, 2, ["model.gguf"]), (split, 2, ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]),
                                   (loose, 3, ["model.safetensors"])):
        answer = client.ask("load.path", {"path": str(folder)})
        assert (answer["tensors"], [region["name"] for region in answer["regions"]]) == (tensors, names), folder
    assert client.ask("load.path", {"path": str(gguf / "model.gguf")})["tensors"] == 2

    pipeline, onnx = make_models.diffusers_sd1(str(tmp_path / "pipeline")), make_models.onnx_sd1(str(tmp_path / "onnx"))
    assert names_of(client, {"path": pipeline, "as": {"submodel": "unet", "variant": "fp16"}}, "load.path") == ["unet.fp16.0", "unet.fp16.1"]
    refused(client, "load.path", {"path": pipeline}, "submodel_needed")
    refused(client, "load.path", {"path": pipeline, "as": {"submodel": "nothing"}}, "no_submodel")
    check(client, "load.path", {"path": onnx}, files_of(onnx))
    check(client, "load.path", {"path": onnx, "as": {"submodel": "unet"}}, files_of(os.path.join(onnx, "unet")))
    for safetensors in (False, True):
        adapter = make_models.ip_adapter(str(tmp_path / f"adapter{safetensors}"), safetensors)
        check(client, "load.path", {"path": adapter}, files_of(adapter))
    for name in ("one.ckpt", "one.pt", "one.pth", "one.bin"):
        check(client, "load.path", {"path": make_models.word(str(tmp_path / name), PICKLE)}, {name: PICKLE})
    assert "convert" in refused(client, "load.path", {"path": str(tmp_path / "one.ckpt"), "as": {"submodel": "unet"}}, "not_implemented")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(client, "load.path", {"path": str(empty)}, "model_not_found")


def test_a_named_loader_opens_what_it_is_given(bed, tmp_path):  # R6.8
    _, client = bed
    folder = tmp_path / "folder"
    make_models.gguf(str(folder / "model.gguf"), [("a.weight", 8)])
    os.symlink(folder, tmp_path / "link")
    path = str(tmp_path / "link")
    assert client.ask("load.path", {"path": path})["tensors"] == 1
    assert client.ask("load.path", {"path": path, "loader": "files"})["tensors"] == 0, "another loader, another directory"
    assert client.ask("load.path", {"path": path, "loader": "gguf"})["tensors"] == 1
    refused(client, "load.path", {"path": path, "loader": "safetensors"}, "not_implemented")


def test_a_kind_that_the_prober_does_not_know_is_installed_by_overrides_and_loads(make_yard, tmp_path):  # R6.11
    yard = make_yard()
    yard.start("broker", "recorder", "downloader", "prober", "installer", "loader")
    client = yard.client(hello=True)
    adapter, style = make_models.plain(str(tmp_path / "ip_adapter.safetensors")), tmp_path / "style.pt"
    style.write_bytes(b"PK\3\4 a pickle that nobody opens")
    for source, config, tensors in ((adapter, {"type": "ip_adapter", "base": "sd-1", "format": "checkpoint"}, 3),
                                    (str(style), {"type": "embedding", "base": "sd-1", "format": "embedding_file"}, 0)):
        answer = client.ask("install.import", {"source": source, "config": config})
        job = client.ask("job.wait", {"ids": [answer["job"]["id"]], "timeout_ms": 20000}, timeout=25)["jobs"][0]
        assert job["status"] == "completed", job
        loaded = client.ask("load.model", {"key": job["key"]})
        assert loaded["config"]["type"] == config["type"] and loaded["tensors"] == tensors
        assert [row["name"] for row in loaded["regions"]] == [os.path.basename(source)]
