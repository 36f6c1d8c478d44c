"""Sessions of files in postern-policy: what a job that opens the sftp subsystem
is granted, and what audit, the signer and the hop hear of it."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_policy_process as pp  # noqa: E402
import wire as w  # noqa: E402
from test_policy_process import PIN, message, refused, run_body  # noqa: E402

pytestmark = pp.pytestmark
program, dummies, dummy = pp.program, pp.dummies, pp.dummy
USAGE, TEMPFAIL, DENIED = 64, 75, 77
POLICY = f"""policy 1
issuer github {{ preset github; audience "bastion.acme.example" }}
issuer okta {{ preset people; url "https://o.example"; audience "p" }}
person ann {{ token okta {{ claim sub = "7" }} }}
people some {{ ann }}
identity shop from github {{ claim repository_id = "7712345" }}
target web-1 {{ ssh "deploy@10.91.0.2:2022"; hostkey ssh-ed25519 "{PIN}"; login root; login nobody }}
target own-1 {{ ssh "deploy@10.91.0.3:22"; hostkey ssh-ed25519 "{PIN}"; sftp /opt/sftp-server }}
target look-1 {{ ssh "deploy@10.91.0.4:22"; hostkey ssh-ed25519 "{PIN}" }}
target many-1 {{ ssh "deploy@10.91.0.5:22"; hostkey ssh-ed25519 "{PIN}" }}
target ask-1 {{ ssh "deploy@10.91.0.6:22"; hostkey ssh-ed25519 "{PIN}" }}
target seen-1 {{ ssh "deploy@10.91.0.7:22"; hostkey ssh-ed25519 "{PIN}"; observe until 2026-12-31 }}
allow ship for shop on web-1 {{
    write under /srv/app by sftp max 5MiB no-delete no-symlinks
    write under /srv/pages/<claim repository_id> by sftp
    limit duration 10m
}}
allow logs for shop on web-1 look-1 own-1 {{ read under /var/log by sftp; limit duration 20m }}
allow other for shop on web-1 {{ write under /srv/other by rsync scp-legacy }}
allow paced for shop on root+web-1 {{ read under /x by sftp; limit rate 1 per 1h }}
allow many for shop on many-1 {{ read under /x/<int 1..100> by sftp; read under /y/<int 1..100> by sftp; write under /z/<int 1..100> by sftp }}
allow asks for shop on ask-1 {{ write under /x by sftp; require 1 approval from some within 5m valid 5m }}
deny keys for * on * {{ write under /srv/app/keys by sftp; because "not here" }}
"""
KEYS = ("keys", 1, 1, "/srv/app/keys", 0, 0, 0)


@pytest.fixture
def policy(tmp_path, program):
    it = pp.Policy(program, tmp_path, policy=POLICY)
    yield it
    it.stop()


def sftp(m, handle, **more):
    return m.shell(message("RUN", run_body(handle, "postern-sftp", **more)))


@pytest.mark.parametrize("user, command, rule, rules, seconds", [
    ("web-1", "internal-sftp", "ship, logs", [
        ("ship", 0, 1, "/srv/app", 5 << 20, 1, 1),
        ("ship", 0, 1, "/srv/pages/7712345", 0, 0, 0),
        ("logs", 0, 0, "/var/log", 0, 0, 0), KEYS], 600),
    # where nothing may be written, the target's server is told so
    ("look-1", "internal-sftp -R", "logs", [
        ("logs", 0, 0, "/var/log", 0, 0, 0), KEYS], 1200),
    ("own-1", "'/opt/sftp-server'", "logs", [
        ("logs", 0, 0, "/var/log", 0, 0, 0), KEYS], 1200)])
def test_a_session(policy, dummy, tmp_path, user, command, rule, rules,
                   seconds):
    m, handle = policy.login(user)
    _, opened, _, _, _, grant, r, _ = pp.launch(
        policy, m, handle, "postern-sftp", dummy, tmp_path)
    op = pp.check_open(opened)
    e = op["event"]
    assert (e["event"], e["verdict"]) == ("operation.decide", "allow")
    assert (e["rule"], e["identity"]) == (rule, "shop")
    assert (e["command"], e["by"]) == ("sftp", "sftp")
    assert (e["pty"], e["stdin"]) == (False, True)
    assert op["title"] == f"deploy@{user}: sftp"
    assert (r.what, r.wire) == (1, command)
    assert sorted(r.rules) == sorted(rules)
    assert (r.pty, r.stdin, r.stdin_max) == (0, 1, 0)
    assert (r.out_null, r.err_null, r.err_to_out) == (0, 0, 0)
    assert r.duration == seconds
    # the signer hears what it is for
    assert [grant.text() for _ in range(5)] == [
        op["operation"], user, "deploy", "deploy+" + user, command]
    assert (grant.u8(), grant.u64()) == (0, e["serial"])
    grant.text()
    assert grant.u8() == 1
    grant.end()


@pytest.mark.parametrize("user, words", [
    ("nobody+web-1", "you are shop"),
    ("other+web-1", "no login `other`"),
    ("nowhere", "no such target"),
    ("ask-1", "rule `asks` asks for approvals")])
def test_nothing_is_granted(policy, user, words):
    m, handle = policy.login(user)
    err = refused(sftp(m, handle), DENIED)
    assert words in err and "postern: denied" in err
    e = policy.heard("operation.decide")
    assert (e["verdict"], e["reason"], e["by"]) == ("deny", "policy", "sftp")
    assert e["command"] == "postern-sftp"


def test_other_ways_are_named(policy):
    policy.write(POLICY.replace("by sftp", "by scp-legacy"))
    policy.reload(policy.path / "policy")
    w.expect(policy.oidc, "ISSUERS")
    policy.heard("policy.load")
    m, handle = policy.login()
    assert "in another way" in refused(sftp(m, handle), DENIED)


def test_limits_count_sessions(policy, dummies, tmp_path):
    m, handle = policy.login("root+web-1")
    pp.launch(policy, m, handle, "postern-sftp", dummies(), tmp_path)
    err = refused(sftp(m, handle), TEMPFAIL)
    assert "limit rate" in err
    assert policy.heard("operation.decide")["reason"] == "limit"


def test_more_lines_than_one_session_carries(policy):
    m, handle = policy.login("many-1")
    assert "than one session can carry" in refused(sftp(m, handle), TEMPFAIL)


def test_not_with_a_terminal(policy):
    m, handle = policy.login()
    assert "leave out ssh's -t" in refused(sftp(m, handle, tty=1), USAGE)


def test_not_of_the_bastion_itself(policy):
    m, handle = policy.login("postern")
    assert "sftp TARGET@BASTION" in refused(sftp(m, handle), USAGE)


@pytest.mark.parametrize("command", [
    "postern-sftp x", " postern-sftp", "'postern-sftp'", "postern-sftp;id",
    "internal-sftp", "/usr/lib/openssh/sftp-server", "POSTERN-SFTP"])
def test_nothing_else_is_the_subsystem(policy, command):
    m, handle = policy.login()
    refused(m.shell(message("RUN", run_body(handle, command))), DENIED)
    assert "by" not in policy.heard("operation.decide")


def test_what_an_observed_target_lets_through(policy, dummy, tmp_path):
    m, handle = policy.login("seen-1")
    _, opened, _, _, _, _, r, _ = pp.launch(
        policy, m, handle, "postern-sftp", dummy, tmp_path)
    e = pp.check_open(opened)["event"]
    assert e["verdict"] == "would-deny"
    assert sorted(r.rules) == sorted([
        KEYS, ("default", 0, 0, "/", 0, 0, 0), ("default", 0, 1, "/", 0, 0, 0)])


# -- scp -O ------------------------------------------------------------------------


@pytest.mark.parametrize("command, wire", [
    ("scp -t /srv/other/x", "'-t' '--' '/srv/other/x'"),
    ("scp -v -t -- /srv/other", "'-t' '--' '/srv/other'"),
    ("scp -r -p -t /srv/other/", "'-r' '-p' '-d' '-t' '--' '/srv/other'"),
    ("scp -prdt '/srv/other/a b'",
     "'-r' '-p' '-d' '-t' '--' '/srv/other/a b'"),
    ("/opt/bin/scp -d -t /srv/other/x", "'-d' '-t' '--' '/srv/other/x'")])
def test_scp(policy, dummy, tmp_path, command, wire):
    """Whatever scp the job names, the target's own is run."""
    m, handle = policy.login()
    _, opened, _, _, _, grant, r, _ = pp.launch(
        policy, m, handle, command, dummy, tmp_path)
    e = pp.check_open(opened)["event"]
    assert (e["verdict"], e["rule"], e["by"]) == (
        "allow", "other", "scp-legacy")
    assert e["command"].startswith("scp -t /srv/other")
    assert (r.what, r.wire) == (2, "'/usr/bin/scp' " + wire)
    assert r.rules == [("other", 0, 1, "/srv/other", 0, 0, 0)]
    assert (r.pty, r.stdin) == (0, 1)
    assert [grant.text() for _ in range(5)][4] == r.wire
    grant.u8(), grant.u64(), grant.text()
    assert grant.u8() == 2


@pytest.mark.parametrize("command, words", [
    ("scp -t /srv/app/x", "but not in this way"),
    ("scp -f /srv/other/x", "to be written, but not to be read"),
    ("scp -t /srv", "no rule allows you to write this file"),
    ("scp -t x", "the whole path"), ("scp -t /srv/other/../x", "whole path"),
    ("scp -t /", "whole path")])
def test_scp_is_denied(policy, command, words):
    m, handle = policy.login()
    err = refused(m.shell(message("RUN", run_body(handle, command))), DENIED)
    assert words in err
    e = policy.heard("operation.decide")
    assert (e["verdict"], e["by"], e["command"]) == (
        "deny", "scp-legacy", command)


@pytest.mark.parametrize("command", [
    "scp", "scp -t", "scp -t -f /srv/other/x", "scp -r /srv/other/x",
    "scp -S id -t /srv/other/x", "scp -t /srv/other/x /srv/other/y",
    "scp --help -t /srv/other/x", "A=b scp -t /srv/other/x",
    "cd /srv && scp -t /srv/other/x", "scp -t /srv/other/x 2>&1",
    "scpx -t /srv/other/x", "scp -t /srv/other/x | cat"])
def test_what_is_no_scp(policy, command):
    m, handle = policy.login()
    refused(m.shell(message("RUN", run_body(handle, command))), DENIED)
    assert "by" not in policy.heard("operation.decide")


def test_scp_keeps_no_symlinks_out(policy):
    policy.write(POLICY.replace("by sftp max 5MiB", "by scp-legacy"))
    policy.reload(policy.path / "policy")
    w.expect(policy.oidc, "ISSUERS")
    policy.heard("policy.load")
    m, handle = policy.login()
    refused(m.shell(message("RUN", run_body(
        handle, "scp -t /srv/app/x"))), DENIED)
    policy.heard("operation.decide")
