# SPDX-License-Identifier: Apache-2.0
"""Simulated GPUs (tests/simcuda) for a bench: loaders on links of a set speed, and what their devices' memory says of itself.

Nothing measured on them says anything about hardware: they show whether the loader keeps a link of known speed busy, and whether
it gives back what it took.
"""
from __future__ import annotations

import os
import subprocess
from typing import Any, Callable, Dict

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARIES = {"libcudart.so.13": "simcudart", "libnccl.so.2": "simnccl"}  # with the targets that build them
MAKE_S = 600
IN_USE = """
import ctypes
library, free, total = ctypes.CDLL ("libcudart.so.13"), ctypes.c_size_t (), ctypes.c_size_t ()
assert library.cudaSetDevice (0) == 0 and library.cudaMemGetInfo (ctypes.byref (free), ctypes.byref (total)) == 0
print (total.value - free.value)
"""


def find(build: str, say: Callable[[str], None]) -> str:
    """The folder of the simulated libraries: of this build, or built for the purpose when it has no tests. Empty, with a
    sentence, when there is none to be had."""
    if not os.path.exists(os.path.join(build, "lib", "libmodelyard-cuda.so")):
        say("this build serves no GPUs (the CUDA toolkit was not there), so there are no figures of simulated ones")
        return ""
    for home in (build, os.path.join(ROOT, "build", "simulation")):
        if home != build:
            _make(home)
        if all(os.path.exists(os.path.join(home, "simcuda", name)) for name in LIBRARIES):
            return os.path.join(home, "simcuda")
    say("tests/simcuda could not be built, so there are no figures of simulated GPUs")
    return ""


def _make(home: str) -> None:
    for words in (["cmake", "-S", ROOT, "-B", home, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DYARD_FAULTS=OFF"],
                  ["cmake", "--build", home, "--target", *LIBRARIES.values()]):
        if subprocess.run(words, capture_output=True, timeout=MAKE_S).returncode:
            return


class Simulation:
    """Devices of one yard; `environment` is for their loaders, and for whoever looks at them."""

    def __init__(self, yard: Any, folder: str, devices: int, memory: int) -> None:
        self._yard = yard
        self._log = os.path.join(yard.home, "simcuda.log")
        self.environment: Dict[str, str] = {
            "LD_LIBRARY_PATH": folder, "SIMCUDA_DEVICES": str(devices), "SIMCUDA_MEMORY": str(memory), "SIMCUDA_LOG": self._log,
            "SIMCUDA_STATE": os.path.join(yard.home, f"simcuda-{devices}.state")}

    def start(self, number: int, **environment: str) -> None:
        self._yard.start(f"loader@cuda:{number}", **{**self.environment, **environment})

    def stop(self, number: int) -> None:
        """Before another one serves the same device."""
        process = self._yard.named.pop(f"loader@cuda:{number}")
        process.terminate()
        process.wait(20)
        self._yard.processes.remove(process)

    def in_use(self) -> int:
        """Bytes of device 0 that are taken, as it counts them itself."""
        done = subprocess.run(["/usr/bin/python3", "-c", IN_USE], env={**os.environ, **self.environment}, capture_output=True,
                              text=True, check=True)
        return int(done.stdout)

    def check(self) -> None:
        """A loader without mistakes leaves the log empty; figures of a broken one are worth nothing."""
        if os.path.exists(self._log) and os.path.getsize(self._log):
            with open(self._log) as file:
                raise OSError(f"the simulated device complains: {file.read(500).strip()}")
