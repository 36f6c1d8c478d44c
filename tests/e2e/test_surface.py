"""The control surface, the command line, and what the host does not see."""
import json
import os
import subprocess

import house as h
import pytest


def test_whoami(job):
    r = job.ssh("postern", "whoami")
    assert r.code == 0, r.error
    for fact in ("shop", "acme/shop", "github"):
        assert fact in r.text, r.text


def test_host_does_not_know_our_names(up):
    for name in ("web-1", "postern", "nosuch", "other+web-1"):
        p = h.run(*h.inside("bastion", ["getent", "passwd", name]),
                  check=False)
        assert (p.returncode, p.stdout) == (2, ""), name
    # Not even with the marker that postern-sshd has.
    p = h.run(*h.inside("bastion", ["getent", "passwd", "web-1"]),
              check=False, env=dict(os.environ, POSTERN_SSHD="1"))
    assert p.returncode == 2


def test_nothing_of_the_host_is_configured_for_us(up):
    with open("/etc/nsswitch.conf") as f:
        assert "postern" not in f.read()
    assert not any("postern" in open(f"/etc/pam.d/{n}").read()
                   for n in os.listdir("/etc/pam.d") if "postern" not in n)


def test_status(bastion):
    assert "policy" in bastion.postern("status").stdout


def test_sessions_show_replay(bastion, job, mark):
    r = job.ssh("web-1", "systemctl restart web")
    assert r.code == 0
    d = bastion.event(mark, "operation.decide")
    bastion.event(mark, "operation.end")
    for args in ((), ("--commit", "1f0c7a2"), ("--target", "web-1")):
        assert d["operation"] in bastion.postern("sessions", *args).stdout
    shown = bastion.postern("show", d["operation"]).stdout
    for fact in ("web-1", "shop", "restart", d["commit"], "octocat"):
        assert fact in shown, shown
    p = subprocess.run(
        h.inside("bastion", [h.PREFIX / "bin/postern", "replay",
                             d["operation"], "--speed", "100", "--idle",
                             "0.1"]),
        capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    assert p.returncode == 0, p.stderr
    assert b"restart web" in p.stdout and b"web is up" in p.stdout
    assert b"\x1b" not in p.stdout  # it is no terminal
    assert bastion.events(mark, "view")


def test_8_what_cannot_be_seen_is_shown(bastion, job, mark):
    token = job.issuer.token(actor="octo\u200bcat", run_id="16\ufeff5")
    assert job.ssh("web-1", "systemctl restart web", token=token).code == 0
    d = bastion.event(mark, "operation.decide")
    assert d["actor"] == "octo\u200bcat"
    shown = bastion.postern("show", d["operation"]).stdout
    assert r"octo\xe2\x80\x8bcat" in shown and r"16\xef\xbb\xbf5" in shown
    assert "\u200b" not in shown and "\ufeff" not in shown


def test_more_addresses_than_fit_a_certificate(bastion, job):
    """They must be named then; they are no reason not to start."""
    conf = h.ETC / "postern.conf"
    good = conf.read_text()
    many = [f"fd91:{i:x}:1111:2222:3333:4444:5555:6666/128"
            for i in range(120)]
    batch = "".join(f"addr {{}} {a} dev lo\n" for a in many)
    bastion.daemon.stop()
    try:
        h.run("ip", "-n", "bastion", "-batch", "-", stdin=None,
              input=batch.replace("{}", "add"))
        conf.write_text(good + "source-address 10.91.0.1/32\n")
        bastion.start_posternd()
        assert job.ssh("web-1", "systemctl restart web").code == 0
        bastion.daemon.stop()
    finally:
        h.run("ip", "-n", "bastion", "-batch", "-", stdin=None,
              input=batch.replace("{}", "del"))
        conf.write_text(good)
        bastion.start_posternd()


def test_8_replay_cannot_drive_the_terminal(bastion, job, mark):
    evil = "\x1b]0;owned\x07\x1b]52;c;aWQK\x07\x1b[6n\x1b[5i"
    r = job.ssh("web-1", "cat", input=evil.encode() + b"plain\n")
    assert r.out == evil.encode() + b"plain\n"
    d = bastion.event(mark, "operation.decide")
    bastion.event(mark, "operation.end")
    p = subprocess.run(h.inside("bastion", [
        h.PREFIX / "bin/postern", "replay", d["operation"], "--speed",
        "100"]), capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    assert b"plain" in p.stdout
    for bad in (b"\x1b]", b"\x1b[6n", b"\x1b[5i", b"\x07"):
        assert bad not in p.stdout, p.stdout


def test_policy_check(bastion, tmp_path):
    good = tmp_path / "good.postern"
    good.write_text((h.ETC / "policy/main.postern").read_text())
    assert bastion.postern("policy", "check", good).returncode == 0
    bad = tmp_path / "bad.postern"
    bad.write_text(good.read_text().replace("  run systemctl (restart",
                                            "  rum systemctl (restart"))
    p = bastion.postern("policy", "check", bad, check=False)
    assert p.returncode != 0
    out = p.stdout + p.stderr
    assert "bad.postern:" in out and "rum" in out and "^" in out
    assert "run" in out


def test_job_account_cannot_ask_the_broker(up):
    """The control socket is for postern-admin and postern-auditor."""
    p = h.run(*h.inside("bastion", [h.PREFIX / "bin/postern", "sessions"],
                        user="runner"), check=False)
    assert p.returncode != 0 and p.stdout == ""


def test_1_refused_policy_leaves_the_running_one(bastion, job, mark):
    main = h.ETC / "policy/main.postern"
    good = main.read_text()
    try:
        bastion.write_policy(good + "\nallow x for nobody on web-1 { }\n")
        said = bastion.reload()
        assert "main.postern:" in said and "nobody" in said and "^" in said
        assert job.ssh("web-1", "systemctl restart web").code == 0
    finally:
        bastion.write_policy(good)
        bastion.reload()
        assert bastion.events(mark, "policy.load")
    assert job.ssh("web-1", "systemctl restart web").code == 0


def test_ledger_has_no_gap(bastion):
    numbers = [e["number"] for e in bastion.ledger()]
    assert numbers == list(range(1, len(numbers) + 1))
    json.dumps(numbers)


@pytest.mark.parametrize("name", ["postern-oidc", "postern-policy",
                                  "postern-signer", "postern-audit",
                                  "posternd"])
def test_processes_run_as_their_own(up, name):
    want = {"postern-oidc": "_postern-oidc", "postern-policy":
            "_postern-policy", "postern-signer": "_postern-sign",
            "postern-audit": "_postern-audit", "posternd": "root"}[name]
    assert [user for _, user, n in up.bastion.processes()
            if n == name] == [want]
