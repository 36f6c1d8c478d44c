"""postern policy explain, can, who-can, export: as a person runs them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from make import Maker  # noqa: E402

BUILD = os.environ["POSTERN_BUILD"]
COMPLETION = os.path.dirname(__file__) + "/../../packaging/completions/postern"

POLICY = '''policy 1
issuer ci { preset custom; url "https://ci.example"; audience "b"; algorithms ES256 }
identity deploy from ci { claim repo = "1"; claim ref glob "refs/tags/*" }
identity check from ci { claim repo = "2" }
target web-1 { ssh "deploy@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"; login root }
target web-2 { ssh "deploy@10.0.0.2:22"; hostkey ssh-ed25519 "SHA256:WIcL2yAl04nASo8twTZWecsPlnZ/w/H2YZ8QsH0L8+A" }
program systemctl = /usr/bin/systemctl
type service = enum web api
allow restart for deploy on web-1 {
    run systemctl (restart | reload) <service> [--wait]
    run systemctl status -n <int 1..50>
    run [/usr/bin/nice] /opt/top with stdin
}
deny never for * on * { run systemctl mask <any>...; because "no" }
allow night for deploy on web-2 { run /opt/night; window Mon 01:00-02:00 UTC }
test "no" as check on web-1 { deny "systemctl restart web" }
'''.replace("claim ref glob", "claim ref = glob")


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "a.postern"
    path.write_text(POLICY)
    return str(path)


def run(*args):
    return subprocess.run([BUILD + "/cli/postern", "policy", *args],
                          capture_output=True, text=True, check=False)


def explain(policy, command, *more, who="deploy", on="web-1", code=None):
    r = run("explain", "--policy", policy, "--as", who, "--on", on, *more,
            "--", command)
    assert code is None or r.returncode == code, r
    return r.stdout


def test_explain_allowed_names_rule_line_and_terms(policy):
    out = explain(policy, "systemctl restart web", code=0)
    assert f"allowed by rule `restart` at {policy}:10" in out
    out = explain(policy, "/opt/top", code=0)
    assert f"{policy}:12; with stdin" in out
    assert "run [/usr/bin/nice] /opt/top\n" in out


# What is asked for, and the line as the suggestion would have it.
EDITS = [
    ("systemctl restart db", [], "(<service> | db)"),
    ("systemctl status -n 51", [], "<int 1..51>"),
    ("systemctl status -n 0", [], "<int 0..50>"),
    ("systemctl restart web --no-block", [], "<service> [--no-block]"),
    ("systemctl restart web --wait", ["--pty"], "[--wait] with pty"),
    ("systemctl status", [], "run systemctl status; run"),
    ("systemctl kill 'a b' x y z", [], "systemctl kill 'a b' x y z; run"),
    ("id with", [], "run id 'with'; run"),
]


@pytest.mark.parametrize("command, more, line", EDITS)
def test_explain_suggests_an_edit_that_allows(policy, tmp_path, command, more,
                                              line):
    out = explain(policy, command, "--json", *more, code=77)
    edit = json.loads(out)["edit"]
    assert line in edit["new"] and not edit["breaks_tests"], edit
    assert edit["old"] + "\n" in POLICY
    other = tmp_path / "b.postern"
    other.write_text(POLICY.replace(edit["old"], edit["new"]))
    explain(str(other), command, *more, code=0)


# Lines of a rule, what is asked for beside it, and the edit.
BESIDE = [
    ("run /b/a x | /b/b", ["--", "/b/a x | /b/c"], "/b/a x | /b/c; run"),
    ("run /b/a x | /b/b y", ["--", "/b/a x | /b/b z"], "/b/b (y | z) }"),
    ("run /b/a x", ["--", "/b/a x | /b/b 'a b'"],
     "{ run /b/a x | /b/b 'a b'; run /b/a x }"),
    ("run /b/a x | /b/b y", ["--", "/b/a x"], "{ run /b/a x; run /b/a x |"),
    ("run in </srv/*> /b/a", ["--", "cd /srv/x/y && /b/a"],
     '{ run in <path "/srv/x/y"> /b/a; run in </srv/*> /b/a }'),
    ("run in </srv/*> /b/a (x | y)", ["--", "cd /srv/x && /b/a z"],
     "((x | z) | y)"),
    ("run in </srv/*> /b/a", ["--", "/b/a"], "{ run /b/a; run in"),
    ("run A=1 /b/a", ["--", "A=2 B=3 /b/a"],
     "{ run A=2 B=3 /b/a; run A=1 /b/a }"),
    ("run A=1 /b/a x", ["--pty", "--", "A=1 /b/a x"], "x with pty }"),
    ("write under /srv/a by sftp max 1MiB",
     ["--write", "/srv/a/b", "--by", "rsync"], "by rsync sftp max 1MiB"),
    ('write under "/srv/by by/a" by sftp',
     ["--write", "/srv/by by/a/b", "--by", "scp-legacy"],
     '"/srv/by by/a" by scp-legacy sftp'),
    ("write under /srv/a by sftp", ["--read", "/srv/a/b", "--by", "sftp"],
     "{ read under /srv/a by sftp; write under"),
    ("read under /srv/<claim repo> by sftp",
     ["--write", "/srv/1/b", "--by", "sftp"],
     "{ write under /srv/<claim repo> by sftp; read"),
    ("write under /srv/a by sftp", ["--write", "/srv/b c", "--by", "sftp"],
     '{ write under "/srv/b c" by sftp; write under /srv/a'),
    ("write under /srv/a by sftp", ["--write", "/opt/b", "--by", "sftp"],
     "allow new for deploy on web-1 { write under /opt/b by sftp }"),
    ("run id", ["--git-write", "/srv/g.git", "--ref", "refs/heads/a b"],
     'allow new for deploy on web-1 { git write /srv/g.git refs '
     '"refs/heads/a b" }'),
    ('git write /srv/g.git refs "refs/heads/main"',
     ["--git-write", "/srv/g.git", "--ref", "refs/heads/dev"],
     'refs "refs/heads/main" "refs/heads/dev"'),
    ("git read /srv/g.git", ["--git-write", "/srv/g.git"],
     "{ git write /srv/g.git; git read /srv/g.git }"),
    ("git read /srv/g.git", ["--git-read", "/srv/h.git"],
     "{ git read /srv/h.git; git read /srv/g.git }"),
    ("run id", ["--interactive", "--pty"],
     "allow new for deploy on web-1 { interactive }"),
]


@pytest.mark.parametrize("rule, ask, line", BESIDE)
def test_explain_suggests_more_than_words(tmp_path, rule, ask, line):
    path = tmp_path / "a.postern"
    text = POLICY.split("allow restart")[0]
    path.write_text(f"{text}allow x for deploy on web-1 {{ {rule} }}\n")
    who = ["explain", "--policy", path, "--as", "deploy", "--on", "web-1"]
    r = run(*who, "--json", *ask)
    assert r.returncode == 77, r
    edit = json.loads(r.stdout)["edit"]
    assert line in edit["new"], edit
    path.write_text(path.read_text().replace(edit["old"], edit["new"])
                    if edit["old"] else path.read_text() + edit["new"])
    assert run(*who, *ask).returncode == 0, path.read_text()


@pytest.mark.parametrize("rule, who, where, line", [
    ("write under /srv/a by sftp", "check", "web-1", "for deploy check on"),
    ("write under /srv/a by sftp", "deploy", "root+web-1",
     "on web-1 root+web-1 {"),
    ("write under /srv/a by sftp; window Mon 01:00-02:00 UTC", "deploy",
     "web-1", None)])
def test_explain_edits_the_header_for_files(tmp_path, rule, who, where, line):
    path = tmp_path / "a.postern"
    text = POLICY.split("allow restart")[0]
    path.write_text(f"{text}allow x for deploy on web-1 {{ {rule} }}\n")
    r = run("explain", "--policy", path, "--as", who, "--on", where, "--json",
            "--at", "2026-11-24T10:00Z", "--write", "/srv/a/x", "--by", "sftp")
    said = json.loads(r.stdout)
    assert r.returncode == 77 and ("edit" in said) == (line is not None)
    assert line is None or line in said["edit"]["new"]


def test_explain_edits_the_header_where_that_is_all(policy):
    out = explain(policy, "systemctl restart web", who="check", code=77)
    assert "+ allow restart for deploy check on web-1 {" in out
    assert "(tests of the policy say otherwise)" in out
    out = explain(policy, "systemctl restart web", on="root+web-1", code=77)
    assert "+ allow restart for deploy on web-1 root+web-1 {" in out
    out = explain(policy, "/opt/x", who="check", on="web-2", code=77)
    assert "+ allow new for check on web-2 { run /opt/x }" in out


def test_explain_suggests_nothing_against_a_deny_or_a_window(policy):
    out = explain(policy, "systemctl mask x", code=77)
    assert "denied by rule `never`: no" in out and "edit" not in out
    out = explain(policy, "/opt/night", "--at", "2026-11-24T10:00Z",
                  on="web-2", code=77)
    assert "at other times" in out
    explain(policy, "/opt/night", "--at", "2026-11-23T01:30Z", on="web-2",
            code=0)


@pytest.mark.parametrize("who, on, said", [
    ("check", "web-1", False), ("check", "web-2", False),
    ("deploy", "web-2", True)])
def test_a_test_without_a_time_is_told_of_windows(tmp_path, who, on, said):
    """Where there are some for whom and where it is about."""
    path = tmp_path / "a.postern"
    claims = '{ ref "refs/tags/x" } ' if who == "deploy" else ""
    path.write_text(POLICY + f'test "t" as {who} {claims}on {on} {{ '
                    'allow "/opt/x" }\n')
    r = run("check", str(path))
    assert r.returncode == 1 and ("without `at`" in r.stderr) == said, r


def test_explain_says_what_it_cannot_answer(policy):
    for args in (["--as", "nobody"], ["--on", "nowhere"],
                 ["--claim", "repo=9"], ["--on", "eve+web-1"],
                 ["--at", "noon"], ["--frob"]):
        r = run("explain", "--policy", policy, "--as", "deploy", "--on",
                "web-1", *args, "--", "id")
        assert r.returncode == 64 and r.stderr and not r.stdout, args
    r = run("explain", "--policy", policy, "--as", "deploy", "--on", "web-1",
            "--", "id $HOME")
    assert r.returncode == 64 and "^" in r.stderr


SENT = '''
allow ship for deploy on web-1 { run /opt/ship; env STAGE <enum blue red> }
deny red for * on web-1 { run STAGE=red <any>...; because "red is off" }
test "what is sent" as deploy { ref "refs/tags/v1" } on web-1 {
    allow "/opt/ship" sent "STAGE=blue" sent "OTHER=x"
    deny  "/opt/ship" sent "STAGE=red" by red
    deny  "/opt/ship" sent "STAGE=green"
    deny  "/opt/ship && /opt/ship" with pty sent "STAGE=red" by red
}
'''


@pytest.mark.parametrize("sent, code, says", [
    ([], 0, "allowed by rule `ship`"),
    (["STAGE=blue"], 0, "allowed by rule `ship`"),
    (["STAGE=red"], 77, "denied by rule `red`: red is off"),
    (["STAGE=green"], 77, "does not take the value"),
    (["OTHER=1", "STAGE=red"], 77, "red is off"),
    (["STAGE"], 64, "--env wants NAME=VALUE"),
    (["=x"], 64, "--env wants NAME=VALUE"),
    ([f"V{n}=x" for n in range(130)], 0, "allowed"),
    ([f"V{n}=x" for n in range(131)], 64, "more than 130 variables")])
def test_what_a_job_sends_is_asked_with_it(tmp_path, policy, sent, code, says):
    path = tmp_path / "sent.postern"
    with open(policy, encoding="utf-8") as f:
        path.write_text(f.read() + SENT)
    args = ["--policy", str(path)] + [f"--env={s}" for s in sent]
    r = run("explain", *args, "--as", "deploy", "--on", "web-1", "--",
            "/opt/ship")
    assert r.returncode == code and says in r.stdout + r.stderr, r
    r = run("who-can", *args, "--on", "web-1", "--", "/opt/ship")
    assert ("deploy" in r.stdout) == (code == 0), r


def test_what_a_job_sends_wants_a_command(policy):
    r = run("explain", "--policy", policy, "--as", "deploy", "--on", "web-1",
            "--env", "A=b", "--read", "/x", "--by", "sftp")
    assert r.returncode == 64 and "--env wants a command" in r.stderr


@pytest.mark.parametrize("line, says", [
    ('deny "/opt/ship" sent STAGE=red', "expected a variable as"),
    ('deny "/opt/ship" sent "STAGE"', 'expected a variable as "NAME=VALUE"'),
    ('deny "/opt/ship" sent "A=b" sent "A=b"', "is written twice"),
    ('deny read "/x" by sftp sent "A=b"', "expected `by`"),
    ('allow "/opt/ship" sent "STAGE=red"', "expected allow, but it is denied")])
def test_a_test_says_what_is_sent(tmp_path, policy, line, says):
    path = tmp_path / "sent.postern"
    with open(policy, encoding="utf-8") as f:
        path.write_text(f.read() + SENT + 'test "x" as deploy { ref "refs/tags/v1" } '
                        'on web-1 {\n'
                        f"    {line}\n}}\n")
    r = run("check", str(path))
    assert r.returncode == 1 and says in r.stderr, r.stderr


def test_the_export_has_what_is_sent(tmp_path, policy):
    path = tmp_path / "sent.postern"
    with open(policy, encoding="utf-8") as f:
        path.write_text(f.read() + SENT)
    r = run("export", "--json", str(path))
    tests = {t["name"]: t["lines"] for t in json.loads(r.stdout)["tests"]}
    assert [x["sent"] for x in tests["what is sent"]] == [
        ["STAGE=blue", "OTHER=x"], ["STAGE=red"], ["STAGE=green"],
        ["STAGE=red"]]


ESCAPES = os.path.dirname(__file__) + "/escapes.postern"


def escape(command, *opts):
    return run("explain", "--policy", ESCAPES, "--as", "dev", "--on", "web-1",
               *opts, "--", command)


def test_the_known_ways_out_are_refused():
    """Its tests are the table: options of rsync, git, tar, find and others."""
    r = run("check", ESCAPES)
    assert r.returncode == 0, r.stdout + r.stderr
    assert "its tests pass" in r.stdout
    with open(ESCAPES, encoding="utf-8") as f:
        denied = re.findall(r'^ +deny "(.*?)"(?: |$)', f.read(), re.M)
    # each that is known by name is among them
    for words in (
            "rsync -e", "rsync --rsh", "rsync --rsync-path", "rsync -M",
            "rsync --log-file", "rsync --files-from", "tar --checkpoint-action",
            "tar --to-command", "tar -I", "git -c", "git --upload-pack",
            "git --exec", "git ext::", "ssh -o", "ssh -F", "find -exec",
            "find -ok", "find -delete", "find -fprintf", "scp -S", "scp -o",
            "curl -K", "curl -o", "docker -v", "docker --privileged",
            "docker exec", "journalctl", "less", "man", "systemctl status",
            "env", "xargs", "sudo", "sh -c", "git-upload-pack --help",
            "rdist -P", "git alias.x=!id"):
        assert any(all(re.search(rf"(^|[ '/]){re.escape(w)}", d)
                       for w in words.split()) for d in denied), words


def test_tricks_with_words_are_refused():
    """Against the rules that the cookbook would write."""
    r = run("check", os.path.dirname(__file__) + "/tricks.postern")
    assert r.returncode == 0, r.stdout + r.stderr
    assert "its tests pass" in r.stdout
    assert r.stderr == ""  # and these rules need no warning


A = "-vrtpe.iLsfxCIvu"
# A command, the word that is shown, what is said of it.
SAID = [
    (f"rsync --server {A} --log-file=/x . /srv/site/", "--log-file=/x",
     "this writes a file of the job's choice on the target; leave it out"),
    (f"rsync --server {A} -M--log-file=/x . /srv/site/", "-M--log-file=/x",
     "this option of rsync is not known to be harmless; leave it out"),
    (f"rsync --server {A} --files-from=/x . /srv/site/", "--files-from=/x",
     "the list of files would come on the stream, where no rule sees it; "
     "name the folder and use --include and --exclude"),
    (f"rsync --server {A} --rsh=id . /srv/site/", "--rsh=id",
     "this option of rsync is not known to be harmless; leave it out"),
    ("rsync --server -svrt", "-svrt", "the paths would come on the stream, "
     "where no rule sees them; use --no-secluded-args"),
    ("rsync --server --daemon .", "--daemon",
     "this option of rsync is not known to be harmless; leave it out"),
    (f"rsync --server {A} --link-dest /x . /srv/site/", "--link-dest",
     "this reads another folder; leave it out"),
    (f"rsync --server {A} --temp-dir /x . /srv/site/", "--temp-dir",
     "this writes into another folder; leave it out"),
    (f"rsync --server {A} --debug=ALL . /srv/site/", "--debug=ALL",
     "this shows what is in files of any name; leave it out"),
    ("rsync --server -vvvrt . /srv/site/", "-vvvrt",
     "this shows what is in files of any name; use -v or -vv"),
    ("rsync --server -rtK . /srv/tree/", "-rtK", "this goes where links on "
     "the target lead; leave out -L, -k, -K and their long forms"),
    (f"rsync --server {A} . /srv/site/../x", "/srv/site/../x",
     "a path has no empty, `.` or `..` parts; write the folder that is meant"),
    (f"rsync --server {A} . /srv/site /etc", "/etc",
     "this is one path too many; use one command for each"),
    (f"rsync --server {A} . site", "site",
     "the path is not absolute; write it from the root on"),
    (f"rsync --server {A} -- . /srv/site", "--",
     "this option of rsync is not known to be harmless; leave it out"),
    (f"rsync --server {A} --force . /srv/site", None,
     "but nothing may be deleted there: leave out --delete, --force and "
     "--partial-dir"),
    ("rsync --server -lrt . /srv/site", None, "but no symbolic links may come "
     "there: leave out -l, or add --no-links behind -a"),
    (f"rsync --server --sender {A} --remove-source-files . /var/log/app",
     "--remove-source-files", "this deletes files that are only read"),
    (f"rsync --server --sender {A} . /etc", None,
     "no rule allows you to read this file as deploy on web-1"),
    ("rsync -a -e id /srv/app/x /srv/backup/x", "-e",
     "no rule allows this as deploy on web-1"),
    ("git-upload-pack --upload-pack=id /srv/git/shop.git", "--upload-pack=id",
     "no option is taken here; use git's own defaults"),
    ("cd /srv/app/x && git -c alias.x=!id x", None, "unquoted `!`"),
    ("cd /srv/app/x && git -c core.pager=id fetch origin refs/tags/v1.2", "-c",
     "no rule allows this"),
    ("cd /srv/app/x && git fetch --upload-pack=id origin refs/tags/v1.2",
     "--upload-pack=id", "no rule allows this"),
    ("cd /srv/app/x && git fetch 'ext::sh -c id' refs/tags/v1.2",
     "'ext::sh -c id'", "this word does not fit"),
    ("tar -xzf /srv/releases/a -C /srv/app/x --to-command=id",
     "--to-command=id", "this word is one too many"),
    ("tar -xzf /srv/releases/a -C /srv/app/x -I id", "-I",
     "this word is one too many"),
    ("tar -czf /srv/backup/a /srv/app/x --checkpoint-action=exec=id",
     "--checkpoint-action=exec=id", "no rule allows this"),
    ("find /srv/app/x -type f -name x -exec id ';'", "-exec",
     "this word is one too many"),
    ("find /srv/app/x -type f -name -delete", "-delete",
     "options must be written out in the rule"),
    ("find /srv/app/x -type f -name x -fprintf /y %p", "-fprintf",
     "this word is one too many"),
    ("ssh -o ProxyCommand=id backup@10.0.0.9 /opt/bin/x y", "-o",
     "no rule allows this"),
    ("scp -S id /srv/app/x backup@10.0.0.9:/srv/in/x", "-S",
     "no rule allows this"),
    ("curl -fsS -K /x https://api.example/v1", "-K", "no rule allows this"),
    ("docker run --rm --privileged image words", "--privileged",
     "no rule allows this"),
    ("sudo systemctl status web", None, "no rule allows this"),
]


@pytest.mark.parametrize("command, word, says", SAID,
                         ids=[c for c, _, _ in SAID])
def test_a_way_out_is_refused_with_words(command, word, says):
    r = escape(command)
    said = r.stdout + r.stderr
    assert r.returncode in (77, 64) and says in said, said
    if word is None:
        return
    lines = said.splitlines()
    at = next(i for i, x in enumerate(lines) if set(x.strip()) == {"^", "~"}
              or x.strip() == "^")
    begin = lines[at].index("^")
    shown = lines[at - 1][begin:begin + len(lines[at].strip())]
    assert shown == word, said


def test_can_lists_what_the_rules_say(policy):
    r = run("can", "--policy", policy, "--as", "deploy")
    assert r.returncode == 0
    assert r.stdout.splitlines()[:5] == [
        "deploy+web-1",
        "  allow restart  run systemctl (restart | reload) <service> [--wait]",
        "  allow restart  run systemctl status -n <int 1..50>",
        "  allow restart  run [/usr/bin/nice] /opt/top; with stdin",
        "  deny never  run systemctl mask <any>..."]
    assert "root+web-1" not in r.stdout
    rows = json.loads(run("can", "--policy", policy, "--as", "deploy", "--on",
                          "web-2", "--json").stdout)
    assert [r["rule"] for r in rows] == ["never", "night"]
    r = run("can", "--policy", policy, "--as", "check")
    assert r.returncode == 77 and r.stdout == ""


def test_who_can_asks_with_claims(tmp_path):
    """The one that a rule takes into a command, and one that is a condition."""
    path = tmp_path / "a.postern"
    path.write_text(POLICY + "allow own for deploy on web-2 "
                    "{ run /opt/own <claim app> }\n")
    own = ["who-can", "--policy", str(path), "--", "/opt/own", "shop"]
    for more, code in ((["--claim", "app=shop"], 0),
                       (["--claim", "app=blog"], 77), ([], 77),
                       (["--claim", "app=shop", "--claim", "repo=2"], 77)):
        r = run(own[0], *more, *own[1:])
        assert r.returncode == code, (more, r)
        assert ("deploy on deploy+web-2" in r.stdout) == (code == 0)


def test_who_can_asks_everyone_everywhere(policy):
    r = run("who-can", "--policy", policy, "--", "systemctl", "reload", "api")
    assert r.returncode == 0
    assert r.stdout == (f"deploy on deploy+web-1: allow by restart at "
                        f"{policy}:10\n")
    r = run("who-can", "--policy", policy, "--json", "--", "id")
    assert r.returncode == 77 and json.loads(r.stdout) == []


ACCESS = '''
allow ship for deploy on web-1 {
    write under /srv/app/<claim repo> by sftp max 1MiB no-delete
    read under /var/log/app by sftp rsync
    git write /srv/git/app.git refs "refs/heads/*"
    interactive
}
deny secret for * on * { write under /srv/app/1/.ssh by sftp; because "keys" }
'''
# What is asked, the verdict, and the line that says so.
ASKED = [
    ("--write /srv/app/1/x --by sftp", "allow", 19),
    ("--write /srv/app/2/x --by sftp", "deny", None),
    ("--write /srv/app/1/x --by rsync", "deny", None),
    ("--write /srv/app/1/.ssh/k --by sftp", "deny", 24),
    ("--read /var/log/app/a/b --by rsync", "allow", 20),
    ("--read /var/log --by sftp", "deny", None),
    ("--git-write /srv/git/app.git --ref refs/heads/x", "allow", 21),
    ("--git-write /srv/git/app.git --ref refs/tags/x", "deny", None),
    ("--git-write /srv/git/app.git", "allow", 21),
    ("--git-read /srv/git/app.git", "deny", None),
    ("--interactive", "allow", 18),
]


@pytest.mark.parametrize("words, verdict, line", ASKED)
def test_files_repositories_and_shells_are_asked_about(
        words, verdict, line, tmp_path):
    path = tmp_path / "a.postern"
    path.write_text(POLICY + ACCESS)
    code = 0 if verdict == "allow" else 77
    asked = ["--policy", str(path), "--on", "web-1", *words.split()]
    r = run("explain", "--as", "deploy", "--json", *asked)
    assert r.returncode == code, r
    said = json.loads(r.stdout)
    assert said["verdict"] == verdict and said.get("line") == line, said
    r = run("explain", "--as", "deploy", *asked)
    assert r.returncode == code and (
        f"a.postern:{line}" in r.stdout or verdict == "deny"), r
    r = run("who-can", "--json", *asked)
    assert r.returncode == code
    assert [(w["as"], w["login"]) for w in json.loads(r.stdout)] == (
        [("deploy", "deploy")] if verdict == "allow" else [])
    r = run("explain", "--as", "check", *asked)
    assert r.returncode == 77


@pytest.mark.parametrize("words, why", [
    ("--write /srv/app/1/x --by rsync", "but not in this way"),
    ("--read /srv/app/1/x --by sftp", "to be written, but not to be read"),
    ("--write /srv/app/2/x --by sftp", "but only what is beneath this"),
    ("--git-write /srv/git/app.git --ref refs/tags/x",
     "but not with this ref"),
    ("--git-read /srv/git/app.git", "to push, but not to fetch"),
    ("--git-write /srv/git/other.git", "but only this repository")])
def test_explain_shows_the_nearest_file_or_repository(words, why, tmp_path):
    path = tmp_path / "a.postern"
    path.write_text(POLICY + ACCESS)
    r = run("explain", "--policy", str(path), "--as", "deploy", "--on",
            "web-1", *words.split())
    assert r.returncode == 77 and "nearest rule `ship`" in r.stdout
    assert "the rule allows this " + why in r.stdout and "^" in r.stdout


def test_can_lists_files_repositories_and_shells(tmp_path):
    path = tmp_path / "a.postern"
    path.write_text(POLICY + ACCESS)
    r = run("can", "--policy", str(path), "--as", "deploy", "--on", "web-1")
    for line in ("  allow ship  write under /srv/app/<claim repo> by sftp max "
                 "1MiB no-delete\n", "  allow ship  interactive\n",
                 '  allow ship  git write /srv/git/app.git refs '
                 '"refs/heads/*"\n'):
        assert line in r.stdout
    rows = json.loads(run("can", "--policy", str(path), "--as", "deploy",
                          "--on", "web-1", "--json").stdout)
    assert [r["access"] for r in rows if r["line"] == 20] == [
        "read under /var/log/app by sftp rsync"]


def test_lists_are_explained_command_by_command(policy):
    out = explain(policy, "systemctl restart web && systemctl restart db",
                  code=77)
    assert "systemctl restart web\nallowed by rule" in out
    assert "\nsystemctl restart db\n" in out and "<service>" in out
    r = run("explain", "--policy", policy, "--as", "deploy", "--on", "web-1",
            "--json", "--", "systemctl restart web; systemctl mask x")
    assert r.returncode == 77
    assert [(x["asked"]["command"], x["verdict"]) for x in
            json.loads(r.stdout)] == [("systemctl restart web", "allow"),
                                      ("systemctl mask x", "deny")]
    both = ["who-can", "--policy", policy, "--"]
    assert run(*both, "systemctl restart web; /opt/top").returncode == 0
    r = run(*both, "systemctl restart web; /opt/no")
    assert r.returncode == 77 and not r.stdout
    assert r.stderr.startswith("postern: nobody may"), r.stderr


@pytest.mark.parametrize("words", [
    "--read /x", "--by sftp", "--ref refs/heads/x -- id", "--read /x --by ftp",
    "--read /x --by sftp -- id", "--interactive --read /x --by sftp", ""])
def test_what_is_asked_must_be_one_thing(words, policy):
    r = run("explain", "--policy", policy, "--as", "deploy", "--on", "web-1",
            *words.split())
    assert r.returncode == 64 and r.stderr and not r.stdout


def test_fmt_tells_in_json(tmp_path):
    ugly, pretty = tmp_path / "a.postern", tmp_path / "b.postern"
    ugly.write_text(UGLY)
    pretty.write_text(PRETTY)
    r = run("fmt", "--check", "--json", str(ugly), str(pretty))
    assert r.returncode == 1 and json.loads(r.stdout) == [
        {"file": str(ugly), "differs": True},
        {"file": str(pretty), "differs": False}]
    r = run("fmt", "--json", str(ugly), str(tmp_path / "none"))
    assert r.returncode == 1
    done, none = json.loads(r.stdout)
    assert done == {"file": str(ugly), "changed": True}
    assert none["error"] and ugly.read_text() == PRETTY


def test_export_is_one_object(policy):
    r = run("export", "--json", policy)
    x = json.loads(r.stdout)
    assert x["export"] == 1 and len(x["rules"]) == 3
    slot = x["rules"][0]["run"][1]["programs"][0]["pattern"]["seq"][3]["word"][0]["regex"]
    assert [n for n in range(60) if re.fullmatch(slot, str(n))] == list(
        range(1, 51))


UGLY = '''policy 1


issuer   ci { preset custom;url "https://ci.example";	audience "b  {";algorithms ES256 }   # a  comment
	identity a from ci {

# inside {
claim repo="1"


}
target t { ssh "d@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U" }#glued
allow x for a on t {
run id   'a  }  b' a\\  --x=<int 1..5>[y]   # it's "one
      mask 'x   y' as "m  m"
  }


'''
PRETTY = '''policy 1

issuer ci { preset custom;url "https://ci.example"; audience "b  {";algorithms ES256 }  # a  comment
identity a from ci {
    # inside {
    claim repo="1"
}
target t { ssh "d@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U" }  #glued
allow x for a on t {
    run id 'a  }  b' a\\  --x=<int 1..5>[y]  # it's "one
    mask 'x   y' as "m  m"
}
'''


def meaning(path):
    r = run("export", "--json", path)
    assert r.returncode == 0, r
    return re.sub(r'"line":[0-9]+', "", r.stdout)


def test_fmt_sets_the_layout_and_keeps_the_meaning(tmp_path):
    path = tmp_path / "a.postern"
    path.write_text(UGLY)
    before = meaning(str(path))
    assert run("fmt", "--check", str(path)).returncode == 1
    assert path.read_text() == UGLY
    r = run("fmt", str(path))
    assert r.returncode == 0 and r.stdout == f"{path}\n"
    assert path.read_text() == PRETTY
    assert meaning(str(path)) == before
    r = run("fmt", "--check", str(path))
    assert r.returncode == 0 and r.stdout == ""
    assert run("fmt", str(tmp_path / "none")).returncode == 1


def test_fmt_of_random_policies_keeps_their_meaning(tmp_path):
    path = tmp_path / "a.postern"
    for seed in range(20):
        text = "policy 1\n" + "".join(Maker(seed).policy())
        path.write_text(text.replace("\n    ", "\n \t"))
        if run("export", str(path)).returncode != 0:
            continue
        before = meaning(str(path))
        assert run("fmt", str(path)).returncode == 0
        assert meaning(str(path)) == before
        assert run("fmt", "--check", str(path)).returncode == 0


def test_tools_refuse_a_policy_that_does_not_load(tmp_path):
    bad = tmp_path / "bad.postern"
    bad.write_text("policy 1\nallow x for y on z { run id }\n")
    for args in (["export", str(bad)],
                 ["who-can", "--policy", str(bad), "--", "id"]):
        r = run(*args)
        assert r.returncode == 1 and "there is no identity `y`" in r.stderr


def completed(shell, *words):
    """What a shell offers for the last of these words."""
    folder = os.path.dirname(COMPLETION)
    env = os.environ | {"PATH": f"{BUILD}/cli:{os.environ['PATH']}"}
    text = " ".join(words) or "''"
    argv = {
        "bash": ["bash", "-c", f". {COMPLETION}; COMP_WORDS=({text} {'' if words[-1] else chr(39) * 2}); "
                 f"COMP_CWORD={len(words) - 1}; _postern; "
                 'printf "%s\\n" "${COMPREPLY[@]}"'],
        "fish": ["fish", "--no-config", "-c",
                 f"source {folder}/postern.fish; complete -C '{' '.join(words)}'"],
        # zsh completes on a terminal alone: this one is its own, and what
        # compadd is given is printed instead of shown.
        "zsh": ["zsh", "-fc", f"""
zmodload zsh/zpty; zpty z zsh -fi
zpty -w z 'PS1= PROMPT_EOL_MARK= ; unsetopt zle_bracketed_paste; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; compdef _postern postern
compadd() {{ local -a m; builtin compadd -A m "$@"; print -rl -- "<"$^m">" >>$OUT; builtin compadd "$@" }}
zle_ready() {{ print READY }}; zle_ready'
while zpty -r z line; do [[ $line == *READY* && $line != *zle_ready* ]] && break; done
zpty -w -n z {shlex.quote(' '.join(words))}$'\t'
for i in {{1..100}}; do sleep 0.1; [[ -s $OUT ]] && break; done; sleep 0.3
zpty -d z; cat $OUT"""],
    }[shell]
    with tempfile.NamedTemporaryFile() as out:
        r = subprocess.run(argv, env=env | {"OUT": out.name},
                           capture_output=True, text=True, check=False)
    assert r.stderr == "", r.stderr
    lines = (x.split("\t")[0].strip() for x in r.stdout.splitlines())
    if shell == "zsh":
        return {x[1:-1] for x in lines if x.startswith("<")}
    return {x for x in lines if x}


def test_the_words_of_a_command_fit_a_terminal():
    """One line for a program, folded for a person; nothing is lost by it."""
    def words(*argv, **kw):
        return subprocess.run([*argv], capture_output=True, text=True, **kw)
    me = BUILD + "/cli/postern"
    plain = words(me, "policy", "explain", "--help")
    assert plain.returncode == 0 and not plain.stderr
    assert plain.stdout == words(me, "help", "policy", "explain").stdout
    usage = plain.stdout.splitlines()[0]
    assert len(usage) > 200 and "[--env NAME=VALUE]" in usage
    seen = words("script", "-qec", f"{me} policy explain", "/dev/null",
                 stdin=subprocess.DEVNULL)
    assert seen.returncode == 64
    lines = seen.stdout.splitlines()
    assert max(map(len, lines)) < 80 and len(lines) > 3
    assert " ".join(seen.stdout.split()) == usage


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_every_command_and_option(shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    usage = subprocess.run([BUILD + "/cli/postern", "help"],
                           capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  ([a-z]+(?: [a-z-]+)?)  ", usage, re.M)
    assert len(commands) >= 17 and "policy rehearse" in commands
    first = {c.split()[0] for c in commands} | {"help"}
    assert completed(shell, "postern", "") == first
    for family in {c.split()[0] for c in commands if " " in c}:
        assert completed(shell, "postern", family, "") == {
            c.split()[1] for c in commands if c.split()[0] == family
            and " " in c}
    words = commands if shell == "bash" else ("policy explain", "sessions")
    for c in words:
        line = subprocess.run([BUILD + "/cli/postern", "help", *c.split()],
                              capture_output=True, text=True,
                              check=True).stdout.splitlines()[0]
        options = set(re.findall(r"--[a-z][a-z-]*", line))
        if options:
            assert completed(shell, "postern", *c.split(), "--") == options
    assert completed(shell, "postern", "policy", "who-can", "--by", "") == {
        "sftp", "scp-legacy", "rsync"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_files_and_folders(shell, tmp_path, monkeypatch):
    """A folder where one is wanted, and a log where that is."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    (tmp_path / "attic").mkdir()
    (tmp_path / "auth.log").touch()
    monkeypatch.chdir(tmp_path)
    for words in (["backup"], ["restore"], ["ledger", "key"],
                  ["reconcile", "--recordings"]):
        assert {x.rstrip("/") for x in completed(
            shell, "postern", *words, "a")} == {"attic"}, words
    for words in (["reconcile"], ["verify", "--anchor"]):
        assert {x.rstrip("/") for x in completed(
            shell, "postern", *words, "a")} == {"attic", "auth.log"}, words


def test_help_knows_the_words_of_each_command():
    def said(*words):
        return subprocess.run([BUILD + "/cli/postern", "help", *words],
                              capture_output=True, text=True, check=False)
    assert said("reload").stdout == (
        "usage: postern reload [--json]\n  load the policy again\n")
    assert said("policy").stdout.count("usage: postern policy ") >= 8
    for words in (["polic"], ["policy", "expla"], ["policy", "can", "x"], [""]):
        r = said(*words)
        assert r.returncode == 64 and "there is no command" in r.stderr


@pytest.mark.parametrize("words, first, rest", [
    ("sesions", "there is no command `sesions'; did you mean `sessions'?", 0),
    ("polcy check", "there is no command `polcy'; did you mean "
     "`policy check'?", 0),
    ("policy expalin x", "there is no command `policy expalin'; did you mean "
     "`policy explain'?", 9),
    ("policy", "`policy' wants another word:", 9),
    ("hold", "`hold' wants another word:", 3),
    ("frobnicate now", "there is no command `frobnicate'", 30)])
def test_a_word_that_is_none_is_told_what_is_near(words, first, rest):
    r = subprocess.run([BUILD + "/cli/postern", *words.split()],
                       capture_output=True, text=True, check=False)
    said, *more = r.stderr.splitlines()
    assert (r.returncode, r.stdout, said) == (64, "", "postern: " + first)
    assert len(more) == rest or len(more) > rest >= 30, more
    assert rest not in (3, 9) or all(
        x.startswith("  " + words.split()[0] + " ") for x in more)


def synopses():
    """{command's words: the options of its synopsis} of the manual pages."""
    found = {}
    for page in ("postern", "postern-policy", "postern-token"):
        with open(f"{os.path.dirname(__file__)}/../../cli/{page}.1") as f:
            text = f.read()
        text = text.split(".Sh SYNOPSIS\n")[1].split(".Sh DESCRIPTION")[0]
        first = page.split("-")[1:]
        for part in re.split(r"^\.Nm.*\n", text, flags=re.M)[1:]:
            if not (words := re.match(r"\.Cm ([^\n]*)\n", part)):
                continue
            options = {"-" + o for o in re.findall(r"Fl (-[a-z-]+)", part)}
            if ".Ar request\n" in part:
                options |= REQUEST
            *family, last = words[1].split(" | ")
            family = family[0].split() if family else last.split()
            for w in [family, [*family[:-1], last]] if " | " in words[1] \
                    else [family]:
                found[" ".join(first + w)] = options
    return found


REQUEST = {"--read", "--write", "--by", "--git-read", "--git-write", "--ref",
           "--interactive"}


def test_the_manual_has_every_command_and_option():
    """As `postern help` says them, which completion goes by, too."""
    def says(*words):
        return subprocess.run([BUILD + "/cli/postern", "help", *words],
                              capture_output=True, text=True,
                              check=True).stdout

    commands = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", says(), re.M)
    assert len(commands) > 30
    pages = synopses()
    # One line each stands for the tools that have a page of their own.
    assert set(pages) - {"policy", "token", "help"} == set(commands)
    for c in commands:
        usage = says(*c.split()).split("\n")[0]
        assert set(re.findall(r"--[a-z][a-z-]*", usage)) == pages[c], c
