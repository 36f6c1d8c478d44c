"""Words that shells trip over, and what must come out of a shell that was
given them in the form for the wire: tests and ./dev fuzz shells."""
import os
import random
import shutil
import subprocess

import stage as s

SHELLS = ["dash", "bash", "bash --posix", "zsh", "mksh", "ksh", "yash",
          "busybox sh", "fish", "tcsh", "csh"]
# To these no folder and no pipeline is sent.
ALONE = ("fish", "tcsh", "csh")
# These have no printf of their own.
WITHOUT_PRINTF = ("mksh", "tcsh", "csh")

ADVERSARIAL = [
    ["'"], ["''"], ["'\\''"], ["\\"], ["\\\\"], ["\\'"], ["!"], ["!!"],
    ["!#"], ["!x"], ["x!"], ["!!:p"], ["a!b'c\\d"], ["\\", "; echo X ; #"],
    ["\\", "'; echo X; #"], ["", ""], [""], [" "], ["\t"], ["a  b"],
    ["$HOME"], ["${HOME}"], ["$(id)"], ["`id`"], ["\\$HOME"], ["~"],
    ["~root"], ["*"], ["?"], ["[a-z]*"], ["{a,b}"], ["{1..9}"], ["=ls"],
    ["a=b"], ["-n"], ["--"], ["-e", "\\n"], ["#"], ["#x"], [";"], ["&"],
    ["&&", "id"], ["|", "id"], [">", "/dev/full"], ["<", "x"], ["2>&1"],
    ["("], [")"], ["%1"], ["^a^b"], ["@"], ["+"], ["\r"], ["a\rb"],
    ["\x1b[31m"], ["\x01\x02\x7f"], ["\u00e9"], ["\u65e5\u672c"],
    ["\U0001f600"], ["\u202e"], ["\u00a0"], ["\u2028"], ["\\u0041"],
    ["\\x41"], ["\\101"], ["\\n"], ["\\c"], ["\\e"], ["\\b"], ["'a' 'b'"],
    ["\"a\""], ["\"$x\""], ["if"], ["end"], ["then", "fi"], ["alias"],
    ["a" * 900], ["'" * 300], ["!" * 300], ["\\" * 300], ["x"] * 100,
]

ALPHABET = ("'!\\\"$`*?[]{}()<>|&;#~=%^@+-,:. \t\r/abXYZ019\x01\x1b\x7f"
            "\u00e9\u65e5\U0001f600")
HARD = "'!\\ a"


def randoms(n, seed=20):
    rnd = random.Random(seed)
    return [["".join(rnd.choices(rnd.choice([ALPHABET, HARD]),
                                 k=rnd.randint(0, 20)))
             for _ in range(rnd.randint(1, 6))] for _ in range(n)]


class Case:
    """Programs that print their words, in a folder, joined by pipes, with
    variables: `lists` is one list of words for each program."""

    def __init__(self, lists, folder="", variables=()):
        self.lists, self.folder, self.variables = lists, folder, variables
        self.out = b""
        if folder:
            self.out += b"@" + folder.encode().hex().encode() + b"\n"
        for _, value in variables:
            self.out += b"$" + value.encode().hex().encode() + b"\n"
        for words in lists:
            self.out += b"".join(b"=" + w.encode().hex().encode() + b"\n"
                                 for w in words)
        self.wire = None

    def programs(self):
        """As the broker writes them: variables go through env."""
        for i, words in enumerate(self.lists):
            first = i == 0
            argv = [s.ARGS]
            if first and self.variables:
                argv = ["/usr/bin/env", *map("=".join, self.variables), s.ARGS]
            if first and self.folder:
                argv.append("--in")
            for name, _ in self.variables if first else ():
                argv += ["--env", name]
            yield argv + ([] if first else ["--after"]) + words

    def request(self):
        programs = list(self.programs())
        fields = [self.folder, str(len(programs))]
        for argv in programs:
            fields += [str(len(argv)), *argv]
        return b"".join(f.encode() + b"\0" for f in fields)


def quoted(cases):
    """Each with its form for the wire."""
    out = subprocess.run([s.TOOL, "quote"], check=True,
                         input=b"".join(c.request() for c in cases),
                         stdout=subprocess.PIPE).stdout
    lines = out.split(b"\n")[:-1]
    assert len(lines) == len(cases)
    for c, line in zip(cases, lines):
        c.wire = line
    return cases


def lines(n, folder, alone=False, seed=21):
    """Folders, pipelines and variables; alone: what goes to every shell."""
    rnd = random.Random(seed)
    words = iter(randoms(8 * n, seed))
    cases = []
    for i in range(n):
        variables = [(f"V{k}", next(words)[0])
                     for k in range(rnd.choice([0, 1, 3]))]
        if alone:
            cases.append(Case([next(words)], "", variables))
            continue
        cases.append(Case([next(words) for _ in range(rnd.choice([1, 2, 4]))],
                          rnd.choice(["", folder]), variables))
    return quoted(cases)


class Printed(Case):
    """One program, which is the shell's own printf: nothing is executed."""

    def __init__(self, words):
        super().__init__([words])
        self.out = b"".join(b"=" + w.encode() + b"\0" for w in words)

    def programs(self):
        yield ["printf", "=%s\\0", *self.lists[0]]


class Shell:
    def __init__(self, spelling, home, locale="C.UTF-8"):
        self.argv = spelling.split()
        self.path = shutil.which(self.argv[0])
        self.alone = self.argv[0] in ALONE
        self.prints = self.argv[0] not in WITHOUT_PRINTF
        self.home = home
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"],
                    "LC_ALL": locale}

    def run(self, text):
        return subprocess.run([self.path, *self.argv[1:], "-c", text],
                              env=self.env, stdin=subprocess.DEVNULL,
                              cwd=self.home, capture_output=True)

    def differs(self, cases):
        """The first case that comes out otherwise; None.  Many are lines of
        one run, and one by one when that went wrong."""
        p = self.run(b"\n".join(c.wire for c in cases))
        if (p.returncode, p.stderr) == (0, b"") and \
           p.stdout == b"".join(c.out for c in cases):
            return None
        for c in cases:
            p = self.run(c.wire)
            if (p.returncode, p.stdout, p.stderr) != (0, c.out, b""):
                return c, p
        return cases, p  # together alone
