"""A target that is only observed: what no rule allows is let through, and the
ledger says so; what a rule denies is denied."""
import datetime
import re

import house as h
import pytest


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


@pytest.fixture
def until(bastion):
    """Sets the last day of plain-1's, counted from today (by UTC)."""
    main = h.ETC / "policy/main.postern"
    good = main.read_text()

    def days(n):
        day = datetime.datetime.now(datetime.timezone.utc).date()
        day += datetime.timedelta(days=n)
        text, found = re.subn(r"observe until \S+", f"observe until {day}",
                              good)
        assert found == 1
        bastion.write_policy(text)
        assert "not accepted" not in bastion.reload()
    yield days
    bastion.write_policy(good)
    bastion.reload()


def test_observed_until_its_last_day(bastion, job, up, until):
    until(0)
    mark = bastion.mark()
    assert job.ssh("plain-1", "/bin/echo hello").text == "hello\n"
    assert bastion.event(mark, "operation.decide")["verdict"] == "would-deny"
    until(-1)
    mark, at = bastion.mark(), up.plain1.mark()
    r = job.ssh("plain-1", "/bin/echo hello")
    assert (r.code, r.out) == (77, b""), r.error
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["rule"]) == ("deny", "default")
    assert not up.plain1.reached(at)
    # Only that is over: what a rule allows is allowed.
    assert job.ssh("plain-1", "systemctl reload web").code == 0
