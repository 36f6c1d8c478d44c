"""Promise 3: argv in = argv out, asked of the shells themselves."""
import os
import random
import shutil
import subprocess

import pytest

import stage as s

SHELLS = ["dash", "bash", "bash --posix", "zsh", "mksh", "ksh", "yash",
          "busybox sh", "fish", "tcsh", "csh"]

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


def randoms(n):
    rnd = random.Random(20)
    hard = "'!\\ a"
    return [["".join(rnd.choices(rnd.choice([ALPHABET, hard]),
                                 k=rnd.randint(0, 20)))
             for _ in range(rnd.randint(1, 6))] for _ in range(n)]


def quote(lists):
    given = b"".join(
        b"%d\0" % len(a) + b"".join(w.encode() + b"\0" for w in a)
        for a in lists)
    out = subprocess.run([s.TOOL, "quote"], input=given, check=True,
                         stdout=subprocess.PIPE).stdout
    lines = out.split(b"\n")[:-1]
    assert len(lines) == len(lists)
    return lines


def printed(argv):
    return b"".join(b"=" + w.encode().hex().encode() + b"\n" for w in argv)


@pytest.fixture(scope="module")
def cases():
    lists = ADVERSARIAL + randoms(200)
    return list(zip(lists, quote([[s.ARGS, *a] for a in lists])))


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("shell", SHELLS)
def test_promise_3_argv(shell, locale, cases, tmp_path):
    argv = shell.split()
    path = shutil.which(argv[0])
    if path is None:
        pytest.skip(f"{argv[0]} is not installed")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"],
           "LC_ALL": locale}
    for words, wire in cases:
        p = subprocess.run([path, *argv[1:], "-c", wire], env=env,
                           stdin=subprocess.DEVNULL, cwd=tmp_path,
                           capture_output=True)
        if (shell, locale) == ("yash", "C") and not wire.isascii() and \
                p.stderr:
            assert p.stdout == b""  # it refuses; it does not read otherwise
            continue
        assert (p.returncode, p.stdout, p.stderr) == (0, printed(words),
                                                      b""), (words, wire)


def test_promise_3_refusals():
    lists = [["a\nb"], ["\n"]]
    assert quote(lists) == [b"! malformed"] * 2


def test_promise_3_over_the_wire(hop):
    """The same through the hop, sshd and the account's login shell."""
    for words in ["it's", "!!", "a\\", "$(id)", "\u00e9"], [""] * 3, \
            ["x y", "'; id #"]:
        wire = quote([[s.ARGS, *words]])[0]
        h = hop(wire.decode())
        assert h.finish() == ((0, 0), printed(words), b"")
