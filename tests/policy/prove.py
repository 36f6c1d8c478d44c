"""`postern policy prove` against the decision: random pairs of policies, and
random requests.  What NEW allows and OLD denies must not be called proved, and
the policies are asked about each witness.

    prove.py [PAIRS [SEED]]

A pair is a random policy and the same with something else in it.  Requests are
made from the lines of both."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

from make import quote

BUILD = os.environ["POSTERN_BUILD"]
PER_PAIR = 120
RANK = {"deny": 0, "nobody": 0, "approval": 1, "allow": 2, "observed": 2}
VALUES = ["red", "blue", "x", "a", "dev", "main", "w1", "7", "b"]


class Judge:
    """One policy, asked many times."""

    def __init__(self, name):
        self.p = subprocess.Popen(
            [BUILD + "/tests/policy/judge"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.path = name

    def line(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().rstrip("\n")

    def load(self, text):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(text)
        return self.line("load " + self.path) == "ok"

    def ask(self, q):
        return self.answer(q)[0]

    def answer(self, q):
        """The verdict, and which of what was sent goes along."""
        claims = ",".join(f"{k}={v}" for k, v in q["claims"].items())
        return self.line("\t".join(
            ["judge", q["as"], q["where"], str(int(q["pty"])), str(q["now"]),
             claims, q["kind"], *q["what"],
             *q.get("sent", [])])).split("\t")


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    # -- words: a pattern, and how to make an example of it ---------------------

    def slot(self, path=False):
        r = self.r
        low = r.choice([0, 1, 7])
        high = low + r.choice([0, 1, 4])
        values = r.sample(["web", "a", "b", "w1", "main"], 2)
        claim = r.choice(["team", "env", "rest"])
        some = [
            (f"int {low}..{high}", lambda q: str(r.randint(low, high + 1))),
            ("enum " + " ".join(values), lambda q: r.choice(values)),
            (f"claim {claim}", lambda q: q["claims"].get(claim, "x")),
            ("host", lambda q: r.choice(["a", "x", "10.0.0.1"])),
        ]
        if not path:
            some += [("any", lambda q: r.choice(["a", "x", "zz", "red", "7"])),
                     ("text 1..2", lambda q: r.choice(["a", "x", "zz", "red"])),
                     ("/srv/*", lambda q: r.choice(["/srv/a", "/srv/x/y"])),
                     ("/srv/**", lambda q: r.choice(["/srv/a", "/srv/x/y"]))]
        return r.choice(some)

    def word(self, path=False):
        if self.r.random() < 0.45:
            w = self.r.choice(["a", "b", "x", "web", "red"])
            return w, lambda q: w
        text, make = self.slot(path)
        pre = self.r.choice(["", "", "", "v", "n-"])
        if text.startswith("/"):
            pre = ""
        return f"{pre}<{text}>", lambda q: pre + make(q)

    def words(self, deny):
        r = self.r
        text, makers = [], []
        for _ in range(r.randint(0, 3)):
            w, make = self.word()
            k = r.random()
            if k < 0.15:
                other, make2 = self.word()
                text.append(f"({w} | {other})")
                makers.append(lambda q, m=make, n=make2:
                              [r.choice([m, n])(q)])
            elif k < 0.3:
                text.append(f"[{w}]")
                makers.append(lambda q, m=make: r.choice([[], [m(q)]]))
            elif deny and k < 0.5:
                text.append("<any>...")
                makers.append(lambda q: r.choice([[], ["x"], ["a", "b"]]))
            else:
                text.append(w)
                makers.append(lambda q, m=make: [m(q)])
        return " ".join(text), lambda q: [x for m in makers for x in m(q)]

    def stage(self, deny):
        first = self.r.choice(["/b/p", "/b/p", "p", "/b/q"])
        if deny and self.r.random() < 0.2:
            first = "<any>..."
        sets, vals = "", []
        if self.r.random() < 0.2:
            w, make = self.word()
            name = self.r.choice("AB")
            sets, vals = f"{name}={w} ", [(name, make)]
        text, make = self.words(deny)

        def example(q):
            p = self.r.choice(["/b/p", "p", "/b/q"]) \
                if first == "<any>..." or self.r.random() < 0.1 else first
            words = make(q)
            if self.r.random() < 0.1:
                words.append("x")
            return " ".join([f"{n}={quote(m(q))}" for n, m in vals] + [p] +
                            [quote(w) for w in words])
        return f"{sets}{first} {text}".strip(), example

    # -- lines -------------------------------------------------------------------

    def run(self, deny):
        r = self.r
        stages = [self.stage(deny) for _ in range(r.choice([1, 1, 1, 2]))]
        folder = r.choice(["", "", "", "/srv/**", "/srv/*"])
        text = "run " + (f"in <{folder}> " if folder else "") + \
            " | ".join(s[0] for s in stages)
        if not deny:
            text += r.choice(["", "", "", " with pty", " with stdin"])

        def example(q):
            out = " | ".join(s[1](q) for s in stages)
            if folder and r.random() < 0.9:
                out = r.choice(["cd /srv/a && ", "cd /srv/x/y && "]) + out
            return "run", [out]
        return text, example

    def path(self):
        r = self.r
        parts = [(r.choice("ab"), None) for _ in range(r.randint(0, 1))]
        if r.random() < 0.5:
            parts.append(self.word(path=True))
        fixed = [(t, m if m else (lambda q, t=t: t)) for t, m in parts]
        return "/srv" + "".join("/" + t for t, _ in fixed), \
            lambda q: "/srv" + "".join("/" + m(q) for _, m in fixed)

    def transfer(self, deny):
        r = self.r
        what, way = r.choice(["read", "write"]), r.choice(["sftp", "rsync"])
        text, make = self.path()
        tail = "" if deny else r.choice(["", "", " max 1MiB"])

        def example(q):
            return what, [make(q) + r.choice(["", "/x", "/a/b"]), way]
        return f"{what} under {text} by {way}{tail}", example

    def git(self, deny):
        del deny
        r = self.r
        what = r.choice(["read", "write"])
        text, make = self.path()
        ref = r.choice(["", "refs/heads/*", "refs/heads/**",
                        "refs/heads/<claim env>", "refs/heads/<int 1..9>"])

        def example(q):
            return "git " + what, [make(q), r.choice(
                ["", "refs/heads/x", "refs/heads/x/y", "refs/heads/7",
                 "refs/heads/" + q["claims"].get("env", "x")])]
        return f"git {what} {text}" + (f' refs "{ref}"' if ref else ""), \
            example

    def line(self, deny):
        k = self.r.random()
        if k < 0.65:
            return self.run(deny)
        if k < 0.82:
            return self.transfer(deny)
        if k < 0.95:
            return self.git(deny)
        return "interactive", lambda q: ("interactive", [])

    def rule(self, n):
        r = self.r
        deny = r.random() < 0.3
        who = r.choice(["*", "red", "blue", "some", "red some"])
        where = r.choice(["*", "t1", "t2", "@web", "root+t1"])
        body = []
        for _ in range(r.randint(1, 3)):
            text, example = self.line(deny)
            if text not in body:
                body.append(text)
            self.examples.append((example, who, where))
        if r.random() < 0.15:
            body.append("window Mon-Fri 07:00-19:00 UTC")
        if not deny:
            if r.random() < 0.2:
                body.append(f"limit duration {r.randint(1, 2)}m")
            if r.random() < 0.15:
                body.append("require 1 approval from team within 5m valid 5m")
            if r.random() < 0.1:
                body.append("mask 'a+' as \"m\"; floor")
            for name in "AB":
                if r.random() < 0.3:
                    body.append(f"env {name} <{self.slot()[0]}>")
        return (f"{'deny' if deny else 'allow'} r{n} for {who} on {where} {{ "
                + "; ".join(body) + " }\n")

    def frame(self):
        r = self.r
        until = time.strftime("%Y-%m-%d",
                              time.gmtime(time.time() + 40 * 86400))
        seen = f"observe until {until}; " if r.random() < 0.05 else ""
        placed = r.choice(["", "", " on t1"])
        key = "SHA256:" + "A" * 42
        return [
            'issuer ci { preset custom; url "https://ci.example"; '
            'audience "b"; algorithms ES256 }\n',
            'issuer okta { preset people; url "https://o.example"; '
            'audience "p" }\n',
            'person ann { token okta { claim sub = "1" } }\n',
            'people team { ann }\n',
            'identity red from ci { claim team = "red" }\n',
            'identity blue from ci { claim team = "blue" | glob "b*"; '
            'claim env present }\n',
            'identity some from ci { claim env = "dev" | "main" }\n',
            f'target t1 {{ ssh "d@10.0.0.1:22"; hostkey ssh-ed25519 '
            f'"{key}A"; group web; {seen}login root }}\n',
            f'target t2 {{ ssh "d@10.0.0.2:22"; hostkey ssh-ed25519 '
            f'"{key}E" }}\n',
            f"program p = /b/p{placed}\n"]

    def pair(self):
        """Two lists of statements that differ in a few rules."""
        r = self.r
        self.examples = []
        frame = self.frame()
        rules = [self.rule(n) for n in range(r.randint(1, 5))]
        new = list(rules)
        for _ in range(r.randint(1, 2)):
            k = r.random()
            if k < 0.3 and new:
                new.pop(r.randrange(len(new)))
            elif k < 0.6 and new:
                i = r.randrange(len(new))
                new[i] = self.change(new[i])
            else:
                new.append(self.rule(90 + len(new)))
        other = frame if r.random() < 0.85 else self.frame()
        pair = [frame + rules, other + new]
        if r.random() < 0.3:
            pair.reverse()
        return pair

    def change(self, rule):
        """Something else in its place."""
        swaps = [("int 0", "int 1"), ("..7", "..8"), ("/srv/**", "/srv/*"),
                 ("claim env", "claim team"), ("claim team", "claim rest"),
                 ("claim rest", "any"), ("any", "text 1..2"), ("by sftp",
                 "by rsync"), (" max 1MiB", ""), (" with stdin", ""),
                 ("[a]", "a"), (" a", " <any>"), ("1m", "2m"),
                 ("refs/heads/**", "refs/heads/*"), ("for red", "for *"),
                 ("on t1", "on *"), ("require 1", "require 2"),
                 ("run /b/p", "run p"), ("host", "claim env")]
        found = [s for s in swaps if s[0] in rule] + [
            (b, a) for a, b in swaps if b and b in rule]
        if not found:
            return self.rule(80)
        a, b = self.r.choice(found)
        return rule.replace(a, b, 1)

    def question(self):
        r = self.r
        example, who, where = r.choice(self.examples)
        if who == "*" or r.random() < 0.2:
            who = "red blue some"
        if where == "*" or r.random() < 0.2:
            where = "t1 t2 root+t1"
        who = r.choice(who.split())
        claims = {"team": r.choice(VALUES), "env": r.choice(VALUES),
                  "rest": r.choice(VALUES)}
        claims.update({"red": {"team": "red"}, "some": {
            "env": r.choice(["dev", "main"])}, "blue": {
                "team": r.choice(["blue", "b", "bx"])}}[who])
        if r.random() < 0.3:
            claims["rest"] = claims["env"] = claims["team"]
        q = {"as": who, "claims": claims,
             "where": r.choice(where.replace("@web", "t1").split()),
             "pty": r.random() < 0.1,
             "now": int(time.time()) + r.randrange(300 * 86400)}
        q["kind"], q["what"] = example(q)
        if q["kind"] == "run" and r.random() < 0.5:
            q["sent"] = [f"{name}=" + r.choice(
                VALUES + ["web", "va", "n-1", "0", "1", "8", claims["env"]])
                for name in r.choice(["A", "B", "AB"])]
        return q


def prove(paths):
    r = subprocess.run(
        [BUILD + "/cli/postern", "policy", "prove", "--json", "--budget", "20",
         *paths], capture_output=True, text=True, check=False)
    assert r.returncode in (0, 3, 4), (r, [open(p).read() for p in paths])
    return r


def of_witness(w):
    kind = w["kind"]
    what = [w["command"]] if kind == "run" else [w["path"], w["by"]] \
        if kind in ("read", "write") else [w["path"], w.get("ref", "")] \
        if kind.startswith("git") else []
    return {"as": w["as"], "claims": w["claims"],
            "where": w["login"] + "+" + w["target"], "pty": w["pty"],
            "now": w["time"], "kind": kind, "what": what,
            "sent": w.get("sent", [])}


def complain(pair, *what):
    for name, text in zip(("OLD", "NEW"), pair):
        print(f"----- {name}\n{text}")
    for w in what:
        print(w)
    sys.exit(1)


def check(judges, pair, maker, count):
    r = prove([j.path for j in judges])
    count[r.returncode] = count.get(r.returncode, 0) + 1
    if r.returncode == 3:
        w = json.loads(r.stdout)[0]
        q = of_witness(w)
        answers = [j.ask(q) for j in judges]
        said = [w["before"]["verdict"], w["after"]["verdict"]]
        # claims that are missing in a witness are filled in by `ask`
        if [a.replace("nobody", "deny") for a in answers] != said:
            complain(pair, f"witness: {w}", f"the decision says {answers}")
        return
    for line in r.stderr.splitlines():
        count[line.split(": ")[-1]] = count.get(line.split(": ")[-1], 0) + 1
    for _ in range(PER_PAIR if r.returncode == 0 else 0):
        q = maker.question()
        if "sent" in q:
            # with no more than what goes along: the rest changes nothing
            *_, goes = judges[1].answer(q)
            q["sent"] = [s for i, s in enumerate(q["sent"])
                         if str(i) in goes.split(",")]
            count["sent"] = count.get("sent", 0) + (q["sent"] != [])
        old, new = (j.ask(q) for j in judges)
        if old == "syntax" or new == "syntax":
            continue
        count["asked"] = count.get("asked", 0) + 1
        if RANK[new] > 0:
            count["allowed"] = count.get("allowed", 0) + 1
        if RANK[new] > RANK[old]:
            complain(pair, f"question: {q}", f"OLD says {old}, NEW {new}, "
                     "and prove says that nothing is new")


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count, done, tried = {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        judges = [Judge(f"{folder}/{n}.postern") for n in ("old", "new")]
        while done < pairs:
            maker = Maker(seed * 1000003 + tried)
            tried += 1
            pair = ["policy 1\n" + "".join(p) for p in maker.pair()]
            if not all([j.load(p) for j, p in zip(judges, pair)]):
                continue
            done += 1
            check(judges, pair, maker, count)
    print(f"{done} of {tried} pairs load: {count}")
    # A test in which nothing is ever proved, or refuted, shows nothing.
    assert count.get(0, 0) > pairs / 10 and count.get(3, 0) > pairs / 10
    assert count.get("sent", 0) > 0 or pairs < 60
    assert count.get(4, 0) < pairs / 4 and count.get("allowed", 0) > pairs


main()
