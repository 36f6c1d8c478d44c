"""Promise 7, by looking: what is left of a token one second after its login."""
import base64
import contextlib
import os
import pathlib
import pwd
import time

import house as h
import pytest

PIECE = 12  # every 24 bytes in a row hold one whole piece
FOLDERS = ("/opt", "/run", "/tmp", "/var", "/etc", "/dev/shm")


def pieces(token):
    """Of the claims and of the signature, as sent and as bytes.  The header is
    no secret."""
    _, claims, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    return {data[i:i + PIECE]
            for data in (claims.encode(), signature.encode(), raw)
            for i in range(0, len(data) - PIECE + 1, PIECE)}


def found(data, needles):
    return [n for n in needles if n in data]


def memory(pid):
    """Everything in a process that can be written to."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            where, rights = line.split()[:2]
            if "w" not in rights:
                continue
            at, end = (int(x, 16) for x in where.split("-"))
            # The sanitizers' shadow is terabytes of nothing.
            while at < end and end - at < 1 << 34:
                with contextlib.suppress(OSError):
                    mem.seek(at)
                    out.append(mem.read(min(end - at, 1 << 22)))
                at += 1 << 22
    return b"".join(out)


def files(since):
    """All that were written since then."""
    for top in FOLDERS:
        for folder, folders, names in os.walk(top):
            # A target's root is seen in its upper half; here it has all of
            # /proc and /dev, which have no end.
            if pathlib.Path(folder) == h.WORK / "root/all":
                folders.clear()
            for name in names:
                p = pathlib.Path(folder, name)
                with contextlib.suppress(OSError):
                    if p.is_file() and not p.is_symlink() and \
                            p.stat().st_ctime >= since:
                        yield p


@pytest.fixture(scope="module")
def logged_in(bastion, job):
    """(token, its session, before it): an operation that runs, a second after
    its login."""
    before = time.time() - 1
    token = job.issuer.token()
    mark = bastion.mark()
    p = job.popen(job.argv("web-1", "/opt/house/bin/slow 60"),
                  env=job.env(CI_TOKEN=token))
    try:
        assert p.stdout.readline() == b"started\n"
        time.sleep(1)  # the promise's own second
        yield token, bastion.event(mark, "session.open")["session"], before
    finally:
        job.kill(p)
        p.communicate()


@pytest.mark.skipif(h.SANITIZED,
                    reason="sanitizers keep what is freed as it was")
def test_7_no_token_in_the_memory_of_ours(bastion, logged_in):
    token, session, _ = logged_in
    needles = pieces(token)
    seen = {}
    for pid, _, name in bastion.processes():
        if name == "postern-sshd" or "sshd" in name:
            continue  # stock sshd: doc/THREATS.md says so
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            seen[name] = memory(pid)
    assert set(seen) >= {"posternd", "postern-oidc", "postern-policy",
                         "postern-signer", "postern-audit", "postern-hop",
                         "postern-shell"}
    # It does look: the session's own name is where it belongs.
    assert session.encode() in seen["postern-policy"]
    assert session.encode() in seen["postern-hop"]
    assert {n: found(m, needles) for n, m in seen.items()
            if found(m, needles)} == {}


def test_7_no_token_in_arguments_or_environments(logged_in):
    needles = pieces(logged_in[0])
    runner = pwd.getpwnam("runner").pw_uid
    jobs = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = pathlib.Path("/proc", pid)
            data = b"".join((folder / f).read_bytes()
                            for f in ("environ", "cmdline", "comm"))
            hits = found(data, needles)
            if folder.stat().st_uid == runner:
                jobs += bool(hits)  # the job's own, where it belongs
            else:
                assert not hits, (pid, hits, data[:200])
    assert jobs


def test_7_no_token_in_a_file(logged_in):
    token, _, before = logged_in
    needles = pieces(token)
    seen = set()
    for p in files(before):
        with contextlib.suppress(OSError):
            hits = found(p.read_bytes(), needles)
            assert not hits, (p, hits)
            seen.add(p)
    # It does look.
    assert h.STATE / "ledger/ledger.jsonl" in seen
    assert any(p.suffix == ".cast" for p in seen)
