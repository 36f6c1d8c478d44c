"""A job that hangs up: its recording ends `interrupted`, and the command at the
target meets what OpenSSH lets a caller do to a forced command
(doc/decisions/0013-hanging-up.md)."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import house as h
import pytest
from test_faults import pid_of, wait_for

# Writes to $2 what it meets, as it meets it.
WATCH = """\
#!/bin/sh
for s in HUP TERM PIPE; do trap "echo $s >>$2; exit 1" $s; done
echo $$ >$2.pid
echo started
case $1 in
silent) while :; do sleep 0.1; done ;;
writing) while echo x; do sleep 0.1; done; echo error >>$2 ;;
reading) cat >/dev/null; echo eof >>$2 ;;
esac
"""
POLICY = """\
policy 1
allow watch for shop on web-1 {
    run /opt/house/bin/watch (silent | writing) </tmp/**>
    run /opt/house/bin/watch reading </tmp/**> with stdin
}
allow watched for shop on web-1 {
    run /opt/house/bin/watch-tty </tmp/**> with pty
}
"""


@pytest.fixture(scope="module")
def watched(bastion):
    for name, text in (("watch", WATCH), ("watch-tty", WATCH.replace(
            "case $1 in", "case silent in").replace("$2", "$1"))):
        p = h.BIN / name
        p.write_text(text)
        p.chmod(0o755)
    bastion.write_policy(POLICY, "hangup.postern")
    said = bastion.reload()
    assert "not accepted" not in said, said
    yield
    (h.ETC / "policy/hangup.postern").unlink()
    bastion.reload()


class Running:
    """One that has said that it began."""

    def __init__(self, bastion, job, how, opts=(), **kw):
        self.file = pathlib.Path(f"/tmp/watch-{os.urandom(4).hex()}")
        self.bastion, self.mark = bastion, bastion.mark()
        program = "watch-tty" if how == "tty" else f"watch {how}"
        self.p = job.popen(
            job.argv("web-1", f"{h.BIN}/{program} {self.file}", opts=opts),
            env=job.env(CI_TOKEN=job.issuer.token()), **kw)
        line = self.p.stdout.readline()
        assert line.strip() == b"started", line + self.p.stderr.read()
        self.pid = int(pathlib.Path(f"{self.file}.pid").read_text())

    def met(self, timeout=10):
        """What the command met, when it has ended."""
        end = time.monotonic() + timeout
        while os.path.exists(f"/proc/{self.pid}"):
            if time.monotonic() > end:
                return None
            time.sleep(0.02)
        return self.file.read_text().split() if self.file.exists() else []

    def interrupted(self, reason="the job hung up"):
        """In ledger, sidecar, recording and index alike."""
        e = self.bastion.event(self.mark, "operation.end", 15)
        assert e["state"] == "interrupted" and e["reason"] == reason, e
        assert "exit" not in e and "signal" not in e
        cast = self.bastion.recording(e["operation"])
        events = [json.loads(x) for x in cast.read_text().splitlines()[1:]]
        assert not [x for x in events if x[1] == "x"]
        shown = "".join(x[2] for x in events if x[1] == "o")
        assert shown.startswith("started\r\n")
        closed = json.loads(cast.with_suffix(".json").read_text()
                            .splitlines()[-1])
        assert closed["state"] == "interrupted", closed
        p = self.bastion.postern("show", e["operation"])
        assert "interrupted" in p.stdout, p.stdout
        return e

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        h.Job.kill(self.p)
        for f in self.p.stdin, self.p.stdout, self.p.stderr:
            if f is not None:
                f.close()
        self.p.wait(20)
        for f in self.file, pathlib.Path(f"{self.file}.pid"):
            f.unlink(missing_ok=True)


@pytest.fixture
def run(bastion, job, watched):
    made = []

    def go(how, opts=(), **kw):
        made.append(Running(bastion, job, how, opts, **kw))
        return made[-1]
    yield go
    for it in made:
        it.close()


def monitor_of(bastion):
    """The sshd process of the one connection that has a postern-shell."""
    (shell,) = pid_of(bastion, "postern-shell")
    stat = pathlib.Path(f"/proc/{shell}/stat").read_text()
    return int(stat.rsplit(")", 1)[1].split()[1])


@pytest.mark.parametrize("who", ["client", "shell", "sshd"])
def test_9_a_job_that_hangs_up_is_interrupted(bastion, run, who):
    """Killed client, killed shell, killed sshd: the connection is gone, and
    the end is written down although nobody is left to be told."""
    it = run("silent")
    wait_for(lambda: len(pid_of(bastion, "postern-shell")) == 1)
    if who == "client":
        h.Job.kill(it.p)
    else:
        os.kill(monitor_of(bastion) if who == "sshd" else
                pid_of(bastion, "postern-shell")[0], signal.SIGKILL)
    e = it.interrupted()
    assert e["bytes_out"] == len("started\n")
    wait_for(lambda: not pid_of(bastion, "postern-hop"))


def test_a_terminals_command_gets_hup(run):
    """sshd closes the terminal, and the kernel sends the signal."""
    it = run("tty", opts=["-tt"])
    h.Job.kill(it.p)
    assert it.met() == ["HUP"]
    it.interrupted()


def test_a_terminals_command_gets_hup_when_the_hop_dies(bastion, cuts, run):
    it = run("tty", opts=["-tt"])
    os.kill(pid_of(bastion, "postern-hop")[0], signal.SIGKILL)
    assert it.met() == ["HUP"]
    it.interrupted("it ended without its last words")


def test_without_a_terminal_who_writes_gets_pipe(run):
    it = run("writing")
    h.Job.kill(it.p)
    assert it.met() in (["PIPE"], ["error"])
    it.interrupted()


def test_without_a_terminal_who_reads_sees_the_end(run):
    it = run("reading", stdin=subprocess.PIPE)
    h.Job.kill(it.p)
    assert it.met() == ["eof"]
    it.interrupted()


def test_without_a_terminal_who_is_silent_goes_on(run, up):
    """As it is, and not as one would wish: the hop asks for HUP, and sshd
    passes no signal on to a forced command.  Should that change one day, this
    test says so, and THREATS.md can be shorter."""
    at = up.web1.mark()
    it = run("silent")
    h.Job.kill(it.p)
    it.interrupted()
    assert it.met(1.5) is None
    os.kill(it.pid, signal.SIGKILL)
    it.met()
    assert "refusing to send signal HUP" in up.web1.since(at)


def test_before_the_command_began(bastion, job, mark):
    """The target does not answer yet; there is no end of the command's own."""
    with h.in_netns("target"):
        s = socket.create_server(("10.91.0.2", 2298))
    p = job.popen(job.argv("silent-1", "systemctl restart web"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    try:
        wait_for(lambda: pid_of(bastion, "postern-hop"))
        job.kill(p)
        e = bastion.event(mark, "operation.end", 15)
        assert e["state"] == "interrupted" and "exit" not in e, e
    finally:
        s.close()
        job.kill(p)
        p.communicate(timeout=20)
