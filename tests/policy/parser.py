"""Every text that our parser takes as a command, dash splits into the same
words, with the same variables; and a list of them it runs in the same order.

    parser.py [COMMANDS [SEED]]

The program is mostly `p`, a function of dash's that writes down what it was
given, so that the text is run as it stands.  Where it is another, `p` is put
in front, and what is compared are the words."""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

BATCH = 400
LETTERS = list("'\"\\$`*?[]{}()<>|&;#~=%^!@+-,:./ \t\n\r") + list(
    "apq01_A") + ["é", "日", "\u202e", "\u00a0", "\x01", "\x7f", "\0"]
PARTS = ["p", "p ", "'p'", "\\p", "\"p\"", " a", " b", "''", "\"\"", " ",
         "  ", "\t", "'a b'", "\"a b\"", "'it'\\''s'", "\\'", "\\\"", "\\\\",
         "\"\\\"\"", "\"\\\\\"", "\"\\$A\"", "\"\\`\"", "'$A'", "$A", "${A}",
         "$(p)", "`p`", "A=1 ", "A='x y' ", "A= ", "A=\\' ", "B=2 ", "A+=1 ",
         " A=1", " 2>&1", " >/dev/null", " 2>/dev/null", "2>&1 ", ">", "<",
         ">>", " && p ", " || p ", "; p ", "\np ", "&&", "||", ";", "\n",
         " | p ", "&", " & ", "#", " #", " # x", "~", "*", "a*", "{a,b}",
         "[a]", "!", " ! ", "if", "then", "do", "done", "{", "}", "(", ")",
         "case", "in", "esac", "for", "while", "time", "function", "\\\n",
         "'", "\"", "\\", "=", "=x", "-n", "--", "é", "日本", "1", "2", "10",
         "cd / && p", "exec", "eval", "%1", "^", "+", "@", "a=b", "%s"]
HEAD = """\
p()
{
	printf '%s\\0' "$#" "${A-}" "${B-}" "$@" >&9
	unset A B
}
end()
{
	printf '/\\0' >&9
	unset A B
}
"""


def unhex(s):
    return bytes.fromhex(s)


class Command:
    """One command of a list, as judge.c shows it."""

    def __init__(self, text):
        self.connect, rest = text[0], text[1:]
        self.plain = "@" not in rest and "^" not in rest
        self.variables, self.words = {}, []
        for kind, value in re.findall(r"([=$@^])([0-9a-f]*)", rest):
            if kind == "=":
                self.words.append(unhex(value))
            elif kind == "$":
                name, _, v = unhex(value).partition(b"=")
                self.variables[name] = v

    def record(self, words):
        return [b"%d" % len(words), self.variables.get(b"A", b""),
                self.variables.get(b"B", b""), *words]


class Case:
    """A text that is taken, what dash is given, and what it must write."""

    def __init__(self, text, answer):
        commands = [Command(c) for c in answer.split(" ")]
        self.text, self.line, self.want = text, text, []
        self.usable = all(c.plain for c in commands)
        self.whole = all(c.words[0] == b"p" for c in commands)
        if self.whole:
            for c in commands:  # p always ends well
                if c.connect != "|":
                    self.want += c.record(c.words[1:])
        elif len(commands) == 1 and not commands[0].variables:
            self.line = b"p " + text.lstrip(b" \t\n")
            self.want = commands[0].record(commands[0].words)
        else:
            self.usable = False
        self.want.append(b"/")

    def script(self):
        return self.line.rstrip(b"\n") + b"\nend\n"


class Dash:
    def __init__(self, folder):
        self.folder, self.path = folder, shutil.which("dash")

    def run(self, cases):
        """The fields that came out."""
        with tempfile.TemporaryFile() as out:
            p = subprocess.Popen(
                [self.path, "-c", 'exec 9>&1 >/dev/null; . "$0"', "/dev/stdin"],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL,
                cwd=self.folder, env={"PATH": "/nonexistent"})
            p.communicate(HEAD.encode() + b"".join(c.script() for c in cases))
            out.seek(0)
            return out.read().split(b"\0")[:-1]

    def check(self, cases):
        if self.run(cases) == [f for c in cases for f in c.want]:
            return
        for c in cases:
            got = self.run([c])
            if got != c.want:
                print(f"taken  {c.text}\ngiven  {c.line}\nours   {c.want}\n"
                      f"dash's {got}")
                sys.exit(1)
        print("each alone is split alike, together they are not")
        sys.exit(1)


class Judge:
    def __init__(self):
        self.p = subprocess.Popen(
            [os.environ["POSTERN_BUILD"] + "/tests/policy/judge"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def split(self, texts):
        self.p.stdin.write("".join(f"split {t.hex()}\n" for t in texts))
        self.p.stdin.flush()
        return [self.p.stdout.readline().rstrip("\n") for _ in texts]


def make(r):
    """Short, so that many are taken: what may begin a command, then some of
    everything."""
    out = r.choice(["p", "p ", "p ", "p ", "'p' ", "\\p ", "A=1 p ", "",
                    "\"p\" ", " p ", "\np "])
    for _ in range(r.randint(0, 6)):
        out += r.choice(LETTERS) if r.random() < 0.4 else r.choice(PARTS)
    b = out.encode()
    if r.random() < 0.05:
        at = r.randrange(len(b) + 1)
        b = b[:at] + bytes([r.randrange(256)]) + b[at:]
    return b


def main():
    want = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    r, judge = random.Random(seed), Judge()
    tried = taken = whole = lists = skipped = 0
    with tempfile.TemporaryDirectory() as folder:
        dash, cases = Dash(folder), []
        while taken < want:
            texts = [make(r) for _ in range(256)]
            tried += len(texts)
            for text, answer in zip(texts, judge.split(texts)):
                if answer == "no":
                    continue
                c = Case(text, answer)
                if not c.usable:
                    skipped += 1
                    continue
                taken += 1
                whole += c.whole
                lists += " " in answer
                cases.append(c)
            while len(cases) >= BATCH:
                dash.check(cases[:BATCH])
                cases = cases[BATCH:]
        dash.check(cases)
    print(f"{taken} commands split alike, {whole} of them run as they stand, "
          f"{lists} of them lists; {tried} tried, {skipped} taken but not "
          f"compared (folders, pipelines), seed {seed}")
    # What is hardly ever taken would agree with anything.
    assert taken > tried / 20 and whole > taken / 2 and lists > taken / 50


main()
