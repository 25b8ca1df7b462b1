"""What Python makes of a loaded model: views that keep it, writes that stay private, copies that are told, and nothing copied besides.

What needs the C library runs in a Python of its own: a sanitizer's runtime must be in a process from its start. What needs torch or
PyPI's safetensors runs in a Python that has them (tools/venv torch safetensors) and is skipped where there is none.
"""
import functools
import json
import os
import re
import subprocess
import sys
import textwrap

import numpy
import pytest

import make_models
from test_load import add, bytes_of, client, loaded, place  # noqa: F401 - fixtures
from yard import BUILD, ROOT, wait_for

SECOND = os.path.join(ROOT, "build", "venv", "bin", "python")
LIBRARY = os.environ.get("MODELYARD_LIBRARY") or os.path.join(BUILD, "lib", "libmodelyard.so.0")
MEGABYTES = 8  # of the model that memory is counted with
SLACK_BYTES = 256 * 1024  # the header's pages, which not everybody reads, and what the kernel maps around a fault

PREAMBLE = """
import json, os, sys
sys.path.insert (0, sys.argv [1])
import modelyard
yard, key = modelyard.connect (sys.argv [2]), sys.argv [3]
def say (**what):
    print (json.dumps (what), flush=True)
def wait ():
    sys.stdin.readline ()
def plain (tensor):
    return bytes (tensor.contiguous ().view (-1).view (torch.uint8).tolist ()) if tensor.numel () else b""
"""


@functools.lru_cache(maxsize=None)
def python_with(module):
    """An interpreter that has the module, or a skip that says how to get one."""
    for python in (sys.executable, SECOND):
        if os.path.exists(python) and subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
            return python
    pytest.skip(f"no Python here has {module}: tools/venv {module}")


@functools.lru_cache(maxsize=None)
def library_environment():
    found = re.findall(r"libasan\S* => (\S+)", subprocess.run(["ldd", LIBRARY], capture_output=True, text=True).stdout)
    return {"MODELYARD_LIBRARY": LIBRARY, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",
            **({"LD_PRELOAD": found[0]} if found else {})}


class Script:
    """A Python program that is told when to go on, and says what it finds."""

    def __init__(self, yard, key, text, python=sys.executable, **environment):
        self.process = subprocess.Popen(
            [python, "-c", PREAMBLE + textwrap.dedent(text), os.path.join(ROOT, "proto", "python"), yard.run, key],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **library_environment(), **environment})
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def hears(self):
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def goes_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ends(self):
        _, trouble = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, trouble


def attachments(client):
    return [(row["state"], row["attachments"]) for row in client.ask("load.list")["loads"]]


def model_of(yard, tensors, number=20, **options):
    path = make_models.write(place(yard, f"{number}.safetensors"), tensors, **options)
    return add(yard, path, number, name=str(number)), path


CROOKED = [("a", "U8", (1,), b"\x01"), ("b", "F32", (2,), numpy.float32([1.5, -2]).tobytes()), ("c", "U8", (3,), b"\x02\x03\x04"),
           ("d", "F16", (2, 1), numpy.float16([4, 5]).tobytes()), ("e", "I64", (), (7).to_bytes(8, "little"))]


# --- numpy
def test_a_tensor_that_is_not_aligned_is_copied_and_told(loaded, client):
    yard, _, _ = loaded
    key, path = model_of(yard, CROOKED)
    with client.load(key=key) as model:
        assert model.copied == {}
        arrays = {name: model[name] for name in model}
        assert model.copied == {"b": 8}  # at 1; d lies at 12, and e, at 16, as it should
        assert {name: array.tobytes() for name, array in arrays.items()} == bytes_of(path)
        assert all(array.flags.aligned and not array.flags.writeable for array in arrays.values())
        assert arrays["b"].tolist() == [1.5, -2]


def test_copies_on_demand_are_private_and_may_be_written(loaded, client):
    _, key, path = loaded
    before = bytes_of(path)
    with client.load(key=key, copy=True) as model:
        name = next(iter(model))
        array = model[name]
        array[...] = 0
        assert model[name].tobytes() == before[name] and model.copied == {}
        del array
        assert bytes_of(path) == before
    wait_for(lambda: client.ask("load.list")["loads"] == [], what="the end of the attachment: copies do not hold it")


def test_without_the_c_library_numpy_works_and_the_rest_says_what_is_missing(loaded):
    yard, key, path = loaded
    with Script(yard, key, """
            model = yard.load (key)
            try:
                model.bases ()
            except modelyard.NotServed as refusal:
                say (text=refusal.text, sum=sum (sum (model [name].tobytes ()) for name in model))
            """, MODELYARD_LIBRARY="/nowhere/libmodelyard.so.0") as script:
        told = script.hears()
        script.ends()
    assert "MODELYARD_LIBRARY" in told["text"]
    assert told["sum"] == sum(sum(data) for data in bytes_of(path).values())


# --- DLPack, without torch
def test_a_base_holds_the_attachment_until_its_last_view_dies(loaded, client):
    yard, key, path = loaded
    with Script(yard, key, """
            import numpy, threading
            with yard.load (key) as model:
                base, = model.bases ()
                whole = numpy.from_dlpack (base)
                unused = [base.__dlpack__ (), base.__dlpack__ (max_version=(1, 1))]  # nobody takes them
                say (size=base.bytes, device=base.__dlpack_device__ ())
            del base, unused, model
            part = whole [8:]
            del whole
            say (sum=int (part.sum ()))
            wait ()
            kept = [part]
            del part
            thread = threading.Thread (target=kept.clear)  # the last view dies on another thread
            thread.start ()
            thread.join ()
            say (done=True)
            wait ()
            """) as script:
        with open(path, "rb") as file:
            data = file.read()
        assert script.hears() == {"size": len(data), "device": [1, 0]}
        assert script.hears() == {"sum": sum(data[8:])}
        assert attachments(client) == [("draining", 1)]
        script.goes_on()
        script.hears()
        wait_for(lambda: attachments(client) == [], what="the end of the attachment")
        script.goes_on()
        script.ends()


# --- torch
def test_tensors_have_the_files_bytes_and_types(loaded):
    yard, _, _ = loaded
    python = python_with("torch")
    data = bytes(range(1, 49))
    rows = [(word.lower(), word, shape, data[:size]) for word, shape, size in (
        ("F64", (2, 2), 32), ("I64", (3,), 24), ("U64", (1,), 8), ("C64", (2,), 16), ("F32", (2, 3), 24), ("I32", (), 4),
        ("U32", (2,), 8), ("F16", (2, 2, 2), 16), ("BF16", (4,), 8), ("I16", (2,), 4), ("U16", (2,), 4), ("I8", (4,), 4),
        ("U8", (4,), 4), ("F8_E4M3", (2, 2), 4), ("F8_E5M2", (4,), 4), ("F8_E8M0", (4,), 4), ("F4", (4, 2), 4),
        ("F6_E2M3", (4,), 3), ("F6_E3M2", (4,), 3))]
    rows += [("flags", "BOOL", (2,), b"\x00\x01"), ("none", "F16", (0, 7), b"")]
    key, path = model_of(yard, rows)
    with Script(yard, key, """
            import torch
            with yard.load (key) as model:
                for name, tensor in model.torch ().items ():
                    packed = model.dtype_of (name).startswith (("F4", "F6"))
                    flat = tensor.view (torch.uint8) if packed else tensor
                    say (name=name, kind=str (tensor.dtype), shape=list (tensor.shape), bytes=plain (flat).hex (),
                         same=tensor.data_ptr () == model.torch (name).data_ptr (), word=model.dtype_of (name))
                say (copied=model.copied, known=[name for name in dir (torch) if isinstance (getattr (torch, name), torch.dtype)])
            """, python) as script:
        told = [script.hears() for _ in rows]
        last = script.hears()
        script.ends()
    assert last["copied"] == {}
    assert {row["name"]: row["bytes"] for row in told} == {name: data.hex() for name, data in bytes_of(path).items()}
    assert [row["word"] for row in told] == [row[1] for row in rows] and all(row["same"] for row in told)
    kinds = {row["name"]: row["kind"].split(".")[1] for row in told}
    for name, kind, other in (("bf16", "bfloat16", None), ("f8_e4m3", "float8_e4m3fn", "uint8"), ("f8_e8m0", "float8_e8m0fnu", "uint8"),
                              ("u16", "uint16", "int16"), ("f4", "float4_e2m1fn_x2", "uint8"), ("c64", "complex64", None),
                              ("f6_e2m3", "uint8", None), ("flags", "bool", None)):
        assert kinds[name] == (kind if kind in last["known"] else other), name
    shapes = {row["name"]: tuple(row["shape"]) for row in told}
    for name, word, shape, _ in rows:
        if word == "F4":
            assert shapes[name] == ((4, 1) if "float4_e2m1fn_x2" in last["known"] else (4,))
        elif not word.startswith("F6"):
            assert shapes[name] == shape


def test_writes_in_place_stay_private(loaded, client):
    yard, key, path = loaded
    before = bytes_of(path)
    with Script(yard, key, """
            import torch
            model = yard.load (key)
            name = next (iter (model))
            array, tensor, other = model [name], model.torch (name), model.torch (name)
            tensor.fill_ (77)
            say (name=name, seen=other.flatten () [0].item (), array=array.tobytes ().hex ())
            wait ()
            """, python_with("torch")) as script, client.load(key=key) as model:
        told = script.hears()
        name = told["name"]
        assert told["seen"] == 77  # by the writer's own views
        assert bytes.fromhex(told["array"]) == before[name]  # its arrays are the file
        assert model[name].tobytes() == before[name]  # as another process's
        assert bytes_of(path) == before
        script.goes_on()
        script.ends()


def test_tensors_outlive_the_lease_and_hold_the_attachment(loaded, client):
    yard, key, path = loaded
    with Script(yard, key, """
            import torch
            with yard.load (key) as model:
                tensors = model.torch ()
                name = next (iter (tensors))
            try:
                model.torch (name)
            except ValueError as refusal:
                say (refusal=str (refusal))
            last = tensors [name]
            tensors.clear ()
            wait ()
            say (bytes=plain (last).hex (), name=name)
            wait ()
            del last
            say (done=True)
            wait ()
            """, python_with("torch")) as script:
        assert "lease" in script.hears()["refusal"]
        assert attachments(client) == [("draining", 1)]
        script.goes_on()
        told = script.hears()
        assert bytes.fromhex(told["bytes"]) == bytes_of(path)[told["name"]]
        assert attachments(client) == [("draining", 1)]
        script.goes_on()
        script.hears()
        wait_for(lambda: attachments(client) == [], what="the end of the attachment")
        script.goes_on()
        script.ends()


def test_torch_gets_copies_of_what_is_not_aligned_and_of_what_it_asks(loaded):
    yard, _, _ = loaded
    key, path = model_of(yard, CROOKED)
    with Script(yard, key, """
            import torch
            with yard.load (key) as model:
                tensors = model.torch ()
                say (bytes={name: plain (tensor).hex () for name, tensor in tensors.items ()}, copied=model.copied,
                     b=tensors ["b"].tolist ())
                tensors ["b"] [0] = 9  # who asks again sees what was written, as of the others
                tensors ["d"] [0] = 9
                say (b=model.torch ("b").tolist (), d=model.torch ("d").tolist ())
                private = model.torch ("d", copy=True)
                private [1] = 1
                say (d=model.torch ("d").tolist (), private=private.tolist ())
            with yard.load (key, copy=True) as model:
                everything = model.torch ()
                everything ["d"] [0] = 3
                say (d=model.torch ("d").tolist (), bases=len ({tensor.data_ptr () for tensor in everything.values ()}))
            """, python_with("torch")) as script:
        told = script.hears()
        assert told["bytes"] == {name: data.hex() for name, data in bytes_of(path).items()}
        assert told["copied"] == {"b": 8} and told["b"] == [1.5, -2]
        assert script.hears() == {"b": [9, -2], "d": [[9], [5]]}
        assert script.hears() == {"d": [[9], [5]], "private": [[9], [1]]}
        assert script.hears() == {"d": [[4], [5]], "bases": 5}
        script.ends()


def test_two_thousand_tensors_are_one_mapping(loaded):
    yard, _, _ = loaded
    path = make_models.many(place(yard, "many.safetensors"), 2000, 64 << 20)
    key = add(yard, path, 30, name="many")
    with Script(yard, key, """
            import torch
            with yard.load (key) as model:
                tensors = model.torch ()
                starts = {tensor.storage ().data_ptr () for tensor in tensors.values ()}
                with open ("/proc/self/maps") as file:
                    maps = sum (line.rstrip ().endswith ("many.safetensors") for line in file)
                say (count=len (tensors), starts=len (starts), maps=maps)
            """, python_with("torch"), PYTHONWARNINGS="ignore") as script:
        assert script.hears() == {"count": 2000, "starts": 1, "maps": 1}
        script.ends()


# --- nothing copied
def memory_of(pid, path):
    """What a process has mapped of a file, by the kernel's account, in bytes."""
    sums, counting = {}, False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                counting = words[-1] == path
            elif counting and words[-1] == "kB":
                sums[words[0][:-1]] = sums.get(words[0][:-1], 0) + int(words[1]) * 1024
    return sums


TOUCH = """
    model = yard.load (key)
    def anonymous ():
        with open ("/proc/self/status") as file:
            return next (int (line.split () [1]) for line in file if line.startswith ("RssAnon")) * 1024
    {make}
    before = anonymous ()
    say (sums={{name: {total} for name, one in made.items ()}}, grown=anonymous () - before)
    wait ()
"""
NUMPY = {"make": "made = {name: model [name] for name in model}", "total": "int (one.view ('u1').sum (dtype='u8'))"}
TORCH = {"make": "import torch; made = model.torch (); [one.sum () for one in list (made.values ()) [:1]]",
         "total": "int (one.view (torch.uint8).sum (dtype=torch.int64))"}


def large_model(yard, number):
    """Random bytes that are on the disk, so that the kernel counts their pages as clean."""
    key, path = model_of(yard, [(f"t{at}", "F16", (1024, 512), os.urandom(1 << 20)) for at in range(MEGABYTES)], number)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return key, path, os.path.getsize(path), {name: sum(data) for name, data in bytes_of(path).items()}


def assert_shared(account, size):
    """Every page is there, none is this process's own."""
    assert size - SLACK_BYTES <= account["Rss"] <= size + SLACK_BYTES, account
    assert account["Anonymous"] == account["Private_Dirty"] == account["Shared_Dirty"] == 0, account
    assert account["Shared_Clean"] >= size - SLACK_BYTES, account


def test_two_clients_in_c_and_python_have_one_model_between_them(loaded, client):
    yard, _, _ = loaded
    key, path, size, want = large_model(yard, 31)
    other = subprocess.Popen([os.path.join(BUILD, "tests", "client_example"), yard.run, "load", key], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, env=yard.environment())
    with Script(yard, key, TOUCH.format(**NUMPY)) as script:
        told = script.hears()
        assert told["sums"] == want and told["grown"] < size / 4
        seen = {}
        for line in iter(other.stdout.readline, "ready\n"):
            words = line.split()
            if words[0] == "tensor":
                seen[words[1]] = int(words[words.index("sum") + 1])
        assert seen == want
        assert sorted(row["attachments"] for row in client.ask("load.list")["loads"]) == [1, 1]
        accounts = [memory_of(pid, path) for pid in (script.pid, other.pid)]
        for account in accounts:
            assert_shared(account, size)
        assert sum(account["Pss"] for account in accounts) <= size + SLACK_BYTES, accounts
        script.goes_on()
        script.ends()
    other.communicate("\n", timeout=60)
    assert other.returncode == 0


def test_torch_reads_the_pages_that_everybody_has(loaded, client):
    yard, _, _ = loaded
    key, path, size, want = large_model(yard, 32)
    with Script(yard, key, TOUCH.format(**TORCH), python_with("torch")) as script, client.load(key=key) as model:
        assert {name: int(model[name].view("u1").sum(dtype="u8")) for name in model} == want
        told = script.hears()
        assert told["sums"] == want
        accounts = [memory_of(pid, path) for pid in (script.pid, os.getpid())]
        for account in accounts:
            assert_shared(account, size)
        assert sum(account["Pss"] for account in accounts) <= size + SLACK_BYTES, accounts
        script.goes_on()
        script.ends()


# --- the path door
def test_an_unmodified_safe_open_reads_through_the_path_door(loaded, client):
    yard, key, path = loaded
    python = python_with("safetensors")
    with client.load(key=key) as model:
        door = os.path.join(model.view, os.path.basename(path))
        assert os.path.islink(door)
        done = subprocess.run([python, "-c", textwrap.dedent("""
            import json, sys
            from safetensors import safe_open
            with safe_open (sys.argv [1], "np") as file:
                print (json.dumps ({name: [str (file.get_tensor (name).dtype), file.get_tensor (name).shape,
                                           file.get_tensor (name).tobytes ().hex ()] for name in file.keys ()}))
            """), door], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {name: [model[name].dtype.name, list(model[name].shape), model[name].tobytes().hex()]
                                           for name in model}
    assert not os.path.exists(door)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
