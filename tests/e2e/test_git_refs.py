"""git with the refs of a repository: which of them may be pushed or fetched,
that all of a push goes or nothing, what git tells its user, and what the ledger
has of it.  Real git on both ends, both ways in."""
import json
import os
import re
import shutil

import house as h
import pytest
import test_jobcert as jc
from test_rsync_git import ByCertificate, ByToken, owned

DENIED = 77
SRV = h.WORK / "refs"
ZERO = "0" * 40
RULES = f"""policy 1
allow all for shop on web-1 {{
    git read {SRV}/all.git
    git write {SRV}/all.git
    env GIT_PROTOCOL <text 1..40>
}}
allow some for shop on web-1 {{
    git read {SRV}/some.git refs "refs/heads/main" "refs/heads/f/*" \
"refs/tags/v<int 1..99>.<int>"
    git write {SRV}/some.git refs "refs/heads/f/*" "refs/heads/job-<claim \
repository_id>" "refs/tags/v<int 1..99>.<int>"
    git write {SRV}/most.git
    git read {SRV}/most.git
}}
deny closed for * on web-1 {{
    git write {SRV}/most.git refs "refs/heads/main" "refs/tags/**"
    git read {SRV}/most.git refs "refs/heads/secret"
}}
"""


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    bastion.write_policy(RULES, "refs.postern")
    assert "not accepted" not in bastion.reload()
    yield
    (h.ETC / "policy/refs.postern").unlink()
    bastion.reload()


@pytest.fixture(scope="module")
def key(job):
    return jc.Key(job).login()


@pytest.fixture(params=[ByCertificate, ByToken], ids=["cert", "token"])
def way(request, job, key):
    return request.param(job, key)


@pytest.fixture
def cert(job, key):
    return ByCertificate(job, key)


def on_target(name, *args):
    return h.run("runuser", "-u", "deploy", "--", "git", "-C",
                 SRV / f"{name}.git", *args).stdout.strip()


def refs(name):
    """name -> object, of the repository as it is on the target."""
    out = on_target(name, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in out.splitlines())


class Clone:
    """A repository of the job's, and how it speaks to the target's."""

    def __init__(self, job, way, top):
        self.job, self.way, self.top = job, way, top
        assert way.git("init", "-q", "-b", "main", top).code == 0
        self.commit("one")

    def git(self, *args):
        return self.way.git("-C", self.top, *args)

    def commit(self, text, size=100):
        (self.top / text).write_bytes(os.urandom(size))
        h.run("chown", f"{self.job.user}:", self.top / text)
        assert self.git("add", ".").code == 0
        r = self.git("commit", "-qm", text)
        assert r.code == 0, r.error
        return self.head()

    def head(self, rev="HEAD"):
        return self.git("rev-parse", rev).out.decode().strip()

    def url(self, name):
        return f"ssh://web-1@{self.job.host}{SRV}/{name}.git"

    def push(self, name, *args):
        return self.git("push", self.url(name), *args)


@pytest.fixture
def clone(request, job):
    """Repositories that are as new as the test; by the way that it has."""
    way = request.getfixturevalue(
        "way" if "way" in request.fixturenames else "cert")
    for name in ("all", "some", "most"):
        h.run("runuser", "-u", "deploy", "--", "git", "init", "-q", "--bare",
              "-b", "main", owned(SRV / f"{name}.git"))
        on_target(name, "config", "receive.advertisePushOptions", "true")
    top = job.home / f"clone-{os.urandom(4).hex()}"
    yield Clone(job, way, top)
    shutil.rmtree(top)
    shutil.rmtree(SRV)


def lines(bastion, mark):
    """The end of the operation, and its manifest's lines about refs."""
    e = bastion.event(mark, "operation.end")
    side = bastion.recording(e["operation"]).with_suffix(".json")
    return e, [json.loads(x) for x in side.read_text().splitlines()
               if x.startswith('{"kind":"ref",')]


def brief(got):
    return [(x["verb"], x.get("ref"), x["result"]) for x in got]


def filled(name, job):
    """main, secret, f/x and three tags, each with a commit of its own."""
    src = job.home / f"src-{os.urandom(4).hex()}"
    h.run("git", "init", "-q", "-b", "main", src)
    for ref in ("heads/secret", "heads/f/x", "tags/v1.0", "tags/vx",
                "heads/main"):
        h.run("git", "-C", src, "checkout", "-q", "--orphan", "next")
        (src / "who").write_text(ref)
        h.run("git", "-C", src, "add", ".")
        h.run("git", "-C", src, "-c", "user.name=x", "-c", "user.email=x@x",
              "commit", "-q", "-m", ref)
        h.run("git", "-C", src, "update-ref", f"refs/{ref}", "HEAD")
        h.run("git", "-C", src, "update-ref", "-d", "refs/heads/next")
    h.run("git", "-C", src, "-c", "user.name=x", "-c", "user.email=x@x",
          "tag", "-a", "-m", "hidden words", "noted", "refs/heads/main")
    h.run("git", "-C", src, "symbolic-ref", "HEAD", "refs/heads/main")
    h.run("chown", "-R", "deploy:", src)
    on_target(name, "fetch", "-q", src, "+refs/*:refs/*")
    shutil.rmtree(src)
    return refs(name)


# -- push -------------------------------------------------------------------------


def test_a_push_of_refs_that_are_granted(way, clone, bastion, mark):
    to = ["refs/heads/f/one", "refs/heads/f/two", "refs/tags/v2.17",
          "refs/heads/job-7712345"]
    r = clone.push("some", *(f"main:{x}" for x in to))
    assert r.code == 0, r.error
    head = clone.head()
    assert refs("some") == dict.fromkeys(to, head)
    d = bastion.event(mark, "operation.decide")
    assert (d["rule"], d["by"], d["direction"]) == ("some", "git", "write")
    e, got = lines(bastion, mark)
    assert (e["exit"], e["refs"], e["refs_refused"]) == (0, 4, 0), e
    assert "files" not in e and len(e["manifest_sha256"]) == 64
    assert len(e["sha256_in"]) == len(e["sha256_out"]) == 64
    assert e["bytes_in"] > 200
    assert got == [{"kind": "ref", "verb": "create", "ref": x, "old": ZERO,
                    "new": head, "result": "done", "rule": "some"}
                   for x in to]


def test_show_says_what_was_pushed(cert, clone, bastion, mark):
    clone.push("all", "main")
    e = bastion.event(mark, "operation.end")
    out = h.run(h.PREFIX / "bin/postern", "show", e["operation"]).stdout
    assert re.search(r"^ +create +done +0000000 +" + clone.head()[:7] +
                     r" +refs/heads/main +\(all\)$", out, re.M), out


def test_what_a_hop_wrote_is_shown_escaped(cert, clone, bastion, mark):
    """By one that somebody owned."""
    clone.push("all", "main")
    e, got = lines(bastion, mark)
    side = bastion.recording(e["operation"]).with_suffix(".json")
    evil = got[0] | {"verb": "\x1b[2J", "result": "\x9b31m", "old": "\x1bc",
                     "new": "\r\x1b]0;x"}
    good = side.read_bytes()
    side.write_text(json.dumps(evil, separators=(",", ":")) + "\n")
    try:
        out = h.run(h.PREFIX / "bin/postern", "show", e["operation"]).stdout
    finally:
        side.write_bytes(good)  # others verify the whole house
    assert r"\x1b[2J" in out and not re.search("[\x00-\t\v-\x1f\x7f-\x9f]",
                                              out), repr(out)


def test_one_ref_that_is_not_granted_and_nothing_goes(way, clone, bastion, mark):
    r = clone.push("some", "main:refs/heads/f/one", "main:refs/heads/main",
                   "main:refs/heads/f/two")
    assert r.code == 1, r.error
    assert refs("some") == {}
    assert "[remote rejected] main -> main (no rule allows you to push to " \
        "this ref)" in r.error, r.error
    assert r.error.count("(another ref is refused)") == 2
    assert re.search(r"^postern: refused: refs/heads/main: no rule allows you "
                     r"to push to this ref; nothing of this push was passed "
                     r"on \(operation 01\w+\)$", r.error, re.M), r.error
    e, got = lines(bastion, mark)
    assert (e["exit"], e["refs"], e["refs_refused"]) == (DENIED, 3, 3), e
    assert e["bytes_in"] == 0
    assert [x["reason"] for x in got] == [
        "another ref is refused", "no rule allows you to push to this ref",
        "another ref is refused"]


def test_a_rule_that_denies_refs(clone, bastion, mark):
    r = clone.push("most", "main:refs/heads/free")
    assert r.code == 0, r.error
    for args in (["main"], ["main:refs/tags/a/b"], ["--tags", "main:main"]):
        r = clone.push("most", *args)
        assert r.code == 1 and "(denied by rule `closed`)" in r.error, r.error
    assert list(refs("most")) == ["refs/heads/free"]


def test_delete_force_atomic_and_options(way, clone, bastion, mark):
    first = clone.head()
    assert clone.push("some", "main:refs/heads/f/a",
                      "main:refs/heads/f/b").code == 0
    assert clone.git("commit", "-q", "--amend", "-m", "other").code == 0
    mark = bastion.mark()
    r = clone.push("some", "main:refs/heads/f/a")
    assert r.code == 1 and "non-fast-forward" in r.error, r.error
    # with nothing to push git says so to the target, and that is no ref
    e, got = lines(bastion, mark)
    assert "refs" not in e and got == []
    mark = bastion.mark()
    r = clone.push("some", "--force", "--atomic", "-o", "ci.skip", "-o",
                   "two words", "main:refs/heads/f/a", ":refs/heads/f/b")
    assert r.code == 0, r.error
    assert refs("some") == {"refs/heads/f/a": clone.head()}
    e, got = lines(bastion, mark)
    assert brief(got) == [("update", "refs/heads/f/a", "done"),
                          ("delete", "refs/heads/f/b", "done")]
    assert [x["old"] for x in got] == [first] * 2
    # a deletion has no pack, and is refused all the same
    on_target("some", "update-ref", "refs/heads/main", "refs/heads/f/a")
    mark = bastion.mark()
    r = clone.push("some", ":refs/heads/main", ":refs/heads/f/a")
    assert r.code == 1 and "no rule allows you to push" in r.error, r.error
    assert len(refs("some")) == 2
    assert brief(lines(bastion, mark)[1]) == [
        ("delete", "refs/heads/f/a", "refused"),
        ("delete", "refs/heads/main", "refused")]


def test_what_the_target_refuses_is_its_own_word(clone, bastion, mark):
    hook = SRV / "all.git/hooks/update"
    hook.write_text('#!/bin/sh\necho no >&2; [ "$1" != refs/heads/main ]\n')
    hook.chmod(0o755)
    r = clone.push("all", "main", "main:refs/heads/ok")
    assert r.code == 1 and "remote: no" in r.error, r.error
    e, got = lines(bastion, mark)
    assert brief(got) == [("create", "refs/heads/main", "failed"),
                          ("create", "refs/heads/ok", "done")]
    assert got[0]["reason"] == "hook declined"


def test_a_large_push_and_one_that_is_refused(clone, bastion, mark):
    clone.commit("large", 24 << 20)
    r = clone.push("all", "main")
    assert r.code == 0, r.error
    e, _ = lines(bastion, mark)
    assert e["bytes_in"] > 24 << 20
    assert refs("all")["refs/heads/main"] == clone.head()
    mark = bastion.mark()
    r = clone.push("some", "main")
    assert r.code == 1, r.error
    assert "[remote rejected] main -> main" in r.error, r.error
    e, got = lines(bastion, mark)
    assert (e["exit"], e["bytes_in"]) == (DENIED, 0)
    assert brief(got) == [("create", "refs/heads/main", "refused")]


def test_a_hundred_refs_at_once(cert, clone, bastion, mark):
    names = [f"refs/heads/f/{'n' * 200}{i}" for i in range(500)]
    r = clone.push("some", *(f"main:{x}" for x in names))
    assert r.code == 0, r.error
    e, got = lines(bastion, mark)
    assert (e["refs"], len(refs("some"))) == (500, 500)
    mark = bastion.mark()
    r = clone.push("some", *(f"main:{x}-" for x in names), "main")
    assert r.code == 1 and r.error.count("another ref is refused") == 500
    assert lines(bastion, mark)[0]["refs_refused"] == 501


def test_a_signed_push_is_not_offered(cert, clone):
    on_target("all", "config", "receive.certNonceSeed", "seed")
    r = clone.push("all", "--signed", "main")
    assert r.code != 0 and "does not support --signed" in r.error, r.error
    assert clone.push("all", "--signed=if-asked", "main").code == 0


# -- fetch ------------------------------------------------------------------------


def test_a_clone_of_all_refs(way, clone, bastion, job, mark):
    was = filled("all", job)
    r = way.git("clone", "-q", clone.url("all"), clone.top / "copy")
    assert (r.code, r.err) == (0, b""), r.error
    d = bastion.event(mark, "operation.decide")
    assert (d["rule"], d["by"], d["direction"]) == ("all", "git", "read")
    e, got = lines(bastion, mark)
    assert e["refs"] == len(was) and e["refs_refused"] == 0
    assert {x["ref"]: x["new"] for x in got} == was
    assert {(x["verb"], x["result"], x["rule"]) for x in got} == {
        ("fetch", "asked", "all")}


def test_a_clone_sees_what_is_granted(way, clone, bastion, job, mark):
    was = filled("some", job)
    copy = clone.top / "copy"
    r = way.git("clone", "-q", clone.url("some"), copy)
    assert r.code == 0, r.error
    assert r.error == "postern: refs that this job may not fetch are not " \
        "shown\n"
    _, got = lines(bastion, mark)
    assert {x["ref"] for x in got} == {"refs/heads/main", "refs/heads/f/x",
                                       "refs/tags/v1.0"}
    seen = way.git("-C", copy, "ls-remote", "-q", "origin").out.decode()
    assert dict(reversed(x.split("\t")) for x in seen.splitlines()) == {
        k: was[k] for k in ("refs/heads/main", "refs/heads/f/x",
                            "refs/tags/v1.0")} | {
        "HEAD": was["refs/heads/main"]}
    assert way.git("-C", copy, "cat-file", "-e",
                   was["refs/heads/secret"]).code != 0


@pytest.mark.parametrize("name, ref", [("some", "refs/heads/secret"),
                                       ("some", "refs/tags/noted"),
                                       ("most", "refs/heads/secret")])
def test_what_is_hidden_cannot_be_fetched(cert, clone, job, bastion, mark,
                                          name, ref):
    on_target(name, "config", "uploadpack.allowAnySHA1InWant", "true")
    on_target(name, "config", "uploadpack.allowFilter", "true")
    was = filled(name, job)
    r = clone.git("fetch", "-q", clone.url(name), ref)
    assert r.code != 0 and "couldn't find remote ref" in r.error, r.error
    r = clone.git("fetch", "-q", clone.url(name), was[ref])
    assert r.code != 0, r.error
    assert clone.git("cat-file", "-e", was[ref]).code != 0
    # a client that asks all the same
    r = ask(cert, name, f"want {was[ref]} agent=x\n")
    assert r.code == DENIED, r
    assert b"ERR postern: this object is not what a ref points to" in r.out
    assert b"PACK" not in r.out


def ask(cert, name, *wants, program="git-upload-pack", end=b"0000"):
    """What no stock client says."""
    said = b"".join(b"%04x" % (len(w) + 4) + (
        w.encode() if isinstance(w, str) else w) for w in wants)
    argv = cert.command().split() + [
        f"web-1@{cert.job.host}", f"{program} '{SRV}/{name}.git'"]
    return cert.job.run(argv, input=said + end, env=cert.env())


def test_no_way_round_a_fetch(cert, clone, job):
    was = filled("some", job)
    good = f"want {was['refs/heads/main']} agent=x\n"
    secret = was["refs/heads/secret"]
    done = b"0000" + b"0009done\n"
    r = ask(cert, "some", good, end=done)
    assert r.code == 0 and b"PACK" in r.out, r.error
    for wants in (
            [good, f"want {secret}\n"], [f"want {secret}\n"],
            [good, f"shallow {secret}\n", "deepen 2147483647\n"],
            [good, "deepen-not secret\n"],
            [good, "deepen-not refs/heads/secret\n"],
            [good, f"filter sparse:oid={secret}\n"]):
        r = ask(cert, "some", *wants, end=done)
        assert r.code == DENIED and b"PACK" not in r.out, (wants, r.error)
    for wants in (["want x\n"], ["wants\n"], [good, "0001"],
                  ["want-ref refs/heads/secret\n"], ["command=ls-refs\n"]):
        r = ask(cert, "some", *wants, end=done)
        assert r.code == 64 and b"PACK" not in r.out, (wants, r.error)
        assert "not passed on to git" in r.error


def test_no_capability_in_the_shadow_of_another(cert, clone, job):
    """git ends one at any white space: a tag that is hidden would come along
    with what it points to."""
    was = filled("some", job)
    for space in "\t\r\n":
        r = ask(cert, "some", f"want {was['refs/heads/main']} "
                f"agent=x{space}include-tag\n", end=b"0000" + b"0009done\n")
        assert r.code == 0, r.error
        head = r.out.partition(b"PACK")[2]
        assert int.from_bytes(head[4:8], "big") == 3    # commit, tree, file


def test_version_2_is_asked_for_in_vain(cert, clone, job):
    """GIT_PROTOCOL goes no further than the bastion, so git speaks 0."""
    was = filled("some", job)
    for version in "012":
        r = clone.git("-c", f"protocol.version={version}", "ls-remote", "-q",
                      clone.url("some"))
        assert r.code == 0, r.error
        assert was["refs/heads/secret"] not in r.out.decode()


@pytest.mark.parametrize("name", ["all", "some"])
def test_who_wants_version_2_gets_all_there_is(way, clone, job, bastion, name):
    """Of a client that is set to it each command works, though a rule would
    take the variable, and the packets show that it is version 0."""
    on_target(name, "config", "uploadpack.allowFilter", "true")
    was = filled(name, job)
    top, trace = clone.top, clone.top / "trace"

    def git(*args):
        r = way.git("-c", "protocol.version=2", *args,
                    trace={"GIT_TRACE_PACKET": str(trace)})
        said = trace.read_text() if trace.exists() else ""
        trace.unlink(missing_ok=True)
        assert r.code == 0, (args, r.error)
        assert "version 2" not in said and "command=" not in said, said
        assert "refs/heads/main" in said, said
        return r

    url = clone.url(name)
    seen = git("ls-remote", "-q", url).out.decode()
    assert was["refs/heads/main"] in seen
    assert (was["refs/heads/secret"] in seen) == (name == "all")
    git("clone", "-q", url, top / "copy")
    git("clone", "-q", "--depth=1", url, top / "shallow")
    r = git("clone", "-q", "--filter=blob:none", "--no-checkout", url,
            top / "partial")
    assert ("filtering not recognized" in r.error) == (name == "some"), r.error
    assert way.git("-C", top / "copy", "bundle", "create", "-q", top / "b",
                   "main").code == 0
    git("clone", "-q", f"--bundle-uri={top}/b", url, top / "bundled")
    for folder in ("copy", "shallow", "bundled"):
        r = way.git("-C", top / folder, "rev-parse", "main")
        assert r.out.decode().strip() == was["refs/heads/main"]
        git("-C", top / folder, "fetch", "-q")
    git("-C", top, "push", "-q", url, "main:refs/heads/f/new")
    assert refs(name)["refs/heads/f/new"] == clone.head()
    git("-C", top / "copy", "fetch", "-q", "--depth=1", url,
        "refs/heads/f/new")


def test_shallow_and_incremental(way, clone, bastion, job, mark):
    filled("most", job)
    copy = clone.top / "copy"
    r = way.git("clone", "-q", "--depth=1", "-b", "f/x", clone.url("most"),
                copy)
    assert r.code == 0, r.error
    on_target("most", "update-ref", "refs/heads/f/x", "refs/heads/main")
    r = way.git("-C", copy, "fetch", "-q", "--depth=3")
    assert r.code == 0, r.error
    r = way.git("-C", copy, "fetch", "-q", "--unshallow")
    assert r.code != 0 and "give a --depth" in r.error, r.error
    assert way.git("-C", copy, "fetch", "-q").code == 0


def test_nothing_that_may_be_fetched(cert, clone, job):
    on_target("some", "symbolic-ref", "HEAD", "refs/heads/secret")
    filled("some", job)
    for ref in ("heads/main", "heads/f/x", "tags/v1.0"):
        on_target("some", "update-ref", "-d", f"refs/{ref}")
    r = clone.git("ls-remote", clone.url("some"))
    assert (r.code, r.out) == (0, b""), r.error
    assert "postern: no ref of this repository may be fetched" in r.error


# -- archive ----------------------------------------------------------------------


def test_archive(way, clone, bastion, job, mark):
    filled("some", job)
    remote = f"--remote={clone.url('some')}"
    r = clone.git("archive", remote, "--format=tar", "refs/heads/main")
    assert r.code == 0 and b"ustar" in r.out, r.error
    e, got = lines(bastion, mark)
    assert brief(got) == [("archive", "refs/heads/main", "asked")]
    for args, says in (
            (["main"], "wants the whole name of a ref"),
            (["refs/heads/secret"], "no rule allows you to fetch this ref"),
            (["refs/heads/secret:who"], "no rule allows"),
            (["--prefix", "refs/heads/main", "refs/heads/secret"],
             "no rule allows"),
            (["--pre", "refs/heads/main", "refs/heads/secret"],
             "not known to be harmless")):
        r = clone.git("archive", remote, *args)
        assert r.code != 0 and says in r.error, (args, r.error)
        assert r.out == b""
