#!/usr/bin/python3
"""./dev install-test [bookworm | trixie | rpm | role]…: says what it sees, and
ends with N passed, N failed."""
import os
import sys
import time
import traceback

import build
from debian import Debian
from role import Role
from rpmroot import Rpm

KINDS = {"rpm": Rpm, "role": Role}


def main(names):
    sys.stdout.reconfigure(line_buffering=True)
    build.OUT.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for name in names or ["bookworm", "trixie", "rpm", "role"]:
        it = None
        try:
            it = KINDS.get(name, Debian)(name)
            for step in it.STEPS:
                t0 = time.monotonic()
                more = step(it) or ""
                passed += 1
                print(f"{name:9} {step.__name__:14} ok "
                      f"{time.monotonic() - t0:5.1f} s  {more}")
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            if isinstance(it, Debian):
                print(it.m.sh("journalctl -b --no-pager -u postern "
                              "-u postern-sshd -u target -n 60",
                              check=False))
        finally:
            if hasattr(it, "close"):
                if failed and os.environ.get("POSTERN_LOOK"):
                    input(f"look: nsenter -t {it.m.pid} -a sh; then Enter")
                it.close()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
