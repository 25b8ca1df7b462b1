# SPDX-License-Identifier: Apache-2.0
"""Ways to a model's tensors, ours and others', each in a process of its own: how long until they are there, and all touched.

    with Reader (python, "safetensors") as one:
        one.warm_up (path)
        one.seconds (path, touch=True)

As a program: WAY, and for ours the yard's run directory; then a line {"what": [...], "touch": bool, "rounds": n} for each
measurement. What was loaded is dropped after the clock. Modules are imported, and threads started, in the warm-up.
"""
from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDED = ("torch", "safetensors", "fastsafetensors", "runai-model-streamer")
PAGE = 4096
COPIERS = 4  # threads of those that read: as many as the yard's reader has
QUIET = {"RUNAI_STREAMER_LOG_LEVEL": "ERROR", "RUNAI_STREAMER_CONCURRENCY": str(COPIERS), "RUNAI_STREAMER_MEMORY_LIMIT": "-1"}

Tensors = Dict[str, Any]
Loaded = Tuple[Tensors, Optional[Callable[[], Any]]]  # with what drops them


def find_python(say: Callable[[str], None]) -> str:
    """An interpreter that has torch and the peers; empty, with a sentence, when PyPI cannot be reached."""
    done = subprocess.run([os.path.join(ROOT, "tools", "venv"), *NEEDED], capture_output=True, text=True)
    if done.returncode:
        say(f"PyPI's {', '.join(NEEDED)} could not be installed, so there are no peers: {done.stderr.strip()[-300:]}")
        return ""
    return done.stdout.strip()


class Reader:
    """One way in its own process."""

    def __init__(self, python: str, way: str, *words: str, **environment: str) -> None:
        self.way = way
        self._process = subprocess.Popen([python, os.path.abspath(__file__), way, *words], text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         env={**os.environ, **QUIET, **environment})

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def seconds(self, *what: str, touch: bool = False, rounds: int = 1) -> List[float]:
        """``what``: a path; of ours a key and a form."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"what": what, "touch": touch, "rounds": rounds}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def warm_up(self, *what: str) -> None:
        self.seconds(*what)

    def _hear(self) -> Any:
        assert self._process.stdout and self._process.stderr
        for line in self._process.stdout:
            if line.startswith("{"):  # the peers print, too
                return json.loads(line)["seconds"]
        raise OSError(f"{self.way} failed: {' '.join(self._process.stderr.read().strip().splitlines()[-1:])[:300]}")


# --- in the process

def yard(kind: str) -> Callable[..., Callable[[str, str], Loaded]]:
    def connect(run: str) -> Callable[[str, str], Loaded]:
        sys.path.insert(0, os.path.join(ROOT, "proto", "python"))
        import modelyard

        client = modelyard.connect(run)

        def read(key: str, form: str) -> Loaded:
            model = client.load(key=key, form=form)
            return KINDS[kind](model), model.release
        return read
    return connect


KINDS: Dict[str, Callable[[Any], Tensors]] = {
    "names": dict.fromkeys, "numpy": lambda model: {name: model[name] for name in model}, "torch": lambda model: model.torch()}


def safetensors(half: str) -> Callable[[], Callable[[str], Loaded]]:
    def connect() -> Callable[[str], Loaded]:
        load_file = importlib.import_module(f"safetensors.{half}").load_file
        return lambda path: (load_file(path), None)
    return connect


def safe_open() -> Callable[[str], Loaded]:
    from safetensors import safe_open as open_file

    def read(path: str) -> Loaded:
        with open_file(path, "pt") as file:
            return dict.fromkeys(file.keys()), None
    return read


def fastsafetensors() -> Callable[[str], Loaded]:
    from fastsafetensors import SafeTensorsFileLoader

    def read(path: str) -> Loaded:
        loader = SafeTensorsFileLoader(None, "cpu", max_threads=COPIERS, nogds=True)
        loader.add_filenames({0: [path]})
        loaded = loader.copy_files_to_device()

        def close() -> None:
            loaded.close()
            loader.close()
        return {name: loaded.get_tensor(name) for name in loader.get_keys()}, close
    return read


def runai() -> Callable[[str], Loaded]:
    from runai_model_streamer import SafetensorsStreamer

    def read(path: str) -> Loaded:
        with SafetensorsStreamer() as streamer:
            streamer.stream_file(path)
            return dict(streamer.get_tensors()), None
    return read


WAYS: Dict[str, Callable[..., Callable[..., Loaded]]] = {
    **{f"yard {kind}": yard(kind) for kind in KINDS}, "safetensors": safetensors("torch"),
    "safetensors numpy": safetensors("numpy"), "safe_open": safe_open, "fastsafetensors": fastsafetensors,
    "runai-model-streamer": runai}


def touch_all(tensors: Tensors) -> None:
    """A byte of every page, by the same code for all."""
    for tensor in tensors.values():
        if hasattr(tensor, "data_ptr"):
            tensor = tensor.numpy()
        tensor.reshape(-1).view("u1")[::PAGE].sum()


def measure(read: Callable[..., Loaded], what: List[str], touch: bool) -> float:
    start = time.perf_counter()
    tensors, close = read(*what)
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
    for line in sys.stdin:
        wish = json.loads(line)
        spent = [measure(read, wish["what"], wish["touch"]) for _ in range(wish["rounds"])]
        print(json.dumps({"seconds": spent}), flush=True)


if __name__ == "__main__":
    main()
