"""posternd as a process.  Its children are stand-ins that hand their control
socket to this test, which then speaks for them."""
import array
import contextlib
import json
import os
import pathlib
import pwd
import grp
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wire as w  # noqa: E402

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
BUILT = BUILD / "broker/posternd"
LIBEXEC = pathlib.Path("/opt/postern/libexec/postern")
FAKES = "/opt/fakes.sock"


def for_opt():
    """The children are started from the folder that configure was told."""
    try:
        return b"/opt/postern/libexec/postern" in BUILT.read_bytes()
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not os.environ.get("POSTERN_INSIDE") or not for_opt(),
    reason="runs in tests/broker/floor.sh, over a build for /opt/postern")

FAKE = '''#!/usr/bin/python3 -I
import array, json, os, signal, socket, sys
fds = sorted(int(x) for x in os.listdir("/proc/self/fd"))
with open("/proc/self/status") as f:
    status = dict(line.rstrip("\\n").split(":", 1) for line in f)
me = {"name": sys.argv[0].rsplit("/postern-", 1)[1], "pid": os.getpid(),
      "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
      "fds": fds, "env": sorted(os.environ), "blocked": status["SigBlk"],
      "cwd": os.getcwd(), "argc": len(sys.argv)}
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect("/opt/fakes.sock")
s.sendmsg([json.dumps(me).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                       array.array("i", [3]))])
while True:
    what = s.recv(64)
    if what == b"close":
        os.close(3)
        s.send(b"closed")
    elif what == b"exit0":
        os._exit(0)
    elif what == b"deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        os._exit(7)
'''
CHILDREN = ("audit", "signer", "policy", "oidc")
ACCOUNT = {"audit": "_postern-audit", "signer": "_postern-sign",
           "policy": "_postern-policy", "oidc": "_postern-oidc",
           "hop": "_postern-hop"}


class Fake:
    """One life of one child: its facts, its control socket, its leash."""

    def __init__(self, leash):
        leash.settimeout(20)
        data, control, _, _ = leash.recvmsg(65536, 256)
        fds = array.array("i")
        for _, _, d in control:
            fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
        self.__dict__.update(json.loads(data))
        self.leash, self.control = leash, socket.socket(fileno=fds[0])
        self.given, self.links, self.settings = {}, {}, None
        self.alarms = []

    def take(self):
        """One message of the parent's, kept where it belongs."""
        m = w.receive(self.control)
        while m is not None and m.name == "ALARM":
            self.alarms.append((m.id, m.text(), m.text()))
            m.end()
            m = w.receive(self.control)
        assert m is not None
        if m.name in ("LISTEN", "FOLDER"):
            self.given[m.text()] = (m.name, m.fds[0])
        elif m.name == "LINK":
            self.links[m.text()] = socket.socket(fileno=m.fds[0])
        elif m.name == "GO":
            self.settings, self.addresses = m.text(), m.text()
        elif m.name == "RELOAD":
            self.asked = m.u32()
        m.end()
        return m.name

    def until(self, name):
        while self.take() != name:
            pass
        return self

    def ready(self):
        w.send(self.control, "READY")

    def reloaded(self, outcome=0, digest="f" * 64):
        """It is told to reload, and answers; on whose question it was."""
        if "policy" in self.given:
            os.close(self.given.pop("policy")[1])
        assert self.take() == "FOLDER" and "policy" in self.given
        m = w.expect(self.control, "RELOAD")
        w.send(self.control, "RELOADED", w.u32(outcome) + w.text(digest),
               ident=m.id)
        asked = m.u32()
        m.end()
        return asked

    def say(self, word):
        self.leash.send(word)

    def gone(self, timeout=10):
        """The process is dead."""
        assert select.select([self.leash], [], [], timeout)[0]
        try:
            return self.leash.recv(16) == b""
        except ConnectionResetError:
            return True

    def drop(self):
        for s in (self.leash, self.control, *self.links.values()):
            s.close()
        for _, fd in self.given.values():
            os.close(fd)


class Posternd:
    def __init__(self, settings="", after=False, env=None, under=()):
        if not after:   # the one before died, as tests end it: not told here
            pathlib.Path("/opt/run/lease").unlink(missing_ok=True)
        self.listener = w.listener(FAKES, 0o777)
        self.listener.settimeout(20)
        conf = pathlib.Path("/opt/postern.conf")
        self.settings = ("policy-folder /opt/policy\nca-folder /opt/ca\n"
                         "state-folder /opt/state\nrun-folder /opt/run\n" +
                         settings)
        conf.write_text(self.settings)
        conf.chmod(0o644)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind("/opt/notify.sock")
        self.notify.settimeout(10)
        self.log_path = "/opt/posternd.log"
        self.fakes = []
        leaked = os.open("/dev/null", os.O_RDONLY)  # as shells and CI do
        with open(self.log_path, "wb") as f:
            self.proc = subprocess.Popen(
                [*under, "/opt/posternd", "-c", conf],
                stdin=subprocess.DEVNULL, stdout=f, stderr=f, pass_fds=(leaked,),
                env={"NOTIFY_SOCKET": "/opt/notify.sock", "SECRET": "x",
                     "ASAN_OPTIONS": "detect_leaks=0"} | (env or {}))
        os.close(leaked)

    log = w.Child.log
    logs = w.Child.logs

    def accept(self):
        leash, _ = self.listener.accept()
        self.fakes.append(Fake(leash))
        return self.fakes[-1]

    def start(self):
        """All four, given everything and ready."""
        self.child = {}
        for _ in CHILDREN:
            f = self.accept()
            assert f.name not in self.child
            self.child[f.name] = f
        for f in self.child.values():
            f.until("GO")
        # Those that were there first get their links as the others come.
        for name, n in (("audit", 2), ("signer", 1), ("policy", 3),
                        ("oidc", 2)):
            while len(self.child[name].links) < n:
                assert self.child[name].take() == "LINK"
        for f in self.child.values():
            f.ready()
        return self

    def again(self, name):
        """The next life of a child, up to GO."""
        f = self.accept()
        assert f.name == name
        self.child[name] = f
        return f.until("GO")

    @staticmethod
    def key_of_next_start():
        """Another posternd makes its sockets and dies for want of a folder."""
        conf = pathlib.Path("/opt/next.conf")
        conf.write_text("run-folder /opt/run\nstate-folder /opt/x/y\n")
        conf.chmod(0o644)
        subprocess.run(["/opt/posternd", "-c", conf], capture_output=True,
                       timeout=20, check=False)
        return pathlib.Path("/opt/run/session-key").read_bytes()

    def close(self):
        # Whoever is just being started must not turn up in the next test.
        pid = self.proc.pid
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGSTOP)
            path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            for child in path.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self.proc.kill()
        self.proc.wait()
        print(self.log())   # shown when a test fails
        for s in (self.listener, self.notify):
            s.close()
        for path in (FAKES, "/opt/notify.sock"):
            os.unlink(path)
        for f in self.fakes:
            f.drop()    # whoever still lives sees the end of its leash
        assert "Sanitizer" not in self.log() and \
            "runtime error" not in self.log(), self.log()


@pytest.fixture(scope="module", autouse=True)
def place():
    w.install(BUILT, "/opt/posternd")
    LIBEXEC.mkdir(parents=True, exist_ok=True)
    for name in (*CHILDREN, "hop"):
        path = LIBEXEC / f"postern-{name}"
        path.write_text(FAKE)
        path.chmod(0o755)
    for path, mode in (("policy", 0o755), ("ca", 0o700)):
        (pathlib.Path("/opt") / path).mkdir(mode, exist_ok=True)
    for name in ("target.pem", "job.pem"):
        path = pathlib.Path("/opt/ca") / name
        path.write_text(name)
        path.chmod(0o600)


@pytest.fixture
def posternd(place):
    it = Posternd()
    yield it
    it.close()


# -- starting -------------------------------------------------------------------


def test_p7_a_child_has_its_account_and_nothing_else(posternd):
    posternd.start()
    for name, f in posternd.child.items():
        pw = pwd.getpwnam(ACCOUNT[name])
        assert f.uid == [pw.pw_uid] * 3 and f.gid == [pw.pw_gid] * 3
        assert f.groups == []
        # the fourth is the folder that it reads its own list from
        assert f.fds[:4] == [0, 1, 2, 3] and len(f.fds) == 5
        assert [x for x in f.env if x != "LC_CTYPE"] == []
        assert int(f.blocked, 16) == 0
        assert (f.cwd, f.argc) == ("/", 1)


def test_what_they_are_given(posternd):
    posternd.start()
    got = {n: {k: v[0] for k, v in f.given.items()}
           for n, f in posternd.child.items()}
    assert got == {
        "audit": {"recordings": "FOLDER", "ledger": "FOLDER",
                  "store": "FOLDER"},
        "signer": {"policy": "FOLDER", "target.pem": "FOLDER",
                   "job.pem": "FOLDER"},
        "policy": {"session": "LISTEN", "shell": "LISTEN", "ctl": "LISTEN",
                   "audit": "LISTEN", "policy": "FOLDER", "session-key": "FOLDER"},
        "oidc": {"pam": "LISTEN", "issuer-keys": "FOLDER"},
    }
    for name, f in posternd.child.items():
        assert f.settings == posternd.settings
        assert "127.0.0.1/32" in f.addresses
    fd = posternd.child["signer"].given["target.pem"][1]
    assert os.read(fd, 99) == b"target.pem"
    # Pairs join the right two.
    for a, b in (("policy", "audit"), ("policy", "signer"),
                 ("policy", "oidc"), ("oidc", "audit")):
        x, y = posternd.child[a].links[b], posternd.child[b].links[a]
        x.send(b"%s" % a.encode())
        assert y.recv(99) == a.encode()


def test_ready_once_all_are(posternd):
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.logs("posternd: ready")


def test_a_watchdog_hears_of_a_loop_that_runs(place):
    it = Posternd(env={"WATCHDOG_USEC": "30000000"})
    try:
        it.start()
        heard = [it.notify.recv(99) for _ in range(5)]
        assert b"READY=1" in heard and heard[-2:] == [b"WATCHDOG=1"] * 2
        it.proc.send_signal(signal.SIGSTOP)
        it.notify.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:     # what had been said before
                it.notify.recv(99)
        it.notify.settimeout(3)
        with pytest.raises(TimeoutError):
            it.notify.recv(99)
        it.proc.send_signal(signal.SIGCONT)
        it.notify.settimeout(10)
        assert it.notify.recv(99) == b"WATCHDOG=1"
    finally:
        it.proc.send_signal(signal.SIGCONT)
        it.close()


def test_without_a_watchdog_nothing_is_said_to_it(posternd):
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.notify.settimeout(3)
    with pytest.raises(TimeoutError):
        posternd.notify.recv(99)


def test_sockets_and_folders(posternd):
    posternd.start()
    sockets_and_folders()


def sockets_and_folders():
    admin = grp.getgrnam("postern-admin").gr_gid
    auditor = grp.getgrnam("postern-auditor").gr_gid
    job = pwd.getpwnam("_postern-job").pw_gid
    for name, mode, gid in (("pam", 0o600, 0), ("session", 0o600, 0),
                            ("shell", 0o660, job), ("ctl", 0o660, admin),
                            ("audit", 0o660, auditor)):
        st = os.stat(f"/opt/run/{name}.sock")
        assert stat.S_ISSOCK(st.st_mode)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == \
            (mode, 0, gid)
    audit = pwd.getpwnam("_postern-audit").pw_uid
    for name, mode in (("recordings", 0o700), ("ledger", 0o750),
                       ("store", 0o750)):
        st = os.stat(f"/opt/state/{name}")
        assert (stat.S_IMODE(st.st_mode) & 0o777, st.st_uid, st.st_gid) == \
            (mode, audit, auditor)


def agent_of(account):
    """A socket that nobody but this account can get to."""
    uid = pwd.getpwnam(account).pw_uid
    shutil.rmtree("/opt/agent", ignore_errors=True)
    os.mkdir("/opt/agent", 0o700)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind("/opt/agent/agent.sock")
    s.listen()
    s.settimeout(20)
    os.chmod("/opt/agent/agent.sock", 0o600)
    for path in ("/opt/agent/agent.sock", "/opt/agent"):
        os.chown(path, uid, -1)
    return s


def test_it_needs_no_right_over_what_is_others(place):
    """As its unit has it: three rights and three groups.  Folders are made, and
    mended, by -p before it."""
    shutil.rmtree("/opt/state", ignore_errors=True)
    conf = pathlib.Path("/opt/few.conf")
    conf.write_text("state-folder /opt/state\nrun-folder /opt/run\n")
    conf.chmod(0o644)
    groups = ",".join(str(grp.getgrnam(g).gr_gid) for g in (
        "postern-admin", "postern-auditor"))
    groups += f",{pwd.getpwnam('_postern-job').pw_gid}"
    few = ["setpriv", "--groups", groups,
           "--bounding-set=-all,+setuid,+setgid,+kill", "--"]
    code, err = refuses(*few, "/opt/posternd", "-c", str(conf))
    assert code == 1 and "folder /opt/state/recordings" in err
    agent = agent_of("nobody")
    for wrong in (False, True):     # missing; then of somebody else
        if wrong:
            os.chown("/opt/state/ledger", 0, 0)
            os.chmod("/opt/state/store", 0o777)
        subprocess.run(["/opt/posternd", "-p", "-c", conf], check=True)
        p = Posternd("target-ca-agent /opt/agent/agent.sock\n", under=few)
        try:
            p.start()
            # An agent of another account, in a folder of its own, sees root.
            w.send(p.child["signer"].control, "AGENT_WANTED", b"\0", ident=5)
            m = w.expect(p.child["signer"].control, "AGENT")
            assert (m.id, len(m.fds)) == (5, 1)
            c, _ = agent.accept()
            pid, uid, _ = struct.unpack("3i", c.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            assert (pid, uid) == (p.proc.pid, 0)
            c.close()
            os.close(m.fds[0])
            for name in ("recordings", "ledger", "store"):
                kind, fd = p.child["audit"].given[name]
                assert os.path.samestat(os.fstat(fd),
                                        os.stat(f"/opt/state/{name}"))
            sockets_and_folders()
        finally:
            p.close()
    agent.close()


# -- lives ------------------------------------------------------------------------


@pytest.mark.parametrize("name, linked", [
    ("signer", ["policy"]), ("audit", ["policy", "oidc"]),
    ("policy", ["audit", "signer", "oidc"]), ("oidc", ["policy", "audit"])])
def test_p9_a_dead_child_is_started_again(posternd, name, linked):
    posternd.start()
    old = posternd.child[name]
    os.kill(old.pid, signal.SIGKILL)
    assert old.gone()
    f = posternd.again(name)
    posternd.logs(f"ALARM: postern-{name} died")
    assert f.pid != old.pid and set(f.given) == set(old.given)
    for other in linked:
        posternd.child[other].links.pop(name)
        while name not in posternd.child[other].links:
            assert posternd.child[other].take() == "LINK"
        f.links[other].send(b"new")
        assert posternd.child[other].links[name].recv(99) == b"new"
    assert set(f.given) == set(old.given)
    # and again
    f.say(b"exit")
    assert f.gone()
    posternd.again(name)


def test_each_death_is_for_the_ledger(posternd):
    """Audit is asked until it has written it, whoever dies meanwhile."""
    def alarm():
        m = w.expect(posternd.child["audit"].control, "ALARM")
        out = m.id, m.text(), m.text()
        m.end()
        return out

    def done(ident, result=0):
        w.send(posternd.child["audit"].control, "ALARM_DONE", w.u32(result),
               ident=ident)

    posternd.start()
    os.kill(posternd.child["oidc"].pid, signal.SIGKILL)
    assert posternd.child["audit"].take() == "LINK"
    ident, *what = alarm()
    assert what == ["oidc", "died (signal 9); started again"]
    posternd.again("oidc").say(b"exit")
    assert posternd.child["audit"].take() == "LINK"
    posternd.again("oidc")
    done(ident + 1)     # not that question's
    done(ident, 1)      # it could not: again, with what came meanwhile
    ident, *what = alarm()
    assert what == ["oidc", "died 2 times, the last time (exit code 7); "
                    "started again"]
    # Unanswered: the next audit is asked, when it serves.
    os.kill(posternd.child["audit"].pid, signal.SIGKILL)
    posternd.again("audit")
    w.silent(posternd.child["audit"].control, 1.5)
    posternd.child["audit"].ready()
    got = {}
    for _ in range(2):
        ident, name, why = alarm()
        got[name] = why
        done(ident)
    assert got == {
        "audit": "died (signal 9); started again",
        "oidc": "died 2 times, the last time (exit code 7); started again"}
    w.silent(posternd.child["audit"].control, 1.5)


def test_the_death_of_posternd_is_for_the_ledger():
    """The next one has it written, or the next; an end that was asked for is
    none."""
    def life(alarm, result, well=False):
        it = Posternd(after=True)
        try:
            it.start()
            control = it.child["audit"].control
            if alarm:
                m = w.expect(control, "ALARM")
                assert (m.text(), m.text()) == ("posternd",
                                                "died; started again")
                m.end()
                w.send(control, "ALARM_DONE", w.u32(result), ident=m.id)
            if result:
                w.expect(control, "ALARM")
            else:
                w.silent(control, 1.5)
            if well:
                it.proc.send_signal(signal.SIGTERM)
                for name in ("policy", "oidc", "signer", "audit"):
                    it.child[name].until("STOP").say(b"exit0")
                assert it.proc.wait(10) == 0
        finally:
            it.close()

    pathlib.Path("/opt/run/lease").unlink(missing_ok=True)
    life(False, 0)
    life(True, 1)
    life(True, 0)       # that of the second one
    life(True, 0, well=True)
    life(False, 0, well=True)
    life(False, 0)


def test_p9_siblings_have_the_link_before_the_child_lives(posternd):
    """What they say to it meanwhile waits in the socket."""
    posternd.start()
    os.kill(posternd.child["audit"].pid, signal.SIGKILL)
    for other in ("policy", "oidc"):
        posternd.child[other].links.pop("audit")
        assert posternd.child[other].take() == "LINK"
        posternd.child[other].links["audit"].send(b"early " + other.encode())
    f = posternd.again("audit")
    for other in ("policy", "oidc"):
        assert f.links[other].recv(99) == b"early " + other.encode()


def test_the_boots_key(posternd):
    """policy's alone; the same for each life of it, and for the next posternd;
    another one after a boot."""
    path = pathlib.Path("/opt/run/session-key")
    posternd.start()
    key = path.read_bytes()
    st = path.stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (0, 0o600)
    fd = posternd.child["policy"].given["session-key"][1]
    assert os.pread(fd, 32, 0) == key[:32] and len(set(key[:32])) > 8
    again = Posternd.key_of_next_start()
    assert again == key
    path.write_bytes(b"k" * 32 + b"another boot\n")
    fresh = Posternd.key_of_next_start()
    assert fresh[:32] not in (key[:32], b"k" * 32)
    assert fresh[32:] == key[32:]


def test_a_child_that_hangs_up_is_killed_and_started_again(posternd):
    """It can ask for nothing any more, so it must not live on."""
    posternd.start()
    f = posternd.child["policy"]
    f.control.close()
    f.say(b"close")
    f.leash.settimeout(10)
    while f.leash.recv(16) == b"closed":
        pass        # it may be dead before it could say so
    posternd.again("policy")


@pytest.mark.parametrize("name, data", [
    ("oidc", b"nonsense"), ("audit", b"\0\1\0\x0c\0\0\0\0"),
    ("signer", b"\0\1\0\x10\0\0\0\1\0\0\0\1x"),
    ("policy", b"\0\1\0\x0e\0\0\0\0x")])
def test_a_child_that_breaks_the_protocol_is_killed(posternd, name, data):
    posternd.start()
    f = posternd.child[name]
    f.control.send(data)
    assert f.gone()
    posternd.logs("broke the protocol")
    posternd.again(name)


def test_back_off(posternd):
    """Lives that end at once come slower and slower: 0.1 s, 0.2 s, 0.4 s."""
    posternd.start()
    f, start = posternd.child["oidc"], time.monotonic()
    for _ in range(3):
        f.say(b"exit")
        f = posternd.again("oidc")
    assert 0.7 <= time.monotonic() - start < 6


# -- hops ----------------------------------------------------------------------------


def hop_start(policy, operation="01ARZ3NDEKTSV4RRFFQ69G5FAV", ident=9):
    """(pid, pidfd or None, our end of the hop's control socket)."""
    ours, theirs = w.pair()
    w.send(policy.control, "HOP_START", w.text(operation), [theirs.fileno()],
           ident)
    theirs.close()
    m = w.expect(policy.control, "HOP_STARTED")
    assert m.id == ident
    pid = m.u32()
    m.end()
    return pid, m.fds[0] if m.fds else None, ours


def test_a_hop(posternd):
    posternd.start()
    pid, pidfd, control = hop_start(posternd.child["policy"])
    f = posternd.accept()
    pw = pwd.getpwnam("_postern-hop")
    assert (f.name, f.pid, f.uid) == ("hop", pid, [pw.pw_uid] * 3)
    # 3 is its control socket, 4 the lease
    assert f.groups == [] and f.fds[:5] == [0, 1, 2, 3, 4] and \
        len(f.fds) == 6
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as i:
        assert f"\nPid:\t{pid}\n" in i.read()
    # Its descriptor 3 is the other end of what policy kept.
    control.send(b"work")
    assert f.control.recv(9) == b"work"
    f.say(b"exit")
    assert select.select([pidfd], [], [], 10)[0]
    # Reaped, and nobody is alarmed.
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "ALARM" not in posternd.log()
    os.close(pidfd)


def test_a_hop_that_cannot_be_executed(posternd):
    posternd.start()
    hop = LIBEXEC / "postern-hop"
    hop.chmod(0o600)
    try:
        pid, pidfd, control = hop_start(posternd.child["policy"])
        assert pid and select.select([pidfd], [], [], 10)[0]
        assert w.receive(control) is None
        os.close(pidfd)
    finally:
        hop.chmod(0o755)


def test_p9_a_hop_outlives_policy_and_posternd(posternd):
    posternd.start()
    _, pidfd, _ = hop_start(posternd.child["policy"])
    f = posternd.accept()
    posternd.child["policy"].say(b"exit")
    posternd.again("policy")
    assert not select.select([pidfd], [], [], 0.2)[0]
    posternd.proc.send_signal(signal.SIGTERM)
    for name in ("policy", "oidc", "signer", "audit"):
        posternd.child[name].until("STOP")
        posternd.child[name].say(b"exit")
    assert posternd.proc.wait(10) == 0
    assert not select.select([pidfd], [], [], 0.2)[0]
    f.say(b"exit")
    os.close(pidfd)


def test_p10_hops_are_bounded():
    """What policy may ask of root has an end, also for an owned policy."""
    it = Posternd("operations-max 1\n")
    try:
        it.start()
        hops = []
        for _ in range(100):
            pid, pidfd, _ = hop_start(it.child["policy"])
            if pid == 0:
                break
            os.close(pidfd)
            hops.append(it.accept())
        assert 1 < len(hops) < 100
        # It was refused, not punished; a place is free again with a death.
        hops[0].say(b"exit")
        assert hops[0].gone()
        end = time.monotonic() + 10
        while hop_start(it.child["policy"])[0] == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        for f in hops[1:]:
            f.say(b"exit")
    finally:
        it.close()


def test_hop_start_is_policys_alone(posternd):
    posternd.start()
    for name in ("oidc", "audit", "signer"):
        f = posternd.child[name]
        w.send(f.control, "HOP_START", w.text("x"), [0])
        assert f.gone()
        posternd.again(name)


@pytest.mark.parametrize("body", [b"", w.text("x" * 27), w.text("x") + b"y"])
def test_a_malformed_hop_start(posternd, body):
    posternd.start()
    f = posternd.child["policy"]
    w.send(f.control, "HOP_START", body, [0])
    assert f.gone()
    posternd.again("policy")


# -- signals -----------------------------------------------------------------------------


def test_reload(posternd):
    posternd.start()
    posternd.proc.send_signal(signal.SIGHUP)
    for name in ("signer", "policy"):
        f = posternd.child[name]
        os.close(f.given.pop("policy")[1])
        assert f.take() == "FOLDER" and "policy" in f.given
        assert f.take() == "RELOAD"
        w.send(f.control, "RELOADED", w.u32(0) + w.text("f" * 64), ident=1)
    for name in ("audit", "oidc"):
        w.silent(posternd.child[name].control, 0.1)


def reloading(posternd):
    """The service manager hears of it, with the time on its clock."""
    a, b = posternd.notify.recv(99).decode().split("\n")
    assert a == "RELOADING=1" and b.startswith("MONOTONIC_USEC=")
    assert 0 <= time.monotonic() - int(b[15:]) / 1e6 < 20


def test_reload_is_told_to_the_service_manager(posternd):
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.proc.send_signal(signal.SIGHUP)
    reloading(posternd)
    for name in ("signer", "policy"):
        posternd.notify.settimeout(0.1)
        with pytest.raises(TimeoutError):   # not before both have loaded
            posternd.notify.recv(99)
        posternd.notify.settimeout(10)
        posternd.child[name].reloaded()
    assert posternd.notify.recv(99) == b"READY=1"


def over(policy):
    m = w.expect(policy.control, "RELOAD_OVER")
    out = m.id, m.u32(), m.text()
    m.end()
    return out


def test_a_reload_that_policy_wants(posternd):
    """Its end is told to policy, with the signer's word; a signal meanwhile
    makes another round."""
    posternd.start()
    policy, signer = posternd.child["policy"], posternd.child["signer"]
    w.send(policy.control, "RELOAD_WANTED", ident=8)
    assert policy.reloaded() == 8
    posternd.proc.send_signal(signal.SIGHUP)
    w.silent(policy.control, 0.2)
    assert signer.reloaded(2, "") == 0
    assert over(policy) == (8, 2, "")
    # The signal's round; policy's next question waits for its own.
    w.send(policy.control, "RELOAD_WANTED", ident=9)
    assert policy.reloaded() == 0
    assert signer.reloaded() == 0
    assert policy.reloaded() == 9
    assert signer.reloaded(0, "e" * 64) == 0
    assert over(policy) == (9, 0, "e" * 64)


def test_a_reload_while_a_child_dies(posternd):
    """The signer that died reads the folder when it starts again: nobody
    waits for it.  A policy that died does not hear what its successor did not
    ask."""
    posternd.start()
    policy, signer = posternd.child["policy"], posternd.child["signer"]
    w.send(policy.control, "RELOAD_WANTED", ident=8)
    policy.given.pop("policy")
    policy.until("RELOAD")
    signer.say(b"exit1")
    assert policy.take() == "LINK"
    w.send(policy.control, "RELOADED", w.u32(0) + w.text(""), ident=1)
    assert over(policy) == (8, 0, "")
    posternd.again("signer").ready()
    w.send(policy.control, "RELOAD_WANTED", ident=9)
    policy.until("RELOAD")
    policy.say(b"exit1")
    posternd.again("policy").ready()
    posternd.child["signer"].until("RELOAD")
    w.silent(posternd.child["policy"].control)


@pytest.mark.parametrize("name, body, ident", [
    ("RELOAD_WANTED", b"", 0), ("RELOAD_WANTED", b"x", 1),
    ("RELOADED", w.u32(0) + w.text("f" * 64), 1), ("RELOADED", b"", 0)])
def test_a_malformed_reload(posternd, name, body, ident):
    posternd.start()
    f = posternd.child["policy"]
    w.send(f.control, name, body, ident=ident)
    assert f.gone()
    posternd.again("policy")


def test_one_reload_at_a_time(posternd):
    posternd.start()
    f = posternd.child["policy"]
    for ident in (1, 2):
        w.send(f.control, "RELOAD_WANTED", ident=ident)
    assert f.gone()


def replaced(posternd, order=("audit", "signer", "policy", "oidc")):
    """Each child makes room for the next one, one after the other; its
    siblings have their links before."""
    for name in order:
        old = posternd.child[name]
        others = [o for o in order if {name, o} in [
            set(x) for x in (("policy", "audit"), ("policy", "signer"),
                             ("policy", "oidc"), ("oidc", "audit"))]]
        for o in others:
            posternd.child[o].links.pop(name, None)
            while name not in posternd.child[o].links:
                assert posternd.child[o].take() == "LINK"
            posternd.child[o].links[name].send(b"early")
        old.until("STOP")
        assert len(posternd.fakes) == len({f.pid for f in posternd.fakes})
        old.say(b"exit0")
        f = posternd.again(name)
        for o in others:
            assert f.links[o].recv(99) == b"early"
        f.ready()


def test_p9_upgrade(posternd):
    """The same process goes on with another program: its children keep their
    sockets until they are replaced, hops run on."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    old = dict(posternd.child)
    hop_pid, pidfd, control = hop_start(posternd.child["policy"])
    hop = posternd.accept()
    inode = os.stat("/opt/posternd").st_ino
    w.install(BUILT, "/opt/posternd")
    listening = w.connect("/opt/run/ctl.sock")  # waits in the queue
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    replaced(posternd)
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.logs("posternd: upgraded")
    assert posternd.proc.poll() is None
    assert os.stat(f"/proc/{posternd.proc.pid}/exe").st_ino not in (
        inode, 0)
    env = pathlib.Path(f"/proc/{posternd.proc.pid}/environ").read_bytes()
    assert b"NOTIFY_SOCKET=" in env
    assert "ALARM" not in posternd.log()
    # Who had knocked is served by the next policy, on the same socket.
    with socket.socket(fileno=os.dup(
            posternd.child["policy"].given["ctl"][1])) as s:
        s.settimeout(5)
        s.accept()[0].close()
    listening.close()
    # The hop runs, is counted, and is buried by its parent when it ends.
    assert not select.select([pidfd], [], [], 0.1)[0]
    control.send(b"work")
    assert hop.control.recv(9) == b"work"
    hop.say(b"exit")
    assert select.select([pidfd], [], [], 10)[0]
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{hop_pid}"):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.close(pidfd)
    for name, f in posternd.child.items():
        assert f.pid != old[name].pid and f.settings == posternd.settings
    # Another one, and nothing is left behind each time.
    fds = len(os.listdir(f"/proc/{posternd.proc.pid}/fd"))
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    replaced(posternd)
    assert posternd.notify.recv(99) == b"READY=1"
    end = time.monotonic() + 5
    while len(os.listdir(f"/proc/{posternd.proc.pid}/fd")) != fds:
        assert time.monotonic() < end
        time.sleep(0.02)    # it still has the socket to the manager
    # And a new policy can still start hops, a dead child is still replaced.
    hop_start(posternd.child["policy"])
    posternd.accept().say(b"exit")
    os.kill(posternd.child["oidc"].pid, signal.SIGKILL)
    posternd.again("oidc")


OTHER_VERSION = """#!/usr/bin/python3 -I
import os, sys
fd = int(os.environ["POSTERN_STATE"])   # the second number is the messages'
os.pwrite(fd, b"\\0\\0\\0\\x63", 4)
os.execv("/opt/posternd-other", ["/opt/posternd", *sys.argv[1:]])
"""


def test_p9_upgrade_between_two_versions_of_messages(posternd):
    """Nobody is told anything that he could not understand: all are ended and
    started anew, each once; hops run on, and nothing of it is an alarm."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    hop_pid, pidfd, _ = hop_start(posternd.child["policy"])
    hop = posternd.accept()
    old = posternd.child
    pathlib.Path("/opt/posternd-other").unlink(missing_ok=True)
    w.install(BUILT, "/opt/posternd-other")
    os.unlink("/opt/posternd")
    pathlib.Path("/opt/posternd").write_text(OTHER_VERSION)
    os.chmod("/opt/posternd", 0o755)
    try:
        posternd.proc.send_signal(signal.SIGUSR2)
        reloading(posternd)
        for f in old.values():
            assert f.gone()
        posternd.start()
        assert posternd.notify.recv(99) == b"READY=1"
    finally:
        w.install(BUILT, "/opt/posternd")
    posternd.logs("posternd: upgraded")
    assert "ALARM" not in posternd.log(), posternd.log()
    for name, f in posternd.child.items():
        assert name != "audit" or f.alarms == []
        assert f.pid != old[name].pid and f.settings == posternd.settings
        w.silent(f.control, 0.5)    # not again, and no alarm
    assert not select.select([pidfd], [], [], 0)[0]
    hop.say(b"exit")
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    hop_start(posternd.child["policy"])     # and new ones begin
    posternd.accept().say(b"exit")


def test_p9_alarms_outlive_an_upgrade(place):
    """What audit has not written of an agent goes to the next posternd."""
    p = Posternd("target-ca-agent /opt/none.sock\n")
    try:
        p.start()
        assert p.notify.recv(99) == b"READY=1"
        w.send(p.child["signer"].control, "AGENT_LOST", b"\0\1")
        m = w.expect(p.child["audit"].control, "ALARM")
        w.send(p.child["audit"].control, "ALARM_DONE", w.u32(1), ident=m.id)
        p.proc.send_signal(signal.SIGUSR2)
        reloading(p)
        replaced(p)
        assert p.notify.recv(99) == b"READY=1"
        audit = p.child["audit"]    # it was asked when it was ready
        (ident, *what), = audit.alarms
        assert what == ["signer", "target CA: the bastion's ssh-agent cannot "
                        "be connected to"]
        w.send(audit.control, "ALARM_DONE", w.u32(0), ident=ident)
        w.silent(audit.control, 1.5)
    finally:
        p.close()


def test_an_agent_that_is_away_is_logged_once(place):
    """The signer asks again and again; another reason is another line, and so
    is its end."""
    agents = pathlib.Path("/opt/agent")
    shutil.rmtree(agents, ignore_errors=True)
    p = Posternd(f"target-ca-agent {agents}/agent.sock\n"
                 f"job-ca-agent {agents}/agent.sock\n")

    def ask(which=b"\0"):
        w.send(p.child["signer"].control, "AGENT_WANTED", which, ident=5)
        m = w.expect(p.child["signer"].control, "AGENT")
        for fd in m.fds:
            os.close(fd)
        return len(m.fds)

    def lines():
        return [x.split("agent.sock", 1)[1] for x in p.log().splitlines()
                if "the ssh-agent of the target CA" in x]
    try:
        p.start()
        assert [ask() for _ in range(5)] == [0] * 5
        assert ask(b"\1") == 0 and p.log().count("of the job CA") == 1
        agents.mkdir()
        (agents / "agent.sock").touch()     # nobody is there
        assert [ask() for _ in range(5)] == [0] * 5
        agent = agent_of("root")
        assert [ask() for _ in range(3)] == [1] * 3
        agent.close()
        assert [ask() for _ in range(3)] == [0] * 3
        said = lines()
        assert len(said) == 4, said
        assert "No such file" in said[0] and "refused" in said[1], said
        assert "again" in said[2] and "refused" in said[3], said
    finally:
        p.close()


@pytest.mark.parametrize("how", ["settings", "missing", "another program",
                                 "hangs"])
def test_p9_upgrade_to_what_does_not_start(posternd, how):
    """Tried first: what would not start is not become."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    if how == "settings":
        pathlib.Path("/opt/postern.conf").write_text("nonsense 1\n")
    else:
        os.unlink("/opt/posternd")
    if how == "another program":
        w.install("/bin/false", "/opt/posternd")
    if how == "hangs":
        pathlib.Path("/opt/posternd").write_text("#!/bin/sh\nsleep 1000\n")
        os.chmod("/opt/posternd", 0o755)
    try:
        posternd.proc.send_signal(signal.SIGUSR2)
        reloading(posternd)
        posternd.notify.settimeout(25)
        assert posternd.notify.recv(99) == b"READY=1"
        posternd.logs("ALARM: no upgrade")
        # It goes on as before.
        for f in posternd.child.values():
            w.silent(f.control, 0.05)
        os.kill(posternd.child["signer"].pid, signal.SIGKILL)
        posternd.again("signer").ready()
    finally:
        w.install(BUILT, "/opt/posternd")
    pathlib.Path("/opt/postern.conf").write_text(posternd.settings)
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    replaced(posternd)


def test_p9_a_child_dies_in_an_upgrade(posternd):
    """The new one dies before it is ready: it is started again, and the
    upgrade goes on behind it."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    posternd.child["audit"].until("STOP")
    posternd.child["audit"].say(b"exit0")
    posternd.again("audit").say(b"exit")
    posternd.again("audit").ready()
    posternd.logs("ALARM: postern-audit died")
    replaced(posternd, ("signer", "policy", "oidc"))
    assert posternd.notify.recv(99) == b"READY=1"


def test_p9_a_child_that_waits_is_started_once(posternd):
    """One that has died often is to be started in a while; an upgrade that
    comes to it does not wait, and then it is not started once more."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    posternd.child["audit"].until("STOP")
    for _ in range(4):
        os.kill(posternd.child["signer"].pid, signal.SIGKILL)
        posternd.again("signer").ready()
    os.kill(posternd.child["signer"].pid, signal.SIGKILL)   # 1.6 s
    posternd.child["audit"].say(b"exit0")
    posternd.again("audit").ready()
    posternd.again("signer").ready()
    posternd.child["policy"].until("STOP")
    assert not select.select([posternd.listener], [], [], 2)[0]


def test_p2_the_lease(posternd):
    """Stamped for as long as both serve; root's alone to write."""
    posternd.start()
    path = pathlib.Path("/opt/run/lease")
    st = path.stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (0, 0o600)

    def seen():
        return struct.unpack("=qq", path.read_bytes()[:16])

    def wait(what):
        end = time.monotonic() + 10
        while not what():
            assert time.monotonic() < end
            time.sleep(0.02)

    wait(lambda: min(seen()) > (time.monotonic() - 2) * 1000)
    at = seen()
    wait(lambda: min(seen()) > max(at))
    os.kill(posternd.child["audit"].pid, signal.SIGKILL)
    posternd.again("audit")     # and never says READY
    at = seen()
    wait(lambda: seen()[1] > at[1] + 1500)
    assert seen()[0] == at[0]
    posternd.child["audit"].ready()
    wait(lambda: seen()[0] > at[0])


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_stop(posternd, sig):
    """Audit and signer hear what the others say last."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.proc.send_signal(sig)
    assert posternd.notify.recv(99) == b"STOPPING=1"
    for pair in (("policy", "oidc"), ("signer", "audit")):
        for name in pair:
            assert posternd.child[name].take() == "STOP"
        if "policy" in pair:
            for name in ("signer", "audit"):
                w.silent(posternd.child[name].control, 0.1)
        for name in pair:
            posternd.child[name].say(b"exit0")
    assert posternd.proc.wait(10) == 0
    assert "ALARM" not in posternd.log()


def test_p9_stop_leaves_no_link_without_an_end(posternd):
    """Audit and signer wait for the end of each, and the other end may be with
    posternd, for a policy that is about to be started again."""
    posternd.start()
    os.kill(posternd.child["policy"].pid, signal.SIGKILL)
    those = [posternd.child[n] for n in ("audit", "signer")]
    for f in those:
        f.links.pop("policy")
        assert f.take() == "LINK"
    posternd.proc.send_signal(signal.SIGTERM)
    posternd.child["oidc"].until("STOP").say(b"exit0")
    for f in those:
        assert f.until("STOP").links["policy"].recv(99) == b""
        f.say(b"exit0")
    assert posternd.proc.wait(10) == 0


def test_p9_who_makes_room_gets_no_link(posternd):
    """It waits for the ends of those that it has; a sibling that dies
    meanwhile comes back to the next one."""
    posternd.start()
    assert posternd.notify.recv(99) == b"READY=1"
    posternd.proc.send_signal(signal.SIGUSR2)
    reloading(posternd)
    old = posternd.child["audit"].until("STOP")
    os.kill(posternd.child["policy"].pid, signal.SIGKILL)
    new = posternd.again("policy")
    new.links["audit"].send(b"to the next one")
    w.silent(old.control, 0.3)
    old.say(b"exit0")
    assert posternd.again("audit").links["policy"].recv(99) == \
        b"to the next one"


def test_p10_stop_does_not_wait_for_ever(posternd):
    posternd.start()
    for f in posternd.child.values():
        f.say(b"deaf")
    posternd.proc.send_signal(signal.SIGTERM)
    posternd.proc.send_signal(signal.SIGTERM)
    assert posternd.proc.wait(25) == 0
    for f in posternd.child.values():
        assert f.gone()


# -- not starting ---------------------------------------------------------------------------


def refuses(*argv, **more):
    p = subprocess.run(argv, capture_output=True, text=True, timeout=20,
                       check=False, **more)
    return p.returncode, p.stderr


def test_only_as_root():
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chmod("/opt/posternd", 0o755)
    code, err = refuses("/opt/posternd", user=nobody)
    assert code == 1 and "root" in err


@pytest.mark.parametrize("argv", [["x"], ["-x"], ["-c"], ["-c", "a", "b"],
                                  ["-p", "-t"]])
def test_usage(argv):
    code, err = refuses("/opt/posternd", *argv)
    assert code == 64 and "usage:" in err


@pytest.mark.parametrize("text, mode, word", [
    ("run-folder /opt/run\nnonsense 1\n", 0o644, "nonsense"),
    ("run-folder /opt/run\n", 0o666, "can be written"),
    ("x" * 70000, 0o644, "too large")])
def test_bad_settings(text, mode, word):
    conf = pathlib.Path("/opt/bad.conf")
    conf.write_text(text)
    conf.chmod(mode)
    code, err = refuses("/opt/posternd", "-c", str(conf))
    assert code == 1 and word in err


def test_a_folder_that_is_a_link():
    conf = pathlib.Path("/opt/link.conf")
    conf.write_text("run-folder /opt/linked\nstate-folder /opt/state\n")
    conf.chmod(0o644)
    os.symlink("/etc", "/opt/linked")
    mode = os.stat("/etc").st_mode
    code, err = refuses("/opt/posternd", "-c", str(conf))
    os.unlink("/opt/linked")
    assert code == 1 and "/opt/linked" in err
    assert os.stat("/etc").st_mode == mode
