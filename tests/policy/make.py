"""Random policies, and commands that come near to what they allow."""

import random
import string

WORDS = ["restart", "stop", "-u", "--now", "-n", "web", "api", "x", "a b",
         "--ref=", "/srv/app", "it's", "-", "--", "1", "über", "with", "in"]
FIRST = ["systemctl", "/usr/bin/systemctl", "git", "/usr/bin/git",
         "/opt/run", "id", "/opt/v1/run"]
PATHS = ["/srv/app/**", "/srv/*/log", "/var/log/*.log", "/srv/.*", "/srv/*.",
         "/**", "/etc/motd", "/srv/*.*", "/x/..*", "/x/*..", "/srv/a*b*"]
CLAIMS = ["team", "env"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York"]
NOWS = [0, 1764151200, 1764540000, 1774746000, 1774749600, 1793494800,
        1793498400]


def quote(word):
    if word and all(c in string.ascii_letters + string.digits + "_./:,@%+-"
                    for c in word) and word not in ("with", "in"):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def some(self, *choices):
        return self.r.choice(choices)()

    # -- slots: the text in the policy, and a function that makes an example ----

    def slot(self, inside=False, deny=False):
        r = self.r
        kinds = [self.s_int, self.s_enum, self.s_text, self.s_semver,
                 self.s_sha, self.s_host, self.s_claim, self.s_type,
                 self.s_ref]
        if not inside:
            kinds += [self.s_path, self.s_path]
        if not inside or deny:
            kinds += [self.s_any]
        return r.choice(kinds)()

    def s_int(self):
        low = self.r.choice([0, 1, 7, 95, 1000, 2**32])
        high = low + self.r.choice([0, 1, 4, 99, 123456, 2**40])
        return f"int {low}..{high}", lambda: str(self.r.choice(
            [low, high, self.r.randint(low, high), high + 1,
             max(0, low - 1)]))

    def s_enum(self):
        v = self.r.sample(["web", "api", "w1", "blue", "green", "a"], 3)
        return "enum " + " ".join(v), lambda: self.r.choice(v)

    def s_text(self):
        n = self.r.choice([1, 3, 80])
        return f"text 1..{n}", lambda: "".join(
            self.r.choice("ab ü-./") for _ in range(self.r.randint(1, n + 1)))

    def s_semver(self):
        return "semver", lambda: self.r.choice(
            ["1.2.3", "0.0.0-rc.1+b7", "01.2.3", "1.2.3-01", "1.2.3-0a",
             "1.2", "1.2.3+01.-"])

    def s_sha(self):
        return "sha", lambda: self.r.choice("0a9f") * self.r.choice(
            [40, 64, 41])

    def s_host(self):
        return "host", lambda: self.r.choice(
            ["web-1", "10.0.0.1", "10.1", "0x7f.1", "a.0x1", "1.2.3.256",
             "a.b-c.de", "a-.b", "-a", "A" * 63, "a" * 64, "1.2.3.4.5",
             "x.9", "9a", "010.0.0.1", "1.2.3.4a"])

    def s_claim(self):
        return "claim " + self.r.choice(CLAIMS), lambda: self.r.choice(
            ["red", "blue", "a/b", "x"])

    def s_type(self):
        return self.r.choice([
            ("service", lambda: self.r.choice(["web", "api", "db"])),
            ("release", lambda: self.r.choice(
                ["refs/tags/v1.2", "refs/tags/v1.x", "refs/tags/v01.2"]))])

    def s_ref(self):
        return 'git-ref "refs/heads/<enum main dev>-<int 1..9>"', \
            lambda: self.r.choice(["refs/heads/main-1", "refs/heads/dev-10"])

    def s_any(self):
        return "any", lambda: self.r.choice(["", "x", "-x", "a b", "ü"])

    def s_path(self):
        p = self.r.choice(PATHS)

        def example():
            out = ""
            for c in p.replace("**", "\1"):
                out += {"\1": lambda: self.r.choice(
                    ["a", "a/b", "", "..", "a/../b", ".x", "a//b"]),
                    "*": lambda: self.r.choice(
                        ["", ".", "..", "a", "a.b", "/"])}.get(
                            c, lambda c=c: c)()
            return out
        return p, example

    # -- patterns ------------------------------------------------------------------

    def word(self, deny):
        r = self.r
        kind = r.random()
        if kind < 0.5:
            w = r.choice(WORDS)
            return quote(w), lambda: [w]
        if kind < 0.8:
            text, ex = self.slot(deny=deny)
            if r.random() < 0.25:
                return f"<{text}>...", lambda: [
                    ex() for _ in range(r.randint(1, 3))]
            return f"<{text}>", lambda: [ex()]
        pre = r.choice(["--x=", "v", "-"])
        text, ex = self.slot(inside=True, deny=deny)
        post = r.choice(["", "", ".z", "[q]", "(j | k)"])
        tail = {"": [""], ".z": [".z"], "[q]": ["", "q"],
                "(j | k)": ["j", "k", "l"]}[post]
        return f"{pre}<{text}>{post}", lambda: [pre + ex() + r.choice(tail)]

    def words(self, deny, depth=0):
        parts = []
        for _ in range(self.r.randint(1, 3)):
            k = self.r.random()
            if depth < 2 and k < 0.15:
                alts = [self.words(deny, depth + 1) for _ in range(2)]
                parts.append(("(" + " | ".join(a[0] for a in alts) + ")",
                              lambda alts=alts: self.r.choice(alts)[1]()))
            elif depth < 2 and k < 0.3:
                one = self.words(deny, depth + 1)
                parts.append((f"[{one[0]}]", lambda one=one: self.r.choice(
                    [list, one[1]])()))
            else:
                parts.append(self.word(deny))
        return (" ".join(p[0] for p in parts),
                lambda: [w for p in parts for w in p[1]()])

    def run(self, deny):
        r = self.r
        first = quote(r.choice(FIRST))
        if r.random() < 0.1:
            first = "(systemctl | id)"
        elif r.random() < 0.1:
            first = "/opt/v<int 1..3>/run"
        elif deny and r.random() < 0.3:
            first = "<any>..."
        text, ex = self.words(deny)
        tail = "" if deny else r.choice(
            ["", "", "", " with pty", " with stdin", " with pty stdin",
             " with stdin max 1MiB"])
        self.examples.append((first, ex, *self.place))
        return f"run {first} {text}{tail}"

    def rule(self, n, effect):
        r = self.r
        deny = effect == "deny"
        who = "*" if r.random() < 0.2 else " ".join(
            r.sample(["red", "blue", "both"], r.randint(1, 2)))
        where = r.choice(["*", "web-1", "@web", "root+web-1", "root+@web",
                          "web-2", "web-1 web-2"])
        self.place = (who, where)
        body = [self.run(deny) for _ in range(r.randint(1, 3))]
        if r.random() < 0.2:
            body.append(f"window {r.choice(['Mon-Fri', 'Sun', 'Mon,Wed-Sun'])}"
                        f" {r.choice(['07:00-19:00', '22:00-06:00'])} "
                        f"{r.choice(ZONES)}")
        if not deny:
            if r.random() < 0.3:
                body.append(f"limit duration {r.randint(1, 3)}m")
            if r.random() < 0.2:
                body.append(f"limit rate {r.randint(1, 3)} per "
                            f"{r.randint(1, 3)}m")
            if r.random() < 0.2:
                body.append(f"require {r.randint(1, 2)} approvals from team "
                            f"within {n + 1}m valid 5m")
            if r.random() < 0.2:
                body.append("floor")
            if r.random() < 0.2:
                body.append(f"mask '{r.choice('abc')}+' as \"m\"")
        r.shuffle(body)
        return (f"{effect} r{n} for {who} on {where} {{\n    " +
                "\n    ".join(body) + "\n}\n")

    def policy(self):
        """Statements, in no order that matters."""
        r = self.r
        self.examples = []
        out = [
            'issuer ci { preset custom; url "https://ci.example"; '
            'audience "b"; algorithms ES256 }\n',
            'issuer okta { preset people; url "https://o.example"; '
            'audience "p" }\n',
            'identity red from ci { claim team = "red" }\n',
            'identity blue from ci { claim team = "blue" | glob "b*"; '
            'claim env present }\n',
            'identity both from ci { claim team = "red" | "blue"; '
            'claim env absent }\n',
            'person ann { token okta { claim sub = "1" } }\n',
            'person bob { token okta { claim sub = "2" } }\n',
            'people team { ann bob }\n',
            'program systemctl = /usr/bin/systemctl\n',
            'program git = /usr/bin/git\n',
            'type service = enum web api\n',
            'type release = git-ref "refs/tags/v<int>.<int>"\n']
        for n in (1, 2, 3):
            out.append(
                f'target web-{n} {{ ssh "deploy@10.0.0.{n}:22"; hostkey '
                f'ssh-ed25519 "SHA256:{"A" * 42}{"AEI"[n - 1]}"; '
                f'{"group web; " if n < 3 else ""}login root }}\n')
        if r.random() < 0.3:
            out.append("defaults { limit duration 2m; mask 'd' as \"d\" }\n")
        for n in range(r.randint(1, 10)):
            out.append(self.rule(n, r.choice(["allow", "allow", "deny"])))
        return out

    # -- commands ------------------------------------------------------------------

    def command(self, first, example):
        r = self.r
        first = {"(systemctl | id)": "id", "<any>...": r.choice(FIRST),
                 "/opt/v<int 1..3>/run": r.choice(
                     ["/opt/v1/run", "/opt/v4/run"])}.get(first, first)
        if r.random() < 0.1:
            first = r.choice(FIRST)
        words = example()
        k = r.random() * 1.5
        if k < 0.1 and words:
            words.pop(r.randrange(len(words)))
        elif k < 0.2:
            words.insert(r.randint(0, len(words)), r.choice(WORDS))
        elif k < 0.25 and words:
            words.append(r.choice(words))
        return " ".join([first] + [quote(w) for w in words])

    def question(self):
        """Mostly for whom and where the rule is whose line is tried."""
        r = self.r
        first, example, who, where = r.choice(self.examples)
        if who == "*" or r.random() < 0.2:
            who = "red blue both"
        places = {"*": "web-1 web-3", "@web": "web-1 web-2",
                  "root+@web": "root+web-1"}.get(where, where)
        if r.random() < 0.2:
            places = "web-1 web-2 web-3 root+web-1 root+web-3"
        return (r.choice(who.split()), r.choice(places.split()),
                r.random() < 0.1, r.choice(NOWS),
                self.command(first, example))
