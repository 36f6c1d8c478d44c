"""postern policy rehearse: a policy against a ledger, as a person runs it."""

import json
import os
import pty
import random
import resource
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import reference  # noqa: E402

BUILD = os.environ["POSTERN_BUILD"]

OLD = '''policy 1
issuer ci { preset custom; url "https://ci.example"; audience "b"; algorithms ES256 }
identity deploy from ci { claim repo = "1"; claim ref = "main" | glob "tags/*" }
identity check from ci { claim repo = "1"; claim kind = "check" }
identity other from ci { claim repo = "2" }
target web-1 { ssh "deploy@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"; login root }
target web-2 { ssh "deploy@10.0.0.2:22"; hostkey ssh-ed25519 "SHA256:WIcL2yAl04nASo8twTZWecsPlnZ/w/H2YZ8QsH0L8+A" }
program systemctl = /usr/bin/systemctl
allow restart for deploy on web-1 {
    run systemctl (restart | reload) <any>
    run /usr/bin/top with pty
    run /bin/cat with stdin
}
deny never for * on * { run systemctl stop <any>...; because "use the runbook" }
'''
SAME = 0
NEW = 3
UNDECIDED = 4


def line(number, command, verdict="allow", **more):
    """A decision as the ledger has it; None takes a field away."""
    denied = verdict == "deny"
    o = {"number": number, "time": "2026-11-24T20:08:10.123Z",
         "event": "operation.decide", "operation": "01KAZ0000000000000000000AB",
         "session": "01KAZ0000000000000000000AA", "user": "web-1",
         "source": "10.1.1.1", "identity": "deploy", "issuer": "ci",
         "subject": "job", "target": "web-1", "policy": "00" * 32,
         "rule": "default" if denied else "restart", "verdict": verdict,
         "reason": "policy" if denied else None,
         "login": None if denied else "deploy", "command": command,
         "pty": False, "stdin": None if denied else False}
    o |= more
    return json.dumps({k: v for k, v in o.items() if v is not None})


class Ledger:
    def __init__(self, path):
        self.path = path
        self.new = path / "new.postern"
        self.old = path / "old.postern"
        self.file = path / "ledger.jsonl"
        self.old.write_text(OLD)

    def argv(self, policy, *more, old=True):
        self.new.write_text(policy)
        return [BUILD + "/cli/postern", "policy", "rehearse",
                *(["--old", str(self.old)] if old else []), "--ledger",
                str(self.file), str(self.new), *more]

    def write(self, *lines):
        self.file.write_bytes(b"".join(
            (x if isinstance(x, bytes) else x.encode()) + b"\n"
            for x in lines))

    def run(self, policy, *more, code=None, **kw):
        r = subprocess.run(self.argv(policy, *more, **kw), capture_output=True,
                           text=True, check=False)
        assert code is None or r.returncode == code, r
        return r

    def ask(self, policy, *lines, code=None, **kw):
        """The groups, of these lines."""
        self.write(*lines)
        r = self.run(policy, "--json", code=code, **kw)
        self.answer = json.loads(r.stdout)
        return self.answer["groups"]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


def edit(*pairs):
    new = OLD
    for a, b in pairs:
        assert a in new
        new = new.replace(a, b)
    return new


NO_RELOAD = edit(("(restart | reload)", "restart"))
LIST = "01KAZ0000000000000000000AC"


def test_nothing_changes_under_the_same_policy(ledger):
    assert ledger.ask(
        OLD, line(1, "/usr/bin/systemctl restart web"),
        line(2, "systemctl stop web", "deny", rule="never"),
        line(3, "id \\x24HOME", "deny", reason="syntax"),
        line(4, None, "deny"),
        line(5, "/usr/bin/top", pty=True), line(6, "/bin/cat", stdin=True),
        code=SAME) == []
    assert ledger.answer["counts"]["same"] == 6
    assert ledger.run(OLD).stdout == (
        "6 commands of the ledger, 2026-11-24T20:08Z to 2026-11-24T20:08Z\n"
        "       6  decided as before\n")


def test_newly_denied_and_newly_allowed(ledger):
    new = edit(("(restart | reload)", "(restart | kill)"))
    ledger.write(
        line(1, "/usr/bin/systemctl reload web"),
        line(2, "/usr/bin/systemctl reload api",
             time="2026-11-25T01:00:00.000Z"),
        line(3, "/usr/bin/systemctl reload web",
             time="2026-11-26T02:00:00.000Z"),
        line(4, "systemctl kill web", "deny"),
        line(5, "/usr/bin/systemctl restart web"))
    r = ledger.run(new, code=NEW)
    assert r.stdout == f"""\
- newly denied  deploy on web-1, 3 times, 2026-11-24T20:08Z to 2026-11-26T02:00Z
    before: allow by restart
    after:  deny by default
       2  /usr/bin/systemctl reload web
       1  /usr/bin/systemctl reload api
+ newly allowed  deploy on web-1, 1 time, 2026-11-24T20:08Z
    before: deny by default
    after:  allow by restart at {ledger.new}:10
       1  systemctl kill web
5 commands of the ledger, 2026-11-24T20:08Z to 2026-11-26T02:00Z
       1  decided as before
       3  newly denied
       1  newly allowed
"""
    g = json.loads(ledger.run(new, "--json", code=NEW).stdout)["groups"]
    assert [x["change"] for x in g] == ["denied", "allowed"]
    assert g[0]["first"] == "2026-11-24T20:08:10.123Z"
    assert g[0]["last"] == "2026-11-26T02:00:00.000Z"
    assert g[0]["before"] == {"verdict": "allow", "by": "restart"}
    assert g[1]["after"] == {"verdict": "allow", "by": "restart",
                             "at": f"{ledger.new}:10"}
    assert g[0]["commands"][0] == {
        "command": "/usr/bin/systemctl reload web", "count": 2}


def test_a_new_deny_says_why(ledger):
    new = OLD + 'deny calm for * on @all { run /usr/bin/systemctl restart ' \
        'web; because "not on Tuesdays" }\n'
    new = new.replace("login root }", "login root; group all }")
    (g,) = ledger.ask(new, line(1, "/usr/bin/systemctl restart web"), code=NEW)
    assert g["after"]["by"] == "calm" and g["after"]["why"] == \
        "not on Tuesdays"


def test_what_the_bastion_cannot_enforce_is_denied(ledger):
    new = edit(("<any>\n", "<any>\n    mask secrets\n"))
    (g,) = ledger.ask(new, line(1, "/usr/bin/systemctl restart web"), code=NEW)
    assert g["change"] == "denied"
    assert g["after"]["why"] == "this version cannot enforce `mask`"


# How the ledger spells a command, and what the job meant by it.
SPELLED = [
    # a member of a list that was denied: canonical, as the job named it
    (line(1, "systemctl reload web", "deny", list=LIST, position=1,
          positions=1), None),
    # alone: escaped
    (line(1, "systemctl reload\\x20web", "deny"), "allowed"),
    (line(1, "systemctl reload \\x27web\\x27", "deny"), "allowed"),
    (line(1, "cd /srv\\x0asystemctl reload web", "deny"), None),
    # a backslash that is none of ours
    (line(1, "systemctl reload \\n", "deny"), "undecided"),
    (line(1, "systemctl reload \\x2", "deny"), "undecided"),
    (line(1, "systemctl reload \\xZZ", "deny"), "undecided"),
    # cut
    (line(1, "systemctl reload " + "w" * 4080, "deny"), "undecided"),
    (line(1, "systemctl reload " + "w" * 4079, "deny"), "allowed"),
    # not read then, and now it is
    (line(1, "systemctl reload web", "deny", reason="syntax"), "allowed"),
    # two commands are not one
    (line(1, "id; systemctl reload web", "deny", reason="syntax"), None),
    (line(1, "/usr/bin/systemctl reload web; id"), "undecided"),
    (line(1, "/usr/bin/systemctl reload 'web"), "undecided"),
]


@pytest.mark.parametrize("text, change", SPELLED)
def test_spellings(ledger, text, change):
    got = ledger.ask(OLD, text)
    if json.loads(text).get("list"):
        assert [x["change"] for x in got] == ["allowed"]
    else:
        assert [x["change"] for x in got] == ([change] if change else [])
    if change == "undecided":
        assert "ledger" in got[0]["after"]["why"] and "by" not in \
            got[0]["after"]


def test_a_name_that_is_another_path_now(ledger):
    new = edit(("systemctl = /usr/bin", "systemctl = /bin"))
    (g,) = ledger.ask(new, line(1, "/usr/bin/systemctl restart web"),
                      code=UNDECIDED)
    assert g["after"]["why"].startswith("`systemctl` is another path")
    # what the job wrote itself is certain
    (g,) = ledger.ask(new, line(1, "/usr/bin/systemctl restart web", "deny"),
                      line(2, "systemctl restart web", "deny"), code=NEW)
    assert g["change"] == "allowed" and g["count"] == 1


def test_terminal_and_input(ledger):
    new = edit((" with pty", ""), (" with stdin", ""))
    g = ledger.ask(new, line(1, "/usr/bin/top", pty=True),
                   line(2, "/bin/cat", stdin=True), code=NEW)
    assert [x["change"] for x in g] == ["denied", "no-input"]
    # lines of old say nothing of a terminal
    g = ledger.ask(OLD, line(1, "systemctl restart web", "deny", pty=None),
                   line(2, "systemctl stop web", "deny", pty=None,
                        rule="never"),
                   line(3, "systemctl restart web", "deny", pty=True),
                   code=UNDECIDED)
    assert [(x["count"], x["after"]["why"]) for x in g] == [
        (1, "the ledger does not say whether the job asked for a terminal")]


def test_where(ledger):
    new = edit(("deploy@10.0.0.1", "root@10.0.0.1"), ("; login root", ""),
               ("web-2", "web-3"))
    g = ledger.ask(
        new, line(1, "/usr/bin/systemctl restart web"),
        line(2, "/usr/bin/systemctl restart web", user="root+web-1",
             login="root"),
        line(3, "/usr/bin/systemctl restart web", user="web-2",
             target="web-2"),
        line(4, "/usr/bin/systemctl restart web", user=None, login="deploy"))
    why = {x["on"]: x["after"].get("why") for x in g}
    assert why == {"web-2": "the policy has no target `web-2`",
                   "web-1": "target `web-1` has no login `deploy`"}


def test_window_is_that_of_the_time(ledger):
    new = edit(("    run /usr/bin/top", "    window Mon-Fri 07:00-19:00 UTC\n"
                "    run /usr/bin/top"))
    g = ledger.ask(
        new, line(1, "/usr/bin/systemctl restart web",
                  time="2026-11-24T12:00:00.000Z"),
        line(2, "/usr/bin/systemctl restart web"), code=NEW)
    assert [x["count"] for x in g] == [1]


def test_observed(ledger):
    until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 40 * 86400))
    observed = edit(("login root", f"login root; observe until {until}"))
    seen = line(1, "/usr/bin/id", "would-deny", rule="default", stdin=True,
                reason="no rule allows this; nearest: restart")
    denied = line(2, "id", "deny")
    assert ledger.ask(observed, seen, code=SAME) == []
    (g,) = ledger.ask(OLD, seen, code=NEW)
    assert (g["change"], g["before"]["verdict"]) == ("denied", "would-deny")
    (g,) = ledger.ask(edit(("run /bin/cat", "run /usr/bin/id; run /bin/cat")),
                      seen, code=NEW)
    assert g["change"] == "allowed"
    (g,) = ledger.ask(observed, denied, code=NEW)
    assert (g["change"], g["after"]["verdict"]) == ("would-deny", "would-deny")
    assert "let through" in ledger.run(observed).stdout


# -- who ---------------------------------------------------------------------


RESTART = line(1, "/usr/bin/systemctl restart web")


def why(groups):
    return [x["after"].get("why") for x in groups]


def test_an_identity_that_demands_more(ledger):
    """What the ledger does not hold is not taken for granted."""
    new = edit(('claim repo = "1"; claim ref', 'claim env = "p"; claim ref'))
    assert why(ledger.ask(new, RESTART, code=UNDECIDED)) == [
        "the ledger does not hold claim `env`, which tells whether the job is "
        "`deploy`"]
    new = edit(('ref = "main" | glob "tags/*"', 'ref = "main"'))
    assert "claim `ref`" in why(ledger.ask(new, RESTART, code=UNDECIDED))[0]
    new = edit(('claim repo = "1"; claim ref', 'claim repo = "3"; claim ref'))
    (g,) = ledger.ask(new, RESTART, code=NEW)
    assert g["change"] == "denied"
    # one that demands less, or the same
    new = edit(('ref = "main" | glob', 'ref = "main" | "next" | glob'))
    assert ledger.ask(new, RESTART, code=SAME) == []
    new = edit(('ref = "main" | glob "tags/*"', 'ref present'))
    assert ledger.ask(new, RESTART, code=SAME) == []


def test_without_the_old_policy_the_name_is_believed(ledger):
    new = edit(('claim repo = "1"; claim ref', 'claim env = "p"; claim ref'))
    assert ledger.ask(new, RESTART, code=SAME, old=False) == []
    assert not ledger.answer["old_policy"]
    assert "(--old)" in ledger.run(new, old=False).stdout


def test_the_five_names_are_known(ledger):
    """commit, actor, workflow, run and pull request are the ledger's."""
    for claim in ("commit", "actor", "workflow", "run", "pull_request"):
        new = edit(('ref = "main"', f'{claim} = "17"; claim ref = "main"'))
        (g,) = ledger.ask(new, line(1, "/usr/bin/systemctl restart web",
                                    **{claim: "18"}), code=NEW)
        assert g["change"] == "denied", claim
        got = ledger.ask(new, line(1, "/usr/bin/systemctl restart web",
                                   **{claim: "17"}))
        # of a pull request there is the number, not the claim
        assert len(got) == (claim == "pull_request"), claim


def test_what_the_ledger_has_is_not_what_a_policy_says(ledger):
    """An identity of that name that the job cannot have been says nothing of
    its claims."""
    ledger.old.write_text(edit(('claim ref =', 'claim actor = "17"; claim ref =')))
    new = ledger.old.read_text().replace("for deploy on", "for ann on").replace(
        "identity other",
        'identity ann from ci { claim repo = "1"; claim actor = "18" }\n'
        "identity other")
    ask = line(1, "/usr/bin/systemctl restart web", actor="18")
    assert "claim `repo`" in why(ledger.ask(new, ask, code=UNDECIDED))[0]


def test_another_identity_of_the_job(ledger):
    """It may have been `check`, too; it was not `other`."""
    new = edit(("for deploy on", "for check on"))
    assert why(ledger.ask(new, RESTART, code=UNDECIDED)) == [
        "the ledger does not hold claim `kind`, which tells whether the job is "
        "`check`"]
    new = edit(("for deploy on", "for other on"))
    (g,) = ledger.ask(new, RESTART, code=NEW)
    assert g["change"] == "denied"
    new = OLD + 'deny checks for check on web-1 { run systemctl <any>...; ' \
        'because "no" }\n'
    assert "`check`" in why(ledger.ask(new, RESTART, code=UNDECIDED))[0]
    # one of the two may allow it and the other deny it
    new = edit(("for deploy on", "for check on")).replace(
        "identity other", 'identity late from ci { claim repo = "1"; claim '
        'late = "1" }\nidentity other') + \
        'deny nights for late on * { run systemctl <any>...; because "no" }\n'
    assert len(why(ledger.ask(new, RESTART, code=UNDECIDED))) == 1
    # what is denied in either case is denied
    stop = line(1, "/usr/bin/systemctl stop web")
    (g,) = ledger.ask(new, stop, code=NEW)
    assert g["after"]["by"] == "never"


def test_an_identity_that_is_gone(ledger):
    # deny, whoever the job is
    new = edit(("identity deploy from ci", "identity shipper from ci"),
               ("for deploy", "for other"))
    (g,) = ledger.ask(new, RESTART, code=NEW)
    assert g["change"] == "denied"
    # with the old conditions under a new name
    new = edit(("identity deploy from ci", "identity shipper from ci"),
               ("for deploy", "for shipper"))
    assert ledger.ask(new, RESTART, code=SAME) == []
    # which only the old policy can tell
    assert "`shipper`" in why(ledger.ask(new, RESTART, code=UNDECIDED,
                                         old=False))[0]
    # another issuer's tokens
    new = edit(("https://ci.example", "https://ci2.example"))
    (g,) = ledger.ask(new, RESTART, code=NEW)
    assert g["change"] == "denied"


def test_a_claim_in_a_rule(ledger):
    new = edit(("run /usr/bin/top", "run /opt/go <claim ref>; run "
                "/opt/is <claim repo>; run /usr/bin/top"))
    go, other = line(1, "/opt/go main", "deny"), line(2, "/opt/x y", "deny")
    known = line(3, "/opt/is 1", "deny")
    unlike = line(4, "/opt/is 2", "deny")
    g = ledger.ask(new, go, other, known, unlike, code=NEW)
    assert [(x["change"], x["count"]) for x in g] == [
        ("allowed", 1), ("undecided", 1)]
    assert g[1]["after"]["why"] == \
        "the ledger does not hold claim `ref`, which rule `restart` asks for"
    new = OLD + 'deny own for * on * { run systemctl restart <claim ref>; ' \
        'because "no" }\n'
    assert "rule `own`" in why(ledger.ask(new, RESTART, code=UNDECIDED))[0]


GITHUB = '''policy 1
issuer github { preset github; audience "b" }
identity deploy from github { claim repository_id = "1"; claim ref = "refs/heads/main" }
identity pull from github { claim repository_id = "1"; allow-risky pull-request; claim event_name = "pull_request" }
target web-1 { ssh "deploy@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U" }
allow x for pull on web-1 { run /opt/x }
allow y for deploy on web-1 { run /opt/y }
'''


def test_a_pull_request_is_no_branch(ledger):
    ledger.old.write_text(GITHUB)
    x = line(1, "/opt/x", identity="pull", issuer="github", rule="x",
             pull_request="17")
    assert ledger.ask(GITHUB, x, code=SAME) == []
    # and closed again, it was never one
    shut = GITHUB.replace("allow-risky pull-request; ", "").replace(
        'claim event_name = "pull_request"', "claim actor_id present")
    (g,) = ledger.ask(shut, x, code=NEW)
    assert g["change"] == "denied"
    # the job of a pull request is not the branch's, whatever it may be else
    both = GITHUB.replace("allow y for deploy", "allow y for deploy pull")
    y = line(2, "/opt/y", "deny", identity="pull", issuer="github",
             pull_request="17")
    assert ledger.ask(GITHUB, y, code=SAME) == []
    (g,) = ledger.ask(both, y, code=NEW)
    assert g["change"] == "allowed"


CLAIMS = {"team": "abc", "env": "abc", "commit": "ab", "actor": "ab"}


class Random:
    """Policies in which much hangs on claims, and jobs of which some are
    known."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def condition(self, claim):
        values = CLAIMS[claim]
        return f"claim {claim} " + self.r.choice([
            f'= "{self.r.choice(values)}"', f'= "{self.r.choice(values)}"',
            f'= "{values[0]}" | "{values[1]}"', '= glob "*"', "present",
            "absent"])

    def line(self):
        return "/bin/p " + " ".join(self.r.choice(
            ["x", "y", "<claim team>", "<claim commit>", "<enum a b>"])
            for _ in range(self.r.randint(1, 2)))

    def policy(self):
        r = self.r
        who = ["i1", "i2", "i3"]
        out = [x for x in OLD.splitlines()[:2] + OLD.splitlines()[5:7]]
        for w in who:
            out.append(f'identity {w} from ci {{ claim repo = "1"; ' + "; ".join(
                self.condition(c) for c in r.sample(
                    list(CLAIMS), r.randint(1, 2))) + " }")
        for n in range(r.randint(1, 4)):
            out.append(f"allow a{n} for {' '.join(r.sample(who, 1))} on web-1 "
                       f"{{ run {self.line()} }}")
        for n in range(r.randint(0, 2)):
            out.append(f"deny d{n} for {r.choice(who + ['*'])} on * {{ run "
                       f"{self.line()}; because \"no\" }}")
        return "\n".join(out) + "\n"

    def claims(self):
        return {"repo": "1"} | {
            c: self.r.choice(v) for c, v in CLAIMS.items()
            if self.r.random() < 0.8}

    def command(self):
        return "/bin/p " + " ".join(self.r.choice("xyab") for _ in range(
            self.r.randint(1, 2)))


class Truth(reference.Policy):
    """Who knows all the claims."""

    def __init__(self, path):
        r = subprocess.run([BUILD + "/cli/postern", "policy", "export", path],
                           capture_output=True, text=True, check=True)
        super().__init__(json.loads(r.stdout))

    def claims_of(self, name):
        return self.given

    def verdict(self, claims, command):
        """The identity that the ledger names, and the verdict."""
        self.given = claims
        who = self.session("ci", claims)
        if not who:
            return None, "deny"
        # the ledger's: of the rule that allows, or the policy's first
        words = reference.Command(None, [((), tuple(command.split()))])
        a, = self.ask(reference.Question("ask", min(who), "web-1", False,
                                         1764151200, commands=(words,)))
        first = next(i for i in self.identities if i in who)
        return (a[2] if a[0] == "allow" else first), a[0]


def test_what_is_certain_is_true(ledger):
    """Whatever the rest of the claims was, of which the ledger knows
    nothing."""
    decided = undecided = 0
    for seed in range(40):
        r = Random(seed)
        old, new = r.policy(), r.policy()
        if r.r.random() < 0.5:      # the same who, other rules
            new = "\n".join([*old.splitlines()[:7], *new.splitlines()[7:]])
        ledger.old.write_text(old)
        ledger.new.write_text(new)
        was, now = Truth(ledger.old), Truth(ledger.new)
        lines, want = [], {}
        while len(lines) < 60:
            claims, command = r.claims(), r.command()
            identity, verdict = was.verdict(claims, command)
            if identity is None:
                if r.r.random() < 0.05:
                    break           # hardly anybody is anybody
                continue
            name = f"r{len(lines)}"
            want[name] = (verdict, now.verdict(claims, command)[1], claims)
            lines.append(line(
                len(lines) + 1, command, verdict, identity=identity, rule=name,
                commit=claims.get("commit"), actor=claims.get("actor")))
        for g in ledger.ask(new, *lines):
            before, after, claims = want.pop(g["before"]["by"])
            assert g["before"]["verdict"] == before
            if g["change"] == "undecided":
                undecided += 1
                continue
            decided += 1
            assert g["after"]["verdict"] == after != before, (
                seed, g, claims, old, new)
        for before, after, claims in want.values():
            decided += 1
            assert before == after, (seed, before, claims, old, new)
    assert decided > undecided > 100, (decided, undecided)


# -- lists -------------------------------------------------------------------


def member(number, command, position, verdict="allow", of=2, **more):
    return line(number, command, verdict, list=more.pop("id", LIST),
                position=position, positions=of, **more)


def test_lists(ledger):
    reload, restart, stop = ("/usr/bin/systemctl " + x for x in (
        "reload web", "restart web", "stop web"))
    ledger.ask(NO_RELOAD, member(1, restart, 1), member(2, reload, 2), code=NEW)
    assert ledger.answer["lists"] == {"denied": 1, "allowed": 0,
                                      "undecided": 0}
    assert ledger.answer["counts"]["denied"] == 1
    new = edit(("deny never for *", "deny never for other"),
               ("(restart | reload)", "(restart | stop)"))
    beside = member(1, restart, 1, "deny", reason="list", rule="restart")
    g = ledger.ask(new, beside, member(2, stop, 2, "deny", rule="never"),
                   code=NEW)
    assert [x["count"] for x in g] == [1]
    assert ledger.answer["lists"]["allowed"] == 1
    assert ledger.answer["passed_over"] == 1
    assert "1  list denied then that would run" in ledger.run(new).stdout
    # a limit was not about the commands
    limited = member(2, reload, 2, "deny", reason="limit", rule="restart")
    assert ledger.ask(NO_RELOAD, beside, limited, code=SAME) == []
    assert ledger.answer["lists"] == {"denied": 0, "allowed": 0,
                                      "undecided": 0}
    assert ledger.answer["passed_over"] == 2
    ledger.ask(OLD, beside, limited, code=SAME)
    assert ledger.answer["lists"]["allowed"] == 0
    assert ledger.ask(NO_RELOAD, line(1, reload, "deny", reason="limit"),
                      code=SAME) == []
    # many at once, in any order, and one that the ledger does not have whole
    lines = [member(0, reload if p == 2 else restart, p, id=f"{LIST[:-3]}{i:03}")
             for p in (1, 2) for i in range(60)]
    lines.append(member(0, restart, 1, id="01KAZ0000000000000000000AD"))
    lines = [json.dumps(json.loads(x) | {"number": n})
             for n, x in enumerate(lines, 1)]
    ledger.ask(NO_RELOAD, *lines, code=NEW)
    assert ledger.answer["lists"] == {"denied": 60, "allowed": 0,
                                      "undecided": 1}
    assert ledger.answer["damaged"] == 0


# -- since, options ----------------------------------------------------------


def test_since(ledger):
    now = time.time()
    at = [time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - s))
          for s in (40 * 86400, 20 * 86400, 2 * 3600)]
    ledger.write(*(line(i, "/usr/bin/systemctl reload web", time=t)
                   for i, t in enumerate(at, 1)))
    for since, n in (("30d", 2), ("3h", 1), ("1m", 0), (at[1], 2),
                     (at[1][:10], 2), ("1970-01-01", 3), ("99999d", 3)):
        r = ledger.run(NO_RELOAD, "--since", since, "--json",
                       code=NEW if n else SAME)
        assert json.loads(r.stdout)["commands"] == n, since
    for bad in ("", "7w", "-1d", "1e9d", "99999999999999999999d",
                "2026-02-30", "yesterday", "5"*400):
        r = ledger.run(NO_RELOAD, "--since", bad, code=64)
        assert "--since wants a day" in r.stderr and not r.stdout


def test_what_cannot_be_asked(ledger, tmp_path):
    argv = ledger.argv(OLD)
    assert ledger.run(OLD, code=1).stderr == \
        f"postern: {ledger.file}: No such file or directory\n"
    ledger.write(RESTART)
    assert ledger.run("policy 1\nfrob\n", code=1).stderr.count("frob")
    ledger.old.write_text("policy 1\nfrob\n")
    assert "old.postern:2" in ledger.run(OLD, code=1).stderr
    for more in (["--frob"], [str(ledger.new)], ["--as", "x"]):
        r = subprocess.run(argv + more, capture_output=True, check=False)
        assert r.returncode == 64, more
    argv[argv.index("--ledger") + 1] = str(tmp_path)
    ledger.old.write_text(OLD)
    ledger.new.write_text(OLD)
    r = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert r.returncode == 1 and "this is no file" in r.stderr
    os.mkfifo(tmp_path / "fifo")
    argv[argv.index("--ledger") + 1] = str(tmp_path / "fifo")
    r = subprocess.run(argv, capture_output=True, text=True, check=False,
                       timeout=20)
    assert r.returncode == 1 and "this is no file" in r.stderr


# -- damage ------------------------------------------------------------------


WHOLE = line(1, "/usr/bin/systemctl restart web")
DAMAGED = [
    (WHOLE[:-9], "this is no line of a ledger"),
    ("", "this is no line of a ledger"),
    ("[]", "this is no line of a ledger"),
    (WHOLE.replace("web", "w\0b").encode(), "this is no line of a ledger"),
    (WHOLE.encode().replace(b"web", b"w\xffb"), "this is no line of a ledger"),
    (WHOLE.replace("web", "w\\u0000b"), "this is no line of a ledger"),
    (WHOLE.replace('"pty": false', '"pty": 0'), "this is no line of a ledger"),
    ("[" * 100000, "this is no line of a ledger"),
    (WHOLE.replace('"number": 1', '"number": 1, "number": 1'),
     "this is no line of a ledger"),
    (line(1, "x" * (1 << 20)), "this line is longer than 1 MiB"),
    ("x" * (5 << 20), "this line is longer than 1 MiB"),
    (line(2, "x" * 150000), "a text of this line is too long"),
    (line(2, "x", "maybe"), "this decision has no verdict that is known"),
    (line(2, "x", "maybe", time="yesterday"), "this is no line of a ledger"),
]


@pytest.mark.parametrize("command, verdict", [
    ("sftp", "allow"), ("postern-sftp", "deny"), ("scp -t /srv/a", "allow")])
def test_moved_files_are_no_command(ledger, command, verdict):
    """Which paths they were is not in the ledger."""
    way = "scp-legacy" if command.startswith("scp") else "sftp"
    (g,) = ledger.ask(OLD, line(1, command, verdict, by=way), code=UNDECIDED)
    assert g["change"] == "undecided"
    assert f"files were moved ({way})" in json.dumps(g)


@pytest.mark.parametrize("text, what", DAMAGED,
                         ids=[str(i) for i in range(len(DAMAGED))])
def test_a_damaged_line_is_said_and_counted(ledger, text, what):
    ledger.write(WHOLE, text, line(3, "/usr/bin/systemctl restart web"))
    r = ledger.run(OLD, "--json", code=UNDECIDED)
    said = r.stderr.splitlines()
    assert said == [f"postern: {ledger.file}:2: {what}"]
    x = json.loads(r.stdout)
    assert x["counts"]["same"] == 2 and x["damaged"] == 1


def test_the_last_line_and_the_numbers(ledger):
    ledger.write(WHOLE)
    with ledger.file.open("a") as f:
        f.write(WHOLE[:100])
    r = ledger.run(OLD, code=UNDECIDED)
    assert r.stderr == f"postern: {ledger.file}:2: the last line has no end\n"
    assert "1  place where the ledger is damaged" in r.stdout
    ledger.write(line(4, "/bin/cat"), line(5, "/bin/cat"), line(9, "/bin/cat"))
    r = ledger.run(OLD, code=UNDECIDED)
    assert r.stderr == (f"postern: {ledger.file}:3: its number is 9, and the "
                        "line before has 5\n")
    ledger.write(*["x"] * 1000)
    r = ledger.run(OLD, code=UNDECIDED)
    assert len(r.stderr.splitlines()) == 20
    assert r.stderr.endswith("; there may be more\n")
    assert "1000  places" in r.stdout
    ledger.write()
    assert ledger.run(OLD, code=SAME).stdout == "0 commands of the ledger\n"


def test_events_of_tomorrow_are_passed_over(ledger):
    ledger.write(json.dumps({"number": 1, "time": "2026-11-24T20:08:10.123Z",
                             "event": "tomorrow", "what": [{}]}),
                 line(2, "/usr/bin/systemctl restart web", shape={"x": [1]}))
    assert ledger.run(OLD, code=SAME).stderr == ""


def test_nothing_of_it_reaches_the_terminal_raw(ledger):
    evil = "/bin/x '\u202e\x9b31m'"
    ledger.write(line(1, evil), line(2, "\u202e\x1b[2J", identity="\x1b[2J",
                                     user="\x1b]0;x\x07", rule="\x9b"))
    for more in ([], ["--json"]):
        out = ledger.run(OLD, *more).stdout
        assert not set(out) & set("\x1b\x9b\u202e\x07"), out


# -- size --------------------------------------------------------------------


def big(ledger, n):
    with ledger.file.open("w") as f:
        for i in range(1, n + 1):
            f.write(line(i, f"/usr/bin/systemctl reload web-{i}",
                         session=f"01KAZ000000000000000{i // 7:06}",
                         commit=f"{i // 7:040x}",
                         rule=f"r{i % 5000}") + "\n")


def measured(argv):
    """Seconds of processor time, KiB of memory."""
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, use = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    assert p.returncode == NEW
    return use.ru_utime + use.ru_stime, use.ru_maxrss


with open(BUILD + "/cli/postern", "rb") as f:
    memory = pytest.mark.skipif(b"__asan_init" in f.read(), reason="sanitizers "
                                "have memory of their own")


@memory
def test_a_long_ledger(ledger):
    """100,000 lines, all different, in 5,000 groups: ten times the lines take
    about ten times as long, and no more memory than their groups."""
    big(ledger, 10000)
    t1, m1 = measured(ledger.argv(NO_RELOAD, "--json"))
    big(ledger, 100000)
    t2, m2 = measured(ledger.argv(NO_RELOAD, "--json"))
    assert t2 < 25 * t1 + 1, (t1, t2)
    assert m2 < 1.5 * m1 + 4096, (m1, m2)
    x = json.loads(ledger.run(NO_RELOAD, "--json", code=NEW).stdout)
    assert x["counts"]["denied"] == 100000
    assert len(x["groups"]) == 2000
    assert sum(g["count"] for g in x["groups"]) + x["beyond"] == 100000
    g = x["groups"][0]
    assert len(g["commands"]) == 5 and g["others"] == g["count"] - 5
    assert "in groups beyond the first 2000" in ledger.run(NO_RELOAD).stdout


@memory
def test_memory_has_a_bound(ledger):
    """Long lines, too, within 64 MiB of address space beyond the start."""
    with ledger.file.open("w") as f:
        for i in range(1, 65):
            f.write(line(i, "/bin/x " + "y" * 130000) + "\n")

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (64 << 20, 64 << 20))
    r = subprocess.run(ledger.argv(OLD), capture_output=True, text=True,
                       check=False, preexec_fn=limit)
    assert r.returncode in (NEW, UNDECIDED), r


# -- on a terminal -----------------------------------------------------------


def on_terminal(argv, **env):
    master, slave = pty.openpty()
    p = subprocess.Popen(argv, stdout=slave, stderr=slave,
                         env=os.environ | {"TERM": "xterm"} | env)
    os.close(slave)
    out = b""
    while True:
        try:
            got = os.read(master, 65536)
        except OSError:
            break
        if not got:
            break
        out += got
    os.close(master)
    p.wait()
    return out


def test_colour_and_progress_only_on_a_terminal(ledger):
    big(ledger, 4000)
    argv = ledger.argv(NO_RELOAD)
    out = on_terminal(argv)
    assert b"\x1b[31m- newly denied\x1b[0m" in out
    assert b"rehearsing ... 50%" in out
    assert out.index(b"\x1b[K") < out.index(b"newly denied")
    out = on_terminal(argv, NO_COLOR="1")
    assert b"\x1b[31m" not in out
    r = ledger.run(NO_RELOAD)
    assert "\x1b" not in r.stdout + r.stderr and r.stderr == ""
    ledger.write(RESTART)
    assert b"rehearsing" not in on_terminal(argv)
