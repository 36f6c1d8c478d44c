"""What differs between releases of OpenSSH, of which the bastion and its
targets may have any: named here, so that `./dev generations` says which is
broken.  On one release some of it is nothing to be afraid of."""
import concurrent.futures
import os
import pathlib

import house as h
import pytest

CMD = "/usr/bin/true"


@pytest.fixture(scope="module")
def known():
    """The options of the bastion's sshd."""
    key = h.ETC / "sshd/host_ed25519"
    text = h.run("/usr/sbin/sshd", "-T", "-f", "/dev/null", "-h", key).stdout
    return {line.split()[0] for line in text.splitlines()}


def test_bad_tokens_shut_nobody_out(bastion, job, up, mark):
    """PerSourcePenalties (9.8): many jobs come from one address."""
    bad = up.issuer.token(repository_id="1")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tries = pool.map(lambda _: job.ssh("web-1", CMD, token=bad), range(10))
    assert {r.code for r in tries} == {255}
    assert bastion.some(mark, "login.refused", 10)
    r = job.ssh("web-1", CMD)
    assert r.code == 0, r.error


@pytest.mark.parametrize("word, value", [
    ("PAMServiceName", "postern-sshd"), ("PerSourcePenalties", "no")])
def test_sshd_is_told_what_it_knows(bastion, known, word, value):
    """An option of another release is one it does not start with."""
    conf = (h.RUN / "sshd/config").read_text().splitlines()
    assert (f"{word} {value}" in conf) == (word.lower() in known)
    assert not [x for x in conf if x.startswith(word) and
                x != f"{word} {value}"]


def ancestors(pid):
    """What it, its parent, and so on execute, down to the listener."""
    while pid > 1:
        yield pid, os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])


def test_the_shell_below_sshd(bastion, job, known):
    """The monitor of a connection, in which PAM opened the session, is sshd or,
    from 9.8 on, sshd-session; the shell is its grandchild."""
    with job.popen(job.argv("web-1", "/opt/house/bin/slow 30"),
                   env=job.env(CI_TOKEN=job.issuer.token())) as p:
        try:
            assert p.stdout.readline() == b"started\n"
            (shell,) = [pid for pid, _, name in bastion.processes()
                        if name == "postern-shell"]
            names = dict(ancestors(shell))
            monitor = ("sshd-session" if "pamservicename" in known else "sshd")
            assert list(names.values())[:4] == ["postern-shell", monitor,
                                                monitor, "sshd"]
            assert list(names)[3] == bastion.sshd.proc.pid
        finally:
            job.kill(p)


@pytest.fixture(scope="module", params=[True, False],
                ids=["exempt", "not exempt"])
def distrustful(request, up, bastion):
    """A target that does not know our CA yet, and has the line that `ca show`
    gives for releases from 9.8 on, or not."""
    exempt = request.param
    name, port = ("new-1", 2301) if exempt else ("new-2", 2302)
    t = h.Target(name, "10.91.0.2", port, exempt=exempt)
    bastion.write_policy(
        f'policy 1\ntarget {name} {{ ssh "deploy@10.91.0.2:{port}"; '
        f'hostkey ssh-ed25519 "{t.fingerprint}" }}\n'
        f"allow {name} for shop on {name} {{ run {CMD} }}\n", "new.postern")
    said = bastion.reload()
    assert "not accepted" not in said, said
    yield t
    (h.ETC / "policy/new.postern").unlink()
    bastion.reload()
    t.stop()


def test_a_target_that_refused_jobs_takes_the_next(bastion, job, distrustful):
    """PerSourcePenalties of a target: all jobs come from the bastion's
    address, and one who may not log in shuts out the others."""
    t = distrustful
    for _ in range(6):
        r = job.ssh(t.name, CMD)
        assert (r.code, r.out) == (69, b"") and r.error.splitlines()[-1] \
            .startswith("postern: "), r.error
    said = bastion.postern("ca", "show", "--target", t.name).stdout
    assert "PerSourcePenaltyExemptList" in said
    t.trust(said)
    mark = len(t.log.read_bytes())
    r = job.ssh(t.name, CMD)
    if t.exempt or not h.target_knows("PerSourcePenalties"):
        assert r.code == 0, r.error
    else:  # stock behaviour, which the line is there for; and we say so
        assert r.code == 69 and "postern: " in r.error, r.error
        assert b"penalty" in t.log.read_bytes()[mark:]
