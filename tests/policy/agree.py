"""Postern's decision against the reference, on random policies and commands,
and against itself: a deny rule more or an allow rule less never allows
anything new, and the order of a policy changes no answer.

    agree.py [PAIRS [SEED]]"""

import json
import os
import re
import subprocess
import sys
import tempfile

from make import Maker
from reference import VARS, Policy

PER_POLICY = 50
# What is let through on trial is meant as a denial.
RANK = {"deny": 0, "observed": 0, "nobody": 0, "syntax": 0, "approval": 1,
        "allow": 2}


class Judge:
    def __init__(self):
        self.p = subprocess.Popen(
            [os.environ["POSTERN_BUILD"] + "/tests/policy/judge"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.file = tempfile.NamedTemporaryFile("w", suffix=".postern")
        assert self.line("vars " + "\t".join(f"{n}={v}" for n, v in VARS)) \
            == "ok"

    def line(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().rstrip("\n")

    def load(self, statements):
        self.file.seek(0)
        self.file.truncate()
        self.file.write("policy 1\n" + "".join(statements))
        self.file.flush()
        return self.line("load " + self.file.name) == "ok"

    def ask(self, question):
        """What is said of each command of a list."""
        return [parse(a) for a in self.line(question.line()).split("/")]


def parse(answer):
    f = answer.split("\t")
    if len(f) == 1:
        return f[0]
    if f[0] == "deny":
        return "deny", f[1]
    return (*f[:3], *map(int, f[3:17]), f[17].count(","), f[18].count(","),
            frozenset(int(n) for n in f[19].split(",") if n))


def complain(statements, question, *what):
    print("policy 1\n" + "".join(statements))
    print("question:", question)
    for w in what:
        print(w)
    sys.exit(1)


def worst(answers):
    """A list is run whole or not at all."""
    return min(RANK[a if isinstance(a, str) else a[0]] for a in answers)


def metamorphic(judge, maker, statements, asked):
    """asked: questions and what the whole policy said."""
    rules = [i for i, s in enumerate(statements)
             if re.match("(allow|deny) ", s)]
    shuffled = maker.r.sample(statements, len(statements))
    if not judge.load(shuffled):
        complain(shuffled, (), "does not load in another order")
    for q, a in asked:
        if judge.ask(q) != a:
            complain(shuffled, q, f"in order: {a}", "shuffled: another")
    allows = [i for i in rules if statements[i].startswith("allow")]
    changed = [statements + [maker.rule(90 + n, "deny")] for n in (0, 1, 2)]
    if allows:
        gone = maker.r.choice(allows)
        # A floor is there to take away: without it there may be more.
        if " floor" not in statements[gone]:
            changed.append(statements[:gone] + statements[gone + 1:])
    for other in changed:
        if not judge.load(other):
            continue
        for q, a in asked:
            b = judge.ask(q)
            if worst(b) > worst(a):
                complain(other, q, f"before: {a}", f"now: {b}")


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    judge, done, loaded, tried = Judge(), 0, 0, 0
    count = {}  # (kind, verdict)
    some = dict.fromkeys(("lists", "pipelines", "folders", "variables",
                          "variables of the job"), 0)
    while done < pairs:
        maker = Maker(seed * 1000003 + tried)
        tried += 1
        statements = maker.policy()
        if not judge.load(statements):
            continue
        loaded += 1
        reference = Policy(json.loads(judge.line("export")))
        asked = []
        for _ in range(PER_POLICY):
            q = maker.question()
            a = judge.ask(q)
            if a == ["syntax"]:
                continue
            b = reference.ask(q)
            done += 1
            if a != b:
                complain(statements, q, f"postern: {a}", f"reference: {b}")
            for x in a:
                verdict = x if isinstance(x, str) else x[0]
                count[q.kind, verdict] = count.get((q.kind, verdict), 0) + 1
            some["lists"] += len(a) > 1
            some["variables of the job"] += any(
                isinstance(x[-1], frozenset) and x[-1] for x in a)
            for c in q.commands:
                some["pipelines"] += len(c.programs) > 1
                some["folders"] += c.folder is not None
                some["variables"] += any(v for v, _ in c.programs)
            if a != ["nobody"]:
                asked.append((q, a))
        metamorphic(judge, maker, statements, asked)
    print(f"{done} pairs, {loaded} of {tried} policies load: " + ", ".join(
        f"{n} {kind} {verdict}" for (kind, verdict), n in sorted(
            count.items())))
    print(", ".join(f"{n} {k}" for k, n in some.items()))
    # A test that only ever denies would agree with anything.
    for kind in ("ask", "file", "git", "shell"):
        all_of = sum(n for (k, _), n in count.items() if k == kind)
        assert all_of > pairs / 30, (kind, count)
        assert count.get((kind, "allow"), 0) > all_of / 20, (kind, count)
    assert count.get(("ask", "approval"), 0) > pairs / 200, count
    assert count.get(("ask", "observed"), 0) > pairs / 100, count
    assert min(some.values()) > pairs / 50, some
    assert loaded > tried / 3, (loaded, tried)


main()
