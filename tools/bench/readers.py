# SPDX-License-Identifier: Apache-2.0
"""Ways to a model's tensors, ours and others', each in a process of its own: how long until they are there, and all touched.

    with Reader (python, "safetensors", path) as one:
        one.seconds (touch=True)

As a program: WAY and what it reads; then a line {"touch": bool, "rounds": n} for each measurement. Modules are imported and a
first small round is over before it says "ready", so a figure is of loading alone. What was loaded is dropped after the clock.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = {"safetensors": "safetensors", "safetensors numpy": "safetensors", "safe_open": "safetensors",
            "fastsafetensors": "fastsafetensors", "runai": "runai-model-streamer"}
NEEDED = ("torch", "safetensors", "fastsafetensors", "runai-model-streamer")
PAGE = 4096
COPIERS = 4  # threads of those that read: as many as the yard's reader has
QUIET = {"RUNAI_STREAMER_LOG_LEVEL": "ERROR", "RUNAI_STREAMER_CONCURRENCY": str(COPIERS), "RUNAI_STREAMER_MEMORY_LIMIT": "-1"}

Tensors = Dict[str, Any]


def find_python(say: Callable[[str], None]) -> str:
    """An interpreter that has torch and the peers; empty, with a sentence, when PyPI cannot be reached."""
    done = subprocess.run([os.path.join(ROOT, "tools", "bench", "venv"), *NEEDED], capture_output=True, text=True)
    if done.returncode:
        say(f"PyPI's {', '.join(NEEDED)} could not be installed, so there are no peers: {done.stderr.strip()[-300:]}")
        return ""
    return done.stdout.strip()


class Reader:
    """One way in its own process."""

    def __init__(self, python: str, way: str, *words: str, **environment: str) -> None:
        self.way = way
        self._process = subprocess.Popen([python, os.path.abspath(__file__), way, *words], text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **QUIET, **environment})
        self._hear()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def seconds(self, touch: bool = False, rounds: int = 1) -> List[float]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"touch": touch, "rounds": rounds}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout and self._process.stderr
        for line in self._process.stdout:
            if line.startswith("{"):  # the peers print, too
                return json.loads(line)["seconds"]
        raise OSError(f"{self.way}: {' '.join(self._process.stderr.read().strip().splitlines()[-1:])[:300]}")


# --- in the process

def read_yard(run: str, key: str, form: str, kind: str) -> Callable[[], Tuple[Tensors, Any]]:
    sys.path.insert(0, os.path.join(ROOT, "proto", "python"))
    import modelyard

    client = modelyard.connect(run)

    def read() -> Tuple[Tensors, Any]:
        model = client.load(key=key, form=form)
        if kind == "names":
            tensors = dict.fromkeys(model)
        else:
            tensors = model.torch() if kind == "torch" else {name: model[name] for name in model}
        return tensors, model.release
    return read


def read_safetensors(path: str) -> Callable[[], Tuple[Tensors, Any]]:
    from safetensors.torch import load_file
    return lambda: (load_file(path), None)


def read_safetensors_numpy(path: str) -> Callable[[], Tuple[Tensors, Any]]:
    from safetensors.numpy import load_file
    return lambda: (load_file(path), None)


def read_names(path: str) -> Callable[[], Tuple[Tensors, Any]]:
    from safetensors import safe_open

    def read() -> Tuple[Tensors, Any]:
        with safe_open(path, "pt") as file:
            return dict.fromkeys(file.keys()), None
    return read


def read_fastsafetensors(path: str) -> Callable[[], Tuple[Tensors, Any]]:
    from fastsafetensors import SafeTensorsFileLoader

    def read() -> Tuple[Tensors, Any]:
        loader = SafeTensorsFileLoader(None, "cpu", max_threads=COPIERS, nogds=True)
        loader.add_filenames({0: [path]})
        loaded = loader.copy_files_to_device()

        def close() -> None:
            loaded.close()
            loader.close()
        return {name: loaded.get_tensor(name) for name in loader.get_keys()}, close
    return read


def read_runai(path: str) -> Callable[[], Tuple[Tensors, Any]]:
    from runai_model_streamer import SafetensorsStreamer

    def read() -> Tuple[Tensors, Any]:
        with SafetensorsStreamer() as streamer:
            streamer.stream_file(path)
            return dict(streamer.get_tensors()), None
    return read


WAYS = {"yard": read_yard, "safetensors": read_safetensors, "safetensors numpy": read_safetensors_numpy, "safe_open": read_names,
        "fastsafetensors": read_fastsafetensors, "runai": read_runai}


def touch_all(tensors: Tensors) -> None:
    """A byte of every page, by the same code for all."""
    total = 0
    for tensor in tensors.values():
        if hasattr(tensor, "data_ptr"):
            tensor = tensor.numpy()
        total += int(tensor.reshape(-1).view("u1")[::PAGE].sum())
    assert total >= 0


def measure(read: Callable[[], Tuple[Tensors, Any]], touch: bool) -> float:
    start = time.perf_counter()
    tensors, close = read()
    if touch:
        touch_all(tensors)
    spent = time.perf_counter() - start
    assert tensors
    del tensors
    if close:
        close()
    return spent


def main() -> None:
    read = WAYS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"seconds": []}), flush=True)
    for line in sys.stdin:
        wish = json.loads(line)
        print(json.dumps({"seconds": [measure(read, wish["touch"]) for _ in range(wish["rounds"])]}), flush=True)


if __name__ == "__main__":
    main()
