"""./dev fuzz shells: argv in = argv out of every shell, by the thousand.

    shells.py [ARGVS [SEED]]

Of a shell that has a printf of its own a tenth goes to another program, all of
a shell that has none.  A fortieth as many are folders, pipelines and
variables."""
import pathlib
import sys
import tempfile
import time

import stage as s
import words as w

BATCH = 50


def complain(shell, found):
    case, p = found
    print(f"{' '.join(shell.argv)} ({shell.env['LC_ALL']}):")
    if isinstance(case, list):
        print("each alone comes out well, together they do not:")
        for c in case:
            print(" ", c.wire)
    else:
        print(f"  words {case.lists} {case.folder} {case.variables}\n"
              f"  sent  {case.wire}\n  want  {case.out}")
    print(f"  exit  {p.returncode}\n  out   {p.stdout}\n  error {p.stderr}")
    sys.exit(1)


def ask(shell, cases):
    """Half in each locale; yash refuses in C what is not ASCII."""
    for i in range(0, len(cases), BATCH):
        some = cases[i:i + BATCH]
        c_too = shell.argv[0] != "yash" or all(c.wire.isascii() for c in some)
        shell.env["LC_ALL"] = ["C.UTF-8", "C"][i // BATCH % 2 * c_too]
        found = shell.differs(some)
        if found:
            complain(shell, found)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    s.build()
    print(f"{n} argvs for each shell, seed {seed}", flush=True)
    argvs = (w.ADVERSARIAL + w.randoms(n, seed))[:n]
    cases = {True: w.quoted([w.Printed(a) if i % 10 else w.Case([a])
                             for i, a in enumerate(argvs)]),
             False: w.quoted([w.Case([a]) for a in argvs])}
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home, "it's a \\ !folder")
        folder.mkdir()
        lines = {alone: w.lines(n // 40, str(folder), alone, seed)
                 for alone in (False, True)}
        for spelling in w.SHELLS:
            shell = w.Shell(spelling, home)
            if shell.path is None:
                sys.exit(f"{spelling} is not installed")
            t0 = time.monotonic()
            ask(shell, cases[shell.prints])
            ask(shell, lines[shell.alone])
            print(f"{spelling:13} {len(argvs)} argvs, "
                  f"{len(lines[shell.alone])} lines: the same "
                  f"({time.monotonic() - t0:.0f} s)", flush=True)


main()
