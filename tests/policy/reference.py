"""The decision once more, by other means: from `postern policy export --json`,
with Python's re, and as plainly as possible.

Everything is enumerated rather than computed: a pattern is one regular
expression over the words joined by NUL, an answer is the best of a list.
Nothing of Postern's own code is used but the export."""

import datetime
import re
import shlex
import zoneinfo

PLAIN = re.compile(r"[A-Za-z0-9._-]+")
REDIRECTS = {"2>&1", ">/dev/null", "2>/dev/null"}
END = "\0"


def argv(command):
    """The words of a command that Postern's parser takes."""
    return [w for w in shlex.split(command) if w not in REDIRECTS]


def glob(pattern):
    out = ""
    for part in re.split(r"(\*\*|\*)", pattern):
        out += {"**": ".*", "*": "[^/:]*"}.get(part, re.escape(part))
    return out


class Policy:
    def __init__(self, export):
        self.x = export
        self.identities = {i["name"]: i for i in export["identities"]}
        self.issuers = {i["name"]: i for i in export["issuers"]}
        self.targets = {t["name"]: t for t in export["targets"]}
        self.spellings = {}
        for p in export["programs"]:
            self.spellings[p["name"]] = self.spellings[p["path"]] = (
                p["name"], p["path"])
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

    def is_here(self, rule, target, login):
        t = self.targets[target]
        for w in rule["where"]:
            if w["kind"] == "target" and w["name"] != target or \
               w["kind"] == "group" and w["name"] not in t["groups"]:
                continue
            if "login" in w:
                if w["login"] == login:
                    return True
            elif rule["effect"] == "deny" or login == t["login"]:
                return True
        return False

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

    def fits(self, line, deny, words, claims):
        """One program without folder and variables, as commands here are."""
        if len(line["programs"]) > 1 or line["programs"][0]["variables"] or (
                "in" in line and not deny):
            return False
        key = (id(line), tuple(sorted(claims.items())))
        if key not in self.cache:
            text = self.pattern(line["programs"][0]["pattern"], claims)
            # `.` means a character of a word
            self.cache[key] = re.compile(dots(text))
        spelled = {words[0], *self.spellings.get(words[0], ())}
        return any(self.cache[key].fullmatch(
            END.join([w, *words[1:]]) + END) for w in spelled)

    # -- the answer --------------------------------------------------------------------

    def ask(self, identity, where, pty, now, command):
        login, _, target = where.rpartition("+")
        login = login or self.targets[target]["login"]
        claims = self.claims_of(identity)
        who = self.session(self.identities[identity]["issuer"], claims)
        if identity not in who:
            return "nobody"
        words = argv(command)
        fit = []
        for rule in self.x["rules"]:
            mine = who if rule["everyone"] else who & set(rule["identities"])
            if not mine and not (rule["everyone"] and
                                 rule["effect"] == "deny"):
                continue
            if not self.is_here(rule, target, login) or \
               not self.is_now(rule, now):
                continue
            for n, line in enumerate(rule["run"]):
                if self.fits(line, rule["effect"] == "deny", words, claims):
                    fit.append((rule, line, n, min(mine) if mine else ""))
        denies = sorted(r["name"] for r, *_ in fit if r["effect"] == "deny")
        if denies:
            return "deny", denies[0]
        allows = [f for f in fit if f[0]["effect"] == "allow"]
        able = [f for f in allows if f[1]["pty"] or not pty]
        if not able:
            return "deny", "default"
        rule, line, _, name = min(able, key=rank)
        floors = [r for r, *_ in allows if r["floor"]]
        return self.grant(rule, line, name, pty, floors,
                          [r for r, *_ in allows])

    @staticmethod
    def grant(rule, line, identity, pty, floors, allows):
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
                pty and line["pty"], line["stdin"], line.get("stdin_max", 0),
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


def rank(fit):
    """Fewest people to ask, then with input, then the smaller limits, then
    the name, then the line."""
    rule, line, n, _ = fit
    none = float("inf")
    lim = rule["limits"]
    people = sum(a["people"] for a in rule["approvals"])
    return (people, not line["stdin"], lim.get("duration_s", none),
            lim.get("output", none), lim.get("concurrent", none),
            lim["rate"] / lim["rate_per_s"] if "rate" in lim else none,
            lim.get("rate", none), line.get("stdin_max", 0) or none,
            rule["name"], n)
