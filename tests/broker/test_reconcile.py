"""postern reconcile alone: logs that OpenSSH 9.2 (bookworm) and 10.0 (trixie)
wrote, as plain text, syslog lines and journald's forms, and ledgers that fit
them or do not.  tests/data/authlog: three logins by certificates of the CA
beside it, one by another CA's with a serial of ours, one by a plain key."""
import bz2
import datetime
import gzip
import json
import lzma
import os
import pathlib
import re
import subprocess

import pytest

DATA = pathlib.Path(__file__).parents[1] / "data/authlog"
POSTERN = pathlib.Path(os.environ["POSTERN_BUILD"]) / "cli/postern"
SERIALS = [7001, 2 ** 63 - 1, 2 ** 64 - 1]
ID = "01JDF6V0X4T9S2M7Q8B3C5D1E"
OTHER_CA = {"bookworm": "SHA256:w+y9pUEBW14WDlkTutvjlfnxD4XGB3ZfNx6UhexFQm4",
            "trixie": "SHA256:DQ9sSsHMs2e+6LNpodkoiDSsn/Ql5rs/uPH9wX7fVNg"}
FORMS = ["plain", "syslog", "iso", "json", "export"]


def key_id(i):
    return (f"operation {ID}{i + 1} identity shop (serial 1) CA RSA SHA256:x "
            "commit=1f0c")


def stamp(t):
    return t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def times(generation):
    """When its three logins were."""
    text = (DATA / f"{generation}.iso").read_text()
    return [datetime.datetime.fromisoformat(re.search(
        rf"^(\S+)\+0000 .*\(serial {s}\) CA", text, re.M)[1])
        for s in SERIALS]


def ledger(tmp_path, generation, edit=lambda lines: lines):
    """Decision and end of the three operations, and of one on another day."""
    lines, little = [], datetime.timedelta(milliseconds=200)
    when = times(generation)
    for i, serial in enumerate([*SERIALS, 5]):
        t = when[i] if i < 3 else when[0] - datetime.timedelta(50)
        op = f"{ID}{i + 1}"
        lines.append({
            "time": stamp(t - little), "event": "operation.decide",
            "operation": op, "target": "web-1", "login": "alice",
            "verdict": "allow", "serial": str(serial), "key_id": key_id(i),
            "recording": f"2026-11-26/{op}.cast"})
        lines.append({
            "time": stamp(t + little), "event": "operation.end",
            "operation": op, "state": "complete", "exit": 0,
            "recording_sha256": "0" * 64})
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(
        json.dumps({"number": n + 1} | line) + "\n"
        for n, line in enumerate(edit(lines))))
    return path


def ask(ledger_, generation, *args, tz="UTC", **kw):
    r = subprocess.run(
        [POSTERN, "reconcile", "--json", "--ledger", ledger_, "--ca",
         DATA / f"{generation}.ca.pub", "--other-ca", OTHER_CA[generation],
         *args], capture_output=True, text=True,
        env={"TZ": tz}, timeout=60, **kw)
    if not r.stdout:
        return r.returncode, r.stderr, None
    *found, total = [json.loads(line) for line in r.stdout.splitlines()]
    return r.returncode, [(f["finding"], f.get("serial")) for f in found], \
        total


@pytest.fixture(params=["bookworm", "trixie"])
def generation(request):
    return request.param


@pytest.mark.parametrize("form", FORMS)
def test_each_form_agrees(tmp_path, generation, form):
    code, found, total = ask(ledger(tmp_path, generation), generation,
                             DATA / f"{generation}.{form}")
    assert (code, found) == (0, [])
    assert {k: total[k] for k in ("logins", "matched", "other_ca",
                                  "other_login", "operations")} == \
        {"logins": 3, "matched": 3, "other_ca": 1, "other_login": 1,
         "operations": 3}


def test_all_forms_at_once_are_one_login_each(tmp_path, generation):
    """journald's and syslog's copy are of one run; plain is of another, whose
    certificates are the same: accepted twice."""
    logs = [DATA / f"{generation}.{form}" for form in FORMS[1:]]
    code, found, total = ask(ledger(tmp_path, generation), generation, *logs)
    assert (code, found, total["again"]) == (0, [], 9)
    code, found, _ = ask(ledger(tmp_path, generation), generation, *logs,
                         DATA / f"{generation}.plain")
    assert code == 1
    assert found == [("twice", str(s)) for s in SERIALS]


@pytest.mark.parametrize("form", FORMS)
def test_a_rogue_and_a_missing_line(tmp_path, generation, form):
    """The ledger lacks the first operation, and has one that is not in the
    log: within its time, on that target."""
    def edit(lines):
        extra = [dict(line) for line in lines[2:4]]
        for line in extra:
            line |= {"operation": ID + "9", "time": lines[3]["time"]}
        extra[0]["serial"] = "99"
        return lines[2:4] + extra + lines[4:]
    code, found, _ = ask(ledger(tmp_path, generation, edit), generation,
                         DATA / f"{generation}.{form}")
    assert code == 1
    assert found == [("unknown", "7001"), ("missing", "99")]


@pytest.mark.parametrize("name, change, kind", [
    ("key_id", "another", "differs"),
    ("login", "bob", "differs"),
    ("time", "2026-11-26T23:59:00.000Z", "time"),
    ("recording", "", "unrecorded"),
])
def test_a_ledger_that_says_otherwise(tmp_path, name, change, kind):
    def edit(lines):
        lines[0][name] = change
        if name == "time":
            lines[1][name] = change
        return lines
    code, found, _ = ask(ledger(tmp_path, "bookworm", edit), "bookworm",
                         DATA / "bookworm.iso")
    assert code == 1 and (kind, "7001") in found, found


def test_an_operation_that_never_ran(tmp_path):
    def edit(lines):
        lines[1]["state"] = "aborted"
        return lines
    code, found, _ = ask(ledger(tmp_path, "trixie", edit), "trixie",
                         DATA / "trixie.json")
    assert (code, found) == (1, [("not-run", "7001")])


def test_who_did_not_reach_the_target_is_not_missed(tmp_path):
    def edit(lines):
        lines[0]["serial"] = "99"
        lines[1] |= {"exit": 69, "reason": "cannot be reached"}
        return lines
    code, found, total = ask(ledger(tmp_path, "trixie", edit), "trixie",
                             DATA / "trixie.iso")
    assert found == [("unknown", "7001")] and total["maybe"] == 1


def test_a_stamp_without_a_zone_is_read_by_tz(tmp_path):
    """A log of Berlin's read as if it were UTC is an hour off."""
    code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie",
                         DATA / "trixie.syslog", tz="CET-1")
    assert (code, found) == (1, [("time", str(s)) for s in SERIALS])


def test_rotated_logs(tmp_path):
    """In pieces, in any order, one by standard input."""
    lines = (DATA / "trixie.syslog").read_text().splitlines(True)
    (tmp_path / "auth.log.1").write_text("".join(lines[:9]))
    code, found, total = ask(
        ledger(tmp_path, "trixie"), "trixie", "--target", "web-1", "-",
        tmp_path / "auth.log.1", input="".join(lines[9:]))
    assert (code, found, total["matched"]) == (0, [], 3)
    assert total["outside"] == 1


def test_what_another_process_says_in_sshds_name(tmp_path):
    log = tmp_path / "journal"
    text = (DATA / "trixie.json").read_text().splitlines()
    log.write_text("\n".join(
        json.dumps(json.loads(line) | {"_UID": "1000", "_COMM": "logger"})
        for line in text) + "\n")
    code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 1 and {k for k, _ in found} == {"foreign"}


@pytest.mark.parametrize("line", [
    "Accepted publickey for alice from ::1 port 5 ssh2: ED25519-CERT "
    f"SHA256:{'A' * 43} ID cut off at the 1022nd by",
    "<weird> web-1 sshd[5]: Accepted publickey for alice from ::1 port 5 "
    f"ssh2: ED25519-CERT SHA256:{'A' * 43} ID x (serial 5) CA x SHA256:x",
])
def test_a_certificate_that_cannot_be_read_is_said(tmp_path, line):
    log = tmp_path / "log"
    log.write_text((DATA / "trixie.plain").read_text() + line + "\n")
    code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 1 and [k for k, _ in found] == ["unreadable"]


def test_hostile_text_is_escaped(tmp_path):
    name = "\x1b]0;x\x07\u202e"
    log = tmp_path / name
    ca = re.search(r"CA ED25519 (SHA256:\S+)",
                   (DATA / "trixie.plain").read_text())[1]
    log.write_text(
        f"Accepted publickey for {name} from {name} port 5 ssh2: ED25519-CERT "
        f"SHA256:{'A' * 43} ID {name} (serial 5) CA ED25519 {ca}\n")
    for args in ([], ["--json"]):
        r = subprocess.run(
            [POSTERN, "reconcile", *args, "--ledger",
             ledger(tmp_path, "trixie"), "--ca", DATA / "trixie.ca.pub",
             log], capture_output=True, text=True, timeout=60)
        assert r.returncode == 1
        assert not re.search("[\x1b\x07\u202e]", r.stdout + r.stderr)


def test_a_line_that_is_too_long_is_counted(tmp_path):
    log = tmp_path / "log"
    log.write_text("x" * 70000 + "\n" + (DATA / "trixie.plain").read_text())
    code, found, total = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert (code, found, total["unread_lines"]) == (1, [], 1)


def test_nothing_to_compare_is_not_agreement(tmp_path):
    code, found, total = ask(ledger(tmp_path, "trixie"), "trixie",
                             DATA / "bookworm.plain", "--other-ca",
                             OTHER_CA["bookworm"], "--other-ca",
                             DATA / "bookworm.ca.pub")
    assert (code, found, total["other_ca"]) == (1, [], 4)


def test_a_certificate_by_a_ca_that_nobody_named(tmp_path):
    code, found, total = ask(ledger(tmp_path, "trixie"), "trixie",
                             DATA / "trixie.plain", DATA / "bookworm.plain")
    assert code == 1 and total["matched"] == 3 and total["other_ca"] == 1
    assert found == [("other-ca", str(s)) for s in (SERIALS[0], *SERIALS)]


# -- who has a key, and would not be found -------------------------------------


LOGIN = "Accepted publickey for alice from ::1 port 5 ssh2: ED25519-CERT " \
    f"SHA256:{'A' * 43} ID "


def fake_end(ca="bookworm"):
    return f" (serial 5) CA ED25519 {OTHER_CA[ca]}"


@pytest.mark.parametrize("cut", [500, 1018, 1021])
def test_a_key_id_that_ends_where_sshd_cuts_the_line(tmp_path, cut):
    """It is the key id that says who the CA is: another, that is named."""
    end = fake_end("trixie")
    log = tmp_path / "log"
    for more, want in ((0, ["unreadable"]), (-1, [])):
        n = cut + more if cut == 500 or more == 0 else 1017
        log.write_text((DATA / "trixie.plain").read_text() + LOGIN +
                       "x" * (n - len(LOGIN) - len(end)) + end + "\n")
        code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
        assert [k for k, _ in found] == want and code == len(want)


def test_a_key_id_with_line_ends(tmp_path):
    """What it says itself comes first; the rest is a line of its own."""
    real = re.search(r" \(serial 7001\) CA .*",
                     (DATA / "trixie.plain").read_text())[0]
    log = tmp_path / "log"
    log.write_text((DATA / "trixie.plain").read_text() + LOGIN + "x" +
                   fake_end("trixie") + "\nx" + real + "\n")
    code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 1 and [k for k, _ in found] == ["unreadable"]


@pytest.mark.parametrize("form", ["plain", "iso"])
def test_a_certificate_again_from_the_same_port(tmp_path, form):
    """Beside the first, after it in a rotated log, and in a collector's copy:
    one login more, however often it is said."""
    text = (DATA / f"trixie.{form}").read_text()
    line = re.search(r"^.*Accepted .*\(serial 7001\) CA ED25519 SHA256:IG.*\n",
                     text, re.M)[0]
    both, copy = tmp_path / "both", tmp_path / "copy"
    both.write_text(text.replace(line, line + line))
    copy.write_text(both.read_text())
    one = DATA / f"trixie.{form}"
    for logs in ([both], [both, copy], [both, one], [one, both]):
        code, found, total = ask(ledger(tmp_path, "trixie"), "trixie", *logs)
        assert (code, found) == (1, [("twice", "7001")]), logs
    if form == "iso":   # a minute later, in the next log
        t = datetime.datetime.fromisoformat(line.split("+")[0])
        copy.write_text(line.replace(
            line.split("+")[0], (t + datetime.timedelta(seconds=60))
            .isoformat()))
        code, found, total = ask(ledger(tmp_path, "trixie"), "trixie", copy,
                                 DATA / "trixie.iso")
        assert (code, found, total["again"]) == (1, [("twice", "7001")], 0)


@pytest.mark.parametrize("line", [
    "Nov 26 21:38:23 web-1 sshd[5]: message repeated 2 times: [ " + LOGIN +
    "x" + fake_end() + "]",
    '{"__REALTIME_TIMESTAMP":"1","MESSAGE":"' + LOGIN + "x" + fake_end(),
    '\x1e{"MESSAGE":"' + LOGIN + "x" + fake_end() + '"}',
])
def test_forms_that_may_hide_a_login(tmp_path, line):
    log = tmp_path / "log"
    log.write_text((DATA / "trixie.plain").read_text() + line + "\n")
    code, found, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 1 and [k for k, _ in found] == ["unreadable"]


def test_an_export_that_is_cut_off(tmp_path):
    """The rest of it, and what stands behind it, would be one field."""
    whole = (DATA / "trixie.export").read_bytes()
    log = tmp_path / "log"
    log.write_bytes(b"__CURSOR=x\nMESSAGE\n" + b"\xff" * 8 + whole)
    code, said, total = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 74 and total is None
    assert "is cut off within an entry: copy it again" in said


def test_a_year_that_ends(tmp_path):
    """Stamps without a year, on both sides of it, in one log; the file was
    changed in the new one, or is read long after from a pipe."""
    def edit(lines):
        for i, line in enumerate(lines):
            line["time"] = ("2024-12-31T23:59:58.000Z", "2025-01-01T00:00:02"
                            ".000Z", "2024-12-31T10:00:00.000Z")[i // 2 % 3]
            if i % 2 and i < 6:
                line["time"] = line["time"].replace("58.000", "59.000") \
                    .replace("02.000", "03.000")
        return lines[:6]
    when = ["Dec 31 23:59:59", "Jan  1 00:00:03", "Dec 31 10:00:00"]
    text = (DATA / "trixie.syslog").read_text()
    out = []
    for serial, stamp_ in sorted(zip(SERIALS, when), key=lambda x: x[1]):
        line = re.search(rf"^.{{15}}( .*Accepted .*\(serial {serial}\) CA "
                         r"ED25519 SHA256:IG.*\n)", text, re.M)[1]
        out.append(stamp_ + line)
    log = tmp_path / "log"
    log.write_text("".join(out))
    for changed in ("2025-01-01T00:00:04", "2025-06-01T00:00:00"):
        at = datetime.datetime.fromisoformat(changed + "+00:00").timestamp()
        os.utime(log, (at, at))
        code, found, total = ask(ledger(tmp_path, "trixie", edit), "trixie",
                                 log)
        assert (code, found, total["matched"]) == (0, [], 3)


@pytest.mark.parametrize("pack", [gzip, lzma, bz2],
                         ids=lambda m: m.__name__)
def test_a_log_that_was_packed_is_not_empty(tmp_path, pack):
    log = tmp_path / "log"
    log.write_bytes(pack.compress((DATA / "trixie.plain").read_bytes()))
    code, said, _ = ask(ledger(tmp_path, "trixie"), "trixie", log)
    assert code == 74 and "is compressed" in said and "zcat" in said


def test_without_a_ca_key_it_names_the_option(tmp_path):
    r = subprocess.run(
        [POSTERN, "reconcile", "--ledger", ledger(tmp_path, "trixie"),
         DATA / "trixie.plain"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 74 and "with --ca" in r.stderr, r.stderr


def test_bounds(tmp_path):
    code, said, _ = ask(ledger(tmp_path, "trixie"), "trixie",
                        *["/dev/null"] * 257)
    assert code == 64 and said.startswith("usage:")


@pytest.mark.parametrize("args, says", [
    (["--ca", "SHA256:abc"], "`SHA256:abc' is no fingerprint"),
    (["--other-ca", "SHA256:abc"], "`SHA256:abc' is no fingerprint"),
    (["--since", "yesterday"], "--since: `yesterday' is no time"),
    (["--until", ""], "--until: `' is no time"),
    (["--target", "Web 1"], "--target: `Web 1' is no target's name"),
])
def test_a_wrong_word_is_named(args, says):
    r = subprocess.run([POSTERN, "reconcile", *args, DATA / "trixie.plain"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 64 and says in r.stderr, r.stderr


@pytest.mark.parametrize("words, code, says", [
    (["verify", "/no/such"], 69, "cannot be verified:\n  /no/such\n  No such"),
    (["ledger", "key", "/no/such"], 69, "Nothing is said about it"),
    (["verify", "--session", "x"], 64, "`x' is no id: "),
    (["verify", "--key", "x"], 64, "`x' is no key of a ledger"),
    (["restore", "/no/such"], 74, "/no/such has no ledger/ and recordings/: "
     "name the folder that `postern backup' made"),
    (["backup", "-"], 74, "no bastion has run here"),
])
def test_a_store_that_is_none_is_named(words, code, says):
    r = subprocess.run([POSTERN, *words], capture_output=True, text=True,
                       timeout=60)
    assert r.returncode == code and says in r.stderr, r.stderr
