"""Every stock client: it logs in, runs, and ends as its operation ended; and
one connection is as good as another for channels of each kind."""
import contextlib
import os
import shutil
import socket
import time

import house as h
import pytest
from test_clients import token_of

paramiko = pytest.importorskip("paramiko")
EXIT = "/opt/house/bin/exitwith"
CMD = "systemctl restart web"
BOTH = "/opt/house/bin/both"


@pytest.fixture(scope="module")
def libssh_client():
    build = os.environ["POSTERN_BUILD"]
    h.run("make", "-s", "-C", build, "tests/ssh/login")
    return shutil.copy(f"{build}/tests/ssh/login", h.BIN / "libssh-login")


def plink(job, token, command, tmp):
    secret = job.home / "token"
    secret.write_text(token)
    h.run("chown", job.user, secret)
    pin = h.fingerprint(h.ETC / "sshd/host_ed25519.pub")
    return job.run(["plink", "-ssh", "-batch", "-hostkey",
                    pin, "-pwfile", secret, f"web-1@{h.BASTION}", command])


def dbclient(job, token, command, tmp):
    return job.run(["dbclient", "-y", "-y", f"web-1@{h.BASTION}", command],
                   env=job.env(DROPBEAR_PASSWORD=token))


def libssh(job, token, command, tmp):
    return job.run([h.BIN / "libssh-login", h.BASTION, "22", "web-1",
                    command], input=token.encode())


@contextlib.contextmanager
def connected(user, answer):
    """A paramiko transport, logged in; answer(prompt) gives the token."""
    with h.in_netns("job"):
        s = socket.create_connection(("10.91.0.1", 22), 10)
    t = paramiko.Transport(s)
    try:
        t.start_client(timeout=20)
        t.auth_interactive(user, lambda title, text, prompts:
                           [answer(p) for p, _ in prompts])
        yield t
    finally:
        t.close()


def finished(channel):
    out, err = channel.makefile("rb").read(), channel.makefile_stderr(
        "rb").read()
    return h.Result(channel.recv_exit_status(), out, err, 0)


def by_paramiko(job, token, command, tmp):
    with connected("web-1", lambda prompt: token) as t:
        c = t.open_session(timeout=20)
        c.exec_command(command)
        return finished(c)


CLIENTS = {
    "openssh": lambda job, token, command, tmp: job.ssh(
        "web-1", command, token=token),
    "plink": plink, "dbclient": dbclient, "libssh": libssh,
    "paramiko": by_paramiko,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client(bastion, job, up, mark, client, libssh_client, tmp_path):
    go = CLIENTS[client]
    r = go(job, up.issuer.token(), f"{EXIT} 7", tmp_path)
    assert (r.code, r.out) == (7, b""), r.error
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["rule"]) == ("allow", "probes")
    r = go(job, up.issuer.token(), BOTH, tmp_path)
    assert (r.code, r.out) == (0, b"to stdout\n")
    assert b"to stderr\n" in r.err
    r = go(job, up.issuer.token(), "systemctl restart mail", tmp_path)
    assert r.code == 77 and b"postern:" in r.err


@pytest.mark.parametrize("length", [700, 1023, 1024, 2050, 4000, 8000])
def test_token_length(up, job, length, tmp_path):
    """In parts, and whole where the client does not cut."""
    token = token_of(up.issuer, length)
    r = job.ssh("web-1", CMD, token=token)
    assert r.code == 0, r.error
    if length != 1023:  # that is how a cut one looks
        assert by_paramiko(job, token, CMD, tmp_path).code == 0


# What somebody answers who does it wrong, and what the ledger then says.
WRONG = {
    "cut at 1023": (lambda t, n: t[:1023], "1023 bytes"),
    "sent twice": (lambda t, n: t[:1000], "same as the one before"),
    "empty": (lambda t, n: "", "first part is empty"),
    "16 KiB": (lambda t, n: "x" * 16385, "longer than 16 KiB"),
    "16 KiB in parts": (lambda t, n: f"{n:01000}", "more than 16 parts|longer"),
}


@pytest.mark.parametrize("what", WRONG)
def test_6_wrong_answers_are_told_in_the_ledger(bastion, up, mark, what, fresh):
    answer, reason = WRONG[what]
    token, asked = up.issuer.token(), []

    def each(prompt):
        asked.append(prompt)
        return answer(token, len(asked))

    with pytest.raises(paramiko.AuthenticationException):
        with connected("web-1", each):
            pass
    assert len(asked) <= 17
    assert not bastion.events(mark, "session.open")
    said = [e["reason"] for e in bastion.some(mark, "login.refused")]
    assert any(x in s for x in reason.split("|") for s in said), said


def test_10_mb_as_an_answer(bastion, up, job, mark):
    """Longer than any packet that sshd takes: the connection ends there."""
    with pytest.raises((paramiko.SSHException, EOFError, OSError)):
        with connected("web-1", lambda prompt: "x" * 10_000_000):
            pass
    assert not bastion.events(mark, "session.open")
    assert job.ssh("web-1", f"{EXIT} 0").code == 0


# -- one connection, many channels ---------------------------------------------

def test_4_three_operations_on_one_connection(bastion, job, up, mark):
    """ControlMaster: the master's own operation and two that join it."""
    sock = job.home / "three"
    opts = ["-o", f"ControlPath={sock}"]
    first = job.popen(job.argv("web-1", "/opt/house/bin/slow 20",
                               opts=[*opts, "-M"]),
                      env=job.env(CI_TOKEN=up.issuer.token()))
    assert first.stdout.readline() == b"started\n"

    def joined(command, *more):
        return job.run(["ssh", *opts, *more, "-o", "BatchMode=yes",
                        f"web-1@{h.BASTION}", *command])

    assert joined([f"{EXIT} 5"]).code == 5
    assert joined([f"{EXIT} 6"]).code == 6
    r = joined(["/opt/house/bin/istty"], "-tt")
    assert r.code == 0 and "in\r\nout\r\n" in r.text, r
    r = joined([])  # a shell, which is no command
    assert r.code == 64 or r.code == 77
    assert "postern:" in r.error
    r = joined([f"{EXIT} 1"], "-tt")  # no rule gives it a terminal
    assert r.code == 77
    assert joined([], "-s", "-T", "sftp").code != 0
    job.kill(first)
    first.communicate()
    sock.unlink()
    bastion.mark()
    events = bastion.events(mark)
    assert len([e for e in events if e["event"] == "session.open"]) == 1
    decided = [e for e in events if e["event"] == "operation.decide"]
    assert len({e["session"] for e in decided}) == 1
    verdicts = [e["verdict"] for e in decided]
    assert verdicts.count("allow") == 4 and verdicts.count("deny") >= 2


def test_4_channels_of_each_kind(bastion, up, mark):
    """The same without OpenSSH's own idea of what a client may ask."""
    token = up.issuer.token()
    with connected("web-1", lambda prompt: token) as t:
        c = t.open_session()
        c.exec_command(f"{EXIT} 9")
        assert finished(c).code == 9
        c = t.open_session()
        c.get_pty("xterm", 90, 20)
        c.exec_command("/opt/house/bin/istty")
        r = finished(c)
        assert r.code == 0 and b"20 90" in r.out, r
        c = t.open_session()
        c.invoke_shell()
        r = finished(c)
        assert r.code in (64, 77) and b"postern:" in r.err, r
        c = t.open_session()
        c.get_pty()
        c.invoke_shell()
        said = b""
        while not said.endswith(b"> "):
            assert (more := c.recv(4096)), said
            said += more
        c.sendall(b"exit 6\r")
        assert finished(c).code == 6
        c = t.open_session()
        c.invoke_subsystem("sftp")
        assert finished(c).code == 77
        for name in ("unknown", "netconf", "../sftp", ""):
            c = t.open_session()
            with pytest.raises(paramiko.SSHException):
                c.invoke_subsystem(name)
    bastion.mark()
    decided = bastion.events(mark, "operation.decide")
    allowed = [e.get("by") for e in decided if e["verdict"] == "allow"]
    assert len(allowed) == 3 and allowed.count("shell") == 1, allowed


def test_n_is_a_session_without_an_operation(bastion, job, up, mark):
    p = job.popen(job.argv("web-1", opts=["-N"]),
                  env=job.env(CI_TOKEN=up.issuer.token()))
    bastion.event(mark, "session.open", timeout=15)
    assert p.poll() is None
    assert not bastion.events(mark, "operation.decide")
    assert not [n for _, _, n in bastion.processes() if n == "postern-shell"]
    job.kill(p)
    p.communicate()


# -- what is asked for beside commands -------------------------------------------

# (options, what stock ssh says, what postern-sshd writes down)
BESIDE = {
    "local socket": (["-N", "-L", "{tmp}/l:/run/postern/shell.sock"], None,
                     "refused streamlocal port forward"),
    "remote socket": (["-N", "-o", "ExitOnForwardFailure=yes", "-R",
                       "/tmp/postern-r:/tmp/none"],
                      "remote port forwarding failed", None),
    "remote dynamic": (["-N", "-o", "ExitOnForwardFailure=yes", "-R", "4711"],
                       "remote port forwarding failed", None),
    "tunnel": (["-N", "-o", "ExitOnForwardFailure=yes", "-w", "any"],
               "unnel", None),
    "agent": (["-A", "-v"], None, None),
    "x11": (["-X", "-v"], "X11 forwarding request failed", None),
}


@pytest.mark.parametrize("what", BESIDE)
def test_4_nothing_beside_commands(job, up, bastion, what):
    opts, says, logs = BESIDE[what]
    tmp = job.home / "beside"
    tmp.mkdir(exist_ok=True)
    h.run("chown", job.user, tmp)
    at = bastion.sshd_log.stat().st_size
    opts = [o.replace("{tmp}", str(tmp)) for o in opts]
    command = None if "-N" in opts else f"{EXIT} 0"
    p = job.popen(job.argv("web-1", command, opts=opts),
                  env=job.env(CI_TOKEN=up.issuer.token(), DISPLAY=":7",
                              SSH_AUTH_SOCK=str(tmp / "agent")))
    try:
        if what == "local socket":
            end = time.monotonic() + 20
            while not (tmp / "l").exists():
                assert time.monotonic() < end and p.poll() is None
                time.sleep(0.05)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(tmp / "l"))
                assert s.recv(10) == b""
            job.kill(p)
        err = p.communicate(timeout=30)[1].decode()
    finally:
        job.kill(p)
        p.wait()
    assert says is None or says in err, err
    if command:  # refused beside it, the command itself runs
        assert p.returncode == 0, err
    elif says:
        assert p.returncode == 255, err
    said = bastion.sshd_log.read_bytes()[at:].decode()
    assert logs is None or logs in said, said
    assert not os.path.exists("/tmp/postern-r")
    (tmp / "l").unlink(missing_ok=True)
