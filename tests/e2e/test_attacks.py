"""What a job sends that no stock client would, to what is read on the way."""
import re
import shutil
import subprocess

import house as h
import pytest
import test_jobcert as jc
from test_rsync_git import ByCertificate, owned

SRV = h.WORK / "attacked"
ZERO = "0" * 40
CAPS = "report-status delete-refs agent=x"
RULES = f"""policy 1
allow attacked for shop on web-1 {{
    git write {SRV}/one.git refs "refs/heads/f/*"
}}
"""


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    bastion.write_policy(RULES, "attacks.postern")
    assert "not accepted" not in bastion.reload()
    yield
    (h.ETC / "policy/attacks.postern").unlink()
    bastion.reload()


@pytest.fixture(scope="module")
def way(job):
    return ByCertificate(job, jc.Key(job).login())


def on_target(*args):
    return h.run("runuser", "-u", "deploy", "--", "git", "-C",
                 SRV / "one.git", *args).stdout.strip()


@pytest.fixture
def head(way):
    """A repository with one commit, which main and f/a and f/b are."""
    h.run("runuser", "-u", "deploy", "--", "git", "init", "-q", "--bare",
          "-b", "main", owned(SRV / "one.git"))
    tree = on_target("hash-object", "-t", "tree", "-w", "/dev/null")
    head = on_target("-c", "user.name=x", "-c", "user.email=x@x",
                     "commit-tree", "-m", "x", tree)
    for name in ("main", "f/a", "f/b"):
        on_target("update-ref", f"refs/heads/{name}", head)
    yield head
    shutil.rmtree(SRV)


def refs():
    out = on_target("for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in out.splitlines())


def pkt(text):
    d = text if isinstance(text, bytes) else text.encode()
    return b"%04x" % (len(d) + 4) + d


def argv(way):
    return way.command().split() + [
        f"web-1@{way.job.host}", f"git-receive-pack '{SRV}/one.git'"]


def push(way, said):
    return way.job.run(argv(way), input=said, env=way.env())


@pytest.mark.parametrize("name", [
    b"refs/heads/f/\x1b[2J", b"refs/heads/f/\xc2\x9b2J", b"refs/heads/f/\xff",
    b"refs/heads/f/a\nb", b"refs/heads/f/a\rb", b"refs/heads/f/../main",
    b"refs/heads/f//a", b"refs/heads/f/a.lock", b"HEAD", b"refs/heads/f/a b",
    b"refs/heads/f/a\xe2\x80\xae"])
def test_p8_names_that_are_none(way, head, bastion, mark, name):
    r = push(way, pkt(f"{head} {ZERO} ".encode() + name + b"\0 " +
                      CAPS.encode()) + b"0000")
    assert r.code in (64, 77), r
    assert len(refs()) == 3
    bastion.event(mark, "operation.end")
    said = r.err + (h.STATE / "ledger/ledger.jsonl").read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\xc2\x9b|\xff|"
                         rb"\xe2\x80\xae", said), said


def test_what_follows_a_list_is_no_list(way, head):
    """A second one, with what may not be pushed to, behind one that may."""
    one = pkt(f"{head} {ZERO} refs/heads/f/a\0 {CAPS}") + b"0000"
    two = pkt(f"{head} {ZERO} refs/heads/main\0 {CAPS}") + b"0000"
    r = push(way, one + two)
    assert "refs/heads/main" in refs() and "refs/heads/f/a" not in refs(), r


def test_a_second_list_within_the_first(way, head):
    for line in (pkt(f"{head} {ZERO} refs/heads/main\0 {CAPS}"),
                 pkt(f"{head} {ZERO} refs/heads/main\n"),
                 pkt(f"{head} {ZERO} refs/heads/f/b\0x")):
        r = push(way, pkt(f"{head} {ZERO} refs/heads/f/a\0 {CAPS}") + line +
                 b"0000")
        assert r.code in (64, 77) and len(refs()) == 3, r


def test_byte_by_byte(way, head, bastion, mark):
    with way.job.popen(argv(way), env=way.env(), stdin=subprocess.PIPE,
                       bufsize=0) as p:
        for c in pkt(f"{head} {ZERO} refs/heads/f/a\0 {CAPS}") + b"0000":
            p.stdin.write(bytes([c]))
        out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and b"ok refs/heads/f/a" in out, err
    assert bastion.event(mark, "operation.end")["exit"] == 0
    assert sorted(refs()) == ["refs/heads/f/b", "refs/heads/main"]


def test_lines_that_never_end(way, head):
    """Of a length that is none, or of one that never comes; and more of them
    than a push may have."""
    for said in (b"0003", b"fff1" + b"x" * 70000, b"-001", b"+00a", b" 00a",
                 b"00 a", b"0001", b"0002"):
        r = push(way, said)
        assert r.code == 64 and len(refs()) == 3, (said[:8], r)
    many = b"".join(pkt(f"{head} {ZERO} refs/heads/f/{n}" +
                        (f"\0{CAPS}" if n == 0 else ""))
                    for n in range(10001))
    r = push(way, many + b"0000")
    assert r.code == 64 and b"push them in parts" in r.err, r
    assert len(refs()) == 3
