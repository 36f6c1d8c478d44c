"""The decision once more, by other means: from `postern policy export --json`,
with Python's re, and as plainly as possible.

Everything is enumerated rather than computed: a pattern is one regular
expression over the words joined by NUL, an answer is the best of a list.
Nothing of Postern's own code is used but the export."""

import dataclasses
import datetime
import re
import zoneinfo

# Variables that a job may have: asked about with every answer.
VARS = [("STAGE", "blue"), ("STAGE", "red"), ("STAGE", ""), ("TEAM", "red"),
        ("TEAM", "blue"), ("N", "5"), ("N", "05"), ("N", "-5"),
        ("P", "/srv/a"), ("P", "/srv/../a"), ("ANY", "-x y"), ("ANY", ""),
        ("stage", "blue")]
PLAIN = re.compile(r"[A-Za-z0-9._-]+")
PATH_MAX = 4095
END = "\0"


@dataclasses.dataclass
class Command:
    """What a text is made of: a folder or None, and of each program its
    variables (NAME=value) and its words."""
    folder: str
    programs: list


@dataclasses.dataclass
class Question:
    """kind is ask (a list of commands), file, git or shell."""
    kind: str
    who: str
    where: str
    pty: bool
    now: int
    text: str = ""         # of ask
    commands: tuple = ()
    access: str = ""       # read or write
    way: str = ""          # of file
    ref: str = ""          # of git; "": none in particular
    path: str = ""

    def line(self):
        """For judge.c."""
        out = f"{self.kind} {self.who}\t{self.where}\t{int(self.pty)}\t" \
              f"{self.now}"
        more = {"ask": [self.text], "shell": [],
                "file": [self.access, self.way, self.path],
                "git": [self.access, self.ref, self.path]}[self.kind]
        return "\t".join([out, *more])


def glob(pattern, ends="/:"):
    out = ""
    for part in re.split(r"(\*\*|\*)", pattern):
        out += {"**": ".*", "*": f"[^{ends}]*"}.get(part, re.escape(part))
    return out


def is_plain(path):
    parts = path.split("/")
    return parts[0] == "" and len(path.encode()) <= PATH_MAX and not \
        {"", ".", ".."} & set(parts[1:]) and len(parts) > 1


class Policy:
    def __init__(self, export):
        self.x = export
        self.identities = {i["name"]: i for i in export["identities"]}
        self.issuers = {i["name"]: i for i in export["issuers"]}
        self.targets = {t["name"]: t for t in export["targets"]}
        self.cache = {}

    # -- who ------------------------------------------------------------------

    def claims_of(self, name):
        """What the tools ask in an identity's place."""
        claims = {}
        for c in self.identities[name]["conditions"]:
            equal = [v["equal"] for v in c["values"] if "equal" in v]
            if c["test"] == "absent":
                continue
            if equal:
                claims[c["claim"]] = equal[0]
            else:
                pattern = c["values"][0]["glob"] if c["values"] else "*"
                claims[c["claim"]] = pattern.replace("**", "*").replace(
                    "*", "x")
        return claims

    def holds(self, condition, claims):
        value = claims.get(condition["claim"], "")
        if condition["test"] == "present":
            return value != ""
        if condition["test"] == "absent":
            return value == ""
        return any(
            claims.get(condition["claim"]) == v["equal"] if "equal" in v else
            value != "" and re.fullmatch(glob(v["glob"]), value, re.S)
            for v in condition["values"])

    def danger(self, issuer, claims):
        words = set()
        for d in issuer["dangers"]:
            value = claims.get(d["claim"])
            if {"is": value == d["value"],
                "begins": (value or "").startswith(d["value"]),
                "begins_not": not (value or "").startswith(d["value"]),
                "differs": value != claims.get(d["value"])}[d["test"]]:
                words.add(d["word"])
        return words

    def session(self, issuer, claims):
        return {
            i["name"] for i in self.identities.values()
            if i["issuer"] == issuer and i["conditions"] and
            self.danger(self.issuers[issuer], claims) <= set(i["allow_risky"])
            and all(self.holds(c, claims) for c in i["conditions"])}

    # -- where and when -----------------------------------------------------------

    def covers(self, where, target):
        return where["kind"] == "all" or \
            where["kind"] == "target" and where["name"] == target or \
            where["kind"] == "group" and \
            where["name"] in self.targets[target]["groups"]

    def is_here(self, rule, target, login):
        own = self.targets[target]["login"]
        for w in rule["where"]:
            if not self.covers(w, target):
                continue
            if "login" in w:
                if w["login"] == login:
                    return True
            elif rule["effect"] == "deny" or login == own:
                return True
        return False

    def spellings(self, word, target):
        """A first word as it is, and as the name and path of its program."""
        out = {word}
        for p in self.x["programs"]:
            if word in (p["name"], p["path"]) and (not p["on"] or any(
                    self.covers(w, target) for w in p["on"])):
                out |= {p["name"], p["path"]}
        return out

    @staticmethod
    def is_now(rule, now):
        if not rule["windows"]:
            return True
        if now == 0:
            return rule["effect"] == "deny"
        for w in rule["windows"]:
            at = datetime.datetime.fromtimestamp(
                now, zoneinfo.ZoneInfo(w["zone"]))
            clock, day = at.strftime("%H:%M"), at.weekday()
            if w["from"] < w["to"]:
                if day in w["days"] and w["from"] <= clock < w["to"]:
                    return True
            elif (day in w["days"] and clock >= w["from"] or
                  (day - 1) % 7 in w["days"] and clock < w["to"]):
                return True
        return False

    # -- patterns -------------------------------------------------------------------

    def word(self, node, claims):
        out = "(?!-)" if node.get("no_dash") else ""
        for piece in node["word"]:
            if "text" in piece:
                out += re.escape(piece["text"])
            elif "regex" in piece:
                out += f"(?:{piece['regex']})".replace("[^", f"[^{END}")
            else:
                value = claims.get(piece["claim"], "")
                plain = PLAIN.fullmatch(value) and value not in (".", "..")
                out += re.escape(value) if plain else "(?!)"
        return out + END

    def pattern(self, node, claims):
        if "word" in node:
            out = self.word(node, claims)
        elif "seq" in node:
            out = "".join(self.pattern(n, claims) for n in node["seq"])
        else:
            out = "|".join(self.pattern(n, claims) for n in node["alt"])
        if node.get("repeat"):
            out = f"(?:{out})+"
        if node.get("optional"):
            out = f"(?:{out})?"
        return f"(?:{out})"

    def fullmatch(self, node, text, claims, regex):
        """regex: what makes an expression of the node."""
        key = (id(node), regex.__name__, tuple(sorted(claims.items())))
        if key not in self.cache:
            # `.` means a character of a word
            self.cache[key] = re.compile(dots(regex(node, claims)))
        return self.cache[key].fullmatch(text) is not None

    def one_word(self, node, text, claims):
        return self.fullmatch(node, text + END, claims, self.word)

    def program_fits(self, program, deny, given, claims, target):
        variables, words = given
        if not deny and len(program["variables"]) != len(variables):
            return False
        if not all(any(self.one_word(want, v, claims) for v in variables)
                   for want in program["variables"]):
            return False
        return any(
            self.fullmatch(program["pattern"],
                           END.join([first, *words[1:]]) + END, claims,
                           self.pattern)
            for first in self.spellings(words[0], target))

    def run_fits(self, line, deny, command, claims, target):
        if "in" in line:
            if command.folder is None or \
               not self.one_word(line["in"], command.folder, claims):
                return False
        elif command.folder is not None and not deny:
            return False
        have, want = command.programs, line["programs"]
        # all of them; of a deny rule as many in a row
        starts = range(len(have) - len(want) + 1) if deny else \
            [0] if len(have) == len(want) else []
        return any(all(self.program_fits(p, deny, have[at + k], claims, target)
                       for k, p in enumerate(want)) for at in starts)

    def beneath(self, node, claims):
        return self.word(node, claims).removesuffix(END) + "(?:/.*)?" + END

    def path_fits(self, node, deny, path, claims, regex):
        if not is_plain(path):
            return deny
        return self.fullmatch(node, path + END, claims, regex)

    def ref_fits(self, refs, deny, ref, claims):
        if not refs:
            return True
        if ref == "":
            return not deny
        return any(
            re.fullmatch(glob(r["glob"], "/"), ref, re.S) if "glob" in r else
            self.one_word(r, ref, claims) for r in refs)

    def lines(self, rule, q, command, claims, target):
        """The rule's lines that fit."""
        deny = rule["effect"] == "deny"
        if q.kind == "ask":
            for line in rule["run"]:
                if self.run_fits(line, deny, command, claims, target):
                    yield line
        elif q.kind == "file":
            for t in rule["transfers"]:
                if t["access"] == q.access and q.way in t["by"] and \
                   self.path_fits(t["under"], deny, q.path, claims,
                                  self.beneath):
                    yield t
        elif q.kind == "git":
            for g in rule["repositories"]:
                if g["access"] == q.access and self.path_fits(
                        g["path"], deny, q.path, claims, self.word) and \
                        self.ref_fits(g["refs"], deny, q.ref, claims):
                    yield g
        elif rule["interactive"]:
            yield {"pty": True, "stdin": True}

    # -- the answer --------------------------------------------------------------------

    def ask(self, q):
        """A list: of each command."""
        login, _, target = q.where.rpartition("+")
        login = login or self.targets[target]["login"]
        claims = self.claims_of(q.who)
        who = self.session(self.identities[q.who]["issuer"], claims)
        if q.who not in who:
            return ["nobody"]
        return [self.decide(q, c, claims, who, target, login)
                for c in (q.commands if q.kind == "ask" else [None])]

    def decide(self, q, command, claims, who, target, login):
        fit = []
        for rule in self.x["rules"]:
            mine = who if rule["everyone"] else who & set(rule["identities"])
            if not mine or not self.is_here(rule, target, login) or \
               not self.is_now(rule, q.now):
                continue
            for n, line in enumerate(self.lines(rule, q, command, claims,
                                                target)):
                fit.append((rule, line, n, min(mine)))
        denies = sorted(r["name"] for r, *_ in fit if r["effect"] == "deny")
        if denies:
            return "deny", denies[0]
        allows = [f for f in fit if f[0]["effect"] == "allow"]
        able = [f for f in allows if f[1].get("pty", True) or not q.pty]
        floors = [r for r, *_ in allows if r["floor"]]
        every = [r for r, *_ in allows]
        if able:
            rule, line, _, name = min(able, key=lambda f: rank(f, q))
            vars_ = {n for n, (v, value) in enumerate(VARS)
                     for e in rule["env"] if e["name"] == v and
                     self.one_word(e["value"], value, claims)}
            return (*self.grant(rule, line, name, q, floors, every),
                    frozenset(vars_))
        if 0 < q.now < self.targets[target].get("observe_until", 0):
            nobodys = self.x["defaults"] | {
                "name": "default", "approvals": [], "text_only": False,
                "record_input": False, "record_full": False}
            said = self.grant(nobodys, {"pty": q.pty, "stdin": True},
                              min(who), q, floors, [nobodys, *every])
            return ("observed", *said[1:3], q.pty, *said[4:], frozenset())
        return "deny", "default"

    @staticmethod
    def grant(rule, line, identity, q, floors, allows):
        limits = {k: min((r["limits"][k] for r in [rule, *floors]
                          if k in r["limits"]), default=0)
                  for k in ("duration_s", "output", "concurrent")}
        rates = [(r["limits"]["rate"], r["limits"]["rate_per_s"])
                 for r in [rule, *floors] if "rate" in r["limits"]]
        rate = min(rates, key=lambda r: (r[0] / r[1], r[0]), default=(0, 0))
        need = {(r["name"], n) for r in [rule, *floors]
                for n in range(len(r["approvals"]))}
        masks = {str(m) for r in allows for m in r["masks"]}
        return ("approval" if need else "allow", rule["name"], identity,
                q.pty and q.kind in ("ask", "shell") and line["pty"],
                line.get("stdin", False), line.get("stdin_max", 0),
                line.get("max", 0), line.get("no_delete", False),
                line.get("no_symlinks", False),
                *(any(r[k] for r in [rule, *floors])
                  for k in ("text_only", "record_input", "record_full")),
                limits["duration_s"], limits["output"], limits["concurrent"],
                *rate, len(masks), len(need))


def dots(text):
    """`.` outside of sets, not escaped: any character but the words' end."""
    out, i, inside = "", 0, False
    while i < len(text):
        c = text[i]
        if c == "\\":
            out += text[i:i + 2]
            i += 2
            continue
        if c == "[" and not inside:
            inside = True
        elif c == "]" and inside:
            inside = False
        out += f"[^{END}]" if c == "." and not inside else c
        i += 1
    return out


def rank(fit, q):
    """Fewest people to ask, then with input, then every ref where none is
    named, then what a transfer may do, then the smaller limits, then the name,
    then the line."""
    rule, line, n, _ = fit
    none = float("inf")
    lim = rule["limits"]
    people = sum(a["people"] for a in rule["approvals"])
    return (people, not line.get("stdin", False),
            q.kind == "git" and q.ref == "" and bool(line["refs"]),
            line.get("no_delete", False), line.get("no_symlinks", False),
            line.get("max", none), lim.get("duration_s", none),
            lim.get("output", none), lim.get("concurrent", none),
            lim["rate"] / lim["rate_per_s"] if "rate" in lim else none,
            lim.get("rate", none), line.get("stdin_max", 0) or none,
            rule["name"], n)
