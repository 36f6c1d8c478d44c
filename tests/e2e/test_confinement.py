"""What the owner of each process of the running bastion may still do: nothing
here is a copy of the process or of its filter (inject.py)."""
import contextlib
import errno
import os
import pathlib
import pwd
import signal
import socket
import struct
import sys
import threading
import time

import house as h
import inject
import pytest

pytestmark = pytest.mark.skipif(
    h.SANITIZED, reason="a build with sanitizers is not confined")

ACCOUNTS = {
    "postern-oidc": "_postern-oidc", "postern-policy": "_postern-policy",
    "postern-signer": "_postern-sign", "postern-audit": "_postern-audit",
    "postern-hop": "_postern-hop",
    "postern-shell": "_postern-job",
}
CHILDREN = [n for n in ACCOUNTS if n not in ("postern-hop",
                                             "postern-shell")]


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def assert_confined(pid, user):
    s = status(pid)
    pw = pwd.getpwnam(user)
    assert s["Seccomp"] == "2"
    assert s["NoNewPrivs"] == "1"
    for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(s[which], 16) == 0, which
    assert s["Uid"].split() == [str(pw.pw_uid)] * 4
    assert s["Gid"].split() == [str(pw.pw_gid)] * 4
    # sshd gives the shell its own group a second time.
    assert set(s["Groups"].split()) <= ({str(pw.pw_gid)} if user ==
                                        ACCOUNTS["postern-shell"] else set())


def one(bastion, name):
    return next(((pid, user) for pid, user, n in bastion.processes()
                 if n == name), (None, None))


def wait_for_another(bastion, name, pid):
    """The process that was started in its place, confined."""
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError, KeyError):
            new, user = one(bastion, name)
            if new not in (None, pid) and status(new)["Seccomp"] == "2":
                return new, user
        assert time.monotonic() < end, f"{name} does not come back"
        time.sleep(0.05)


@contextlib.contextmanager
def running(bastion, job):
    """An operation that waits; its hop."""
    before = {p for p, _, n in bastion.processes() if n == "postern-hop"}
    p = job.popen(job.argv("web-1", "/opt/house/bin/slow 30"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    try:
        assert p.stdout.readline() == b"started\n"
        (pid,) = {p for p, _, n in bastion.processes()
                  if n == "postern-hop"} - before
        yield pid, p
    finally:
        job.kill(p)
        p.communicate()


# -- by the kernel's word -----------------------------------------------------


@pytest.mark.parametrize("name", CHILDREN)
def test_child_is_confined(bastion, name):
    pid, user = one(bastion, name)
    assert user == ACCOUNTS[name]
    assert_confined(pid, user)


def test_hop_is_confined(bastion, job):
    with running(bastion, job) as (pid, _):
        assert_confined(pid, ACCOUNTS["postern-hop"])
        # Once on its way, once connected.
        assert status(pid).get("Seccomp_filters", "2") == "2"


@pytest.mark.parametrize("name", CHILDREN)
def test_child_that_starts_again_is_confined(bastion, name):
    pid, _ = one(bastion, name)
    mark = bastion.log.stat().st_size
    os.kill(pid, signal.SIGKILL)
    new, user = wait_for_another(bastion, name, pid)
    assert_confined(new, user)
    said = bastion.log.read_text()[mark:]
    assert f"{name} died (signal 9)" in said
    # Whoever lost it goes on within its own bounds.
    assert "(signal 31)" not in said


def test_reload_is_within_bounds(bastion, job):
    """A reload reads the folder anew, also one that took the other's place,
    and the zones that its windows name."""
    folder = h.ETC / "policy"
    said = bastion.reload()
    assert "ALARM" not in said, said
    try:
        folder.rename(h.ETC / "policy.old")
        h.run("cp", "-a", h.ETC / "policy.old", folder)
        bastion.write_policy(
            "policy 1\nallow early for shop on web-1 {\n    run /usr/bin/id\n"
            "    window Mon-Sun 00:00-24:00 Europe/Zurich\n}\n",
            "zone.postern")
        said = bastion.reload()
        assert "ALARM" not in said and "targets" in said, said
        assert job.ssh("web-1", "systemctl restart web").code == 0
    finally:
        with contextlib.suppress(FileNotFoundError):
            (folder / "zone.postern").unlink()
        h.run("rm", "-rf", h.ETC / "policy.old")
        bastion.reload()


# -- by trying ----------------------------------------------------------------

IN4 = struct.pack("=HHI8x", socket.AF_INET, socket.htons(80),
                  struct.unpack("=I", socket.inet_aton("10.91.0.6"))[0])
WRITE = os.O_WRONLY | os.O_CREAT
CWD = inject.AT_FDCWD
DEATH = "SIGSYS"

# Call, arguments, and what comes of it for each of hop, signer, oidc, audit,
# policy and postern-shell: an errno, DEATH, or 0 for what is allowed (a
# control).
TRIES = {
    "its own pid": (("getpid",), (0,) * 6),
    "a file that all may read": (
        ("openat", CWD, b"/usr/bin/env", 0),
        (errno.ENOENT, errno.ENOENT, errno.EACCES, errno.EACCES,
         errno.EACCES, errno.ENOENT)),
    "another's home in /proc": (
        ("openat", CWD, b"/proc/1/status", 0),
        (errno.ENOENT, errno.ENOENT, errno.EACCES, errno.EACCES, 0,
         errno.ENOENT)),
    "a new file where all may write": (
        ("openat", CWD, b"/tmp/owned", WRITE, 0o600),
        (DEATH, errno.ENOENT, DEATH, errno.EACCES, DEATH, errno.ENOENT)),
    "a local socket": (
        ("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0),
        (DEATH, DEATH, errno.EAFNOSUPPORT, DEATH, DEATH, DEATH)),
    "a connection": (
        ("connect", 99, IN4, len(IN4)),
        (DEATH, DEATH, errno.EBADF, DEATH, DEATH, DEATH)),
    "a listening port": (
        ("bind", 99, IN4, len(IN4)), (DEATH,) * 6),
    "another process's life": (("kill", -1, 0), (DEATH,) * 6),
    "a program": (("execve", b"/usr/bin/env", 0, 0), (DEATH,) * 6),
}
COLUMN = ("postern-hop", "postern-signer", "postern-oidc", "postern-audit",
          "postern-policy", "postern-shell")
by_trying = pytest.mark.skipif(not inject.SUPPORTED,
                               reason="inject.py speaks x86-64")


def outcome(bastion, pid, call):
    """What comes of the call in that process."""
    (name,) = [n for p, _, n in bastion.processes() if p == pid] or [""]
    assert pid, "no such process"
    try:
        with inject.Owned(pid) as it:
            return min(it.call(*call), 0) * -1
    except inject.Killed as e:
        bastion.owned += name not in ("postern-hop", "postern-shell")
        return str(e)


@by_trying
def test_inject_tells_what_the_kernel_says(bastion):
    """The means of the tests below: one who is not confined may all that."""
    p = h.subprocess.Popen(["/usr/bin/sleep", "60"])
    try:
        for what, (call, _) in TRIES.items():
            if call[0] not in ("execve", "kill"):
                assert outcome(bastion, p.pid, call) in (0, errno.EBADF), what
    finally:
        p.kill()
        p.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/tmp/owned")


@by_trying
@pytest.mark.parametrize("what", TRIES)
@pytest.mark.parametrize("name", CHILDREN)
def test_owner_of_child(bastion, name, what):
    call, wants = TRIES[what]
    want = wants[COLUMN.index(name)]
    pid, _ = one(bastion, name)
    assert outcome(bastion, pid, call) == want
    if want == DEATH:
        _, user = wait_for_another(bastion, name, pid)
        assert user == ACCOUNTS[name]


@by_trying
def test_owner_of_hop(bastion, job, cuts):
    for what, (call, wants) in TRIES.items():
        with running(bastion, job) as (pid, p):
            assert outcome(bastion, pid, call) == wants[0], what
            if wants[0] == DEATH:
                assert p.wait(20) == 75, what


@by_trying
def test_owner_of_shell(bastion, job):
    for what, (call, wants) in TRIES.items():
        with running(bastion, job) as (_, p):
            pid, user = one(bastion, "postern-shell")
            assert_confined(pid, user)
            want = wants[COLUMN.index("postern-shell")]
            assert outcome(bastion, pid, call) == want, what
            if want == DEATH:
                # Its job loses its connection, and nobody else anything.
                assert p.wait(20) in (255, 128 + signal.SIGSYS), what


# -- on its way ---------------------------------------------------------------


def dns_answer(query, cut):
    """The A of any name is web-1; cut: come again by TCP."""
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack_from(">H", query, end - 4)
    n = int(kind == 1 and not cut)
    out = query[:2] + struct.pack(">HHHHH", 0x8380 if cut else 0x8180, 1, n,
                                  0, 0) + query[12:end]
    if n:
        out += struct.pack(">HHHIH4s", 0xc00c, 1, 1, 60, 4,
                           socket.inet_aton("10.91.0.2"))
    return out


@contextlib.contextmanager
def name_server():
    """On the issuer's host, for the whole house; what it was asked, how."""
    asked = []
    with h.in_netns("issuer"):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket()
    for s in (udp, tcp):
        s.bind(("10.91.0.6", 53))
    tcp.listen()

    def by_udp():
        with contextlib.suppress(OSError):
            while True:
                query, who = udp.recvfrom(4096)
                if not query:  # shut down
                    return
                asked.append("udp")
                udp.sendto(dns_answer(query, True), who)

    def by_tcp():
        with contextlib.suppress(OSError):
            while True:
                c, _ = tcp.accept()
                with c:
                    c.settimeout(5)
                    # Two questions may share the connection.
                    with contextlib.suppress(OSError, struct.error):
                        while True:
                            (n,) = struct.unpack(">H", c.recv(
                                2, socket.MSG_WAITALL))
                            asked.append("tcp")
                            a = dns_answer(c.recv(n, socket.MSG_WAITALL),
                                           False)
                            c.sendall(struct.pack(">H", len(a)) + a)

    resolv = pathlib.Path("/etc/resolv.conf")
    threads = [threading.Thread(target=f) for f in (by_udp, by_tcp)]
    for th in threads:
        th.start()
    try:
        resolv.write_text("nameserver 10.91.0.6\n")
        yield asked
    finally:
        resolv.write_text("")
        for s in (udp, tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        for th in threads:
            th.join(10)


def test_hop_resolves_names_confined(bastion, job):
    """By DNS, also where the answer is long: a hop is confined before that."""
    good = (h.ETC / "policy/main.postern").read_text()
    named = good.replace("deploy@10.91.0.2:22\"", "deploy@web-1.dns.acme:22\"")
    assert named != good
    try:
        bastion.write_policy(named)
        bastion.reload()
        with name_server() as asked:
            r = job.ssh("web-1", "systemctl restart web")
            assert r.code == 0, r.error
        assert {"udp", "tcp"} <= set(asked)
    finally:
        bastion.write_policy(good)
        bastion.reload()


# -- on older kernels ---------------------------------------------------------

OLD = pathlib.Path(__file__).with_name("oldkernel.py")


@by_trying
@pytest.mark.parametrize("abi", [0, 2])
def test_kernels_with_less_landlock(bastion, job, cuts, abi):
    """Debian 12's kernel has ABI 2; a kernel may have none.  Everything works,
    and only what Landlock alone forbids depends on it."""
    bastion.daemon.stop()
    try:
        at = bastion.log.stat().st_size
        bastion.start_posternd(under=[sys.executable, OLD, abi])
        assert job.ssh("web-1", "systemctl restart web").code == 0
        said = bastion.log.read_text()[at:]
        assert ("this kernel has no Landlock" in said) == (abi == 0)
        # Whoever reads files may read what all may, if there is no Landlock.
        call, wants = TRIES["a file that all may read"]
        for name in ("postern-oidc", "postern-audit", "postern-policy"):
            pid, _ = one(bastion, name)
            assert_confined(pid, ACCOUNTS[name])
            want = wants[COLUMN.index(name)] if abi else 0
            assert outcome(bastion, pid, call) == want, name
        # The network rests on seccomp alone, on every kernel.
        call, wants = TRIES["a connection"]
        with running(bastion, job) as (pid, p):
            assert outcome(bastion, pid, call) == DEATH
            assert p.wait(20) == 75
        for name in ("postern-policy", "postern-audit"):
            pid, _ = one(bastion, name)
            assert outcome(bastion, pid, call) == DEATH
            wait_for_another(bastion, name, pid)
    finally:
        bastion.daemon.stop()
        bastion.start_posternd()
