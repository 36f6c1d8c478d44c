"""Restart, reload and upgrade cut no running operation and no session
(promise 9); what was spent stays spent (promise 6)."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

import house as h
import kill
import pytest

CHILDREN = ("postern-audit", "postern-signer", "postern-policy",
            "postern-oidc")


def pid_of(bastion, name):
    return [pid for pid, _, n in bastion.processes() if n == name]


def wait_for(what, timeout=60):
    end = time.monotonic() + timeout
    while not (got := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return got


@contextlib.contextmanager
def master(job, target="web-1"):
    """One connection that stays; yields a function that runs a command."""
    path = job.home / f"cm-{os.urandom(4).hex()}"
    token = job.issuer.token()
    p = job.popen(job.argv(target, opts=(
        "-N", "-o", "ControlMaster=yes", "-o", f"ControlPath={path}")),
        env=job.env(CI_TOKEN=token))

    def argv(command):
        return ["ssh", "-o", f"ControlPath={path}", "-o", "BatchMode=yes",
                f"{target}@{job.host}", command]

    def run(command):
        return job.run(argv(command))

    run.popen = lambda command, **kw: job.popen(argv(command), **kw)
    run.token = token
    try:
        wait_for(path.exists)
        yield run
    finally:
        job.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit",
                 f"{target}@{job.host}"])
        job.kill(p, signal.SIGTERM)
        p.communicate(timeout=60)


def sessions(bastion, mark):
    """Their ids by kind of line, and by what they ran."""
    return {k: [e["session"] for e in bastion.events(mark, k)]
            for k in ("session.open", "session.close", "operation.decide")}


def alive_again(bastion, before):
    wait_for(lambda: all(set(pid_of(bastion, n)) - {before.get(n)}
                         for n in before))


@pytest.mark.parametrize("victims", [("postern-policy",), CHILDREN],
                         ids=["policy", "all"])
def test_9_a_session_outlives_its_broker(bastion, job, mark, victims):
    with master(job) as run:
        assert run("systemctl restart web").code == 0
        before = {n: pid_of(bastion, n)[0] for n in victims}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        alive_again(bastion, before)
        r = run("systemctl restart web")
        assert r.code == 0, r.error
        ran = sessions(bastion, mark)
        assert len(ran["session.open"]) == 1
        assert ran["operation.decide"] == 2 * ran["session.open"]
        assert not set(ran["session.open"]) & set(ran["session.close"])


def test_6_a_spent_token_stays_spent_over_a_restart(bastion, job, up):
    token = job.issuer.token()
    assert job.ssh("web-1", "systemctl restart web", token=token).code == 0
    (pid,) = pid_of(bastion, "postern-oidc")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: set(pid_of(bastion, "postern-oidc")) - {pid})
    other = h.Job(job.issuer, netns="stranger")
    mark = bastion.mark()
    r = other.ssh("web-1", "systemctl restart web", token=token)
    assert r.code == 255 and r.out == b""
    refused = bastion.some(mark, "login.refused")
    assert {e["reason"] for e in refused} == {
        "the token was spent by another address"}
    # From its own address it goes on.
    assert job.ssh("web-1", "systemctl restart web", token=token).code == 0


def test_9_logins_while_the_issuer_is_away_and_oidc_is_killed(
        bastion, job, up, monkeypatch):
    """The next one goes on with the keys of the one before."""
    assert job.ssh("web-1", "systemctl restart web").code == 0
    monkeypatch.setattr(up.issuer, "document", lambda iss, path: None)
    for _ in range(2):
        (pid,) = pid_of(bastion, "postern-oidc")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda was=pid: set(pid_of(bastion, "postern-oidc")) - {was})
        r = job.ssh("web-1", "systemctl restart web")
        assert r.code == 0, r.error
    path = h.RUN / "issuer-keys"
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)


def test_9_an_upgrade_under_running_operations(bastion, job, mark):
    """The binaries are replaced and all processes but the hops with them."""
    with master(job) as run:
        p = run.popen("/opt/house/bin/slow 6")
        assert p.stdout.readline() == b"started\n"
        before = {n: pid for pid, _, n in bastion.processes()}
        kill.replace_binaries()
        bastion.upgrade()
        after = {n: pid for pid, _, n in bastion.processes()}
        for name in CHILDREN:
            assert after[name] != before[name]
        for name in (*CHILDREN, "posternd"):
            assert "(deleted)" not in os.readlink(f"/proc/{after[name]}/exe")
        assert after["posternd"] == before["posternd"]
        assert after["postern-hop"] == before["postern-hop"]
        r = run("systemctl restart web")
        assert r.code == 0, r.error
        out, err = p.communicate(timeout=60)
        assert (p.returncode, out) == (0, b"done\n"), err
        s = sessions(bastion, mark)
        assert len(s["session.open"]) == 1
        assert s["session.open"][0] not in s["session.close"]
    ends = wait_for(lambda: len(e := bastion.events(mark, "operation.end")) ==
                    2 and e)
    assert {e["state"] for e in ends} == {"complete"}


def test_9_new_operations_do_not_notice_an_upgrade(bastion, job, mark):
    """Those that begin while one process after the other is replaced wait a
    moment, and are not refused."""
    with contextlib.ExitStack() as stack:
        stop = time.monotonic() + 3
        upgrades, codes = 0, []
        running = []
        while time.monotonic() < stop:
            running.append(stack.enter_context(job.popen(
                job.argv("web-1", "systemctl restart web"),
                env=job.env(CI_TOKEN=job.issuer.token()))))
            if len(running) % 4 == 1:
                bastion.upgrade()
                upgrades += 1
        for p in running:
            out, err = p.communicate(timeout=60)
            codes.append((p.returncode, err[-300:]))
        assert upgrades > 1 and [c for c in codes if c[0] != 0] == []


def test_9_stop_and_start_under_a_running_operation(bastion, job, mark):
    """`systemctl restart`: KillMode=process ends posternd alone, and the next
    one is no parent of the hops that run."""
    assert h.Unit("postern").get("KillMode") == "process"
    with master(job) as run:
        p = run.popen("/opt/house/bin/slow 5")
        assert p.stdout.readline() == b"started\n"
        (hop,) = pid_of(bastion, "postern-hop")
        assert bastion.daemon.stop() == 0
        assert bastion.manager.told("STOPPING=1")
        assert pid_of(bastion, "postern-hop") == [hop]
        assert [n for n in CHILDREN if pid_of(bastion, n)] == []
        bastion.start_posternd()
        r = run("systemctl restart web")
        assert r.code == 0, r.error
        out, err = p.communicate(timeout=60)
        assert (p.returncode, out) == (0, b"done\n"), err
        s = sessions(bastion, mark)
        assert len(s["session.open"]) == 1
        assert s["session.open"][0] not in s["session.close"]


def test_9_posternd_is_killed(bastion, job, mark):
    """The service manager starts it again (Restart=always); operations and
    sessions go on."""
    assert h.Unit("postern").get("Restart") == "always"
    with master(job) as run:
        p = run.popen("/opt/house/bin/slow 4")
        assert p.stdout.readline() == b"started\n"
        bastion.daemon.stop(signal.SIGKILL)
        bastion.start_posternd()
        r = run("systemctl restart web")
        assert r.code == 0, r.error
        out, err = p.communicate(timeout=60)
        assert (p.returncode, out) == (0, b"done\n"), err
        assert len(sessions(bastion, mark)["session.open"]) == 1
    wait_for(lambda: [e["process"] for e in bastion.events(mark, "alarm")] ==
             ["posternd"])


def test_9_reload_tells_the_service_manager(bastion):
    bastion.reload()
    assert bastion.manager.told("RELOADING=1")
    assert [x for x in bastion.manager.heard
            if x.startswith("MONOTONIC_USEC=")]


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["postern", "postern-sshd"])
def test_the_units_are_good(name):
    p = subprocess.run(["systemd-analyze", "--man=no", "verify",
                        h.Unit(name).path],
                       capture_output=True, text=True, timeout=60, check=False)
    said = [x for x in p.stderr.splitlines() if name in x]
    assert said == [], p.stderr
