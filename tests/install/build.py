"""Packages to install, built for each suite on a root of that suite."""
import os
import pathlib
import re

import machine as m

OUT = m.TOP / "build/install-test"
NEXT = "2"      # the newer build, and its version of the messages
POSTERN = ("postern", "postern-audit", "libpam-postern", "libnss-postern")


def build(suite, revision):
    """Packages of one suite, built on it."""
    out = OUT / f"{suite}{revision}"
    if (out / "VERSION").exists() and os.environ.get("POSTERN_PACKAGES_KEPT"):
        return out
    print(f"building {suite} {revision} ...", flush=True)
    m.run("rm", "-rf", out)
    host = re.search(r"VERSION_CODENAME=(\w+)",
                     pathlib.Path("/etc/os-release").read_text())[1]
    src = None
    if suite not in (host, "host"):
        root = m.make_root(suite, "build", set(
            os.environ["POSTERN_BUILD_PACKAGES"].split()) |
            {"build-essential", "ccache", "debhelper", "dpkg-dev", "fakeroot"})
        src = root / "src"
    elif revision == NEXT:
        src = OUT / "src"
    if src:
        copy(src)
    if revision == NEXT:
        speaks_otherwise(src)
    env = {"POSTERN_REVISION": revision,
           "GIT_CEILING_DIRECTORIES": str(OUT)}     # a copy is none of git's
    if src:
        env["SOURCE_DATE_EPOCH"] = m.run(
            "git", "-C", m.TOP, "log", "-1", "--format=%ct").strip()
    if suite in (host, "host"):
        kinds = ["deb", "rpm"] if suite == "host" else ["deb"]
        m.run((src or m.TOP) / "packaging/build", out, *kinds,
              env=os.environ | env)
        return out
    m.in_root(root, "cd /src && PATH=/usr/lib/ccache:$PATH " +
              " ".join(f"{k}={v}" for k, v in env.items()) +
              " packaging/build /src/out deb")
    m.run("cp", "-r", src / "out", out)
    return out


def copy(src):
    """The checkout without its history, as a release has it."""
    m.run("rm", "-rf", src)
    src.mkdir(parents=True)
    m.run("sh", "-c", f"cd {m.TOP} && git ls-files -z --cached --others "
          f"--exclude-standard | tar --null -T - -c | tar -x -C {src}")


def speaks_otherwise(src):
    """Its processes and those of this version do not understand each other."""
    header = src / "lib/msg.h"
    text, n = re.subn(r"(#define MSG_VERSION) (\d+)",
                      lambda x: f"{x[1]} {int(x[2]) + 1}", header.read_text())
    assert n == 1, n
    header.write_text(text)


def packages_of_host():
    build("host", "1")


def packages(suite):
    """A build and a newer one, between which an upgrade has to start all anew;
    of one version of the messages it is tests/e2e's.  The bastion's package
    first."""
    found = []
    for revision in ("1", NEXT):
        out = build(suite, revision)
        found.append([next(out.glob(f"{p}_*.deb")) for p in POSTERN])
    return found
