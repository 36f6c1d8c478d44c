"""Last: what all the tests before left behind."""
import json
import os
import pathlib
import re
import subprocess

import house as h
import pytest


@pytest.fixture(scope="module")
def recordings(bastion, job):
    assert job.ssh("web-1", "systemctl restart web").code == 0
    bastion.mark()  # waits until all that began has ended
    return bastion.recordings()


def test_asciinema_reads_every_recording(recordings):
    # Its own reader over all of them in one process …
    code = ("import sys\nfrom asciinema import asciicast\n"
            "for f in sys.argv[1:]:\n"
            "    with asciicast.open_from_url(f) as a:\n"
            "        e = (a.stdout_events() if hasattr(a, 'stdout_events')\n"
            "             else a.events('o'))  # from 2.3 on\n"
            "        n = sum(len(t) for _, _, t in e)\n")
    subprocess.run(["/usr/bin/python3", "-c", code, *map(str, recordings)],
                   check=True)
    # … and the command itself, which wants a terminal, over each kind.
    kinds = {}
    for f in recordings:
        kinds.setdefault(f.read_text().split("\n", 1)[0].split('"title"')
                         [-1][:40], f)
    files = [*list(kinds.values())[:40], recordings[-1]]  # of the fixture
    out = h.WORK / "asciinema.out"
    script = h.WORK / "asciinema.sh"
    script.write_text("".join(
        f"asciinema cat {f} >>{out} || exit 1\n" for f in files))
    p = subprocess.run(["script", "-qec", f"sh -e {script}", "/dev/null"],
                       env={"PATH": "/usr/bin:/bin", "HOME": str(h.WORK),
                            "LANG": "C.UTF-8", "TERM": "xterm"},
                       capture_output=True, text=True,
                       stdin=subprocess.DEVNULL)
    assert p.returncode == 0, p.stdout
    assert b"web is up\r\n" in out.read_bytes()


def test_7_no_token_anywhere(up, bastion):
    files = [p for d in (h.STATE, h.RUN, h.WORK / "targets",
                         pathlib.Path("/var/log"))
             for p in d.rglob("*") if p.is_file()]
    files += [bastion.log, bastion.sshd_log]
    # A piece of each part but the header, which is no secret.
    needles = {part[40:80].encode() for t in up.issuer.minted
               for part in t.split(".")[1:] if len(part) > 100}
    assert needles and files
    for f in files:
        data = f.read_bytes()
        for n in needles:
            assert n not in data, (f, n)


def test_7_ca_key_stays_in_its_file(bastion):
    pem = (h.ETC / "ca/target.pem").read_text().splitlines()[1].encode()
    for f in h.STATE.rglob("*"):
        if f.is_file():
            assert pem not in f.read_bytes(), f
    for name in ("target.pem", "job.pem"):
        st = os.stat(h.ETC / "ca" / name)
        assert st.st_mode & 0o077 == 0 and st.st_uid == 0


def test_every_operation_is_closed(bastion):
    bastion.mark(60)
    ended = {e["operation"]: e for e in bastion.ledger()
             if e["event"] == "operation.end"}
    assert bastion.begun() == set(ended)
    assert {e["state"] for e in ended.values()} <= {
        "complete", "aborted", "interrupted"}
    # Jobs that hung up are interrupted, too, and their hops were not.
    cut = {o for o, e in ended.items()
           if e["state"] == "interrupted" and
           e.get("reason") == "it ended without its last words"}
    assert [e for e in bastion.ledger() if e["event"] == "operation.decide"
            and e["operation"] in cut - bastion.cut] == []


def test_no_process_fell(bastion):
    # A process that nobody may trace cannot be searched for leaks; its other
    # findings are said all the same.
    # "signal 9" was test_faults, and 31 (SIGSYS) test_confinement, if it was.
    assert bastion.log.read_text().count("died (signal 31)") == bastion.owned
    known = ("LeakSanitizer has encountered a fatal error", "==HINT: ",
             "died (signal 9)", "died (signal 31)")
    text = "".join(line + "\n" for line in bastion.log.read_text().splitlines()
                   if not any(k in line for k in known))
    for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer",
                 "Sanitizer:", "dumped core", " died "):
        at = text.find(word)
        assert at < 0, text[max(0, at - 2000):at + 2000]
    assert bastion.daemon.alive() and bastion.sshd.alive()


LEDGER = (pathlib.Path(__file__).parents[2] / "doc/LEDGER.md").read_text()
NAMES = {"commit", "pull_request", "actor", "workflow", "run"}


def documented(section):
    """{event or kind: the words in the last column of its row}"""
    text = LEDGER.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = {}
    for row in re.findall(r"^\|.*\|$", text, re.M):
        cell = [c for c in re.split(r"(?<!\\)\|", row)[1:-1]]
        for name in re.findall(r'`(?:\{"kind":)?"?([a-z.-]+)', cell[0]):
            found[name] = set(re.findall(r"`([a-z0-9_]+)`", cell[-1])) | (
                NAMES if "the five names" in cell[-1] else set())
    return found


def test_every_field_is_in_the_page(bastion, recordings):
    events = documented("Ledger")
    for e in bastion.ledger():
        assert set(e) - {"number", "time", "event"} <= events[e["event"]], e
    kinds = documented("Sidecar")
    kinds["open"] |= {"number"} | events["operation.decide"]
    # Of the others a test may have written what it liked.
    whole = {e["operation"] for e in bastion.ledger()
             if e["event"] == "operation.end" and e["state"] == "complete"}
    for cast in (c for c in recordings if c.stem in whole):
        with open(cast) as f:
            header = json.loads(f.readline())["postern"]
        assert all(f'"{k}":' in LEDGER for k in header), header
        for line in cast.with_suffix(".json").read_text().splitlines():
            fact = json.loads(line)
            assert set(fact) - {"kind"} <= kinds[fact["kind"]], fact
