"""Random policies, and commands that come near to what they allow."""

import datetime
import random
import string

from reference import Command, Question

WORDS = ["restart", "stop", "-u", "--now", "-n", "web", "api", "x", "a b",
         "--ref=", "/srv/app", "it's", "-", "--", "1", "über", "with", "in"]
FIRST = ["systemctl", "/usr/bin/systemctl", "git", "/usr/bin/git",
         "/opt/run", "id", "/opt/v1/run"]
PATHS = ["/srv/app/**", "/srv/*/log", "/var/log/*.log", "/srv/.*", "/srv/*.",
         "/**", "/etc/motd", "/srv/*.*", "/x/..*", "/x/*..", "/srv/a*b*"]
SIDES = ["systemctl", "/usr/bin/systemctl", "git", "/opt/run"]
FOLDERS = ["/srv/app/x", "/srv/app/x/y", "/srv/web", "/srv/app", "/srv"]
UNDER = {"/srv/app": ["/srv/app", "/srv/app/a", "/srv/app/a/b"],
         "/srv/<enum web api>": ["/srv/web", "/srv/api/x"],
         "/srv/v<int 1..9>/x": ["/srv/v3/x/y", "/srv/v9/x"],
         "/srv/<claim team>/pub": ["/srv/red/pub/z", "/srv/blue/pub"],
         "/srv/<semver>": ["/srv/1.2.3/a", "/srv/1.2.3-rc1"]}
BENEATH = ["/srv/app", "/srv/app/a", "/srv/app/a/b", "/srv/web/x", "/srv/api", "/srv/v3/x/y",
           "/srv/v10/x", "/srv/red/pub/z", "/srv/1.2.3/a", "/srv/appx",
           "/srv", "/", "/srv/app/../web", "/srv/app//x", "srv/app",
           "/srv/app/.", "/etc/passwd", "/srv/app/", "/srv/app/...", "/srv/v3"]
REPOSITORIES = {"/git/a.git": ["/git/a.git"],
                "/git/<enum web api>.git": ["/git/web.git", "/git/api.git"],
                "/git/<claim team>.git": ["/git/red.git", "/git/blue.git"]}
ASKED = ["/git/a.git", "/git/web.git", "/git/db.git", "/git/red.git",
         "/git/a.git/x", "/git/../git/a.git", "git/a.git"]
REFS = ['"refs/heads/main"', '"refs/heads/f/*"', '"refs/**"',
        '"refs/tags/v<int>.<int>"', '"refs/heads/<enum web api>"']
REF = ["", "refs/heads/main", "refs/heads/f/x", "refs/heads/f/x/y",
       "refs/tags/v1.2", "refs/tags/v1.02", "refs/heads/web", "refs/x"]
WAYS = ["sftp", "scp-legacy", "rsync"]
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
        if not self.claims:  # an identity here has none of these
            return self.s_enum()
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
        for _ in range(self.r.choice([1, 1, 1, 2, 2, 3])):
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

    def variable(self, k):
        """A name with its value's pattern, and what it is set to."""
        text, ex = self.r.choice([
            ("blue", lambda: self.r.choice(["blue", "blue", "blue", ""])),
            ("(blue | green)", lambda: self.r.choice(["blue", "green", "x"])),
            *[(f"<{t}>", e) for t, e in (self.s_int(), self.s_enum(),
                                         self.s_claim())]])
        return f"V{k}={text} ", lambda: f"V{k}={ex()}"

    def program(self, deny, firsts):
        """Its text, and what makes (variables, words) of it."""
        r = self.r
        first = quote(r.choice(firsts))
        examples = {"(systemctl | id)": ["id", "systemctl"],
                    "/opt/v<int 1..3>/run": ["/opt/v1/run", "/opt/v4/run"],
                    "<any>...": FIRST}
        if firsts is FIRST:
            k = r.random()
            if k < 0.1:
                first = "(systemctl | id)"
            elif k < 0.2:
                first = "/opt/v<int 1..3>/run"
            elif deny and k < 0.45:
                first = "<any>..."
        variables = [self.variable(k) for k in range(
            r.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2]))]
        text, ex = self.words(deny)

        def example():
            return ([v[1]() for v in variables],
                    [r.choice(examples.get(first, [first])), *ex()])
        return "".join(v[0] for v in variables) + f"{first} {text}", example

    def again(self, lines, deny):
        """Often a line of another rule, so that several speak of one thing."""
        usable = [x for x in lines if (deny or not x[0]) and
                  (self.claims or "<claim" not in x[1])]
        if usable and self.r.random() < 0.5:
            return self.r.choice(usable)
        return None

    def pattern(self, deny):
        r = self.r
        n = r.choice([1, 1, 1, 1, 1, 1, 1, 2, 2, 3])
        programs = [self.program(deny, FIRST if n == 1 else SIDES)
                    for _ in range(n)]
        where = r.choice(["", "", "", "", "", "", "in </srv/**> ",
                          "in </srv/*> ", "in <place> "])
        return (deny, f"run {where}{' | '.join(p[0] for p in programs)}",
                lambda: Command(r.choice(FOLDERS) if where else None,
                                [p[1]() for p in programs]))

    def run(self, deny):
        it = self.again(self.patterns, deny) or self.pattern(deny)
        self.patterns.append(it)
        self.examples.append((it[2], *self.place))
        return it[1] + ("" if deny else self.r.choice(
            ["", "", "", " with pty", " with stdin", " with pty stdin",
             " with stdin max 1MiB"]))

    def path(self, some):
        return self.r.choice([p for p in some
                              if self.claims or "<claim" not in p])

    def file(self, deny):
        r = self.r
        ways = r.sample(WAYS, r.randint(1, 3))
        access, under = r.choice(["read", "write"]), self.path(UNDER)
        return (deny, f"{access} under {under} by {' '.join(ways)}",
                dict(kind="file", access=access, way=r.choice(ways),
                     path=r.choice(UNDER[under])))

    def git(self, deny):
        r = self.r
        refs = r.sample(REFS, r.randint(0, 2))
        access, path = r.choice(["read", "write"]), self.path(REPOSITORIES)
        return (deny, f"git {access} {path}{' refs ' if refs else ''}"
                f"{' '.join(refs)}",
                dict(kind="git", access=access,
                     path=r.choice(REPOSITORIES[path])))

    def other(self, deny):
        """A line that is no command."""
        r = self.r
        if r.random() < 0.15:
            it = (deny, "interactive", dict(kind="shell"))
        else:
            it = self.again(self.others, deny) or r.choice(
                [self.file, self.git])(deny)
            self.others.append(it)
        self.kinds.append((self.place, it[2]))
        line = it[1]
        if it[2]["kind"] == "file" and not deny:
            line += r.choice(["", "", " max 1MiB", " max 5KiB"])
            if line.startswith("write"):
                line += r.choice(["", " no-delete"])
            if "rsync" not in line or line.startswith("write"):
                line += r.choice(["", " no-symlinks"])
        return line

    def demands(self, n):
        r = self.r
        some = [(0.3, lambda: f"limit duration {r.randint(1, 3)}m"),
                (0.2, lambda: f"limit output {r.randint(1, 3)}MiB"),
                (0.2, lambda: f"limit concurrent {r.randint(1, 3)}"),
                (0.2, lambda: f"limit rate {r.randint(1, 3)} per "
                              f"{r.randint(1, 3)}m"),
                (0.2, lambda: f"require {r.randint(1, 2)} approvals from team "
                              f"within {n + 1}m valid 5m"),
                (0.2, lambda: "floor"),
                (0.1, lambda: "text-only"),
                (0.1, lambda: "record " + r.choice(["input", "full"])),
                (0.2, lambda: f"mask '{r.choice('abc')}+' as \"m\""),
                (0.2, lambda: "env STAGE <enum blue green>"),
                (0.1, lambda: "env N <int 1..9>"),
                (0.1, lambda: "env P </srv/**>"),
                (0.1, lambda: "env ANY " + r.choice(["<any>", "<text 1..9>"])),
                (0.1 if self.claims else 0, lambda: "env TEAM <claim team>")]
        return [line() for p, line in some if r.random() < p]

    def rule(self, n, effect):
        r = self.r
        deny = effect == "deny"
        ours, hub = ["red", "blue", "both"], ["pr", "main", "comment"]
        k = r.random()
        self.claims = k > 0.4
        who = "*" if k < 0.2 else " ".join(
            r.sample(ours if self.claims else ours + hub, r.randint(1, 3)))
        where = r.choice(["*", "web-1", "@web", "root+web-1", "root+@web",
                          "web-2", "web-1 web-2"])
        self.place = (who, where)
        body = list(dict.fromkeys(self.run(deny)
                                  for _ in range(r.randint(1, 3))))
        for _ in range(r.choice([0, 0, 1, 1, 2])):
            line = self.other(deny)
            if line not in body:
                body.append(line)
        if r.random() < 0.2:
            body.append(f"window {r.choice(['Mon-Fri', 'Sun', 'Mon,Wed-Sun'])}"
                        f" {r.choice(['07:00-19:00', '22:00-06:00'])} "
                        f"{r.choice(ZONES)}")
        if not deny:
            body += self.demands(n)
        r.shuffle(body)
        return (f"{effect} r{n} for {who} on {where} {{\n    " +
                "\n    ".join(body) + "\n}\n")

    def crowd(self, n):
        """Many lines of one program, which are told apart by a word."""
        r = self.r
        self.place = ("red", "web-1")
        effect = r.choice(["allow", "allow", "deny"])
        first = r.choice(FIRST)
        body = []
        for i in range(24):
            words, example = r.choice([
                (f"restart u{i}", ["restart", f"u{i}"]),
                (f"(restart | stop) u{i}", ["stop", f"u{i}"]),
                (f"<enum restart stop> u{i} [x]", ["stop", f"u{i}", "x"]),
                (f"u{i} <text 1..9>", [f"u{i}", r.choice(["u1", "y"])]),
                (f"--u{i} restart", [f"--u{i}", "restart"])])
            body.append(f"run {first} {words}")

            def make(example=example):
                words = list(example)
                if r.random() < 0.4:
                    k = r.randrange(len(words))
                    words[k] = r.choice(["u3", "u30", "restart", "x"])
                return Command(None, [([], [first, *words])])
            self.examples.append((make, *self.place))
        if effect == "allow":
            body += self.demands(n)
        return (f"{effect} r{n} for red on web-1 {{\n    " +
                "\n    ".join(body) + "\n}\n")

    def hub(self):
        """Identities of an issuer that has dangerous values."""
        r = self.r
        out = ['issuer hub { preset github; audience "h" }\n']
        for name, event, words in (
                ("pr", "pull_request", ["pull-request"]),
                ("comment", "issue_comment", ["issue-comment"]),
                ("main", "push", [])):
            if r.random() < 0.3:
                words = words + r.sample(["workflow-run", "pull-request"], 1)
            risky = f"allow-risky {' '.join(dict.fromkeys(words))}; " \
                if words else ""
            ref = r.choice(["", 'claim ref = "refs/heads/main"; ',
                            'claim ref = glob "refs/**"; ',
                            'claim ref present; ', 'claim env absent; ',
                            'claim ref = "refs/heads/x" | '
                            '"refs/heads/main"; '])
            ref = ref.replace("claim env", "claim environment")
            also = r.choice(["", ' | "schedule"'])
            out.append(f'identity {name} from hub {{ claim repository_id = '
                       f'"7"; {risky}{ref}claim event_name = "{event}"'
                       f'{also} }}\n')
        return out

    def policy(self):
        """Statements, in no order that matters."""
        r = self.r
        self.examples, self.patterns = [], []
        self.kinds, self.others = [], []
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
            'program git = /usr/bin/git on @web\n',
            'program git = /opt/run on web-3\n',
            'type service = enum web api\n',
            'type place = /srv/app/**\n',
            'type release = git-ref "refs/tags/v<int>.<int>"\n']
        out += self.hub()
        for n in (1, 2, 3):
            out.append(
                f'target web-{n} {{ ssh "deploy@10.0.0.{n}:22"; hostkey '
                f'ssh-ed25519 "SHA256:{"A" * 42}{"AEI"[n - 1]}"; '
                f'{"group web; " if n < 3 else ""}{self.observed()}'
                f'login root }}\n')
        if r.random() < 0.3:
            out.append("defaults { limit duration 2m; mask 'd' as \"d\" }\n")
        for n in range(r.randint(1, 10)):
            out.append(self.rule(n, r.choice(["allow"] * 3 + ["deny"])))
        if r.random() < 0.25:
            out.append(self.crowd(50))
        return out

    def observed(self):
        """At most 90 days ahead, and often over."""
        day = datetime.date.today() + datetime.timedelta(
            days=self.r.choice([80, 1, -1, -150, -250]))
        return f"observe until {day}; " if self.r.random() < 0.2 else ""

    # -- questions -----------------------------------------------------------------

    def near(self, example):
        """A command that a line spells out, or one beside it."""
        r = self.r
        c = example()
        for variables, words in c.programs:
            k = r.random() * 4
            if k < 0.1 and len(words) > 1:
                words.pop(r.randrange(1, len(words)))
            elif k < 0.2:
                words.insert(r.randint(1, len(words)), r.choice(WORDS))
            elif k < 0.25:
                words.append(r.choice(words))
            elif k < 0.3:
                words[0] = r.choice(FIRST)
            k = r.random() * 3
            if k < 0.1:
                variables.insert(0, r.choice(["V0=blue", "V9=1", "V1=web"]))
            elif k < 0.2 and variables:
                variables.pop()
            r.shuffle(variables)
        k = r.random()
        if k < 0.05:
            c.folder = r.choice([None, *FOLDERS])
        elif k < 0.1:
            c.programs.append(([], [r.choice(FIRST), "x"]))
        elif k < 0.15:
            c.programs.insert(0, ([], [r.choice(FIRST), "x"]))
        elif k < 0.2 and len(c.programs) > 1:
            c.programs.pop(r.randrange(len(c.programs)))
        return c

    def spell(self, c):
        programs = []
        for variables, words in c.programs:
            parts = []
            for v in variables:
                name, _, value = v.partition("=")
                parts.append(f"{name}={quote(value)}")
            programs.append(" ".join(parts + [quote(w) for w in words]))
        end = "" if len(programs) > 1 else self.r.choice(
            ["", "", "", "", " 2>&1", " >/dev/null", " 2>/dev/null"])
        cd = "" if c.folder is None else f"cd {quote(c.folder)} && "
        return cd + " | ".join(programs) + end

    def list_of(self, commands):
        """Joined; what stands behind a `cd … &&` goes there, too."""
        r = self.r
        text, folder = "", None
        for i, c in enumerate(commands):
            mark = "" if i == 0 else r.choice([" && ", " || ", "; ", "\0"])
            # For judge.c a question is a line.
            mark = mark.replace("\0", " ; ")
            text += mark + self.spell(c)
            if c.folder is not None:
                folder = c.folder
            elif mark == " && ":
                c.folder = folder
        return text

    def where(self, who, where):
        """Mostly for whom and where the rule is whose line is tried."""
        r = self.r
        if who == "*" or r.random() < 0.2:
            who = "red blue both pr main comment"
        places = {"*": "web-1 web-3", "@web": "web-1 web-2",
                  "root+@web": "root+web-1"}.get(where, where)
        if r.random() < 0.2:
            places = "web-1 web-2 web-3 root+web-1 root+web-3"
        return (r.choice(who.split()), r.choice(places.split()),
                r.random() < 0.1, r.choice(NOWS))

    def question(self):
        r = self.r
        if self.kinds and r.random() < 0.3:
            place, it = r.choice(self.kinds)
            it = {"access": r.choice(["read", "write"]),
                  "way": r.choice(WAYS), "ref": r.choice(REF), "path":
                  r.choice(ASKED if it["kind"] == "git" else BENEATH)} | it
            if r.random() < 0.1:
                it["access"] = r.choice(["read", "write"])
            if "path" in it and r.random() < 0.4:
                it["path"] = r.choice(ASKED if it["kind"] == "git" else
                                      BENEATH)
            who, where, pty, now = self.where(*place)
            return Question(who=who, where=where, pty=pty, now=now, **it)
        example, *place = r.choice(self.examples)
        commands = [self.near(example)]
        while r.random() < 0.15:
            commands.append(self.near(r.choice(self.examples)[0]))
        text = self.list_of(commands)
        return Question("ask", *self.where(*place), text=text,
                        commands=tuple(commands))
