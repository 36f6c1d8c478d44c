"""A target that is only observed: what no rule allows is let through, and the
ledger says so; what a rule denies is denied."""


def test_observed(bastion, job, mark):
    r = job.ssh("plain-1", "/bin/echo hello")
    assert (r.code, r.text) == (0, "hello\n"), r.error
    d = bastion.event(mark, "operation.decide")
    assert d["verdict"] == "would-deny" and d["rule"] == "default"
    assert "no rule allows this; nearest: restart" in d["reason"]
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "complete" and e["exit"] == 0
    assert bastion.recording(d["operation"]).exists()
    shown = bastion.postern("show", d["operation"]).stdout
    assert "would-deny" in shown
    listed = bastion.postern("sessions", "--target", "plain-1").stdout
    assert "plain-1  (would-deny)  " in listed
    # Another target is not.
    assert job.ssh("web-1", "/bin/echo hello").code == 77


def test_observed_what_a_rule_says_holds(bastion, job, mark):
    r = job.ssh("plain-1", "systemctl stop web")
    assert r.code == 77, r.error
    d = bastion.event(mark, "operation.decide")
    assert d["verdict"] == "deny" and d["rule"] == "never"


def test_observed_what_is_allowed_is_not_marked(bastion, job, mark):
    assert job.ssh("plain-1", "systemctl reload web").code == 0
    d = bastion.event(mark, "operation.decide")
    assert d["verdict"] == "allow" and d["rule"] == "restart"


def test_observed_is_no_door_for_strangers(job):
    token = job.issuer.token(ref="refs/heads/other")
    assert job.ssh("plain-1", "/bin/echo hello", token=token).code == 255
