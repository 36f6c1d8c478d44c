"""Packages to install, built for each suite on a root of that suite."""
import os
import pathlib
import re

import machine as m

OUT = m.TOP / "build/install-test"
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
    env = os.environ | {"POSTERN_REVISION": revision}
    if suite in (host, "host"):
        kinds = ["deb", "rpm"] if suite == "host" else ["deb"]
        m.run(m.TOP / "packaging/build", out, *kinds, env=env)
        return out
    root = m.make_root(suite, "build", set(
        os.environ["POSTERN_BUILD_PACKAGES"].split()) |
        {"build-essential", "ccache", "debhelper", "dpkg-dev", "fakeroot"})
    src = root / "src"
    m.run("rm", "-rf", src)
    src.mkdir()
    epoch = m.run("git", "-C", m.TOP, "log", "-1", "--format=%ct").strip()
    m.run("sh", "-c", f"cd {m.TOP} && git ls-files -z --cached --others "
          f"--exclude-standard | tar --null -T - -c | tar -x -C {src}")
    m.in_root(root, f"cd /src && PATH=/usr/lib/ccache:$PATH "
              f"SOURCE_DATE_EPOCH={epoch} "
              f"POSTERN_REVISION={revision} packaging/build /src/out deb")
    m.run("cp", "-r", src / "out", out)
    return out


def packages_of_host():
    build("host", "1")


def packages(suite):
    """An older and a newer build of the same, the bastion's package first."""
    found = []
    for revision in ("1", "2"):
        out = build(suite, revision)
        found.append([next(out.glob(f"{p}_*.deb")) for p in POSTERN])
    return found
