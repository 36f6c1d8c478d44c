"""`postern reload`: the policy is loaded again, whole or not at all."""
import json
import os
import signal
import time

import house as h
import pytest



@pytest.fixture
def policy(bastion):
    """What can be written without being put back by hand."""
    path = h.ETC / "policy/main.postern"
    good = path.read_text()
    yield good
    bastion.write_policy(good)
    assert bastion.postern("reload").returncode == 0


def test_what_is_in_force(bastion, policy, mark):
    before = json.loads(bastion.postern("status", "--json").stdout)
    bastion.write_policy(policy + "\n# another digest\n")
    said = bastion.postern("reload").stdout
    now = json.loads(bastion.postern("status", "--json").stdout)
    assert now["policy"] != before["policy"]
    assert said == (f"policy {now['policy'][:12]} is in force: "
                    f"{now['targets']} targets, {now['identities']} "
                    "identities\n")
    e = bastion.event(mark, "policy.load")
    assert (e["verdict"], e["policy"], e["asker"]) == \
        ("accepted", now["policy"], "uid:0")
    again = json.loads(bastion.postern("reload", "--json").stdout)
    assert again == {"outcome": "loaded", "policy": now["policy"],
                     "targets": now["targets"],
                     "identities": now["identities"], "reason": ""}


def test_keys_from_a_file(bastion, job, policy, issuer, mark, fresh):
    """An issuer with `keys-file` is not asked; its file is opened by policy,
    under its confinement, and read by oidc.  Without the file its tokens are
    refused, and the issuer is not asked either."""
    path, url = h.ETC / "keys/cluster.json", h.ACME
    path.parent.mkdir(exist_ok=True)
    try:
        path.write_text(json.dumps(issuer.document(url, "/.well-known/jwks")))
        path.chmod(0o644)
        bastion.write_policy(policy.replace(
            f'url "{url}"', f'url "{url}"; keys-file "{path}"'))
        assert bastion.postern("reload").returncode == 0
        n = len([r for r in issuer.requests if r[0] == url])
        assert job.ssh("web-1", "true", token=issuer.token(url)).code != 255
        path.unlink()
        assert bastion.postern("reload").returncode == 0
        assert job.ssh("web-1", "true",
                       token=issuer.token(url)).code == 255
        assert {e["reason"] for e in bastion.some(
            mark, "login.refused")} == {"no issuer of the policy has this iss"}
        assert len([r for r in issuer.requests if r[0] == url]) == n
    finally:
        path.unlink(missing_ok=True)


def test_what_is_refused_says_why(bastion, job, policy, mark):
    """To who asked, in the ledger, and in `status`; it is not in force."""
    before = json.loads(bastion.postern("status", "--json").stdout)["policy"]
    bastion.write_policy(policy + "\nallow x for nobody on web-1 { }\n")
    p = bastion.postern("reload", check=False)
    assert (p.returncode, p.stdout) == (1, "")
    assert "main.postern:" in p.stderr and "`nobody`" in p.stderr and \
        "^" in p.stderr, p.stderr
    assert p.stderr.endswith("postern: the policy is refused; in force is "
                             f"{before[:12]}\n")
    e = bastion.event(mark, "policy.load")
    assert (e["verdict"], e["asker"]) == ("refused", "uid:0")
    assert "not accepted" in bastion.postern("status").stdout
    p = bastion.postern("reload", "--json", check=False)
    said = json.loads(p.stdout)
    assert (p.returncode, said["outcome"], said["policy"]) == \
        (1, "refused", before)
    assert "nobody" in said["reason"]
    assert job.ssh("web-1", "systemctl restart web").code == 0
    # A failed test refuses as much as a wrong word.
    bastion.write_policy(
        policy + '\ntest "x" as shop on web-1 { allow "/bin/never" }\n')
    p = bastion.postern("reload", check=False)
    assert p.returncode == 1 and "/bin/never" in p.stderr, p.stderr


def test_who_may(bastion, job):
    p = h.run(*h.inside("bastion", [h.PREFIX / "bin/postern", "reload"],
                        user="runner"), check=False)
    assert p.returncode == 77 and "postern-admin" in p.stderr, p.stderr
    assert bastion.postern("reload", "now", check=False).returncode == 64
    r = job.ssh("postern", "reload")
    assert r.code == 64 and "there is no `reload`" in r.error, r.error


def test_what_runs_keeps_the_policy_it_was_granted_under(
        bastion, job, policy, mark):
    """And the ledger names that one; what comes next has the new one."""
    old = json.loads(bastion.postern("status", "--json").stdout)["policy"]
    p = job.popen(job.argv("web-1", "/opt/house/bin/slow 3"),
                  env=job.env(CI_TOKEN=job.issuer.token()))
    e = bastion.event(mark, "operation.decide")
    assert e["policy"] == old and e["verdict"] == "allow"
    # Its rule is gone, and it goes on.
    bastion.write_policy(policy.replace("bin/slow <int 1..60>", "bin/slower <int 1..60>"))
    assert bastion.postern("reload").returncode == 0
    new = json.loads(bastion.postern("status", "--json").stdout)["policy"]
    mark = bastion.mark()
    assert job.ssh("web-1", "/opt/house/bin/slow 3").code == 77
    assert bastion.event(mark, "operation.decide")["policy"] == new != old
    assert p.wait(20) == 0


def test_nobody_waits_for_a_signer_that_is_not_there(bastion, policy):
    """It is stopped, and then killed: who asked hears that the policy is not
    in force everywhere, and the next reload finds it again."""
    (pid,) = [p for p, _, n in bastion.processes() if n == "postern-signer"]
    os.kill(pid, signal.SIGSTOP)
    p = bastion.popen("reload")
    time.sleep(0.5)
    assert p.poll() is None     # it waits
    os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=20)
    assert (p.returncode, out) == (75, ""), err
    assert "postern-signer" in err and "reload again" in err
    end = time.monotonic() + 20
    while bastion.postern("reload", check=False).returncode != 0:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_one_too_many_is_told_to_come_again(bastion, policy):
    """Sixteen wait for a signer that is stopped; who comes then is not told
    that the bastion goes on trying for him."""
    (pid,) = [p for p, _, n in bastion.processes() if n == "postern-signer"]
    os.kill(pid, signal.SIGSTOP)
    try:
        many = [bastion.popen("reload") for _ in range(17)]
        end = time.monotonic() + 20
        while not (done := [p for p in many if p.poll() is not None]):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        os.kill(pid, signal.SIGCONT)
    said = [p.communicate(timeout=60) for p in many]
    (one,) = done
    assert one.returncode == 75, said
    err = said[many.index(one)][1]
    assert "as many reloads wait already as may" in err
    assert "reload again in a moment; in force is " in err
    assert "every second" not in err
    assert sorted(p.returncode for p in many) == [0] * 16 + [75], said


def test_the_next_policy_process_answers(bastion, policy):
    """The one that was asked is killed before it listens."""
    (pid,) = [p for p, _, n in bastion.processes() if n == "postern-policy"]
    os.kill(pid, signal.SIGSTOP)
    p = bastion.popen("reload")
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=20)
    assert p.returncode == 0 and "is in force" in out, err
