"""Lists: every command decided before the first is run, each an operation of
its own, joined by the broker as a shell would join them."""
import os
import signal
import subprocess
import time

import house as h
import pytest

EXIT = "/opt/house/bin/exitwith"
DIE = "/opt/house/bin/diewith"
SAY = "/opt/house/bin/argv"
T = "/usr/bin/true"


def decisions(bastion, mark, n, timeout=10):
    """The n decisions since mark, all of one list, in their order."""
    end = time.monotonic() + timeout
    while True:
        d = bastion.events(mark, "operation.decide")
        if len(d) >= n or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert len(d) == n, d
    assert len({x["list"] for x in d}) == 1
    assert [x["position"] for x in d] == list(range(1, n + 1))
    assert {x["positions"] for x in d} == {n}
    assert len({x["operation"] for x in d}) == n
    return d


def ends(bastion, mark, n, timeout=10):
    end = time.monotonic() + timeout
    while True:
        e = {x["operation"]: x for x in bastion.events(mark, "operation.end")}
        if len(e) >= n or time.monotonic() > end:
            return e
        time.sleep(0.05)


def test_promise_4_a_list(bastion, job, mark):
    r = job.ssh("web-1", f"{SAY} one && {SAY} two; {SAY} three")
    assert r.code == 0, r.error
    assert [x for x in ("one", "two", "three") if x in r.text] == \
        ["one", "two", "three"]
    d = decisions(bastion, mark, 3)
    assert [x.get("joined") for x in d] == [None, "&&", ";"]
    e = ends(bastion, mark, 3)
    for x, word in zip(d, ("one", "two", "three")):
        assert e[x["operation"]]["state"] == "complete"
        assert word in bastion.recording(x["operation"]).read_text()
    # every decision stands before the first end
    kinds = [x["event"] for x in bastion.events(mark)
             if x["event"].startswith("operation.")]
    assert kinds[:3] == ["operation.decide"] * 3
    # and is found again as what it was
    shown = bastion.postern("show", d[1]["operation"]).stdout
    assert f"list              {d[1]['list']}\n" in shown
    assert "position          2\npositions         3\njoined            &&" \
        in shown
    listed = bastion.postern("sessions", "--session", d[0]["session"]).stdout
    assert f"  deploy@web-1  1/3 {SAY} one\n" in listed
    assert f"  deploy@web-1  2/3 && {SAY} two\n" in listed
    # and each had a certificate of its own
    assert len({x["serial"] for x in d}) == 3


# What sh says of the same list is what we say.
LISTS = [
    f"{EXIT} 0 && {EXIT} 3", f"{EXIT} 1 && {EXIT} 3", f"{EXIT} 1 || {EXIT} 4",
    f"{EXIT} 0 || {EXIT} 4", f"{EXIT} 1; {EXIT} 0", f"{EXIT} 1; {EXIT} 5",
    f"{EXIT} 1 && {EXIT} 0 || {EXIT} 6", f"{EXIT} 0 || {EXIT} 1 && {EXIT} 7",
    f"{EXIT} 2 && {T} ; {EXIT} 8", f"{T}\n{EXIT} 1\n{EXIT} 9",
    f"{EXIT} 1 || {EXIT} 2 || {EXIT} 3", f"{EXIT} 1 && {T} && {T}",
    f"{DIE} TERM; {EXIT} 1", f"{DIE} TERM && {T}", f"{DIE} KILL || {EXIT} 3",
    f"{DIE} TERM || {T} && {EXIT} 4",
]


def test_status_is_the_shells(job):
    for line in LISTS:
        want = subprocess.run(["dash", "-c", line], stderr=subprocess.DEVNULL)
        r = job.ssh("web-1", line)
        assert r.code == want.returncode, (line, r.error)


def test_death_by_signal_stays_one(job):
    r = job.ssh("web-1", f"{T} && {DIE} TERM")
    assert r.code == 255 or r.code < 0 or r.code == 143, r.code
    assert r.code == job.ssh("web-1", f"{DIE} TERM").code


def test_what_is_not_run_is_in_the_ledger(bastion, job, mark):
    r = job.ssh("web-1", f"{EXIT} 3 && {SAY} never && {SAY} nor || {SAY} but")
    assert r.code == 0 and "never" not in r.text and "but" in r.text
    d = decisions(bastion, mark, 4)
    e = ends(bastion, mark, 4)
    states = [e[x["operation"]]["state"] for x in d]
    assert states == ["complete", "aborted", "aborted", "complete"]
    assert "ended with 3" in e[d[1]["operation"]]["reason"]


def test_promise_1_one_denied_none_run(bastion, job, mark, up):
    at = up.web1.mark()
    r = job.ssh("web-1", f"{SAY} one && systemctl restart mail; {T}")
    assert (r.code, r.out) == (77, b"")
    assert "command 2 of 3 is denied, and so nothing of them was run" in \
        r.error
    assert "systemctl restart mail\npostern:                     ^" in r.error
    d = decisions(bastion, mark, 3)
    assert [x["verdict"] for x in d] == ["deny"] * 3
    assert [x["reason"] for x in d] == ["list", "policy", "list"]
    assert d[1]["operation"] in r.error
    assert bastion.events(mark, "operation.end") == []
    assert not up.web1.reached(at)


def test_a_deny_rule_in_a_list(job):
    r = job.ssh("web-1", f"{T}; systemctl stop web")
    assert r.code == 77 and "denied by rule `never`: use the runbook" in \
        r.error


def test_syntax_in_a_list(bastion, job, mark):
    r = job.ssh("web-1", f"{SAY} one && ls $HOME")
    assert (r.code, r.out) == (64, b"")
    assert "`$` expands a variable" in r.error
    assert bastion.event(mark, "operation.decide")["reason"] == "syntax"


def test_redirections_are_each_commands_own(job):
    both = "/opt/house/bin/both"
    r = job.ssh("web-1", f"{both} 2>/dev/null; {both} >/dev/null; "
                f"{both} 2>&1")
    assert sorted(r.out.split()) == sorted(b"to stdout to stdout to stderr"
                                           .split())
    assert r.err == b"to stderr\n"


def test_input_goes_where_it_is_granted(job):
    """The one without gets none of it, the first with gets it all."""
    r = job.ssh("web-1", "/usr/bin/wc -c; cat; cat", input=b"x" * 300000)
    assert r.code == 0
    assert r.out == b"0\n" + b"x" * 300000


def test_a_terminal_is_granted_to_each_or_to_none(bastion, job, mark):
    r = job.run(job.argv("web-1", f"/opt/house/bin/istty; {T}",
                         opts=("-tt",)), env=job.env(
                             CI_TOKEN=job.issuer.token()))
    assert r.code == 77
    assert "command 2 of 2" in r.error + r.text
    assert [x["pty"] for x in decisions(bastion, mark, 2)] == [True, True]


# -- what the target's shell is given -------------------------------------------


def test_a_folder(bastion, job, mark):
    r = job.ssh("web-1", "cd /opt/house/bin && /usr/bin/pwd && /usr/bin/pwd")
    assert (r.code, r.text) == (0, "/opt/house/bin\n" * 2), r.error
    d = decisions(bastion, mark, 2)
    assert d[1]["command"] == "cd /opt/house/bin && /usr/bin/pwd"


def test_a_folder_that_is_not_there(job):
    r = job.ssh("web-1", "cd /opt/house/none && /usr/bin/pwd")
    assert r.code != 0 and r.out == b"" and b"/opt/house/none" in r.err


def test_a_folder_that_no_rule_has(job):
    assert job.ssh("web-1", "cd /etc && /usr/bin/pwd").code == 77
    assert job.ssh("web-1", "cd /opt/house/../etc && /usr/bin/pwd").code == 64


def test_a_pipeline(bastion, job, mark):
    r = job.ssh("web-1", "/opt/house/bin/lines 9 | /usr/bin/head -n 4 | "
                "/usr/bin/wc -l")
    assert (r.code, r.text.strip()) == (0, "4"), r.error
    r = job.ssh("web-1", "cd /opt/house/bin && /opt/house/bin/lines 7 | "
                "/usr/bin/wc -l")
    assert (r.code, r.text.strip()) == (0, "7"), r.error
    assert job.ssh("web-1", "/opt/house/bin/lines 9 | /usr/bin/wc -l"
                   ).code == 77


def test_a_variable(job):
    r = job.ssh("web-1", "STAGE=green /opt/house/bin/myenv")
    assert r.code == 0 and "STAGE=green" in r.text.splitlines(), r.error
    assert job.ssh("web-1", "STAGE=red /opt/house/bin/myenv").code == 77
    assert job.ssh("web-1", "PATH=/tmp STAGE=green /opt/house/bin/myenv"
                   ).code == 77


# -- scripts on standard input -------------------------------------------------


def script(job, text, **kw):
    return job.ssh("web-1", None, input=text.encode(), **kw)


def test_here_document(bastion, job, mark):
    r = script(job, f"{SAY} one\n\n{SAY} two && {SAY} three\n")
    assert r.code == 0, r.error
    assert [x for x in ("one", "two", "three") if x in r.text] == \
        ["one", "two", "three"]
    d = decisions(bastion, mark, 3)
    assert [x.get("joined") for x in d] == [None, "newline", "&&"]


def test_here_document_stops_at_the_first_failure(bastion, job, mark):
    r = script(job, f"{SAY} one\n{EXIT} 7\n{SAY} two\n{SAY} three; {SAY} x\n")
    assert r.code == 7
    assert "one" in r.text and "two" not in r.text and "three" not in r.text
    assert "line 2 of the script ended with 7; the lines after it were not " \
        "run" in r.error
    d = decisions(bastion, mark, 5)
    e = ends(bastion, mark, 5)
    assert [e[x["operation"]]["state"] for x in d] == \
        ["complete", "complete", "aborted", "aborted", "aborted"]


def test_here_document_of_one_line(bastion, job, mark):
    r = script(job, f"{EXIT} 5\n")
    assert r.code == 5
    assert "list" not in bastion.event(mark, "operation.decide")


def test_here_document_says_the_line(job):
    r = script(job, f"{T}\n{T}\nls $HOME\n")
    assert r.code == 64
    assert "at line 3, character 4" in r.error


def test_here_document_too_long(job):
    r = script(job, "#" * 70000)
    assert r.code == 64 and "64 KiB" in r.error


def test_here_document_with_nul(job):
    r = script(job, f"{T}\0; systemctl stop web\n")
    assert r.code == 64 and "NUL" in r.error


def test_empty_here_document_is_no_script(job):
    r = script(job, "\n\n")
    assert r.code == 77 and "name one command" in r.error


# -- in the middle -------------------------------------------------------------


def begun(job, to, command):
    p = job.popen(job.argv(to, command), env=job.env(
        CI_TOKEN=job.issuer.token()))
    assert p.stdout.read(8) == b"started\n"
    return p


def test_hang_up_in_the_middle(bastion, job, mark):
    p = begun(job, "web-1", f"/opt/house/bin/slow 20; {SAY} never")
    job.kill(p)
    p.communicate()
    d = decisions(bastion, mark, 2)
    e = ends(bastion, mark, 2, timeout=20)
    assert e[d[0]["operation"]]["state"] in ("interrupted", "complete")
    assert e[d[1]["operation"]]["state"] == "aborted"
    assert "not run" in e[d[1]["operation"]]["reason"]


def test_promise_9_policy_dies_in_the_middle(bastion, job, mark):
    """What runs goes on to its end; the rest is not run, and both the job and
    the ledger are told."""
    p = begun(job, "web-1", f"/opt/house/bin/slow 3; {SAY} never")
    (pid,) = [x[0] for x in bastion.processes() if x[2] == "postern-policy"]
    os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 75
    assert out.endswith(b"done\n") and b"never" not in out
    assert b"restarted in the middle of this list" in err
    d = decisions(bastion, mark, 2)
    e = ends(bastion, mark, 2, timeout=20)
    assert e[d[0]["operation"]]["state"] == "complete"
    assert e[d[1]["operation"]]["state"] == "aborted"
    assert "restarted" in e[d[1]["operation"]]["reason"]


def test_promise_2_audit_dies_in_the_middle(bastion, job, mark):
    p = begun(job, "web-1", f"/opt/house/bin/slow 3; {SAY} never")
    (pid,) = [x[0] for x in bastion.processes()
              if x[2] == "postern-audit"]
    os.kill(pid, signal.SIGKILL)
    out, err = p.communicate(timeout=30)
    assert out.endswith(b"done\n") and b"never" not in out
    assert p.returncode in (74, 75)
    assert b"not run" in err
