"""What is refused, with which words and code, and what the ledger says."""
import os
import socket
import time

import house as h
import pytest

CMD = "systemctl restart web"


def postern_lines(r):
    lines = [x for x in r.error.splitlines() if x]
    assert lines and lines[-1].startswith("postern:"), r.error
    return lines


def test_1_denied_names_the_word_and_the_nearest_rule(bastion, job, up, mark):
    before = up.web1.mark()
    r = job.ssh("web-1", "systemctl restart mail")
    assert (r.code, r.out) == (77, b"")
    text = "\n".join(postern_lines(r))
    assert "mail" in text and "restart" in text, text
    assert "systemctl (restart | reload) <service>" in text, text
    assert "^" in text
    d = bastion.event(mark, "operation.decide")
    assert d["verdict"] == "deny" and d["rule"] == "default"
    assert d["operation"] in text
    assert "recording" not in d
    assert not up.web1.reached(before)


def test_1_deny_rule_gives_its_reason(bastion, job, mark):
    r = job.ssh("web-1", "systemctl stop web")
    assert r.code == 77
    assert "use the runbook" in "\n".join(postern_lines(r))
    assert bastion.event(mark, "operation.decide")["rule"] == "never"


@pytest.mark.parametrize("command, col", [
    ("systemctl restart $WEB", 19), ("systemctl restart `id`", 19),
    ("systemctl restart 'web", 19), ("systemctl restart w*", 20),
])
def test_unparseable_64_with_a_caret(job, command, col):
    r = job.ssh("web-1", command)
    assert (r.code, r.out) == (64, b"")
    lines = postern_lines(r)
    caret = [i for i, x in enumerate(lines) if x.rstrip().endswith("^")]
    assert caret, lines
    shown = lines[caret[0] - 1]
    assert command in shown
    at = lines[caret[0]].index("^") - shown.index(command) + 1
    assert at == col, "\n".join(lines)


@pytest.mark.parametrize("command", [
    "systemctl restart web; id", "systemctl restart web && id",
    "systemctl restart web | cat", "systemctl restart web\nid",
    "systemctl restart web >/tmp/x", "a" * 70000,
])
def test_4_what_is_not_one_command_never_runs(job, up, command):
    before = up.web1.mark()
    r = job.ssh("web-1", command)
    assert r.code in (64, 77) and r.out == b""
    postern_lines(r)
    assert "Accepted" not in up.web1.since(before)


def test_1_unknown_target_and_login(job):
    for to in ("nosuch", "root+web-1", "deploy+nosuch"):
        r = job.ssh(to, CMD)
        assert r.code == 77 and r.out == b"", (to, r)
        postern_lines(r)


def test_4_no_command_is_no_shell(job):
    r = job.ssh("web-1", input=b"id\n")
    assert r.code != 0 and b"uid=" not in r.out
    postern_lines(r)


# -- tokens -------------------------------------------------------------------

@pytest.fixture(scope="module")
def other_key():
    return h.Key("RS256", "rogue")


def bad_tokens(issuer, other_key):
    now = int(time.time())
    other_key.kid = issuer.keys[h.GITHUB].kid
    good = issuer.token()
    head, body, sig = good.split(".")
    flipped = sig[:20] + ("A" if sig[20] != "A" else "B") + sig[21:]
    return {
        "wrong key": issuer.token(key=other_key),
        "expired": issuer.token(iat=now - 900, nbf=now - 1500, exp=now - 600),
        "foreign issuer": issuer.token(h.FOREIGN),
        "foreign audience": issuer.token(aud="https://github.com/acme"),
        "another repository": issuer.token(repository_id="1"),
        "pull request": issuer.token(ref="refs/pull/7/merge",
                                     event_name="pull_request"),
        "signature": ".".join((head, body, flipped)),
        "not a token": "x" * 900,
        "unsigned": head + "." + body + ".",
        "empty": "",
    }


def test_6_bad_tokens_look_alike_and_the_ledger_says_why(
        bastion, job, up, other_key, fresh):
    said, reasons = {}, {}
    for what, token in bad_tokens(up.issuer, other_key).items():
        mark = bastion.mark()
        r = job.ssh("web-1", CMD, token=token)
        assert r.code == 255 and r.out == b"", what
        # A client that gives no answer at all says so itself.
        said[what] = r.error
        refused = bastion.some(mark, "login.refused", what != "empty")
        for e in refused:
            assert e["reason"], what
            for part in token.split("."):
                assert part[:30] not in str(e) or len(part) < 30, what
        reasons[what] = refused[0]["reason"] if refused else ""
        assert not bastion.events(mark, "session.open"), what
    assert len(set(said.values())) == 1, said
    assert len({reasons[k] for k in ("wrong key", "expired", "foreign issuer",
                                     "another repository")}) == 4, reasons


def test_the_same_token_joins_its_own_live_session(bastion, job, up, mark):
    token = up.issuer.token()
    first = job.popen(job.argv("web-1", "/opt/house/bin/slow 2"),
                      env=job.env(CI_TOKEN=token))
    assert first.stdout.readline() == b"started\n"
    assert job.ssh("web-1", CMD, token=token).code == 0
    first.communicate()
    opened = bastion.events(mark, "session.open")
    assert len({e["session"] for e in opened}) == 1, opened


def test_6_a_spent_token_is_refused_from_another_address(bastion, job, up):
    token = up.issuer.token()
    assert job.ssh("web-1", CMD, token=token).code == 0
    mark = bastion.mark()
    r = h.Job(up.issuer, netns="stranger").ssh("web-1", CMD, token=token)
    assert (r.code, r.out) == (255, b"")
    assert "spent" in bastion.some(mark, "login.refused")[0]["reason"]


def test_a_naive_askpass_is_refused_and_told_in_the_ledger(bastion, job, up,
                                                           mark, fresh):
    """It gives the whole token, which ssh cuts at 1023 bytes, each time."""
    naive = h.SNIPPET.replace("| cut -c$((n*1000-999))-$((n*1000))", "")
    naive = naive.replace("@SHELL@", "/bin/sh").replace("@HOST@", h.BASTION)
    r = job.run(["/bin/sh", "-c", naive, "job", f"web-1@{h.BASTION}", CMD],
                env=job.env(CI_TOKEN=up.issuer.token()))
    assert r.code == 255
    reasons = [e["reason"] for e in bastion.some(mark, "login.refused")]
    assert any("askpass" in x or "1023" in x or "cut" in x
               for x in reasons), reasons


@pytest.mark.parametrize("user", ["nosuch", "root", "daemon", "_postern-job"])
def test_unknown_and_local_names_are_asked_alike(job, up, user):
    """Same prompts, same last words, whoever is asked for."""
    bad = up.issuer.token(repository_id="1")
    want = job.ssh("web-1", CMD, token=bad)
    r = job.ssh(user, CMD, token=bad)
    assert (r.code, r.out) == (255, b"")
    assert r.error.replace(f"{user}@", "web-1@") == want.error


def test_local_account_with_a_good_token_does_not_get_in(job):
    for user in ("root", "_postern-job", "daemon"):
        r = job.ssh(user, "id")
        assert r.code == 255 and r.out == b"", (user, r)


# -- targets ------------------------------------------------------------------

def test_target_down_69(bastion, job, mark):
    r = job.ssh("down-1", CMD)
    assert r.code == 69
    assert "down-1" in "\n".join(postern_lines(r))
    e = bastion.event(mark, "operation.end")
    assert "refused" in e["reason"], e


def test_target_silent_69(job):
    """It accepts and says nothing: the handshake has a bound."""
    with h.in_netns("target"):
        s = socket.create_server(("10.91.0.2", 2298))
    try:
        r = job.ssh("silent-1", CMD, timeout=50)
    finally:
        s.close()
    assert r.code == 69
    postern_lines(r)
    assert r.seconds < 40


def test_2_wrong_host_key_69_before_any_authentication(bastion, job, up, mark):
    before = up.wrong1.mark()
    r = job.ssh("wrong-1", CMD)
    assert (r.code, r.out) == (69, b"")
    text = "\n".join(postern_lines(r))
    assert "host key" in text and up.wrong1.fingerprint in text, text
    log = up.wrong1.since(before)
    assert "Connection from 10.91.0.1" in log
    for word in ("Accepted", "Failed", "authenticating user", "deploy",
                 "publickey", "certificate"):
        assert word not in log, log


def test_planted_proxy_command_is_not_run(job):
    """libssh would read the system's ssh_config if it were let."""
    folder = "/run/planted"
    os.mkdir(folder)
    os.chmod(folder, 0o1777)
    planted = folder + "/ran"
    conf = "/etc/ssh/ssh_config.d/planted.conf"
    with open(conf, "w") as f:
        f.write(f"Host *\n  ProxyCommand /bin/sh -c 'echo ran >{planted}'\n")
    try:
        # The control: stock ssh, which reads the file, runs it.
        assert job.ssh("web-1", CMD).code == 255
        assert os.path.exists(planted)
        os.unlink(planted)
        r = job.ssh("web-1", CMD, opts=["-F", "none"])
    finally:
        os.unlink(conf)
    assert r.code == 0, r.error
    assert not os.path.exists(planted)
