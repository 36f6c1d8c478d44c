"""`postern doctor`: a good bastion is quiet, and each of the ways to break one
is named by its place, with its fix, and without what is in a file."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import house as h
import pytest

SECRET = "-----BEGIN"
OTHER_PIN = '"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"'


# Who was root and is not any more may not be dumped, nor searched for leaks.
SEARCHED = {**os.environ,
            "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}


def doctor(bastion, *args, env=None):
    p = bastion.postern("doctor", "--json", *args, check=False,
                        env={**SEARCHED, **(env or {})})
    assert p.stdout, p.stderr
    assert SECRET not in p.stdout + p.stderr
    got = json.loads(p.stdout)
    assert p.returncode == (0 if got["ok"] else 1)
    return got["findings"]


@pytest.fixture(scope="module")
def policy(bastion):
    """Only targets that are there: other tests' are out of reach by design."""
    folder = h.ETC / "policy"
    kept = {p: p.read_bytes() for p in folder.iterdir()}
    for p in kept:
        p.unlink()
    fp = next(t.fingerprint for t in bastion.targets if t.name == "web-1")
    bastion.write_policy(f"""policy 1
issuer github {{ preset github; audience "bastion.acme.example" }}
identity shop from github {{ claim repository_id = "7712345" }}
target web-1 {{ ssh "deploy@10.91.0.2:22"; hostkey ssh-ed25519 "{fp}" }}
allow one for shop on web-1 {{ run /bin/true }}
""")
    assert bastion.postern("reload").returncode == 0
    yield
    for p in folder.iterdir():
        p.unlink()
    for p, text in kept.items():
        p.write_bytes(text)
        p.chmod(0o644)
    assert bastion.postern("reload").returncode == 0


@contextlib.contextmanager
def changed(path, text):
    """A file with another content, as long as it takes."""
    path = pathlib.Path(path)
    before, st = path.read_bytes(), path.stat()
    path.write_text(text(before.decode()))
    try:
        yield
    finally:
        path.write_bytes(before)
        os.chmod(path, st.st_mode & 0o7777)


@contextlib.contextmanager
def mode(path, bits):
    before = os.stat(path).st_mode & 0o7777
    os.chmod(path, bits)
    try:
        yield
    finally:
        os.chmod(path, before)


@contextlib.contextmanager
def owner(path, uid, gid=-1):
    st = os.stat(path)
    os.chown(path, uid, gid)
    try:
        yield
    finally:
        os.chown(path, st.st_uid, st.st_gid)
        os.chmod(path, st.st_mode & 0o7777)


@contextlib.contextmanager
def away(path):
    path = pathlib.Path(path)
    at = path.with_name(f".{path.name}.away")
    path.rename(at)
    try:
        yield
    finally:
        at.rename(path)


MAIN = h.ETC / "policy/main.postern"
CONF = h.ETC / "postern.conf"
PASSWD = pathlib.Path("/etc/passwd")
NOBODY = 65534


def account(name):
    return changed(PASSWD, lambda t: t +
                   f"{name}:x:4242:4242::/nonexistent:/bin/false\n")


def in_policy(a, b):
    return changed(MAIN, lambda t: t.replace(a, b))


def in_conf(line):
    return changed(CONF, lambda t: t + line + "\n")


# name: (how it is broken, check, where, what, fix)
BROKEN = {
    "no policy": (lambda: away(MAIN), "policy", "policy",
                  "there is no policy", "postern setup"),
    "policy does not load": (lambda: in_policy("allow one", "alow one"),
                             "policy", "policy", "does not load",
                             "postern policy check"),
    "policy writable": (lambda: mode(MAIN, 0o666), "files", "main.postern",
                        "may write it", "chmod 0644"),
    "policy another's": (lambda: owner(MAIN, NOBODY), "files", "main.postern",
                         "its owner is uid 65534", "chown root"),
    "conf writable": (lambda: mode(CONF, 0o664), "files", "postern.conf",
                      "may write it", "chmod 0644"),
    "ca key readable": (lambda: mode(h.ETC / "ca/target.pem", 0o644), "files",
                        "target.pem", "may read it", "replace the key"),
    "ca key away": (lambda: away(h.ETC / "ca/job.pem"), "files", "job.pem",
                    "it is missing", "backup"),
    "ca key broken": (lambda: changed(h.ETC / "ca/job.pem",
                                      lambda t: t.replace("M", "N")), "ca",
                      "job.pem", "no key that the signer can read", "backup"),
    "ca pub another's": (lambda: changed(
        h.ETC / "ca/target.pub",
        lambda t: (h.ETC / "ca/job.pub").read_text()), "ca", "target.pem",
        "another key's", "backup"),
    "host key readable": (lambda: mode(h.ETC / "sshd/host_ed25519", 0o640),
                          "files", "host_ed25519", "may read it",
                          "chmod 0600"),
    "ledger another's": (lambda: owner(h.STATE / "ledger", NOBODY), "files",
                         "/ledger", "its owner is uid 65534",
                         "chown _postern-audit"),
    "recordings readable": (lambda: mode(h.STATE / "recordings", 0o2755),
                            "files", "/recordings", "may read it",
                            "chmod 2700"),
    "socket for all": (lambda: mode(h.RUN / "ctl.sock", 0o666), "files",
                       "ctl.sock", "may write it", "chmod 0660"),
    "account away": (lambda: changed(PASSWD, lambda t: "".join(
        x for x in t.splitlines(True) if not x.startswith("_postern-hop:"))),
        "accounts", "_postern-hop", "no such account", "sysusers"),
    "group has members": (lambda: changed(
        "/etc/group", lambda t: "".join(
            x.rstrip("\n") + "daemon\n" if x.startswith("postern-job:") else x
            for x in t.splitlines(True))),
        "accounts", "postern-job", "it has members",
        "gpasswd -d daemon postern-job"),
    "account postern": (lambda: account("postern"), "names", "postern",
                        "a local account has this name", "rename"),
    "account web-1": (lambda: account("web-1"), "names", "web-1",
                      "a local account has the name of this target",
                      "rename"),
    "disk reserve": (lambda: in_conf("disk-reserve 1000GiB"), "disk", "lib",
                     "nothing new is run", "disk-reserve"),
    "issuer's ca": (lambda: changed(CONF, lambda t: "\n".join(
        "issuer-ca /etc/ssl/certs/none.pem" if x.startswith("issuer-ca")
        else x for x in t.splitlines())), "issuers", "/etc/ssl/certs/none.pem",
        "is not there", "issuers' CA"),
    "issuer private": (lambda: changed(CONF, lambda t: "\n".join(
        x for x in t.splitlines() if not x.startswith("issuer-address"))),
        "issuers", "token.actions", "private address", "issuer-address"),
    "issuer unknown": (lambda: in_policy(
        "preset github;",
        'preset custom; url "https://nowhere.invalid"; algorithms RS256;'),
        "issuers", "nowhere.invalid", "", "is the name right"),
    "issuer's algorithms": (lambda: in_policy(
        "preset github;", "preset github; algorithms ES256;"), "issuers",
        "github", "none of its keys", "algorithms"),
    "host key": (lambda: changed(
        MAIN, lambda t: re.sub('"SHA256:[^"]*"', OTHER_PIN, t)), "targets",
                 "web-1", "pins another key", "only then pin"),
    "target down": (lambda: in_policy("10.91.0.2:22", "10.91.0.2:2299"),
                    "targets", "web-1", "no ssh server answers",
                    "ssh-keyscan -p 2299"),
    "seen-from": (lambda: in_policy(
        ':22";', ':22"; seen-from "192.0.2.7";'),
        "addresses", "web-1", "192.0.2.7", "auth log"),
    "conf broken": (lambda: in_conf("nonsense 1"), "settings", "postern.conf",
                    "nonsense", "does not start with it"),
    "sshd's listen": (lambda: made(h.ETC / "sshd/listen", "PermitRootLogin\n"),
                      "sshd", "postern-sshd-start", "not 'Port N'", "-c"),
    "maintenance": (lambda: made(pathlib.Path("/etc/nologin"), "later\n"),
                    "sshd", "/etc/nologin", "PAM lets no job in",
                    "maintenance"),
    "pam's line put out": (lambda: changed(
        "/etc/pam.d/postern-sshd", lambda t: t.replace("auth ", "#auth ")),
        "sshd", "postern-sshd-start", "pam_postern.so for auth", "-c"),
    "pam's session away": (lambda: changed(
        "/etc/pam.d/postern-sshd", lambda t: "".join(
            x for x in t.splitlines(True) if not x.startswith("session"))),
        "sshd", "postern-sshd-start", "pam_postern.so for session", "-c"),
}


@contextlib.contextmanager
def made(path, text):
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


def test_a_good_one_is_quiet(bastion, policy):
    assert doctor(bastion) == []
    p = bastion.postern("doctor", env=SEARCHED)
    assert (p.stdout, p.stderr) == ("", "")


@pytest.mark.parametrize("name", BROKEN)
def test_each_is_named(bastion, policy, name):
    how, check, where, what, fix = BROKEN[name]
    with how():
        found = doctor(bastion, *(
            [] if check in ("issuers", "targets") else ["--offline"]))
    mine = [f for f in found if f["check"] == check and where in f["where"] and
            what in f["what"] and fix in f["fix"]]
    assert len(mine) == 1, found
    # Nothing that is well is accused.
    assert {f["check"] for f in found} <= {
        check, "sshd", "policy", "ca", "settings", "issuers"}, \
        found


def test_all_was_put_back(bastion, policy):
    assert doctor(bastion) == []


def test_with_the_broker_down(bastion, policy):
    with away(h.RUN / "ctl.sock"):
        (f,) = doctor(bastion)
    assert f["level"] == "note" and "posternd does not answer" in f["what"]


def test_locked(bastion, policy):
    bastion.postern("lock")
    try:
        (f,) = doctor(bastion)
        assert "postern unlock" in f["fix"]
    finally:
        bastion.postern("unlock")


def test_the_clock(bastion, policy, tmp_path):
    page = tmp_path / "ahead"
    page.write_bytes((3600).to_bytes(8, "little"))
    preload = pathlib.Path(os.environ["POSTERN_BUILD"]).resolve() / \
        "tests/broker/.libs/clock.so"
    if not preload.exists():
        pytest.skip("tests/broker/clock.la is not built")
    found = doctor(bastion, env={"LD_PRELOAD": str(preload),
                                 "CLOCK_PAGE": str(page)})
    assert any(f["check"] == "clock" and "3600 s ahead" in f["what"] or
               f["check"] == "clock" and "ahead" in f["what"]
               for f in found), found


def test_who_may(bastion):
    p = subprocess.run(h.inside("bastion", [h.PREFIX / "bin/postern", "doctor"],
                                "runner"), capture_output=True, text=True)
    assert p.returncode == 77 and "become root" in p.stderr, p


SYSTEMCTL = """#!/bin/sh
# What systemd says of a unit, for a house that has none.
case "$4" in
ProtectSystem) echo {strict} ;;
ReadWritePaths) echo "{paths}" ;;
esac
"""
RUNS = """#!/bin/sh
case "$4 $5" in
"ActiveState postern.service") echo active ;;
"ActiveState postern-sshd.service") echo {way_in} ;;
"MainPID {of}.service") echo {pid} ;;
MainPID*) echo 0 ;;
esac
"""


def of_unit(bastion, folder, text):
    """What doctor says of the units, when that is systemctl."""
    program = folder / "systemctl"
    program.write_text(text)
    program.chmod(0o755)
    return [f for f in doctor(bastion, "--offline", env={
        "PATH": f"{folder}:{os.environ['PATH']}"}) if f["check"] == "unit"]


@pytest.mark.parametrize("way_in, found", [
    ("active", 0), ("activating", 0), ("inactive", 1), ("failed", 1)])
def test_the_way_in_does_not_run(bastion, policy, tmp_path, way_in, found):
    got = of_unit(bastion, tmp_path,
                  RUNS.format(way_in=way_in, of="none", pid=0))
    assert len(got) == found, got
    for f in got:
        assert f["where"] == "postern-sshd.service" and \
            "systemctl start postern-sshd" in f["fix"], f


@pytest.mark.parametrize("of, fix", [
    ("postern", "--signal=SIGUSR2 postern"),
    ("postern-sshd", "systemctl restart postern-sshd")])
def test_a_program_that_was_replaced_under_it(
        bastion, policy, tmp_path, of, fix):
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep"), program)
    p = subprocess.Popen([program, "1000"])
    try:
        text = RUNS.format(way_in="active", of=of, pid=p.pid)
        assert of_unit(bastion, tmp_path, text) == []
        program.unlink()
        (f,) = of_unit(bastion, tmp_path, text)
    finally:
        p.kill()
        p.wait()
    assert f["where"] == f"{of}.service" and "was replaced" in f["what"] and \
        fix in f["fix"], f


@pytest.mark.parametrize("paths, strict, found", [
    ("-/var/lib/postern", "strict", 1), ("", "strict", 1),
    ("-/var/lib/postern /srv/postern", "strict", 0),
    ("+/srv", "strict", 0), ("/srv/", "strict", 0),
    ("/srv/post", "strict", 1), ("/srv/postern/more", "strict", 1),
    ("", "full", 0)])
def test_a_state_folder_that_the_unit_does_not_let_it_write(
        bastion, policy, tmp_path, paths, strict, found):
    with in_conf("state-folder /srv/postern"):
        got = of_unit(bastion, tmp_path,
                      SYSTEMCTL.format(paths=paths, strict=strict))
    assert len(got) == found
    for f in got:
        assert f["where"] == "/srv/postern" and \
            "ReadWritePaths=/srv/postern" in f["fix"]
