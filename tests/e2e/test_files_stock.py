"""What OpenSSH's sftp and scp can do, one after the other, and what they say
when it cannot be done: through the bastion as without it."""
import filecmp
import os
import pathlib
import shutil
import stat
import subprocess

import pytest
from test_jobcert import QUIET, Key

AREA = pathlib.Path(f"/tmp/files-stock-{os.urandom(4).hex()}")
W, R = AREA / "w", AREA / "r"
RULES = f"""
identity stocker from github {{ claim repository_id = "7712345"; claim ref = "refs/heads/stock" }}
allow stock for stocker on web-1 {{
    write under {W} by sftp scp-legacy
    read under {W} by sftp scp-legacy
    read under {R} by sftp scp-legacy
    write under {AREA}/drop by sftp
}}
allow shelf for stocker on web-2 {{ read under {AREA} by sftp scp-legacy }}
"""
# Each is one name, for a shell, for glob(3) and for sftp's own line.
NAMES = ("plain", "with space", 'double"quote', "single'quote", "back\\slash",
         "star*", "what?", "[a-z]", "-dash", "$HOME", "semi;colon", "#hash",
         "café", "~tilde", "co:lon", "x" * 255)


@pytest.fixture(scope="module")
def key(job, rules):
    return Key(job).login(job.issuer.token(ref="refs/heads/stock"))


def fill(folder, owner):
    """The same on either side, of different contents."""
    for name in ("one", "two", "tree/a/deep", "tree/b", *(
            f"names/{n}" for n in NAMES)):
        p = folder / name
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(os.urandom(100 + len(name)))
    (folder / "empty").touch()
    (folder / "tree/link").symlink_to("b")
    (folder / "tree/b").chmod(0o750)
    os.utime(folder / "tree/b", (1e9, 1e9))
    chown(folder, owner)


def chown(path, owner):
    """All of it, and links themselves."""
    subprocess.run(["chown", "-hR", f"{owner}:", path], check=True)


@pytest.fixture
def place(job):
    """The target's folders, and one of the job's."""
    shutil.rmtree(AREA, ignore_errors=True)
    here = job.home / f"s-{os.urandom(4).hex()}"
    for d in (W / "dir", AREA / "drop", R, here):
        d.mkdir(parents=True)
    (W / "has").write_text("there already\n")
    chown(AREA, "deploy")
    fill(R, "deploy")
    fill(here, job.user)
    yield here
    shutil.rmtree(here)
    shutil.rmtree(AREA, ignore_errors=True)


def sftp(key, lines, *opts, to="web-1"):
    return key.job.run(["sftp", *QUIET, "-i", key.private, *opts, "-b", "-",
                        f"{to}@{key.job.host}"], input=lines.encode())


def same(a, b):
    return filecmp.cmp(a, b, shallow=False)


def tree(folder):
    """Its names, links followed."""
    return {str(p.relative_to(folder)) for p in folder.glob("**/*")}


# -- sftp: what its commands do --------------------------------------------

def test_names_by_sftp(key, place):
    """There, back under another name, and away, each by its very name."""
    def word(name):     # special to sftp's line or to its glob
        return "".join("\\" + c if c in " '\"#\\*?[]" else c for c in name)

    lines = [f"lmkdir {place}/back", f"mkdir {W}/n"]
    for i, name in enumerate(NAMES):
        lines += [f"put {place}/names/{word(name)} {W}/n/{word(name)}",
                  f"get {W}/n/{word(name)} {place}/back/{i}",
                  f"get {R}/names/{word(name)} {place}/back/r{i}",
                  f"rename {W}/n/{word(name)} {W}/n/moved",
                  f"rename {W}/n/moved {W}/n/{word(name)}"]
    r = sftp(key, "\n".join(lines) + f'\nget "{R}/names/with space" {place}/q1\n'
             f"get '{R}/names/double\"quote' {place}/q2\n"
             f'get "{R}/names/star*" {place}/q3\n')
    assert r.code == 0, r.error
    assert sorted(os.listdir(W / "n")) == sorted(NAMES)
    for i, name in enumerate(NAMES):
        assert same(place / f"back/{i}", place / "names" / name), name
        assert same(place / f"back/r{i}", R / "names" / name), name
    for q, name in (("q1", "with space"), ("q2", 'double"quote'),
                    ("q3", "star*")):
        assert same(place / q, R / "names" / name)
    r = sftp(key, "".join(f"rm {W}/n/{word(n)}\n" for n in NAMES) +
             f"rmdir {W}/n\n")
    assert r.code == 0, r.error
    assert not (W / "n").exists()


def test_commands_of_sftp(key, place):
    r = sftp(key, f"""version
help
lpwd
!true
lls {place}
cd {R}
pwd
lcd {place}
lmkdir down
get one
get one down
get two down/named
-get -r tree down
-mget t* down
cd {W}
put two
put one dir
put one dir/named
put -p tree/b b
put -r tree
mput tree/b dir
mkdir d
rename d e
rename one renamed
ln two hard
ln -s two soft
symlink dir/one soft2
chmod 600 two
ls
ls -la
ls -1 dir
ls -ltr {R}/names
df
df -h {W}
rm hard
rm soft
rmdir e
""".replace("rename one renamed", "rename dir/one renamed"))
    assert r.code == 0, r.error
    assert f"Remote working directory: {R}" in r.text
    assert same(place / "one", R / "one")
    assert same(place / "down/named", R / "two")
    assert same(place / "down/tree/a/deep", R / "tree/a/deep")
    assert tree(W) >= {"two", "b", "renamed", "dir/named", "tree/a/deep",
                       "tree/b", "soft2"}
    assert not tree(W) & {"hard", "soft", "e", "d", "dir/one"}
    assert same(W / "renamed", place / "one")
    assert (W / "b").stat().st_mtime == 1e9
    assert stat.S_IMODE((W / "b").stat().st_mode) == 0o750
    assert stat.S_IMODE((W / "two").stat().st_mode) == 0o600
    assert "with space" in r.text and "café" in r.text


@pytest.mark.parametrize("opts", [
    ("-B", "1000", "-R", "1"), ("-B", "37", "-R", "256"),
    ("-B", "32768", "-R", "64"), ("-B", "261120", "-R", "16"), ("-C",),
    ("-p", "-f")], ids=" ".join)
def test_sizes_of_requests(key, place, opts):
    data = os.urandom(50_001 if "37" in opts else 700_001)
    (place / "data").write_bytes(data)
    r = sftp(key, f"put {place}/data {W}/data\nget {W}/data {place}/back\n",
             *opts)
    assert r.code == 0, r.error
    assert (W / "data").read_bytes() == (place / "back").read_bytes() == data


def test_globs_of_sftp(key, place):
    for n in ("g-1", "g-2", "g-[x]", "h-1"):
        (W / n).write_text(n)
    r = sftp(key, f"lmkdir {place}/g\nget {W}/g-? {place}/g\n"
             f"get {W}/[gh]-1 {place}/g\nget {W}/g-\\[x\\] {place}/g\n"
             f"ls -1 {W}/*-1\nls -1 {W}/g-{{1,2}}\n-get {W}/nothing* {place}\n"
             f"put {place}/t*o {W}/dir\n")
    assert r.code == 0, r.error
    assert sorted(os.listdir(place / "g")) == ["g-1", "g-2", "g-[x]", "h-1"]
    assert r.text.count(f"{W}/g-1") == 2 and f"{W}/h-1" in r.text
    assert f'"{W}/nothing*" not found' in r.error
    assert os.listdir(W / "dir") == ["two"]


BAD = (     # what cannot be done, and what sftp says of it
    (f"get {R}/none {{l}}/x", "not found"),
    (f"get {R}/none* {{l}}/x", "not found"),
    (f"get {R}/* {{l}}/none", "multiple"),
    (f"put {{l}}/none {W}/x", "No such file"),
    (f"put {{l}}/one {W}/none/x", "No such file"),
    (f"put {{l}}/* {W}/has", "multiple"),
    (f"get {R}/tree {{l}}/x", "not a regular file"),
    (f"put {{l}}/tree {W}/x", "not a regular file"),
    (f"rename {W}/none {W}/x", "No such file"),
    (f"rename {W}/has {W}/dir", "Failure"),
    (f"rename {W}/has {W}/none/x", "No such file"),
    (f"mkdir {W}/dir", "Failure"),
    (f"rmdir {W}/has", "remote rmdir"),
    (f"rmdir {W}/none", "No such file"),
    (f"rm {W}/none", "remote delete"),
    (f"rm {W}/dir", "remote delete"),
    (f"ln {W}/none {W}/x", "No such file"),
    (f"ln {W}/has {W}/dir", "Failure"),
    (f"chmod 600 {W}/none", "remote setstat"),
    (f"cd {W}/none", "No such file"),
    (f"cd {W}/has", "not a directory"),
    ("lcd /none", "No such file"),
)


def test_bad_commands_of_sftp(key, place):
    before = tree(W), tree(place)
    r = sftp(key, "".join(f"-{line}\n" for line, _ in BAD).format(l=place))
    assert r.code == 0, r.error
    # Each is answered with words of its own, in this order.
    at = 0
    for line, says in BAD:
        at = r.error.lower().find(says.lower(), at)
        assert at != -1, (line, says, r.error)
        at += len(says)
    assert (tree(W), tree(place)) == before
    assert (W / "has").read_text() == "there already\n"


def test_batch_ends_at_an_error(key, place):
    """Unless the line begins with -; comments and empty lines are none."""
    r = sftp(key, f"# nothing\n\n   \n@put {place}/one {W}/1\n"
             f"-get {R}/none {place}/x\n-!false\nput {place}/one {W}/2\n"
             f"get {R}/none {place}/x\nput {place}/one {W}/3\n")
    assert r.code == 1
    assert {"1", "2"} <= tree(W) and not (W / "3").exists()
    assert f"sftp> put {place}/one {W}/1" not in r.text  # @: not shown
    r = sftp(key, "rubbish\n")
    assert r.code == 1 and "Invalid command" in r.error


CHANGING = ("put {l}/one {a}/x", "put -r {l}/tree {a}/x", "mkdir {a}/x",
            "rmdir {a}/dir", "rm {a}/has", "rename {a}/has {a}/x",
            "ln {a}/has {a}/x", "ln -s {a}/has {a}/x", "chmod 600 {a}/has",
            "reput {l}/one {a}/has", "chown 0 {a}/has", "chgrp 0 {a}/has")


def test_where_only_reads_are_granted(key, place):
    """And the target's own server has been told the same."""
    before = tree(W)
    r = sftp(key, "".join(f"-{c}\n" for c in CHANGING).format(l=place, a=W) +
             f"get {W}/has {place}/has\n", to="web-2")
    assert r.code == 0, r.error
    # Two of them the client gives up with words of its own.
    assert r.error.count("ermission denied") >= len(CHANGING) - 2, r.error
    assert tree(W) == before
    assert same(W / "has", place / "has")


def test_where_only_writes_are_granted(key, place):
    """What is brought there is not read there, nor listed."""
    drop = AREA / "drop"
    r = sftp(key, f"put {place}/one {drop}/one\nput -p {place}/tree/b {drop}/b\n"
             f"-get {drop}/one {place}/back\n-ls {drop}\n"
             f"rename {drop}/one {drop}/first\n-rename {drop}/first {W}/first\n"
             f"rm {drop}/b\n")
    assert r.code == 0, r.error
    assert os.listdir(drop) == ["first"] and same(drop / "first", place / "one")
    assert not (place / "back").exists() and not (W / "first").exists()


def test_resumed_by_sftp(key, place):
    """Half, all and more of it are there; and none."""
    data = os.urandom(300_000)
    for folder, name in ((place, "data"), (R, "data")):
        (folder / name).write_bytes(data)
    for n in (0, 150_000, 300_000, 300_001):
        (W / f"up{n}").write_bytes((data + b"x")[:n])
        chown(W / f"up{n}", "deploy")
        (place / f"down{n}").write_bytes((data + b"x")[:n])
        chown(place / f"down{n}", key.job.user)
    r = sftp(key, "".join(
        f"-put -a {place}/data {W}/up{n}\n-get -a {R}/data {place}/down{n}\n"
        for n in (0, 150_000, 300_000, 300_001)))
    for n in (0, 150_000, 300_000):
        assert (W / f"up{n}").read_bytes() == data, (n, r.error)
        assert (place / f"down{n}").read_bytes() == data, (n, r.error)
    assert (W / "up300001").stat().st_size == 300_001
    assert (place / "down300001").stat().st_size == 300_001
    assert "larger" in r.error, r.error


def test_by_uri(key, place):
    """Host, port and path in one word."""
    job = key.job
    opts = [*QUIET, "-i", key.private]
    at = f"web-1@{job.host}:22"
    r = job.run(["scp", *opts, place / "one", f"scp://{at}/{W}/by-uri"])
    assert r.code == 0 and same(W / "by-uri", place / "one"), r.error
    r = job.run(["scp", *opts, f"scp://{at}/{R}/names/with%20space",
                 place / "spaced"])
    assert r.code == 0 and same(R / "names/with space", place / "spaced"), \
        r.error
    r = job.run(["sftp", *opts, f"sftp://{at}/{R}/two", place / "fetched"])
    assert r.code == 0 and same(R / "two", place / "fetched"), r.error


# -- scp ------------------------------------------------------------------

SCP = {     # its words, whether it fails, and what is where afterwards
    "a file to a file": ("{l}/one {W}/new", 0, {"{w}/new": "{l}/one"}),
    "a file over another": ("{l}/one {W}/has", 0, {"{w}/has": "{l}/one"}),
    "a file into a folder": ("{l}/one {W}/dir", 0, {"{w}/dir/one": "{l}/one"}),
    "by a slash": ("{l}/one {W}/dir/", 0, {"{w}/dir/one": "{l}/one"}),
    "an empty one": ("{l}/empty {W}/", 0, {"{w}/empty": "{l}/empty"}),
    "several into a folder": ("{l}/one {l}/two {l}/names/café {W}/dir", 0, {
        "{w}/dir/one": "{l}/one", "{w}/dir/café": "{l}/names/café"}),
    "several onto a file": ("{l}/one {l}/two {W}/has", 1, {}),
    "one of them is not there": ("{l}/one {l}/none {W}/dir", 1, {
        "{w}/dir/one": "{l}/one"}),
    "a folder without -r": ("{l}/one {l}/tree {W}/dir", 1, {
        "{w}/dir/one": "{l}/one"}),
    "a folder as a new one": ("-r {l}/tree {W}/t", 0, {
        "{w}/t/a/deep": "{l}/tree/a/deep", "{w}/t/link": "{l}/tree/b"}),
    "a folder into one": ("-pr {l}/tree {W}/dir", 0, {
        "{w}/dir/tree/b": "{l}/tree/b"}),
    "to where nothing is": ("{l}/one {W}/none/x", 1, {}),
    "down to a file": ("{R}/one {l}/new", 0, {"{l}/new": "{r}/one"}),
    "down into a folder": ("{R}/one {R}/two {l}/tree", 0, {
        "{l}/tree/one": "{r}/one", "{l}/tree/two": "{r}/two"}),
    "down, one is not there": ("{R}/none {R}/two {l}/tree", 1, {
        "{l}/tree/two": "{r}/two"}),
    "a folder down": ("-pr {R}/tree {l}/new", 0, {
        "{l}/new/a/deep": "{r}/tree/a/deep", "{l}/new/b": "{r}/tree/b"}),
    "a folder down without -r": ("{R}/tree {l}/new", 1, {}),
    "from there to there": ("-3 {R}/one {W}/new", 0, {"{w}/new": "{r}/one"}),
    "a folder from there to there": ("-3 -r {R}/tree {W}/dir", 0, {
        "{w}/dir/tree/a/deep": "{r}/tree/a/deep"}),
    "from one target to another": ("-3 {O}/two {W}/new", 0, {
        "{w}/new": "{r}/two"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["-s", "-O"])
def test_scp(key, place, way):
    job = key.job
    for name, (words, code, there) in SCP.items():
        before = set(tree(W))
        at = {"l": place, "w": W, "r": R,
              "W": f"web-1@{job.host}:{W}", "R": f"web-1@{job.host}:{R}",
              "O": f"web-2@{job.host}:{R}"}
        args = [w.format(**at) for w in words.split()]
        r = job.run(["scp", *QUIET, "-i", key.private, way, *args])
        assert (r.code != 0) == code, (name, r.error)
        for a, b in there.items():
            assert os.path.exists(a.format(**at)), (name, r.error)
            assert same(a.format(**at), b.format(**at)), name
        if "-pr" in args and "{w}" in next(iter(there)):
            assert (W / "dir/tree/b").stat().st_mtime == 1e9
            assert stat.S_IMODE((W / "dir/tree/b").stat().st_mode) == 0o750
        for p in tree(W) - before:      # as it was, for the next
            if (W / p).is_dir():
                shutil.rmtree(W / p)
            elif (W / p).exists():
                (W / p).unlink()
        shutil.rmtree(place / "new") if (place / "new").is_dir() else \
            (place / "new").unlink(missing_ok=True)
        for p in ("tree/one", "tree/two"):
            (place / p).unlink(missing_ok=True)
        (W / "has").write_text("there already\n")


def test_scp_of_other_names(key, place):
    """Today's scp takes a name as it is, and expands what is a pattern; that
    of `scp -O` a shell would have read, so it is quoted, and a pattern is
    refused."""
    job = key.job
    opts = [*QUIET, "-i", key.private]
    at = f"web-1@{job.host}:{R}"
    r = job.run(["scp", *opts, f"{at}/t?o", f"{at}/[o]ne",
                 f"{at}/names/with space", place / "tree"])
    assert r.code == 0, r.error
    for name in ("two", "one", "names/with space"):
        assert same(place / "tree" / name.removeprefix("names/"), R / name)
    r = job.run(["scp", *opts, f"{at}/nothing*", place])
    assert r.code == 1 and "No such file" in r.error, r.error
    for name in ("with\\ space", "star\\*"):
        r = job.run(["scp", *opts, "-O", f"{at}/names/{name}", place / "x"])
        assert r.code == 0, r.error
        assert same(place / "x", R / "names" / name.replace("\\", ""))
        (place / "x").unlink()
    r = job.run(["scp", *opts, "-O", f"{at}/t?o", place / "x"])
    assert r.code != 0 and not (place / "x").exists()
    assert "file name pattern, and none is expanded here" in r.error
