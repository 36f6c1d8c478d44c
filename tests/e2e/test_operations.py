"""What an allowed operation does: it is the command, unchanged, recorded."""
import concurrent.futures
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import time

import house as h
import pytest

EXIT = "/opt/house/bin/exitwith"


def test_allowed_command(bastion, job, mark):
    r = job.ssh("web-1", "systemctl restart web")
    assert (r.code, r.text) == (0, "restart web\nweb is up\n"), r.error
    assert r.err == b""
    opened = bastion.event(mark, "session.open")
    assert opened["identity"] == "shop"
    assert opened["user"] == "web-1" and opened["source"] == "10.91.0.4"
    d = bastion.event(mark, "operation.decide")
    assert d["verdict"] == "allow" and d["rule"] == "restart"
    assert d["target"] == "web-1" and d["login"] == "deploy"
    assert d["commit"] == "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b"
    assert d["actor"] == "octocat" and d["run"] == "16512345678"
    # The program's path was put in place of its name.
    assert "systemctl restart web" in d["command"]
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "complete" and e["exit"] == 0
    assert e["operation"] == d["operation"]
    assert e["bytes_out"] == len(r.out)
    assert e["sha256_out"] == hashlib.sha256(r.out).hexdigest()
    rec = bastion.recording(d["operation"])
    assert e["recording_sha256"] == hashlib.sha256(
        rec.read_bytes()).hexdigest()


def test_recording_replays_as_shown(bastion, job, mark):
    r = job.ssh("web-1", "systemctl reload api")
    d = bastion.event(mark, "operation.decide")
    bastion.event(mark, "operation.end")
    lines = [json.loads(x) for x in
             bastion.recording(d["operation"]).read_text().splitlines()]
    assert lines[0]["version"] == 2
    assert lines[0]["postern"]["operation"] == d["operation"]
    shown = "".join(t for _, k, t in lines[1:] if k == "o")
    assert shown == r.text.replace("\n", "\r\n")


def test_es256_token_of_a_custom_issuer(up, job, bastion, mark):
    r = job.ssh("web-1", "systemctl reload web",
                token=up.issuer.token(h.ACME))
    assert r.code == 0, r.error
    assert bastion.event(mark, "session.open")["identity"] == "shop-ci"


def test_target_without_pam(job):
    r = job.ssh("plain-1", "systemctl restart api")
    assert (r.code, r.text) == (0, "restart api\napi is up\n"), r.error


def test_another_login_is_named(job):
    r = job.ssh("other+web-1", "/usr/bin/whoami")
    assert (r.code, r.text) == (0, "other\n"), r.error
    r = job.ssh("root+web-1", "/usr/bin/whoami")
    assert r.code == 77
    assert "the policy names no login `root` on web-1" in r.error


def test_stdout_and_stderr_are_apart(job):
    r = job.ssh("web-1", "/opt/house/bin/both")
    assert (r.code, r.out, r.err) == (0, b"to stdout\n", b"to stderr\n")


@pytest.fixture(scope="module")
def shared(job, up):
    """One connection that many operations share."""
    sock = h.WORK / "home/runner/mux"
    opts = ("-o", f"ControlPath={sock}")
    with job.popen(job.argv("web-1", opts=(*opts, "-M", "-N")),
                   env=job.env(CI_TOKEN=up.issuer.token())) as p:
        end = time.monotonic() + 15
        while not sock.exists() and time.monotonic() < end:
            assert p.poll() is None, p.communicate()
            time.sleep(0.05)

        def ssh(command, **kw):
            return job.run(["ssh", *opts, "-o", "BatchMode=yes",
                            f"web-1@{h.BASTION}", command], **kw)

        yield ssh
        job.run(["ssh", *opts, "-O", "exit", f"web-1@{h.BASTION}"])


@pytest.mark.parametrize("code", [0, 1, 2, 64, 77, 126, 127, 128, 255])
def test_exit_code(shared, code):
    assert shared(f"{EXIT} {code}").code == code


@pytest.mark.slow
def test_every_exit_code(shared):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda n: shared(f"{EXIT} {n}").code,
                              range(256)))
    assert codes == list(range(256))


def test_4_a_second_channel_is_decided_alike(shared, bastion, mark):
    r = shared("systemctl restart mail")
    assert r.code == 77 and "postern:" in r.error
    assert bastion.event(mark, "operation.decide")["verdict"] == "deny"
    assert shared("systemctl restart web").code == 0


@pytest.mark.parametrize("argv", [
    ["sftp", "-b", "-"], ["scp", "/etc/hostname"],
    ["scp", "-O", "/etc/hostname"],
], ids=lambda a: " ".join(a[:2]))
def test_4_transfers_have_no_way_around(shared, bastion, job, mark, argv):
    """No rule allows them; the subsystem is decided on like a command."""
    sock = h.WORK / "home/runner/mux"
    to = f"web-1@{h.BASTION}" + (":/tmp/postern-no" if argv[0] == "scp"
                                 else "")
    r = job.run([*argv[:1], "-o", f"ControlPath={sock}", "-o",
                 "BatchMode=yes", *argv[1:], to], input=b"ls /\n")
    assert r.code != 0 and r.out == b""
    assert bastion.event(mark, "operation.decide")["verdict"] == "deny"
    # sshd throws away what a subsystem says on stderr.
    assert "postern:" in r.error or "-O" not in argv
    assert not os.path.exists("/tmp/postern-no")


@pytest.mark.parametrize("sig", ["TERM", "KILL", "INT", "HUP", "PIPE"])
def test_death_by_signal_stays_one(bastion, job, mark, sig):
    r = job.ssh("web-1", f"/opt/house/bin/diewith {sig}", opts=["-v"])
    assert r.out == b"before\n"
    # ssh's own words for a channel that ended by signal.
    assert "rtype exit-signal" in r.error
    assert r.code == 255
    e = bastion.event(mark, "operation.end")
    assert e["signal"] in (sig, getattr(signal, "SIG" + sig)), e


def test_3_argv_in_is_argv_out(job):
    words = ["a b", "it's", 'say "hi"', "$HOME", "a;b", "*", "\\", "ä€", "-"]
    quoted = " ".join("'" + w.replace("'", "'\\''") + "'" for w in words[:-1])
    r = job.ssh("web-1", f"/opt/house/bin/argv {quoted}")
    assert r.code == 0, r.error
    assert r.text == "".join(f"<{w}>\n" for w in words[:-1])


def test_7_nothing_of_the_session_reaches_the_target(up, job):
    token = up.issuer.token()
    r = job.ssh("web-1", "/opt/house/bin/myenv", token=token,
                opts=["-o", "SetEnv=LC_ALL=C.UTF-8 FOO=bar"])
    assert r.code == 0, r.error
    assert "FOO=" not in r.text and "POSTERN" not in r.text
    assert token.split(".")[1][:40] not in r.text


def test_4_stdin_only_by_rule(job):
    r = job.ssh("web-1", "/usr/bin/wc -c", input=b"must not arrive")
    assert (r.code, r.text) == (0, "0\n"), r.error
    r = job.ssh("web-1", "/opt/house/bin/migrate", input=b"1;\n2;\n")
    assert (r.code, r.text) == (0, "2 statements applied\n"), r.error


def test_64_mib_through_cat_both_ways(bastion, job, mark):
    data = os.urandom(64 << 20)
    r = job.ssh("web-1", "cat", input=data, timeout=120)
    assert r.code == 0, r.error
    want = hashlib.sha256(data).hexdigest()
    assert hashlib.sha256(r.out).hexdigest() == want
    e = bastion.event(mark, "operation.end")
    assert e["bytes_in"] == e["bytes_out"] == len(data)
    assert e["sha256_in"] == e["sha256_out"] == want


def test_a_reader_that_leaves_ends_the_operation(bastion, job, mark):
    t0 = time.monotonic()
    r = job.run(["/bin/bash", "-c", h.SNIPPET.replace("@SHELL@", "/bin/sh")
                 .replace("@HOST@", h.BASTION).replace(
                     '"$@"', '"$@" | head -n 1'),
                 "job", f"web-1@{h.BASTION}",
                 "/opt/house/bin/lines 1000000"],
                env=job.env(CI_TOKEN=job.issuer.token()))
    assert r.text == "1\n"
    assert time.monotonic() - t0 < 10
    bastion.event(mark, "operation.end")


def test_a_job_that_dies_ends_the_operation(bastion, job, mark):
    p = job.popen(job.argv("web-1", "/opt/house/bin/slow 30"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    assert p.stdout.readline() == b"started\n"
    job.kill(p)
    p.communicate()
    e = bastion.event(mark, "operation.end", timeout=10)
    assert e["duration_ms"] < 15000


def test_terminal_by_rule(job):
    """ssh -tt under a real terminal of 100 x 30."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    p = job.popen(job.argv("web-1", "/opt/house/bin/istty", opts=["-tt"]),
                  env=job.env(CI_TOKEN=job.issuer.token()),
                  stdin=slave, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    err = p.stderr.read()
    assert p.wait(30) == 0, err
    out = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        out += chunk
    os.close(master)
    text = out.decode().replace("\r\n", "\n")
    assert re.search(r"^in\nout\n30 100\nTERM=xterm-256color$", text,
                     re.M), text


@pytest.mark.parametrize("terminal", [True, False])
def test_9_bytes_come_back_from_the_recording(bastion, job, mark, terminal):
    """Whatever they are: every recording is text for its player, and what text
    cannot hold is in it, too."""
    name = h.WORK / f"bytes-{os.urandom(4).hex()}"
    sent = os.urandom(100000)
    if not terminal:    # a NUL would make it binary
        sent = sent.replace(b"\0", b"\xe9\n")
    name.write_bytes(sent)
    name.chmod(0o644)
    command = f"{h.WORK}/bin/plain {name}"
    rule = f"allow bytes for shop on web-1 {{ run {command} with pty }}\n" \
        if terminal else \
        f"allow bytes for shop on web-1 {{ run {command} }}\n"
    with bastion.more_rules(rule):
        r = job.ssh("web-1", command, opts=["-tt"] if terminal else [])
    assert r.code == 0, r.error
    e = bastion.event(mark, "operation.end")
    assert e["sha256_out"] == hashlib.sha256(sent).hexdigest()
    assert r.out == sent
    raw = subprocess.run(
        h.inside("bastion", [h.PREFIX / "bin/postern", "replay", "--raw",
                             e["operation"]]), capture_output=True)
    assert (raw.returncode, raw.stdout, raw.stderr) == (0, sent, b"")
    # A player's reader has as much, as text.
    with open(bastion.recording(e["operation"])) as f:
        events = [json.loads(line) for line in f][1:]
    assert {x[1] for x in events} <= set("borx")
    text = "".join(x[2] for x in events if x[1] == "o")
    assert re.sub("\ufffd+", "\ufffd", text if terminal else
                  text.replace("\r\n", "\n")) == \
        re.sub("\ufffd+", "\ufffd", sent.decode(errors="replace"))
    assert "--raw to a file" in pty_says(
        [h.PREFIX / "bin/postern", "replay", "--raw", e["operation"]])


def pty_says(argv):
    """What a program of the bastion says on a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        argv = h.inside("bastion", argv)
        os.execvp(argv[0], [str(a) for a in argv])
    out = b""
    while True:
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(fd)
    os.waitpid(pid, 0)
    return out.decode()


def test_4_terminal_is_not_given_without_a_rule(job):
    r = job.ssh("web-1", "systemctl restart web", opts=["-tt"])
    assert r.code == 77
    assert "postern:" in r.error + r.text
