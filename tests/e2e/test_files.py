"""Files by stock clients: what they carry arrives, what no rule grants does
not, and the manifest says so."""
import hashlib
import json
import os
import pathlib
import pty
import shutil
import socket
import subprocess
import time

import house as h
import pytest
from test_jobcert import QUIET, Key

AREA = pathlib.Path("/tmp/files-e2e")
RULES = """
identity filer from github { claim repository_id = "7712345"; claim ref = "refs/heads/filer" }
allow ship for filer on web-1 {
    write under /tmp/files-e2e/w by sftp
    write under /tmp/files-e2e/small by sftp max 1KiB
    write under /tmp/files-e2e/keep by sftp no-delete no-symlinks
    read under /tmp/files-e2e/r by sftp
    read under /tmp/files-e2e/w/pub by sftp
}
allow glance for filer on web-2 { read under /tmp/files-e2e/r by sftp }
deny spare for filer on web-1 { write under /tmp/files-e2e/w/never by sftp }
"""
BIG = 5_000_000 + 17


@pytest.fixture(scope="module")
def key(job, rules):
    return Key(job).login(job.issuer.token(ref="refs/heads/filer"))


@pytest.fixture
def area():
    """Folders on the target, which are the login's own."""
    shutil.rmtree(AREA, ignore_errors=True)
    for name in ("w/pub", "w/never", "small", "keep", "r", "out"):
        (AREA / name).mkdir(parents=True)
    (AREA / "r/text").write_text("to be read\n")
    (AREA / "r/big").write_bytes(os.urandom(BIG))
    (AREA / "w/pub/text").write_text("to be read\n")
    (AREA / "out/secret").write_text("nobody's\n")
    (AREA / "w/leads-out").symlink_to(AREA / "out")
    (AREA / "r/leads-out").symlink_to(AREA / "out")
    (AREA / "keep/old").write_text("stays\n")
    (AREA / "keep/straight").mkdir()
    (AREA / "keep/link").symlink_to("straight")
    for p in [AREA, *AREA.rglob("*")]:
        if not p.is_symlink():
            shutil.chown(p, "deploy")
    yield AREA
    shutil.rmtree(AREA, ignore_errors=True)


@pytest.fixture
def local(job, tmp_path):
    """Files of the job's."""
    d = job.home / f"l-{os.urandom(4).hex()}"
    d.mkdir()
    (d / "big").write_bytes(os.urandom(BIG))
    (d / "empty").write_bytes(b"")
    (d / "text").write_text("hello\n")
    (d / "tree/a/b").mkdir(parents=True)
    for i in range(60):
        (d / f"tree/a/f{i}").write_bytes(os.urandom(i * 100))
    (d / "tree/a/b/last").write_text("last\n")
    for p in [d, *d.rglob("*")]:
        shutil.chown(p, job.user)
    yield d
    shutil.rmtree(d)


def sha(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def manifest(bastion, mark):
    """The lines of the one session of files since mark, when it is over."""
    e = bastion.event(mark, "operation.end")
    side = bastion.recording(e["operation"]).with_suffix(".json")
    lines = [json.loads(x) for x in side.read_text().splitlines()]
    assert lines[-1]["kind"] == "closed" and e["state"] in (
        "complete", "interrupted")
    return [x for x in lines if x["kind"] == "file" and
            x["result"] != "begun"]


def brief(lines):
    return [(x["verb"], x["path"].removeprefix(f"{AREA}/"), x["result"])
            for x in lines]


def sftp(key, lines, to="web-1", opts=()):
    return key.job.run(["sftp", *QUIET, "-i", key.private, *opts, "-b", "-",
                        f"{to}@{key.job.host}"], input=lines.encode())


def scp(key, *args, opts=()):
    return key.job.run(["scp", *QUIET, "-i", key.private, *opts, *args])


def test_sftp_both_ways(bastion, key, area, local, mark):
    r = sftp(key, f"put {local}/big {area}/w/big\n"
             f"put {local}/empty {area}/w/empty\n"
             f"get {area}/r/big {local}/back\n"
             f"get {area}/w/pub/text {local}/text2\n")
    assert r.code == 0, r.error
    assert sha(area / "w/big") == sha(local / "big")
    assert sha(local / "back") == sha(area / "r/big")
    lines = manifest(bastion, mark)
    assert brief(lines) == [
        ("put", "w/big", "done"), ("put", "w/empty", "done"),
        ("get", "r/big", "done"), ("get", "w/pub/text", "done")]
    assert [x["sha256"] for x in lines] == [
        sha(local / "big"), sha(local / "empty"), sha(area / "r/big"),
        sha(area / "w/pub/text")]
    assert [x["bytes"] for x in lines] == [BIG, 0, BIG, 11]
    assert {x["rule"] for x in lines} == {"ship"}


@pytest.mark.parametrize("opts", [[], ["-p"]])
def test_scp_a_tree(bastion, job, key, area, local, mark, opts):
    r = scp(key, "-r", *opts, local / "tree", f"web-1@{job.host}:{area}/w/")
    assert r.code == 0, r.error
    sent = {p.relative_to(local) for p in local.glob("tree/**/*")}
    assert {p.relative_to(area / "w")
            for p in area.glob("w/tree/**/*")} == sent
    lines = {x["path"]: x for x in manifest(bastion, mark)
             if x["verb"] == "put"}
    for name in sent:
        if (local / name).is_file():
            line = lines[f"{area}/w/{name}"]
            assert line["result"] == "done"
            assert line["sha256"] == sha(local / name) == sha(
                area / "w" / name)


def test_scp_down(bastion, job, key, area, local, mark):
    r = scp(key, "-r", f"web-1@{job.host}:{area}/r", local / "down")
    assert sha(local / "down/big") == sha(area / "r/big"), r.error
    got = {x["path"]: x for x in manifest(bastion, mark)}
    assert got[f"{area}/r/big"]["sha256"] == sha(area / "r/big")


TRICKS = [
    # what is tried, and the path of the manifest's refusal
    ("put {l}/text {a}/x", "put x"),
    ("put {l}/text {a}/w/../x", "put x"),
    ("put {l}/text {a}//w/./../out/x", "put out/x"),
    ("put {l}/text {a}/w/leads-out/x", "put w/leads-out/x"),
    ("put {l}/text {a}/w/never/x", "put w/never/x"),
    ("put {l}/text {a}/W/x", "put W/x"),
    ("put {l}/text {a}/r/x", "put r/x"),
    ("get {a}/r/../out/secret {l}/got", None),
    ("get {a}/w/leads-out/secret {l}/got", None),
    ("get /etc/passwd {l}/got", None),
    ("ln -s {a}/out/secret {a}/w/pub/s", "symlink w/pub/s"),
    ("ln -s ../../out/secret {a}/w/pub/s", None),
    ("ln {a}/out/secret {a}/w/pub/s", "link out/secret"),
    ("rename {a}/w/leads-out {a}/w/pub/d", "rename w/leads-out"),
    ("rename {a}/w/pub/text {a}/out/text", "rename w/pub/text"),
    ("rename {a}/w {a}/v", "rename w"),
    ("rm {a}/w/leads-out/secret", None),
    ("rmdir {a}/w", "rmdir w"),
    ("rm {a}/keep/old", None),
    ("rename {a}/keep/old {a}/w/old", "rename keep/old"),
    ("put {l}/text {a}/keep/link/x", "put keep/link/x"),
    ("chmod 4755 {a}/w/pub/text", "attributes w/pub/text"),
    ("chown 0 {a}/w/pub/text", "attributes w/pub/text"),
    ("put {l}/big {a}/small/big", None),
]


def test_tricks(bastion, key, area, local, mark):
    """One session: nothing of it happens on the target."""
    def look():
        return sorted((str(p), p.lstat().st_mode,
                       p.read_bytes() if p.is_file() and not p.is_symlink()
                       else b"") for p in area.rglob("*")
                      if p != area / "small/big")

    before = look()
    r = sftp(key, "".join(f"-{line}\n" for line, _ in TRICKS).format(
        l=local, a=area))
    assert not (local / "got").exists()
    assert look() == before, r.error
    assert (area / "small/big").stat().st_size <= 1024
    lines = manifest(bastion, mark)
    refused = [f"{v} {p}" for v, p, result in brief(lines)
               if result == "refused"]
    for line, want in TRICKS:
        assert want is None or want in refused, (line, refused)
    assert not [x for x in lines if x["result"] == "done"], lines
    (small,) = [x for x in lines if x["path"].endswith("small/big")]
    assert small["result"] == "failed" and "sha256" not in small


def test_what_a_rule_grants_goes(key, area, local):
    r = sftp(key, f"""mkdir {area}/w/d
put {local}/text {area}/w/d/text
rename {area}/w/d/text {area}/w/d/t
ln -s t {area}/w/d/l
ln {area}/w/d/t {area}/w/d/h
chmod 600 {area}/w/d/t
rm {area}/w/d/l
put {local}/text {area}/keep/new
rename {area}/keep/new {area}/keep/newer
ls -l {area}/r
df {area}/w
cd {area}/w/d
pwd
""")
    assert r.code == 0, r.error
    assert (area / "w/d/t").stat().st_nlink == 2
    assert (area / "keep/newer").read_text() == "hello\n"


def test_reads_only(bastion, job, key, area, local, mark):
    """On web-2 nothing may be written, and the target knows that, too."""
    r = sftp(key, f"get {area}/r/text {local}/t\n-put {local}/text {area}/w/x\n",
             to="web-2")
    assert (local / "t").read_text() == "to be read\n", r.error
    assert not (area / "w/x").exists()
    assert brief(manifest(bastion, mark)) == [
        ("get", "r/text", "done"), ("put", "w/x", "refused")]


def test_resumed(bastion, key, area, local, mark):
    data = (local / "big").read_bytes()
    (area / "w/half").write_bytes(data[:1_000_000])
    shutil.chown(area / "w/half", "deploy")
    (local / "part").write_bytes((area / "r/big").read_bytes()[:2_000_000])
    shutil.chown(local / "part", key.job.user)
    r = sftp(key, f"reput {local}/big {area}/w/half\n"
             f"reget {area}/r/big {local}/part\n")
    assert r.code == 0, r.error
    assert sha(area / "w/half") == sha(local / "big")
    assert sha(local / "part") == sha(area / "r/big")
    up, down = manifest(bastion, mark)
    assert up["ranges"] == [[1_000_000, BIG]] and "sha256" not in up
    assert down["ranges"] == [[2_000_000, BIG]] and "sha256" not in down


def test_cut_in_the_middle(bastion, job, key, area, local, mark):
    p = job.popen(["sftp", *QUIET, "-i", key.private, "-l", "2000",
                   f"web-1@{job.host}"], stdin=-1)
    p.stdin.write(f"put {local}/big {area}/w/big\n".encode())
    p.stdin.flush()
    end = time.monotonic() + 30
    while not ((area / "w/big").exists() and
               (area / "w/big").stat().st_size > 100_000):
        assert time.monotonic() < end
        time.sleep(0.05)
    job.kill(p)
    p.communicate()
    (line,) = manifest(bastion, mark)
    assert (line["verb"], line["result"]) == ("put", "cut")
    (range_,) = line["ranges"]
    assert range_[0] == 0 and 100_000 < range_[1] < BIG
    sent = (area / "w/big").read_bytes()
    assert (local / "big").read_bytes().startswith(sent)


def test_interactive(bastion, job, key, area, local, mark):
    """A terminal at the client is the client's own affair."""
    main, sub = pty.openpty()
    p = job.popen(["sftp", *QUIET, "-i", key.private, f"web-1@{job.host}"],
                  stdin=sub, stdout=sub, stderr=sub)
    os.close(sub)
    os.write(main, f"cd {area}/w\nput {local}/text t\nbye\n".encode())
    said = b""
    try:
        while True:
            part = os.read(main, 65536)
            if not part:
                break
            said += part
    except OSError:
        pass
    assert p.wait(30) == 0, said
    os.close(main)
    assert (area / "w/t").read_text() == "hello\n", said
    assert brief(manifest(bastion, mark)) == [("put", "w/t", "done")]


def test_psftp(bastion, job, key, area, local, mark):
    if not shutil.which("puttygen"):
        pytest.skip("putty-tools are not installed")
    ppk = key.folder / "k.ppk"
    r = job.run(["puttygen", key.private, "-O", "private", "-o", ppk,
                 "--certificate", key.folder / "k-cert.pub"])
    assert r.code == 0, r.error
    pin = h.fingerprint(bastion.hostkey.with_suffix(".pub"))
    script = local / "script"
    script.write_text(f"put {local}/big {area}/w/big\n"
                      f"get {area}/r/text {local}/t\nquit\n")
    r = job.run(["psftp", "-batch", "-hostkey", pin, "-i", ppk, "-b", script,
                 f"web-1@{job.host}"])
    assert sha(area / "w/big") == sha(local / "big"), r.error
    assert (local / "t").read_text() == "to be read\n"
    lines = manifest(bastion, mark)
    assert lines[0]["sha256"] == sha(local / "big")
    assert brief(lines)[1] == ("get", "r/text", "done")


def test_paramiko(bastion, job, key, area, local, mark):
    """Which asks for all of a file at once."""
    paramiko = pytest.importorskip("paramiko")
    k = paramiko.Ed25519Key.from_private_key_file(str(key.private))
    k.load_certificate(str(key.folder / "k-cert.pub"))
    with h.in_netns("job"):
        s = socket.create_connection(("10.91.0.1", 22), 10)
    t = paramiko.Transport(s)
    try:
        t.start_client(timeout=30)
        t.auth_publickey("web-1", k)
        c = paramiko.SFTPClient.from_transport(t)
        c.put(str(local / "big"), f"{area}/w/big")
        c.get(f"{area}/r/big", str(local / "back"))
        assert sorted(c.listdir(f"{area}/r")) == ["big", "leads-out", "text"]
        with pytest.raises(PermissionError, match="no rule grants it"):
            c.open("/etc/passwd")
    finally:
        t.close()
    assert sha(area / "w/big") == sha(local / "big")
    assert sha(local / "back") == sha(area / "r/big")
    lines = manifest(bastion, mark)
    assert brief(lines) == [("put", "w/big", "done"), ("get", "r/big", "done"),
                            ("get", "/etc/passwd", "refused")]
    assert lines[0]["sha256"] == sha(local / "big")


def test_curl(bastion, job, area, local, mark, rules):
    """By token: curl gives its password to whatever is asked."""
    if "sftp" not in h.run("curl", "--version").stdout:
        pytest.skip("this curl does not speak SFTP")
    pin = h.fingerprint(bastion.hostkey.with_suffix(".pub"))
    curl = ["curl", "-sS", "--hostpubsha256", pin.removeprefix("SHA256:"),
            "-K", "-"]
    token = job.issuer.token(ref="refs/heads/filer")
    who = f'user = "web-1:{token}"\n'.encode()
    url = f"sftp://{job.host}{area}"
    r = job.run([*curl, "-T", local / "big", f"{url}/w/big"], input=who)
    assert r.code == 0, r.error
    assert sha(area / "w/big") == sha(local / "big")
    assert brief(manifest(bastion, mark)) == [("put", "w/big", "done")]
    r = job.run([*curl, f"{url}/r/text"], input=who)
    assert (r.code, r.text) == (0, "to be read\n"), r.error
    r = job.run([*curl, f"sftp://{job.host}/etc/passwd"], input=who)
    assert r.code != 0 and r.out == b""


def test_sshfs(bastion, job, key, area, local, mark):
    """A folder of the target's, as one of the job's."""
    if not (shutil.which("sshfs") and os.path.exists("/dev/fuse")):
        pytest.skip("no sshfs here")
    there = local / "there"
    there.mkdir()
    r = subprocess.run(h.inside("job", ["unshare", "-m", "sh", "-ec", f"""
        sshfs -o BatchMode=yes,IdentitiesOnly=yes,IdentityFile={key.private} \\
            -o UserKnownHostsFile={job.home}/.ssh/known_hosts \\
            web-1@{job.host}:{area}/w/pub {there}
        cd {there}
        cmp text {area}/w/pub/text
        cp {local}/big big
        cmp big {local}/big
        mkdir d
        mv big d/b
        ln -s d/b l
        cmp l {local}/big
        rm l d/b
        rmdir d
        ! ln -s /etc/passwd p
        ls
        cd /
        umount {there}
        """]), env=job.env(), capture_output=True, text=True, timeout=60,
                       check=False)
    if "fuse" in r.stderr and "ermi" in r.stderr:
        pytest.skip(r.stderr)
    assert r.returncode == 0, r.stderr
    assert r.stdout == "text\n"
    lines = brief(manifest(bastion, mark))
    assert ("symlink", "w/pub/p", "refused") in lines
    assert ("remove", "w/pub/d/b", "done") in lines
