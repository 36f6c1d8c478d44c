"""Stock ssh through the distribution's sshd with both modules and the shell,
as they are installed; the broker behind them is a fake.  Runs in the house:

    POSTERN_BUILD=build tests/e2e/enter /usr/bin/python3 -m pytest \\
        tests/shell/test_login.py
"""
import contextlib
import ctypes
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import wire

pytestmark = pytest.mark.skipif(
    os.environ.get("POSTERN_INSIDE") != "1", reason="runs in tests/e2e/enter")

PREFIX = pathlib.Path("/opt/postern")
RUN = PREFIX / "run/postern"
TOP = pathlib.Path(os.environ.get("POSTERN_TOP", "."))
PORT = 2222
TOKEN = "".join(chr(ord("a") + i * 7 % 26) for i in range(2050))

ASKPASS = r"""#!/bin/sh
case $1 in
"("*"@127.0.0.1) token part "*) n=${1##* }; n=${n%:} ;;
*) echo "asked: $1" >>"$ASKLOG"; exit 1 ;;
esac
echo "$1" >>"$ASKLOG"
printf %s "$CI_TOKEN" | cut -c$((n*1000-999))-$((n*1000))
"""


def files_of(*folders):
    """Names, owners, modes, times and content: what must stay as it is."""
    seen = {}
    for top in folders:
        for p in sorted(pathlib.Path(top).rglob("*")):
            st = p.lstat()
            seen[str(p)] = (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns,
                            p.read_bytes() if p.is_file() else None)
    return seen


class Bastion:
    def __init__(self, folder):
        self.dir = folder
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run([TOP / "packaging/accounts"], check=True)
        shutil.copy(PREFIX / "share/postern/pam.d-postern-sshd",
                    "/etc/pam.d/postern-sshd")
        RUN.mkdir(parents=True)
        self.before = files_of("/etc", "/run/sshd")
        self.broker = wire.Broker(RUN, grp.getgrnam("postern-job").gr_gid)
        self.log = folder / "sshd.log"
        self.start()
        key = (PREFIX / "etc/postern/sshd/host_ed25519.pub").read_text()
        self.known = folder / "known_hosts"
        self.known.write_text(f"[127.0.0.1]:{PORT} {key}")
        self.askpass = folder / "askpass"
        self.askpass.write_text(ASKPASS)
        self.askpass.chmod(0o755)
        self.asklog = folder / "asked"

    def start(self):
        with open(self.log, "ab") as f:
            self.proc = subprocess.Popen(
                [PREFIX / "libexec/postern/postern-sshd-start",
                 "-l", f"127.0.0.1:{PORT}"], stdout=f, stderr=f,
                stdin=subprocess.DEVNULL)
        self.wait_listening()

    def wait_listening(self):
        for _ in range(1200):
            assert self.proc.poll() is None, self.log.read_text()
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", PORT)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def argv(self, user, *command, opts=()):
        return ["ssh", "-F", "none", "-p", str(PORT),
                "-o", f"UserKnownHostsFile={self.known}",
                "-o", "StrictHostKeyChecking=yes",
                "-o", "NumberOfPasswordPrompts=1",
                "-o", "PreferredAuthentications=keyboard-interactive",
                *opts, f"{user}@127.0.0.1", *command]

    def env(self, token=TOKEN):
        return {"PATH": os.environ["PATH"], "CI_TOKEN": token,
                "SSH_ASKPASS": str(self.askpass), "ASKLOG": str(self.asklog),
                "SSH_ASKPASS_REQUIRE": "force", "TERM": "xterm-test"}

    def ssh(self, user, *command, opts=(), token=TOKEN, **kw):
        self.asklog.write_text("")
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.argv(user, *command, opts=opts),
                              env=self.env(token), capture_output=True,
                              timeout=30, **kw)

    def asked(self):
        return [line.split(") ", 1)[1]
                for line in self.asklog.read_text().splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    b = Bastion(tmp_path_factory.mktemp("bastion"))
    yield b
    b.proc.send_signal(signal.SIGTERM)
    b.proc.wait(10)
    b.broker.close()


@pytest.fixture
def bastion(running):
    b = running.broker
    b.heard.clear()
    b.login = lambda m: (0, b.HANDLE) if m.token == TOKEN.encode() else (1, "")
    b.open = lambda m: (0, b.SECOND)
    b.run = say(7, "out\n", "err\n")
    return running


def say(code, out, err):
    return lambda conn, m: wire.send(
        conn, wire.ANSWER, wire.number(code) + wire.string(out) +
        wire.string(err))


def accept(*ends):
    """Accepts, does what a hop does with the streams, says how it ended."""
    def run(conn, m):
        wire.send(conn, wire.ACCEPTED)
        while data := os.read(m.fds[0], 65536):
            os.write(m.fds[1], data)
        for fd in m.fds:
            os.close(fd)
        m.fds = []
        wire.send(conn, wire.EXIT, wire.number(ends[0]) + wire.number(ends[1]))
    return run


def test_one_operation(bastion):
    p = bastion.ssh("web-1", "systemctl restart  shop")
    assert (p.returncode, p.stdout, p.stderr) == (7, b"out\n", b"err\n")
    assert bastion.asked() == [f"token part {n}:" for n in (1, 2, 3)]
    (login,) = bastion.broker.all(wire.LOGIN)
    assert login.user == b"web-1" and login.source == b"127.0.0.1"
    assert login.token == TOKEN.encode()
    assert (login.parts, login.trouble) == (3, b"")
    (opened,) = bastion.broker.all(wire.SESSION_OPEN)
    assert opened.handle == bastion.broker.HANDLE.encode()
    assert opened.auth_info == b"keyboard-interactive/pam\n"
    (run,) = bastion.broker.all(wire.RUN)
    assert run.handle == bastion.broker.SECOND.encode()
    assert (run.kind, run.command, run.tty) == (1, b"systemctl restart  shop",
                                                0)
    for _ in range(50):
        if bastion.broker.all(wire.SESSION_CLOSE):
            break
        time.sleep(0.05)
    (closed,) = bastion.broker.all(wire.SESSION_CLOSE)
    assert closed.handle == bastion.broker.SECOND.encode()


def test_bytes_and_end(bastion):
    bastion.broker.run = accept(0, 0)
    data = os.urandom(300000)
    p = bastion.ssh("web-1", "cat", stdin=None, input=data)
    assert (p.returncode, p.stdout, p.stderr) == (0, data, b"")
    bastion.broker.run = accept(0, 255)
    assert bastion.ssh("web-1", "x", stdin=None, input=b"").returncode == 255


def test_death_by_signal_reaches_the_client(bastion):
    bastion.broker.run = accept(1, signal.SIGTERM)
    p = bastion.ssh("web-1", "x", opts=["-v"], stdin=None, input=b"")
    assert p.returncode == 255
    assert b"rtype exit-signal" in p.stderr


@pytest.mark.parametrize("user", ["web-1", "deploy+web-1", "postern", "a" * 31])
def test_well_formed_names(bastion, user):
    assert bastion.ssh(user, "true").returncode == 7
    assert bastion.broker.all(wire.RUN)[0].command == b"true"


@pytest.mark.parametrize("user", [
    "web-1", "nosuch.host", "deploy+web-1", "postern",   # ours
    "root", "daemon", "_postern-job",                    # local accounts
    "Web-1", "a" * 32, "x y", "x+y+z", "+", "w%b", "_x"])  # no names
def test_a_bad_token_looks_the_same_for_every_name(bastion, user):
    p = bastion.ssh("web-1", "true", token="b" * 2050,
                    opts=["-l", user])
    assert p.returncode == 255
    assert bastion.asked() == [f"token part {n}:" for n in (1, 2, 3)]
    (login,) = bastion.broker.all(wire.LOGIN)
    assert login.user == user.encode()
    lines = [s for s in p.stderr.decode().splitlines() if s]
    assert len(lines) == 2, lines
    assert lines[0].startswith("postern: this token opens no session here")
    assert lines[1].endswith("Permission denied (publickey,"
                             "keyboard-interactive).")
    assert p.stdout == b""
    assert not bastion.broker.all(wire.RUN)


def test_a_good_token_does_not_help_a_local_account(bastion):
    for user in ("root", "daemon", "_postern-job"):
        assert bastion.ssh(user, "true").returncode == 255
    for m in bastion.broker.all(wire.LOGIN):
        assert m.token == b""
        assert m.trouble in (b"sshd refuses this user name",)


def test_refusals_take_the_same_time(bastion):
    times = {}
    for user in ("web-1", "nosuch", "root", "Web-1"):
        t = time.monotonic()
        bastion.ssh(user, "true", token="b" * 2050)
        times[user] = time.monotonic() - t
    assert all(0.29 < t < 4 for t in times.values()), times


def test_more_channels_of_one_connection(bastion):
    ctl = bastion.dir / "ctl"
    opts = ["-S", str(ctl)]
    master = subprocess.Popen(
        bastion.argv("web-1", opts=[*opts, "-M", "-N"]), env=bastion.env(),
        stdin=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if ctl.exists():
                break
            time.sleep(0.05)
        for command in ("first", "second"):
            p = bastion.ssh("web-1", command, opts=opts, token="")
            assert (p.returncode, p.stdout) == (7, b"out\n")
    finally:
        subprocess.run(bastion.argv("web-1", opts=[*opts, "-O", "exit"]),
                       capture_output=True, check=False)
        master.wait(10)
    assert [m.command for m in bastion.broker.all(wire.RUN)] == [b"first",
                                                                 b"second"]
    assert {m.handle for m in bastion.broker.all(wire.RUN)} == {
        bastion.broker.SECOND.encode()}
    assert len(bastion.broker.all(wire.LOGIN)) == 1
    assert len(bastion.broker.all(wire.SESSION_OPEN)) == 1


def test_terminal(bastion):
    sizes = []

    def run(conn, m):
        sizes.append((m.tty, m.term, os.isatty(m.fds[0])))
        say(3, "hello\n", "")(conn, m)
    bastion.broker.run = run
    p = bastion.ssh("web-1", "top", opts=["-tt"])
    assert p.returncode == 3
    assert p.stdout == b"hello\r\n"
    assert sizes == [(1, b"xterm-test", True)]


def test_no_command_and_subsystem(bastion):
    bastion.ssh("web-1")
    bastion.ssh("web-1", "sftp", opts=["-s"])
    runs = bastion.broker.all(wire.RUN)
    assert [(m.kind, m.command) for m in runs] == [(0, b""),
                                                   (1, b"postern-sftp")]


def test_session_refused_by_policy(bastion):
    bastion.broker.open = lambda m: (1, "")
    p = bastion.ssh("web-1", "true")
    assert p.returncode == 254
    assert p.stdout.startswith(b"postern: nothing was run: this connection ")
    assert p.stdout.count(b"\n") == 1
    assert not bastion.broker.all(wire.RUN)


def test_forwarding_is_off(bastion):
    p = bastion.ssh("web-1", opts=["-W", "127.0.0.1:22"])
    assert p.returncode == 255 and b"administratively prohibited" in p.stderr
    p = bastion.ssh("web-1", "true", opts=[
        "-R", "2300:127.0.0.1:22", "-o", "ExitOnForwardFailure=yes"])
    assert p.returncode == 255 and not bastion.broker.all(wire.RUN)


def test_client_environment_does_not_arrive(bastion):
    env = []

    def run(conn, m):
        pid = conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = int.from_bytes(pid[:4], "little")
        env.append(pathlib.Path(f"/proc/{pid}/environ").read_bytes())
        env.append(pathlib.Path(f"/proc/{pid}/status").read_text())
        say(0, "", "")(conn, m)
    bastion.broker.run = run
    p = bastion.ssh("web-1", "true", opts=[
        "-o", "SetEnv=LD_PRELOAD=/x POSTERN_SESSION=0 SSH_TTY=/dev/null"])
    assert p.returncode == 0, p.stderr
    names = {v.split(b"=")[0] for v in env[0].split(b"\0") if v}
    assert names == {b"USER", b"LOGNAME", b"HOME", b"PATH", b"SHELL",
                     b"SSH_CLIENT", b"SSH_CONNECTION", b"POSTERN_SESSION",
                     b"SSH_ORIGINAL_COMMAND"}
    assert bastion.broker.SECOND.encode() in env[0]
    uid, gid = pwd.getpwnam("_postern-job")[2:4]
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}" in env[1]
    assert f"Groups:\t{gid} \n" in env[1]


def test_another_process_of_the_uid_cannot_look_in(bastion):
    seen = []
    job = pwd.getpwnam("_postern-job")

    def run(conn, m):
        pid = int.from_bytes(conn.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
        for name in ("environ", "maps", "fd"):
            seen.append(subprocess.run(
                ["setpriv", f"--reuid={job.pw_uid}", f"--regid={job.pw_gid}",
                 "--clear-groups", "--bounding-set=-all", "ls" if name == "fd"
                 else "cat", f"/proc/{pid}/{name}"],
                capture_output=True, check=False).returncode)
        say(0, "", "")(conn, m)
    bastion.broker.run = run
    bastion.ssh("web-1", "true")
    assert len(seen) == 3 and all(seen), seen


def test_the_shell_alone_is_refused(bastion):
    job = pwd.getpwnam("_postern-job")
    p = subprocess.run(
        ["setpriv", f"--reuid={job.pw_uid}", f"--regid={job.pw_gid}",
         "--clear-groups", PREFIX / "libexec/postern/postern-shell", "-c",
         "id"], capture_output=True, check=False)
    assert p.returncode == 77 and p.stderr.startswith(b"postern: ")
    assert (PREFIX / "libexec/postern/postern-shell").stat().st_mode & 0o7777 \
        == 0o711


def test_broker_down(bastion):
    os.rename(RUN / "shell.sock", RUN / "shell.sock.away")
    try:
        p = bastion.ssh("web-1", "true")
    finally:
        os.rename(RUN / "shell.sock.away", RUN / "shell.sock")
    assert p.returncode == 75
    assert p.stderr.startswith(b"postern: the broker of this bastion is not")


def test_the_host_sees_nothing(bastion):
    for user in ("web-1", "postern", "deploy+web-1"):
        assert subprocess.run(["getent", "passwd", user],
                              check=False).returncode == 2
        assert subprocess.run(["id", user], capture_output=True,
                              check=False).returncode == 1
        p = subprocess.run(["su", user, "-c", "id"], capture_output=True,
                           check=False, env={"PATH": os.environ["PATH"],
                                             "POSTERN_SSHD": "1"})
        assert p.returncode == 1
    assert files_of("/etc", "/run/sshd") == bastion.before
    assert not list(pathlib.Path("/var/log").iterdir())


def test_sshrc_of_the_host_does_not_run(bastion):
    rc = pathlib.Path("/etc/ssh/sshrc")
    mark = pathlib.Path("/tmp/postern-sshrc-ran")
    rc.write_text(f"touch {mark}\n")
    try:
        bastion.ssh("web-1", "true")
        assert not mark.exists()
    finally:
        rc.unlink()
        mark.unlink(missing_ok=True)


SYS_PIDFD_GETFD = 438


def client_sockets():
    """Copies of the TCP connections that any sshd process here holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if not re.search("/sshd(-session)?$", os.readlink(p / "exe")):
                continue
            numbers = [int(fd.name) for fd in (p / "fd").iterdir()
                       if os.readlink(fd).startswith("socket:")]
            pidfd = os.pidfd_open(int(p.name))
        except OSError:
            continue
        for n in numbers:
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, n, 0)
            if fd < 0:
                continue
            s = socket.socket(fileno=fd)
            try:
                if s.family == socket.AF_INET and s.getpeername():
                    yield s
            except OSError:
                pass
        os.close(pidfd)


def test_nagle_is_off_from_the_first_prompt(bastion):
    seen = []

    def login(_):
        for s in client_sockets():
            seen.append(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return 0, bastion.broker.HANDLE
    bastion.broker.login = login
    assert bastion.ssh("web-1", "true").returncode == 7
    assert seen and all(seen), seen


def test_reload_and_the_hosts_run(bastion):
    """The host's ssh.service takes /run/sshd away when it stops, and somebody
    sends a SIGHUP: logins go on."""
    os.rename("/run/sshd", "/run/sshd.away")
    try:
        bastion.proc.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        bastion.wait_listening()
        assert bastion.ssh("web-1", "true").returncode == 7
    finally:
        os.rename("/run/sshd.away", "/run/sshd")


# -- the start ----------------------------------------------------------------


def start_check(*args):
    return subprocess.run(
        [PREFIX / "libexec/postern/postern-sshd-start", "-c", *args],
        capture_output=True, text=True, check=False)


@contextlib.contextmanager
def changed(path, text):
    """The file has another text for a while; None: it is not there."""
    path = pathlib.Path(path)
    old = path.read_bytes() if path.exists() else None
    try:
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        yield
    finally:
        if old is None:
            path.unlink()
        else:
            path.write_bytes(old)


def test_start_checks_and_ends(bastion):
    p = start_check()
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")
    key = PREFIX / "etc/postern/sshd/host_ed25519"
    assert key.stat().st_mode & 0o777 == 0o600


LISTEN = PREFIX / "etc/postern/sshd/listen"


@pytest.mark.parametrize("path, text, says", [
    ("/etc/pam.d/postern-sshd", None, "pam_postern.so"),
    ("/etc/pam.d/postern-sshd", "auth required pam_permit.so\n",
     "pam_postern.so"),
    ("/etc/pam.d/postern-sshd", "".join(
        f"{kind} required pam_postern.so\n"
        for kind in ("#auth", "account", "session")), "pam_postern.so for auth"),
    (LISTEN, "Port 22\nPermitRootLogin yes\n", "PermitRootLogin yes"),
    (LISTEN, "Port 22 Match all\n", "Match"),
    (LISTEN, "Include /etc/ssh/sshd_config\n", "Include"),
    (LISTEN, "Port 0x\n", "Port 0x"),
])
def test_start_refuses(bastion, path, text, says):
    with changed(path, text):
        p = start_check()
    assert p.returncode == 1 and says in p.stderr, p.stderr
    assert p.stderr.startswith("postern-sshd-start: ")


def test_start_refuses_company_in_the_group(bastion):
    passwd, group = pathlib.Path("/etc/passwd"), pathlib.Path("/etc/group")
    gid = grp.getgrnam("postern-job").gr_gid
    with changed(passwd, passwd.read_text() +
                 f"mallory:x:4000:{gid}::/:/bin/sh\n"):
        p = start_check()
    assert p.returncode == 1 and "mallory" in p.stderr
    text = group.read_text().replace(f"postern-job:x:{gid}:",
                                     f"postern-job:x:{gid}:daemon")
    with changed(group, text):
        p = start_check()
    assert p.returncode == 1 and "daemon" in p.stderr


def test_start_reads_where_to_listen(bastion):
    with changed(LISTEN, "# ours\nPort 2200\nListenAddress [::1]:22 # v6\n"):
        assert start_check().returncode == 0
        conf = (RUN / "sshd/config").read_text()
    assert "\nPort 2200\nListenAddress [::1]:22\n" in conf


def test_start_with_the_brokers_folder_below_run(bastion, tmp_path):
    """As a package has it: the private /run shows the same folder."""
    text = (PREFIX / "libexec/postern/postern-sshd-start").read_text()
    script = tmp_path / "start"
    script.write_text(text.replace("\nrun=/opt/postern/run/postern\n",
                                   "\nrun=/run/postern-test\n"))
    script.chmod(0o755)
    p = subprocess.run([script, "-c"], capture_output=True, text=True,
                       check=False)
    assert (p.returncode, p.stderr) == (0, "")
    made = pathlib.Path("/run/postern-test/sshd")
    assert "ForceCommand postern" in (made / "config").read_text()
    assert not list((made / "stage").iterdir())
    shutil.rmtree("/run/postern-test")


def test_start_notices_an_sshd_that_means_something_else(bastion, tmp_path):
    """An sshd whose -T shows another value than was written."""
    fake = tmp_path / "sshd"
    fake.write_text('#!/bin/sh\n/usr/sbin/sshd "$@" |'
                    " sed 's/^disableforwarding yes/disableforwarding no/'\n")
    fake.chmod(0o755)
    p = start_check("-s", str(fake))
    assert p.returncode == 1 and "DisableForwarding" in p.stderr, p.stderr


def test_start_notices_an_sshd_without_an_option(bastion, tmp_path):
    fake = tmp_path / "sshd"
    fake.write_text("#!/bin/sh\n/usr/sbin/sshd \"$@\" |"
                    " sed /^permitlisten/d\n")
    fake.chmod(0o755)
    p = start_check("-s", str(fake))
    assert p.returncode == 1 and "PermitListen" in p.stderr, p.stderr
