"""Last: what all the tests before left behind."""
import os
import pathlib
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
    bastion.mark()
    ended = {e["operation"]: e for e in bastion.ledger()
             if e["event"] == "operation.end"}
    assert bastion.begun() == set(ended)
    assert {e["state"] for e in ended.values()} <= {
        "complete", "aborted", "interrupted"}
    # Jobs that hung up are interrupted, too, and their hops were not.
    cut = {o for o, e in ended.items()
           if e["state"] == "interrupted" and
           e["reason"] == "it ended without its last words"}
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
