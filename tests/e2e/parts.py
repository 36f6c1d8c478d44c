#!/usr/bin/python3
"""parts.py HOUSES LOG PYTEST-ARGS…: the end-to-end tests in so many houses at
once, each with a pytest of its own (tests/conftest.py says who runs what).
LOG.1, LOG.2, … are what each says.  The last line is the sum over all: a test
counts once, however many houses ran it, and one that no house finished has
failed.  Started by ./dev, as root; the build is POSTERN_BUILD."""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider",
          "--basetemp=/run/pytest", "-q", "-r", "fEs", "--durations=12",
          "--durations-min=4"]


class Sum:
    def __init__(self, folder):
        self.folder, self.collected = folder, set()
        self.was, self.at = {}, collections.Counter()
        self.left, self.begin = collections.Counter(), time.monotonic()

    def read(self):
        """What was told since; says of each module when it is over."""
        for f in sorted(self.folder.glob("told.*")):
            lines = f.read_text().split("\n")[:-1]
            for line in lines[self.at[f]:]:
                self.hear(json.loads(line))
            self.at[f] = len(lines)

    def hear(self, told):
        if "collected" in told:
            new = set(told["collected"]) - self.collected
            self.collected |= new
            self.left.update(t.split("::")[0] for t in new)
            return
        test, was = told["test"], told["was"]
        module = test.split("::")[0]
        if told["when"] == "teardown":
            self.left[module] -= 1
            if self.left[module] == 0:
                print(f"{time.monotonic() - self.begin:5.0f} s  {module}",
                      flush=True)
        if was != "passed" or told["when"] == "call":
            if self.was.get(test) != "failed":
                self.was[test] = was
        if was == "failed":
            print(f"FAILED {test}", flush=True)

    def counts(self):
        """(passed, failed, skipped), and what nobody finished."""
        lost = sorted(self.collected - set(self.was))
        n = collections.Counter(self.was.values())
        return n["passed"], n["failed"] + len(lost), n["skipped"], lost


def main():
    houses, log, args = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{log}."))
    it, running = Sum(folder), []
    for i in range(1, houses + 1):
        with open(f"{log}.{i}", "wb") as out:
            running.append(subprocess.Popen(
                [HERE / "enter", *PYTEST, "tests/e2e", "tests/ssh", *args],
                stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, POSTERN_PARTS=str(folder))))
    while any(p.poll() is None for p in running):
        it.read()
        time.sleep(0.5)
    it.read()
    for i in range(1, houses + 1):
        print(pathlib.Path(f"{log}.{i}").read_text(errors="replace"), end="")
    passed, failed, skipped, lost = it.counts()
    for test in lost:
        print(f"FAILED {test}: no house finished it")
    bad = [p.returncode for p in running if p.returncode not in (0, 5)]
    if not failed and (bad or not it.collected):
        failed = 1  # a house fell, or there was nothing to run
    print(f"{passed} passed, {failed} failed, {skipped} skipped in "
          f"{time.monotonic() - it.begin:.0f} s")
    shutil.rmtree(folder)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
