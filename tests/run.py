"""Builds and runs the tests, and counts them: what ./tools/test does after its set-up.

Order: format check, sanitizer build, unit and conformance programs (cmocka), a build as users get it (release, no fault points), system tests
(pytest on real processes). --long adds the thread sanitizer, the fuzzers for 60 s each, and clang-tidy.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ_SECONDS = 60
PROGRAM_SECONDS = 600      # of one cmocka program; the slowest takes half a minute
SIMULATION_SECONDS = 1200  # of seeds in --long
#  What the thread sanitizer watches: all that has a thread beside the loop, and the loop with it.
THREADED = ("offload_test", "log_test", "fault_test", "turn_test", "request_test", "ask_test", "follow_test", "hello_test", "bus_conformance",
            "read_test", "read_ends_test", "mail_test", "device_thread_test", "fill_test", "fill_device_test", "loads_test", "loader_end_test")


class Count:
    passed = failed = skipped = 0


def say(text):
    print(text, flush=True)


def step(name, passed, detail=""):
    """One check that is a test of its own."""
    if passed:
        Count.passed += 1
    else:
        Count.failed += 1
    say(f"[{'  OK  ' if passed else 'FAILED'}] {name}" + (f"\n{detail}" if detail and not passed else ""))


def build(preset):
    """Configures and builds; ends the run when that fails: nothing else would mean anything."""
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    for words in (["cmake", "--preset", preset, *launcher], ["cmake", "--build", f"build/{preset}"]):
        started = time.monotonic()
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            say(done.stdout[-8000:])
            step(f"build {preset}", False)
            finish()
        say(f"{' '.join(words)}: {time.monotonic() - started:.0f} s")
    step(f"build {preset} without a warning", True)


def format_check():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT, capture_output=True,
                           text=True, check=True).stdout.split()
    done = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *files], cwd=ROOT, capture_output=True, text=True)
    step("all C files are formatted as .clang-format says", done.returncode == 0, done.stderr[:2000])


def programs(preset, pattern="", only=None):
    """Every cmocka program of a build, or only some, counted by its cases."""
    environment = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "STDOUT", "YARD_BUILD": os.path.join(ROOT, "build", preset),
                   "TSAN_OPTIONS": f"suppressions={ROOT}/tests/thread_sanitizer.txt"}
    listing = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"], cwd=ROOT, capture_output=True,
                             text=True, check=True).stdout
    import json
    for row in json.loads(listing)["tests"]:
        if pattern not in row["name"] or (only and row["name"] not in only):
            continue
        started = time.monotonic()
        own = dict(word.split("=", 1) for one in row["properties"] if one["name"] == "ENVIRONMENT" for word in one["value"])
        if row["name"] == "simulation" and "YARD_LONG" in os.environ:
            own["YARD_SIM_SECONDS"] = str(SIMULATION_SECONDS)
        try:
            done = subprocess.run(row["command"], cwd=ROOT, env={**environment, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=PROGRAM_SECONDS + SIMULATION_SECONDS)
        except subprocess.TimeoutExpired as late:
            step(f"{row['name']} ends", False, f"it ran for {late.timeout} s")
            continue
        cases = [int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", done.stdout, re.M)]
        failed = [int(n) for n in re.findall(r"^\[  FAILED  \] .*?(\d+) test\(s\), listed", done.stdout, re.M)]
        Count.passed += sum(cases) if cases or failed else int(done.returncode == 0)
        broken = max(sum(failed), int(done.returncode != 0))
        Count.failed += broken
        skipped = [int(n) for n in re.findall(r"^\[  SKIPPED \] (\d+) test", done.stdout, re.M)]
        Count.skipped += sum(skipped)
        what = f"{sum(cases)} cases" if cases else "".join(done.stdout.strip().splitlines()[-1:])
        say(f"[{'FAILED' if broken else '  OK  '}] {row['name']}: {what}, {time.monotonic() - started:.1f} s")
        if broken:
            say(done.stdout[-6000:])
        elif sum(skipped):
            say("\n".join(line for line in done.stdout.splitlines() if "SKIP" in line))


def system(preset, pattern, long):
    with tempfile.TemporaryDirectory() as work:
        report = os.path.join(work, "report.xml")
        environment = {**os.environ, "YARD_BUILD": os.path.join(ROOT, "build", preset), "PYTHONDONTWRITEBYTECODE": "1"}
        words = ["/usr/bin/python3", "-m", "pytest", "-q", "-rsf", "-n", "3", "--timeout", "3000" if long else "300", "-p", "no:cacheprovider",
                 f"--junitxml={report}", "--durations=8", "tests/system"]
        if pattern:
            words += ["-k", pattern]
        done = subprocess.run(words, cwd=ROOT, env=environment)
        if done.returncode == 5 and pattern:
            return
        if not os.path.exists(report):
            step("system tests ran", False)
            return
        suite = xml.parse(report).getroot().find("testsuite")
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        skipped = int(suite.get("skipped"))
        Count.failed += max(failed, int(done.returncode not in (0, 5) and failed == 0))
        Count.skipped += skipped
        Count.passed += int(suite.get("tests")) - failed - skipped


def fuzz():
    build("fuzz")
    for program in sorted(glob.glob(os.path.join(ROOT, "build/fuzz/fuzz/*_fuzz"))):
        name = os.path.basename(program)
        corpus = os.path.join(ROOT, "tests/fuzz/corpus", name)
        with tempfile.TemporaryDirectory() as work:
            words = [program, f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048", "-print_final_stats=1", work]
            words += [corpus] if os.path.isdir(corpus) else []
            dictionary = os.path.join(ROOT, "tests/fuzz", name.replace("_fuzz", ".dict"))
            words += [f"-dict={dictionary}"] if os.path.exists(dictionary) else []
            done = subprocess.run(words, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stdout)
        step(f"{name}: {runs.group(1) if runs else '?'} runs", done.returncode == 0, done.stdout[-4000:])


def tidy():
    files = subprocess.run(["git", "ls-files", "actors/**/*.c", "broker/*.c", "proto/*.c", "proto/client/*.c", "tools/**/*.c"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    done = subprocess.run(["run-clang-tidy-14", "-quiet", "-p", "build/dev", *files], cwd=ROOT, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if ": warning:" in line or ": error:" in line]
    step("clang-tidy finds nothing", not found, "\n".join(found[:40]))


def model():
    done = subprocess.run(["tests/model/run"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    step("the model of leases holds, and finds its planted bugs", done.returncode == 0, done.stdout[-4000:])
    say(done.stdout)


def rows():
    """Every row of tests/ROWS.md and the tests that name it; unproven rows last."""
    known = re.findall(r"^(R\d+\.\d+) (.*)$", open(os.path.join(ROOT, "tests/ROWS.md")).read(), re.M)
    proofs = {}
    for path in glob.glob(os.path.join(ROOT, "tests/**/*.[cp]*"), recursive=True):
        if not path.endswith((".c", ".py")) or path == os.path.abspath(__file__):
            continue
        lines = open(path, errors="replace").read().splitlines()
        for number, line in enumerate(lines):
            for row in re.findall(r"\bR\d+\.\d+\b", line):
                test = next((found.group(1) for near in lines[max(0, number - 3):number + 7]
                             for found in [re.search(r"(?:def |static void )(test_\w+|\w+ (?=\(void \*\*))", near)] if found), None)
                if test:
                    proofs.setdefault(row, set()).add(os.path.relpath(path, ROOT) + f" {test.strip()}")
    for row, text in known:
        if row in proofs:
            say(f"{row} {text}")
            for proof in sorted(proofs[row]):
                say(f"    {proof}")
    say("\nnot proven yet:")
    for row, text in known:
        if row not in proofs:
            say(f"{row} {text}")


def finish():
    say(f"{Count.passed} passed, {Count.failed} failed, {Count.skipped} skipped")
    sys.exit(1 if Count.failed or not Count.passed else 0)


def main():
    parser = argparse.ArgumentParser(prog="tools/test")
    parser.add_argument("--long", action="store_true", help="fuzzers, thread sanitizer and clang-tidy too")
    parser.add_argument("--rows", action="store_true", help="the requirements and their proofs")
    parser.add_argument("-k", default="", metavar="WORD", help="only tests whose name holds WORD")
    options = parser.parse_args()
    if options.rows:
        rows()
        return
    if options.long:
        os.environ["YARD_LONG"] = "1"  # the tests take their full counts
    if not options.k:
        format_check()
    build("asan")
    programs("asan", options.k)
    if not options.k:
        build("release")
    system("asan", options.k, options.long)
    if options.long and not options.k:
        build("tsan")
        programs("tsan", only=THREADED)
        build("dev")
        tidy()
        model()
        fuzz()
    finish()


if __name__ == "__main__":
    main()
