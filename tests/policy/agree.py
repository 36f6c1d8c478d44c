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
from reference import Policy

PER_POLICY = 50
RANK = {"deny": 0, "nobody": 0, "syntax": 0, "approval": 1, "allow": 2}


class Judge:
    def __init__(self):
        self.p = subprocess.Popen(
            [os.environ["POSTERN_BUILD"] + "/tests/policy/judge"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.file = tempfile.NamedTemporaryFile("w", suffix=".postern")

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
        who, where, pty, now, command = question
        return self.line(f"ask {who}\t{where}\t{int(pty)}\t{now}\t{command}")


def parse(answer):
    f = answer.split("\t")
    if len(f) == 1:
        return f[0]
    if f[0] == "deny":
        return "deny", f[1]
    return (f[0], f[1], f[2], f[3] == "1", f[4] == "1", *map(int, f[5:11]),
            f[11].count(","), f[12].count(","))


def complain(statements, question, *what):
    print("policy 1\n" + "".join(statements))
    print("question:", *question, sep="\n  ")
    for w in what:
        print(w)
    sys.exit(1)


def metamorphic(judge, maker, statements, asked):
    """asked: questions and what the whole policy said."""
    rules = [i for i, s in enumerate(statements)
             if re.match("(allow|deny) ", s)]
    shuffled = maker.r.sample(statements, len(statements))
    if not judge.load(shuffled):
        complain(shuffled, (), "does not load in another order")
    for q, a in asked:
        if parse(judge.ask(q))[:2] != a[:2] or (
                a[0] != "deny" and parse(judge.ask(q)) != a):
            complain(shuffled, q, f"in order: {a}", "shuffled: another")
    allows = [i for i in rules if statements[i].startswith("allow")]
    changed = [statements + [maker.rule(99, "deny")]]
    if allows:
        gone = maker.r.choice(allows)
        if " floor" not in statements[gone] and \
           "require" not in statements[gone]:
            changed.append(statements[:gone] + statements[gone + 1:])
    for other in changed:
        if not judge.load(other):
            continue
        for q, a in asked:
            b = judge.ask(q).split("\t")[0]
            if RANK[b] > RANK[a[0] if isinstance(a, tuple) else a]:
                complain(other, q, f"before: {a}", f"now: {b}")


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    judge, done, loaded, tried = Judge(), 0, 0, 0
    count = {}
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
            a = parse(judge.ask(q))
            if a == "syntax":
                continue
            b = reference.ask(*q)
            done += 1
            kind = a if isinstance(a, str) else a[0]
            count[kind] = count.get(kind, 0) + 1
            if a != b:
                complain(statements, q, f"postern: {a}", f"reference: {b}")
            if a != "nobody":
                asked.append((q, a))
        metamorphic(judge, maker, statements, asked)
    print(f"{done} pairs, {loaded} of {tried} policies load: " + ", ".join(
        f"{n} {k}" for k, n in sorted(count.items())))
    # A test that only ever denies would agree with anything.
    assert count.get("allow", 0) > pairs / 20 and \
        count.get("approval", 0) > pairs / 200, count
    assert loaded > tried / 3, (loaded, tried)


main()
