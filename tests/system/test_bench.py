"""The benches: each runs, and what it says with --json can be read by a program."""
import functools
import json
import os
import subprocess

import pytest

from yard import BUILD, ROOT

FOLDER = os.path.join(ROOT, "tools", "bench")
KEYS = ["what", "unit", "ours", "peer_name", "peer", "ratio", "goal", "met"]
QUICK = ["--quick", "--no-peer", "--build", BUILD]
RAN = (0, 1)  # 1: a goal was missed, as a sanitizer build may
FORMS = {"what": (str,), "unit": (str,), "ours": (int, float), "peer_name": (str, type(None)),
         "peer": (int, float, type(None)), "ratio": (int, float, type(None)), "goal": (str, type(None)),
         "met": (bool, type(None))}


def benches():
    return sorted(name for name in os.listdir(FOLDER) if os.access(os.path.join(FOLDER, name), os.X_OK)
                  and os.path.isfile(os.path.join(FOLDER, name)) and name != "all")


@functools.lru_cache(maxsize=None)
def run(name, *words):
    """Each of them once in this process: they take seconds."""
    return subprocess.run([os.path.join(FOLDER, name), *words], capture_output=True, text=True, timeout=120)


def rows_of(done):
    assert done.returncode in RAN and done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", benches())
def test_every_line_of_a_bench_is_an_object_with_exactly_these_keys(name):
    done = run(name, "--json", *QUICK)
    rows = rows_of(done)
    for row in rows:
        assert list(row) == KEYS, row
        for key, kinds in FORMS.items():
            assert isinstance(row[key], kinds), (key, row)
        assert (row["met"] is None) == (row["goal"] is None), row
        assert (row["peer"] is None) == (row["peer_name"] is None) == (row["ratio"] is None), row
    assert done.returncode == int(any(row["met"] is False for row in rows)), done.stderr
    assert len({row["what"] for row in rows if row["peer_name"] is None}) == sum(row["peer_name"] is None for row in rows)


def test_the_yard_bench_measures_the_promised_figures():
    rows = {row["what"]: row for row in rows_of(run("yard", "--json", *QUICK))}
    goals = {row["unit"]: row["goal"] for what, row in rows.items() if what.startswith(("start to ready", "idle"))}
    assert goals == {"s": "< 1", "% of a core": "< 1", "MiB": "< 120"}
    assert all(row["ours"] > 0 for row in rows.values() if row["unit"] != "% of a core"), rows


def test_all_runs_every_bench_and_hands_the_options_on():
    done = run("all", "--json", *QUICK)
    said = [row["what"] for row in rows_of(done)]
    for name in benches():
        assert {row["what"] for row in rows_of(run(name, "--json", *QUICK))} <= set(said), name


def test_a_bench_prints_a_table_for_people():
    lines = run("load", *QUICK).stdout.splitlines()
    assert lines[0].split() == KEYS
    assert len(lines) == 1 + len(rows_of(run("load", "--json", *QUICK)))


def test_a_bench_without_programs_says_what_to_build(tmp_path):
    done = run("yard", "--quick", "--build", str(tmp_path))
    assert done.returncode == 1 and not done.stdout
    assert "cmake --build" in done.stderr and "Traceback" not in done.stderr
