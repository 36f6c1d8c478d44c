"""rsync and git, unchanged, with the bastion in place of a host: both ways
in, digests equal, and the known ways out of the folder refused."""
import contextlib
import hashlib
import os
import pathlib
import shlex
import shutil

import house as h
import pytest
import test_jobcert as jc

DENIED = 77
SRV = h.WORK / "srv"
RULES = f"""policy 1
allow ship for shop on web-1 {{
    write under {SRV}/app by rsync
    write under {SRV}/kept by rsync no-delete
    write under {SRV}/plain by rsync no-symlinks
    write under {SRV}/small by rsync max 64KiB
    read under {SRV}/app by rsync
}}
allow code for shop on web-1 {{
    git read {SRV}/shop.git
    git write {SRV}/shop.git
    git read {SRV}/docs.git
}}
"""


def digests(folder):
    return {str(f.relative_to(folder)): os.readlink(f) if f.is_symlink() else
            hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(folder.rglob("*"))
            if f.is_symlink() or (f.is_file() and ".git" not in f.parts)}


def owned(path, user="deploy"):
    path.mkdir(parents=True, exist_ok=True)
    shutil.chown(path, user, user)
    return path


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    for name in ("app", "kept", "plain", "small", "secret"):
        owned(SRV / name)
    for name in ("shop", "docs", "other"):
        h.run("runuser", "-u", "deploy", "--", "git", "init", "-q", "--bare",
              "-b", "main", owned(SRV / f"{name}.git"))
    bastion.write_policy(RULES, "transfer.postern")
    assert "not accepted" not in bastion.reload()
    yield
    (h.ETC / "policy/transfer.postern").unlink()
    bastion.reload()
    shutil.rmtree(SRV)


@pytest.fixture(scope="module")
def key(job):
    return jc.Key(job).login()


class Way:
    """Into the bastion, for a program that starts ssh by itself."""

    def __init__(self, job, key):
        self.job, self.key = job, key

    def command(self):
        raise NotImplementedError

    def env(self):
        return self.job.env(GIT_SSH_COMMAND=self.command(),
                            GIT_CONFIG_NOSYSTEM="1")

    def rsync(self, *args, **kw):
        return self.job.run(["rsync", "-e", self.command(), *args],
                            env=self.env(), **kw)

    def git(self, *args, trace=None, **kw):
        return self.job.run(["git", "-c", "protocol.ext.allow=always", "-c",
                             "user.name=j", "-c", "user.email=j@x", *args],
                            env=self.env() | (trace or {}), **kw)


class ByCertificate(Way):
    def command(self):
        return shlex.join(["ssh", *jc.QUIET, "-i", str(self.key.private)])


class ByToken(Way):
    """A token opens a session once, so each program gets one of its own."""

    def command(self):
        script = self.job.home / "by-token"
        script.write_text("#!/bin/sh\n" + h.SNIPPET.replace(
            "@SHELL@", "/bin/sh").replace("@HOST@", self.job.host))
        script.chmod(0o755)
        return str(script)

    def env(self):
        return super().env() | {"CI_TOKEN": self.job.issuer.token()}


@pytest.fixture(params=[ByCertificate, ByToken], ids=["cert", "token"])
def way(request, job, key):
    return request.param(job, key)


@pytest.fixture
def cert(job, key):
    return ByCertificate(job, key)


@pytest.fixture
def tree(job):
    """What a build leaves: names of all kinds, an empty file, a large one."""
    top = job.home / f"tree-{os.urandom(4).hex()}"
    (top / "a/b c").mkdir(parents=True)
    (top / "empty").touch()
    (top / "large").write_bytes(os.urandom(3 << 20))
    (top / "a/b c/it's").write_text("one\n")
    (top / "a/ünïcode").write_text("two\n")
    (top / "a/-dash").write_text("three\n")
    (top / "a/link").symlink_to("../empty")
    (top / "a/run").write_text("#!/bin/sh\n")
    (top / "a/run").chmod(0o755)
    h.run("chown", "-hR", f"{job.user}:", top)
    yield top
    shutil.rmtree(top)


def last(r):
    lines = [x for x in r.error.splitlines() if x.startswith("postern: ")]
    assert lines, r.error
    return lines[-1] if "refused; this is" not in lines[-1] else lines[-2]


# -- rsync ------------------------------------------------------------------------


def test_rsync_up_and_down(way, bastion, job, tree, mark):
    to = f"{SRV}/app/{tree.name}"
    r = way.rsync("-a", "--delete", f"{tree}/", f"web-1@{job.host}:{to}/")
    assert (r.code, r.err) == (0, b""), r.error
    assert digests(pathlib.Path(to)) == digests(tree)
    assert os.access(f"{to}/a/run", os.X_OK)
    e = bastion.event(mark, "operation.decide")
    assert (e["verdict"], e["rule"]) == ("allow", "ship")
    assert e["command"].startswith("/usr/bin/rsync --server ")
    assert (e["by"], e["direction"]) == ("rsync", "write")
    end = bastion.event(mark, "operation.end")
    assert end["exit"] == 0 and end["bytes_in"] > 3 << 20, end
    assert len(end["sha256_in"]) == len(end["sha256_out"]) == 64
    # What is gone here is deleted there, and nothing else is touched.
    (tree / "a/run").unlink()
    (SRV / "app/beside").write_text("stays\n")
    r = way.rsync("-a", "--delete", f"{tree}/", f"web-1@{job.host}:{to}/")
    assert r.code == 0, r.error
    assert digests(pathlib.Path(to)) == digests(tree)
    assert (SRV / "app/beside").read_text() == "stays\n"
    back = job.home / f"back-{tree.name}"
    mark = bastion.mark()
    r = way.rsync("-a", f"web-1@{job.host}:{to}/", f"{back}/")
    assert (r.code, r.err) == (0, b""), r.error
    assert digests(back) == digests(tree)
    e = bastion.event(mark, "operation.decide")
    assert (e["by"], e["direction"]) == ("rsync", "read")
    shutil.rmtree(back)


def test_rsync_several_sources_and_one_that_is_no_folder(cert, job, tree):
    for name in ("one", "two"):
        (SRV / "app" / name).write_text(name)
    into = job.home / "several"
    r = cert.rsync("-rt", f"web-1@{job.host}:{SRV}/app/one",
                   f":{SRV}/app/two", f"{into}/")
    assert r.code == 0, r.error
    assert (into / "one").read_text() + (into / "two").read_text() == "onetwo"
    shutil.rmtree(into)
    r = cert.rsync("-a", tree / "large", f"web-1@{job.host}:{SRV}/app/large")
    assert r.code == 0, r.error
    assert (SRV / "app/large").read_bytes() == (tree / "large").read_bytes()


def test_rsync_is_recorded_without_its_bytes(cert, bastion, job, tree, mark):
    (SRV / "app/secretish").write_bytes(b"\0" + os.urandom(1 << 20))
    r = cert.rsync("-a", f"web-1@{job.host}:{SRV}/app/secretish", f"{tree}/")
    assert r.code == 0, r.error
    op = bastion.event(mark, "operation.end")
    assert op["bytes_out"] > 1 << 20 and len(op["sha256_out"]) == 64
    assert bastion.recording(op["operation"]).stat().st_size < 2000


OUT = [
    (["-a", "-s"], "app", "--no-secluded-args"),
    (["-a", "-M--log-file=@SRV@/app/log"], "app", "file of the job's choice"),
    (["-a", "--backup", "--backup-dir=@SRV@/secret"], "app",
     "another folder"),
    (["-a", "--temp-dir=@SRV@/secret"], "app", "another folder"),
    (["-a", "--link-dest=@SRV@/secret"], "app", "another folder"),
    (["-a", "-K"], "app", "links on the target"),
    (["-a", "-M--fake-super"], "app", "not known to be harmless"),
    (["-a", "-M--write-devices"], "app", "not known to be harmless"),
    (["-a", "--delete"], "kept", "nothing may be deleted"),
    (["-a", "--delay-updates", "--partial-dir=keep"], "kept",
     "nothing may be deleted"),
    (["-a"], "plain", "no symbolic links may come there"),
    (["-rt", "--links"], "plain", "no symbolic links may come there"),
    (["-avvv"], "app", "files of any name"),
    (["-a", "-M--debug=FILTER2"], "app", "files of any name"),
    (["-a", "-M--write-batch=@SRV@/app/log"], "app",
     "not known to be harmless"),
    (["-a"], "app/../secret", "no empty, `.` or `..` parts"),
    (["-a"], "secret", "no rule allows you to write"),
    (["-a"], "appendix", "no rule allows you to write"),
]


@pytest.mark.parametrize("opts, to, says", OUT,
                         ids=["".join(o) + f" {t}" for o, t, _ in OUT])
def test_rsync_out_of_the_folder(cert, bastion, job, tree, mark, opts, to,
                                 says):
    opts = [o.replace("@SRV@", str(SRV)) for o in opts]
    before = digests(SRV / "secret")
    r = cert.rsync(*opts, f"{tree}/", f"web-1@{job.host}:{SRV}/{to}/")
    assert r.code != 0
    assert says in r.error, r.error
    assert "postern: refused; this is operation " in r.error
    assert digests(SRV / "secret") == before
    e = bastion.event(mark, "operation.decide")
    assert (e["verdict"], e["reason"]) == ("deny", "policy")
    assert not (SRV / "app/log").exists()


def test_rsync_without_links(way, job, tree):
    """Nothing is brought that leads out, and nobody is led out by it."""
    r = way.rsync("-a", "--no-links", "--delete", f"{tree}/",
                  f"web-1@{job.host}:{SRV}/plain/")
    assert r.code == 0, r.error
    want = digests(tree)
    del want["a/link"]
    assert digests(SRV / "plain") == want
    # a client that sends links all the same: the receiver was not told to
    # make any
    out = tree / "out"
    out.symlink_to(SRV / "secret")
    liar = job.home / "liar"
    liar.write_text("#!/bin/sh\n# its server hears nothing of -l\n"
                    "for a; do shift; case $a in -*l*e.*) a=$(echo \"$a\" | "
                    "sed 's/^-\\([a-zA-Z]*\\)l/-\\1/') ;; esac; "
                    f"set -- \"$@\" \"$a\"; done\nexec {way.command()} "
                    "\"$@\"\n")
    liar.chmod(0o755)
    r = job.run(["rsync", "-e", str(liar), "-a", f"{tree}/",
                 f"web-1@{job.host}:{SRV}/plain/"], env=way.env())
    assert not [f for f in (SRV / "plain").rglob("*") if f.is_symlink()]
    assert "may come there" not in r.error, r.error
    shutil.rmtree(SRV / "plain")
    owned(SRV / "plain")


def test_what_a_line_without_no_symlinks_is(cert, job, tree):
    """As wide as its login: check says so, and this is why."""
    (tree / "out").symlink_to(SRV / "secret")
    assert cert.rsync("-a", f"{tree}/",
                      f"web-1@{job.host}:{SRV}/app/led/").code == 0
    r = cert.rsync("-a", tree / "empty",
                   f"web-1@{job.host}:{SRV}/app/led/out/")
    assert r.code == 0 and (SRV / "secret/empty").exists(), r.error
    (SRV / "secret/empty").unlink()
    shutil.rmtree(SRV / "app/led")


PULL = [["-aL"], ["-ak"], ["-a", "--copy-unsafe-links"],
        ["-a", "--remove-source-files"], ["-a", "--files-from=:/etc/passwd"]]


@pytest.mark.parametrize("opts", PULL, ids=["".join(o) for o in PULL])
def test_rsync_reads_no_more_than_the_folder(cert, job, opts):
    link = SRV / "app/out"
    with contextlib.suppress(FileExistsError):
        link.symlink_to("/etc/passwd")
    (SRV / "app/source").write_text("stays\n")
    into = job.home / f"into-{os.urandom(4).hex()}"
    r = cert.rsync(*opts, f"web-1@{job.host}:{SRV}/app/", f"{into}/")
    assert r.code != 0 and "postern: denied: " in r.error, r.error
    assert not into.exists() and (SRV / "app/source").exists()


def test_filters_of_any_file_show_no_more_than_a_line(cert, job):
    """A client of the job's own, whose filter is a file of the target's."""
    (SRV / "secret/words").write_text("one secret\ntwo secret\n")
    shutil.chown(SRV / "secret/words", "deploy")
    for rule, more in ((".", "-"), (".-", "-vv"), (":-", "-vv")):
        text = f"{rule} {SRV}/secret/words".encode()
        said = (29).to_bytes(4, "little") + len(text).to_bytes(
            4, "little") + text + bytes(4)
        r = job.run(cert.command().split() + [
            f"web-1@{job.host}", f"rsync --server --sender {more}rt . "
            f"{SRV}/app/"], input=said, env=cert.env())
        assert b"two secret" not in r.out + r.err, (rule, r.out, r.err)
    for more in ("-vvv", "-rt --debug=FILTER2 -"):
        r = job.run(cert.command().split() + [
            f"web-1@{job.host}", f"rsync --server --sender {more}rt . "
            f"{SRV}/app/"], input=said, env=cert.env())
        assert r.code == DENIED and "files of any name" in r.error, r.error


def test_rsync_path_of_the_jobs_choice(cert, job, tree):
    for program in ("sudo rsync", "/tmp/rsync", "sh -c id;rsync"):
        r = cert.rsync("-a", f"--rsync-path={program}", f"{tree}/",
                       f"web-1@{job.host}:{SRV}/app/")
        assert r.code != 0 and "postern: " in r.error, r.error


def test_rsync_within_its_size(cert, job, tree):
    r = cert.rsync("-a", tree / "a", f"web-1@{job.host}:{SRV}/small/")
    assert r.code == 0, r.error
    r = cert.rsync("-a", tree / "large", f"web-1@{job.host}:{SRV}/small/")
    assert r.code != 0
    assert not (SRV / "small/large").exists()
    assert "64 KiB" in r.error or "65536" in r.error, r.error


# -- git --------------------------------------------------------------------------


def url(job, name):
    return f"ssh://web-1@{job.host}{SRV}/{name}.git"


@pytest.fixture
def clone(cert, job):
    """A repository of the job's with two commits."""
    top = job.home / f"clone-{os.urandom(4).hex()}"
    assert cert.git("init", "-q", "-b", "main", top).code == 0
    for n in (1, 2):
        (top / f"f{n}").write_text(f"{n}\n" * 1000)
        assert cert.git("-C", top, "add", ".").code == 0
        r = cert.git("-C", top, "commit", "-qm", f"c{n}")
        assert r.code == 0, r.error
    yield top
    shutil.rmtree(top)


def test_git_push_clone_and_fetch(way, bastion, job, clone, mark):
    branch = clone.name
    r = way.git("-C", clone, "push", "-q", url(job, "shop"),
                f"main:refs/heads/{branch}")
    assert r.code == 0, r.error
    e = bastion.event(mark, "operation.decide")
    assert (e["verdict"], e["rule"]) == ("allow", "code")
    copy = job.home / f"copy-{branch}"
    r = way.git("clone", "-q", "-b", branch, url(job, "shop"), copy)
    assert r.code == 0, r.error
    assert digests(copy) == digests(clone)
    (clone / "f3").write_text("3\n")
    way.git("-C", clone, "add", ".")
    way.git("-C", clone, "commit", "-qm", "c3")
    assert way.git("-C", clone, "push", "-q", url(job, "shop"),
                   f"main:refs/heads/{branch}").code == 0
    r = way.git("-C", copy, "pull", "-q")
    assert r.code == 0, r.error
    assert digests(copy) == digests(clone)
    shutil.rmtree(copy)


def test_git_archive(cert, job, clone):
    assert cert.git("-C", clone, "push", "-q", url(job, "shop"),
                    "main:refs/heads/packed").code == 0
    r = cert.git("archive", "--format=tar", f"--remote={url(job, 'shop')}",
                 "packed")
    assert r.code == 0 and b"ustar" in r.out[:512], r.error


def test_git_where_no_rule_lets_it(cert, bastion, job, clone, mark):
    for args, says in (
            (["clone", "-q", url(job, "other"), job.home / "no"],
             "no rule allows you to fetch from this repository"),
            (["-C", clone, "push", "-q", url(job, "docs"), "main"],
             "no rule allows you to push to this repository"),
            (["clone", "-q", f"web-1@{job.host}:shop.git", job.home / "no"],
             "the path is not absolute"),
            (["clone", "-q", f"ssh://web-1@{job.host}{SRV}/x/../shop.git",
              job.home / "no"], "no empty, `.` or `..` parts"),
            (["clone", "-q", "-u", "/tmp/evil", url(job, "shop"),
              job.home / "no"], "denied"),
            (["clone", "-q", "-u", "git-upload-pack --upload-pack=id",
              url(job, "shop"), job.home / "no"], "no option is taken here")):
        r = cert.git(*args)
        assert r.code != 0 and says in r.error, (args, r.error)
        e = bastion.event(mark, "operation.decide")
        assert e["verdict"] == "deny", args
        assert not (job.home / "no").exists()
        mark = bastion.mark()
