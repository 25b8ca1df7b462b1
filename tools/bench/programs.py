# SPDX-License-Identifier: Apache-2.0
"""Which programs a bench measures: those of --build, else of $YARD_BUILD, else build/release, brought up to date first.

Figures of another build than a release are figures of something nobody runs; a sanitizer build is measured when asked for,
and called one.
"""
from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from typing import Optional

import table

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = ("modelyard", *("modelyard-" + actor for actor in (
    "broker", "recorder", "prober", "installer", "loader", "downloader")))


def parse(description: Optional[str]) -> argparse.Namespace:
    """The options that every bench has, so that `all` can hand them on."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="one JSON object a line")
    options.add_argument("--build", metavar="DIR", help="measure the programs of this build (default $YARD_BUILD, build/release)")
    options.add_argument("--no-peer", action="store_true", help="ours alone; fetches nothing")
    options.add_argument("--quick", action="store_true", help="one repetition of little: does it run, not how fast")
    return options.parse_args()


def _make() -> str:
    build = os.path.join(ROOT, "build", "release")
    for words in (["cmake", "--preset", "release"], ["cmake", "--build", build]):
        try:
            done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except OSError as cause:
            sys.exit(f"{words[0]}: {cause}; tools/setup installs what building needs")
        if done.returncode:
            sys.exit(f"{done.stdout[-4000:]}\n{' '.join(words)} failed; tools/setup installs what building needs")
    return build


def find(named: Optional[str]) -> str:
    """The build's folder; ends the bench with a sentence when there is nothing to measure."""
    build = named or os.environ.get("YARD_BUILD") or _make()
    missing = [name for name in NAMES if not os.access(os.path.join(build, "bin", name), os.X_OK)]
    if missing:
        sys.exit(f"{build}/bin has no {', '.join(missing)}; build it (cmake --build {build}), or name another with --build")
    try:
        with open(os.path.join(build, "CMakeCache.txt")) as cache:
            sanitizer = re.search(r"^YARD_SANITIZE:\w+=(.+)$", cache.read(), re.M)
    except OSError:
        sanitizer = None
    if sanitizer:
        table.say(f"these programs carry sanitizers ({sanitizer.group(1)}): the figures are not those of a release")
    return os.path.abspath(build)
