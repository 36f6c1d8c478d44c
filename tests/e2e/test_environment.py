"""What a job sends of its environment (SetEnv, SendEnv): by rule, in front of
the command, whatever the target's sshd accepts; and what it must not do to the
bastion."""
import json
import shlex

import house as h
import pytest
import test_jobcert as jc

SHIP = str(h.BIN / "ship")
RULES = f"""policy 1
allow vars for shop on web-1 {{
    run {SHIP}
    run {SHIP} | /usr/bin/sort
    run STAGE=(blue | green) {SHIP}
    run in </opt/house/**> {SHIP}
    run {SHIP} with pty
    env STAGE <enum blue green red>
    env RELEASE <semver>
    env NOTE <text 1..40>
}}
deny red for * on web-1 {{ run STAGE=red <any>...; because "red is off" }}
"""


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    p = h.BIN / "ship"
    p.write_text('#!/bin/sh\nenv | grep -E "^(STAGE|RELEASE|NOTE|LANG|OTHER|'
                 'LD_|PWD)" | sort\n')
    p.chmod(0o755)
    bastion.write_policy(RULES, "vars.postern")
    assert "not accepted" not in bastion.reload()
    yield
    (h.ETC / "policy/vars.postern").unlink()
    bastion.reload()


@pytest.fixture(scope="module")
def key(job):
    return jc.Key(job).login()


def sets(*variables):
    return ["-o", "SetEnv=" + " ".join(variables)]


def by_cert(job, key, *opts, command=SHIP, to="web-1", **kw):
    return job.run(["ssh", *jc.QUIET, "-i", str(key.private), *opts,
                    f"{to}@{job.host}", *([command] if command else [])], **kw)


def test_sent_by_the_job_and_taken_by_the_rule(job, bastion, mark):
    r = job.ssh("web-1", SHIP, opts=sets("STAGE=blue", '"NOTE=it\'s $(id)"',
                                         "OTHER=x", "RELEASE=1.2.3"))
    assert r.code == 0, r.error
    assert r.text.splitlines() == ["NOTE=it's $(id)", "PWD=/opt/house/home/"
                                   "deploy", "RELEASE=1.2.3", "STAGE=blue"]
    d = bastion.event(mark, "operation.decide")
    assert d["command"] == SHIP
    assert sorted(shlex.split(d["env"])) == ["NOTE=it's $(id)",
                                             "RELEASE=1.2.3", "STAGE=blue"]
    # which the client sends, too, as Debian's does
    assert "OTHER" not in json.dumps(d) and "LANG" not in d["env"]


def test_sent_from_the_environment_by_both_ways(job, key, bastion, mark, up):
    env = job.env(CI_TOKEN=up.issuer.token(), STAGE="green")
    r = job.run(job.argv("web-1", SHIP, opts=["-o", "SendEnv=STAGE"]), env=env)
    assert (r.code, "STAGE=green" in r.text) == (0, True), r.error
    r = by_cert(job, key, "-o", "SendEnv=STAGE", env=env)
    assert (r.code, "STAGE=green" in r.text) == (0, True), r.error
    bastion.mark()
    lines = [e["env"] for e in bastion.events(mark, "operation.decide")]
    assert lines == ["STAGE=green"] * 2
    assert f"STAGE=green {SHIP}" in bastion.postern("sessions").stdout


@pytest.mark.parametrize("command, want", [
    (f"{SHIP} | /usr/bin/sort", "STAGE=blue"),
    (f"cd /opt/house/bin && {SHIP}", "STAGE=blue"),
    # what the command says itself is the last word
    (f"STAGE=green {SHIP}", "STAGE=green"),
    (f"{SHIP}; /usr/bin/true; {SHIP}", "STAGE=blue")])
def test_with_every_form_of_command(job, key, command, want):
    r = by_cert(job, key, *sets("STAGE=blue"), command=command)
    assert r.code == 0, r.error
    assert want in r.text.splitlines()
    assert r.text.count("STAGE=") == command.count("; ") // 2 + 1


def test_in_a_terminal(job, key):
    r = by_cert(job, key, "-tt", *sets("STAGE=blue"))
    assert (r.code, "STAGE=blue" in r.text) == (0, True), r.error


@pytest.mark.parametrize("value", ["yellow", "", "blue ", "-blue", "BLUE"])
def test_a_value_that_the_rule_does_not_take(job, key, bastion, mark, value):
    r = by_cert(job, key, *sets(f'"STAGE={value}"'))
    assert (r.code, r.out) == (77, b"")
    assert "rule `vars` does not take the value that this job sends for " \
        "STAGE (SetEnv, SendEnv)" in r.error
    assert "env STAGE <enum blue green red>" in r.error
    d = bastion.event(mark, "operation.decide")
    assert (d["verdict"], d["rule"], d["env"]) == ("deny", "vars", "STAGE")


def test_a_deny_of_a_variable_holds_for_what_is_sent(job, key):
    for r in (by_cert(job, key, *sets("STAGE=red")),
              by_cert(job, key, command=f"STAGE=red {SHIP}")):
        assert r.code == 77 and "denied by rule `red`: red is off" in r.error


def test_control_characters_are_no_value(job, key):
    r = by_cert(job, key, "-o", "SendEnv=NOTE", env=job.env(NOTE="a\nid"))
    assert r.code == 77, r.text
    assert "does not take the value" in r.error


def test_what_would_mean_something_to_the_bastion_never_arrives(job, key):
    """The dynamic linker would say so on standard error."""
    for var in ("LD_PRELOAD=/nowhere.so", "LD_DEBUG=all", "LD_SHOW_AUXV=1",
                "GLIBC_TUNABLES=glibc.malloc.check=x", "LD_AUDIT=/nowhere.so"):
        r = by_cert(job, key, *sets(var))
        assert (r.code, r.err) == (0, b""), r.error
        assert "LD_" not in r.text
    for var in ("POSTERN_SESSION=" + "0" * 32, "USER=postern", "HOME=/x",
                "SHELL=/bin/sh", "PATH=/x", "SSH_TTY=/dev/null"):
        r = by_cert(job, key, *sets(var))
        assert (r.code, r.err) == (0, b""), r.error
    # no command, and one in the environment
    r = by_cert(job, key, *sets(f"SSH_ORIGINAL_COMMAND={SHIP}"), command="")
    assert r.code == 77 and "name one command" in r.error


def test_bound_of_what_is_sent(job, key):
    many = [f"V{n}=x" for n in range(120)]
    r = by_cert(job, key, *sets(*many, "STAGE=blue"))
    assert (r.code, "STAGE=blue" in r.text) == (0, True), r.error
    r = by_cert(job, key, *sets("OTHER=" + "x" * 32 * 1024))
    assert r.code == 64
    assert "sends more of its environment (SetEnv, SendEnv) than 130 " \
        "variables or 32 KiB" in r.error


def test_can_looks_at_it_too(job, key):
    for value, code in (("blue", 0), ("yellow", 77)):
        r = by_cert(job, key, *sets(f"STAGE={value}"), to="postern",
                    command=f"can web-1 {SHIP}")
        assert r.code == code, r.error
