#!/usr/bin/python3
"""Writes the seeds of the fuzz targets that are whole processes: scripts
(tests/fuzz/proc.h) of what really happens between them, and every message of
the table at every door.

    tests/fuzz/seeds.py [NAME…]     into tests/fuzz/corpus/proc_NAME/
"""
import base64
import hashlib
import json
import pathlib
import struct
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/broker"))
import wire as w  # noqa: E402
from table import ROWS  # noqa: E402

SAY, RAW, OPEN, CLOSE, TIME, ACT = range(6)
NULL, PIPE, SOCKET, FILE, FOLDER, PIDFD, TCP = range(7)
LAST, BEFORE = 255, 254
FRESH = b"\1"
NOW = 1795510800
HANDLE = "02" * 16          # a process's first one: its connection's id is 01


def step(op, door, kind=0, ident=0, fds=(0, NULL), body=b"", nth=0):
    return struct.pack(">BBBBBH", op, door | nth << 4, kind, ident,
                       fds[0] | fds[1] << 4, len(body)) + body


def say(door, name, body=b"", ident=LAST, fds=(0, NULL), nth=0):
    return step(SAY, door, w.TYPES[name], ident, fds, body, nth)


def act(which, body=b""):
    return step(ACT, 0, which, body=body)


def time(which):
    return step(TIME, 0, ident=which)


def ulid(n):
    """The id of the n-th 16 random bytes, at the beginning of a process's
    time."""
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(letters[NOW * 1000 >> 5 * i & 31]
                   for i in reversed(range(10))) + letters[n & 31] * 16


def event(kind, **fields):
    body = w.u32(w.KINDS.index(kind))
    for k, v in fields.items():
        body += w.u32(w.FIELDS.index(k)) + b"s" + w.text(v)
    return body


def table(doors):
    """Every message at each door, a few to a script, and each of them twice."""
    out = {}
    for n, door in enumerate(doors):
        for i, row in enumerate(ROWS):
            body, fds = b"".join(row.parts), (row.fds_min, SOCKET)
            out[f"row-{door}-{row.name.lower()}"] = \
                say(n, row.name, body, 7, fds) * 2
    # libFuzzer takes them all; a corpus in the house keeps one of a kind.
    keep = {}
    for name, script in out.items():
        keep.setdefault(name.rsplit("-", 1)[0], []).append(script)
    return {f"{k}-{i}": b"".join(v[i:i + 12]) for k, v in keep.items()
            for i in range(0, len(v), 12)}


# -- signer -------------------------------------------------------------------------

def grant(target="web-1", login="deploy", principal="deploy+web-1",
          command="'/usr/bin/systemctl' 'restart' 'web'", serial=4711, what=0):
    return (w.text(ulid(1)) + w.text(target) + w.text(login) +
            w.text(principal) + w.text(command) + w.u8(0) + w.u64(serial) +
            w.text("postern operation=" + ulid(1)) + w.u8(what))


def job_cert(identities=("shop",), seconds=900, source="", key=None):
    key = key or w.text("ssh-ed25519") + w.text(b"k" * 32)
    return (w.text(ulid(9)) + w.text("1f0c") + w.text(source) +
            w.u32(seconds) + w.u32(len(identities)) +
            b"".join(w.text(i) for i in identities) + w.text(key))


def signer():
    rsa = w.text("ssh-rsa") + w.text(b"\1\0\1") + w.text(
        b"\0" + b"\xff" * 256)
    ask = say(2, "CERT_REQUEST", w.text(b"k" * 32), 7)
    out = table(["parent", "policy", "hop"])
    out |= {
        "signed": act(0, grant()) + ask,
        "two": act(0, grant()) * 2 + ask + say(
            2, "CERT_REQUEST", w.text(b"k" * 32), 7, nth=1),
        "again": act(0, grant()) + ask + ask,
        "short": act(0, grant()) + say(2, "CERT_REQUEST", w.text(b"k"), 7),
        "job": say(1, "JOB_CERT", job_cert(), 7) + say(
            1, "JOB_CERT", job_cert(source="10.0.3.4", key=rsa), 8),
        "no-job": b"".join(say(1, "JOB_CERT", job_cert(**x), 7) for x in (
            {"seconds": 901}, {"identities": ["x"]}, {"identities": []},
            {"source": "10.0.0.0/8"}, {"key": b"x"})),
        "late": act(0, grant()) + time(6) + ask,
        "gone": act(0, grant()) + step(CLOSE, 2) + ask,
        "stop": act(0, grant()) + say(0, "STOP") + ask + time(4),
        "reload": say(0, "RELOAD", w.u32(0)) + act(0, grant()) + ask,
        "link": step(OPEN, 1) + act(0, grant()) + ask,
        "fresh-reload": FRESH + say(0, "FOLDER", w.text("policy"), 0, (
            1, FOLDER)) + say(0, "RELOAD", w.u32(0), 0),
        "wrong": b"".join(act(0, g) + ask for g in (
            grant(target="x"), grant(login="root", principal="root+web-1"),
            grant(serial=0), grant(command="id; id"),
            grant(principal="root+web-1"))),
    }
    return out


# -- policy -------------------------------------------------------------------------

CLAIMS = {"repository_id": "7712345", "sha": "a" * 40, "run_id": "99"}


def proof(user="web-1", claims=None, token="0123456789abcdef" * 4, opened=0):
    claims = CLAIMS if claims is None else claims
    return (w.text(user) + w.text("10.0.3.4") + w.text("github") +
            w.text("repo:acme/shop") + w.text(token) + w.u64(NOW + 300) +
            w.u8(opened) + w.u32(len(claims)) +
            b"".join(w.text(k) + w.text(v) for k, v in claims.items()))


def run(command, handle=HANDLE, kind=1, tty=0, sent=()):
    return (w.text(handle) + w.u8(kind) + w.text(command) + w.u8(tty) +
            w.text("xterm") + w.u32(100) + w.u32(40) + w.u32(len(sent)) +
            b"".join(w.text(v) for v in sent))


def kept(*rows):
    return w.u32(0) + w.u8(0) + w.u32(len(rows)) + b"".join(
        w.text(k) + w.u64(NOW + 9999) + w.text(bytes(32) + v) for k, v in rows)


KEY_LINE = "ssh-ed25519 " + base64.b64encode(
    w.text("ssh-ed25519") + w.text(b"k" * 32)).decode() + " job\n"


def job_cert_made():
    """Of session ulid(9), and always the same."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    ca = ed25519.Ed25519PrivateKey.from_private_bytes(b"c" * 32)
    pub = ca.public_key().public_bytes(serialization.Encoding.Raw,
                                       serialization.PublicFormat.Raw)
    return w.job_certificate(
        ulid(9), b"k" * 32, w.text("ssh-ed25519") + w.text(pub), ca.sign,
        nonce=b"n" * 32, before=NOW + 900)


def policy():
    audit, sign, oidc, session, shell, ctl, hop = 1, 2, 3, 4, 5, 6, 7
    done = say(audit, "EVENT_DONE", w.u32(0) + w.u64(7))
    new = say(oidc, "SESSION_NEW", proof(), 3) + \
        say(audit, "KEPT", w.u32(0)) + say(audit, "KEPT", w.u32(0), BEFORE)
    opened = new + say(session, "SESSION_OPEN", w.text(HANDLE) + w.text(
        "web-1") + w.text("10.0.3.4") + w.text(""), 5, (1, PIDFD)) + done

    def ask(command, **more):
        return step(OPEN, shell) + say(
            shell, "RUN", run(command, **more), 1, (3, PIPE))
    answers = say(audit, "OP_OPENED", w.u32(0) + w.u64(8) + w.text(""),
                  LAST, (2, FILE)) + \
        say(0, "HOP_STARTED", w.u32(4242), LAST, (1, PIDFD))
    started = opened + ask("systemctl restart web") + answers
    both = opened + ask("systemctl restart web && systemctl restart web") + \
        done + say(audit, "EVENT_DONE", w.u32(0) + w.u64(8), BEFORE) + answers
    cert = job_cert_made()
    row = {
        "1/" + ulid(9): w.u8(2) + w.text(ulid(9)) + w.text("10.0.3.4") +
        w.text("0123456789abcdef" * 4) + w.text("github") + w.text("s") +
        w.u64(2000000000) + w.u64(2000000000) + w.u8(0) + w.u8(1) +
        w.u32(1) + w.text("repository_id") + w.text("7712345") + w.u32(1) +
        hashlib.sha256(cert).digest() + w.u64(2000000000),
        "2/" + ulid(8): w.u8(2) + w.text(ulid(8)) + w.text(ulid(9)) +
        w.text("ab" * 16) + w.text("web-1") + w.text("10.0.3.4") +
        w.text("SHA256:k") + w.u32(4242) + w.u64(1),
        "3/" + ulid(7): w.u8(2) + w.text(ulid(7)) + w.text("shop") +
        w.text(ulid(8)) + w.u32(4242) + w.u64(1),
        "4/" + ulid(7): w.u8(2) + w.text(ulid(7)) + w.text("shop") +
        w.u64(1000000000),
    }
    auditor = 8
    out = table(["parent", "audit", "signer", "oidc", "session", "shell",
                 "ctl", "hop"])
    out |= {
        "auditor": say(auditor, "KILL", w.u8(2) + w.text(""), 9) + say(
            auditor, "LOCK", w.u8(1) + w.text("x"), 9) + say(
            auditor, "RELOAD_POLICY", b"", 9) + say(
            auditor, "QUERY", w.text("hold-add") + w.u32(0), 9) + done * 4 +
        say(auditor, "STATUS", b"", 9) + say(
            auditor, "QUERY", w.text("sessions") + w.u32(0), 9),
        "started": started + say(hop, "HOP_ENDED", w.u8(1) + w.u32(0) +
                                 w.u32(0), 0),
        "list": both + say(hop, "HOP_ENDED", w.u8(1) + w.u32(0) + w.u32(0), 0),
        "sent": opened + ask("systemctl restart web", sent=[
            "STAGE=blue", "LANG=C"]) + answers,
        "denied": opened + ask("systemctl stop web") + done,
        # what an admin ends: nothing, one by its id, of an identity, all; at
        # rest, before a hop runs and while it does
        "kill-nothing": b"".join(say(ctl, "KILL", w.u8(n) + w.text(x), 9) +
                                 done for n, x in (
            (0, ulid(9)), (0, "x"), (1, "shop"), (1, ""), (2, ""), (3, ""))),
        "kill": opened + say(ctl, "KILL", w.u8(1) + w.text("shop"), 9) +
        done * 2 + ask("systemctl restart web") + done,
        "kill-waiting": opened + ask("systemctl restart web") + say(
            ctl, "KILL", w.u8(2) + w.text(""), 9) + done * 2 + answers,
        "kill-running": started + say(
            ctl, "KILL", w.u8(2) + w.text(""), 9) + done * 2 + time(5) + say(
            hop, "HOP_ENDED", w.u8(1) + w.u32(0) + w.u32(0), 0) + done,
        "kill-unwritten": opened + say(
            ctl, "KILL", w.u8(2) + w.text(""), 9) + say(
            audit, "EVENT_DONE", w.u32(9) + w.u64(0)),
        "lock": opened + say(ctl, "LOCK", w.u8(1) + w.text("drill"), 9) +
        say(audit, "KEPT", w.u32(0)) + done + ask("systemctl restart web") +
        done + say(ctl, "LOCK", w.u8(1) + w.text("again"), 9) + done + say(
            ctl, "LOCK", w.u8(0) + w.text(""), 9) + done + ask(
            "systemctl restart web") + answers,
        # the line is answered before the row that it stands for
        "lock-late-row": opened + say(
            ctl, "LOCK", w.u8(1) + w.text("drill"), 9) + say(
            audit, "EVENT_DONE", w.u32(0) + w.u64(7)) + say(
            audit, "KEPT", w.u32(0), BEFORE),
        "lock-odd": b"".join(say(ctl, "LOCK", w.u8(n) + w.text(x), 9) + done
                             for n, x in ((2, ""), (1, "x" * 200),
                                          (1, "\x1b[31m"), (0, "x"))),
        "ca-is": say(sign, "CA_IS", (w.u8(1) + w.text("SHA256:k")) * 2) + say(
            ctl, "STATUS", b"", 9) + say(sign, "CA_IS", (
                w.u8(3) + w.text("")) * 2) + say(ctl, "STATUS", b"", 9),
        "sftp": opened + ask("postern-sftp") + answers,
        "scp": opened + ask("scp -t /srv/7712345/x") + answers,
        "scp-denied": opened + ask("scp -r -f /srv/7712345/x") + done,
        "scp-odd": opened + ask("scp -t ../x") + done,
        "not-read": opened + ask("echo $(id") + done,
        "script": opened + ask("systemctl restart web\nsystemctl restart web",
                               kind=2) + done + done,
        "shell": opened + ask("", kind=0) + done,
        "whoami": say(oidc, "SESSION_NEW", proof("postern"), 3) + say(
            session, "SESSION_OPEN", w.text(HANDLE) + w.text("postern") +
            w.text("10.0.3.4") + w.text(""), 5, (1, PIDFD)) + done +
        ask("whoami") + ask("help") + ask("nothing"),
        "can": say(oidc, "SESSION_NEW", proof("postern"), 3) + say(
            session, "SESSION_OPEN", w.text(HANDLE) + w.text("postern") +
            w.text("10.0.3.4") + w.text(""), 5, (1, PIDFD)) + done +
        b"".join(ask(x) + done for x in (
            "can web-1 systemctl restart web", "can web-1 systemctl stop web",
            "can root+web-1 a && b | c", "can web-1 $(id)", "can", "targets",
            "can nosuch x")),
        "login": say(oidc, "SESSION_NEW", proof("postern"), 3) + say(
            session, "SESSION_OPEN", w.text(HANDLE) + w.text("postern") +
            w.text("10.0.3.4") + w.text(""), 5, (1, PIDFD)) + done + ask(
            KEY_LINE, kind=3) + say(sign, "JOB_CERT_MADE", w.u32(1) +
                                    w.text("") + w.u8(0) + w.text("no")) +
        ask(KEY_LINE, kind=3) + say(sign, "JOB_CERT_MADE", w.u32(0) + w.text(
            cert) + w.u8(1) + w.text("")) + ask("x", kind=3) + ask("login"),
        "streams": opened + step(OPEN, shell) + say(
            shell, "RUN", run("systemctl restart web"), 1, (3, TCP)),
        "nobody": ask("systemctl restart web"),
        "twice": opened + ask("systemctl restart web") + say(
            shell, "RUN", run("systemctl restart web"), 1, (3, PIPE)),
        "left": opened + ask("systemctl restart web") + step(CLOSE, shell) +
        answers,
        "refused": opened + ask("systemctl restart web") + say(
            audit, "OP_OPENED", w.u32(3) + w.u64(0) + w.text("no room")),
        "no-hop": opened + ask("systemctl restart web") + say(
            0, "HOP_STARTED", w.u32(0)),
        "slow": opened + ask("systemctl restart web") + time(5),
        "closed": opened + say(session, "SESSION_CLOSE", w.text(HANDLE), 6) +
        done + done,
        "expired": opened + time(7) + time(7) + done,
        "pending": new + time(6),
        "audit-gone": opened + ask("systemctl restart web") + step(
            OPEN, audit) + say(audit, "EVENT_DONE", w.u32(0) + w.u64(7)) +
        step(CLOSE, audit, nth=1),
        "audit-dead": started + step(CLOSE, audit) + step(OPEN, audit),
        "signer-dead": opened + step(CLOSE, sign) + ask(
            "systemctl restart web") + answers,
        "oidc-new": step(OPEN, oidc) + new,
        "status": say(ctl, "STATUS", b"", 9) * 2 + say(
            ctl, "QUERY", w.text("sessions") + w.u32(0), 9),
        "reload-asked": say(ctl, "RELOAD_POLICY", b"", 9) + say(
            0, "RELOAD", w.u32(1), 3) + say(
            0, "RELOAD_OVER", w.u32(0) + w.text("")),
        "query-down": step(CLOSE, audit) + say(
            ctl, "QUERY", w.text("show") + w.u32(1) + w.text("id") +
            w.text(ulid(1)), 9),
        "idle": step(OPEN, ctl) + step(OPEN, session) + step(OPEN, shell) +
        time(5),
        "stop": started + say(0, "STOP") + time(4) + time(4),
        "reload": opened + say(0, "RELOAD", w.u32(0)) + ask("systemctl restart web"),
        "limit": opened + ask("systemctl restart web") * 5,
        "sessions": b"".join(say(oidc, "SESSION_NEW", proof(
            token=f"{i:064x}"), 3) for i in range(6)),
        "no-identity": say(oidc, "SESSION_NEW", proof(claims={}), 3),
    }
    # Broker shells: of a target, and of postern@.
    def line(text, size=(100, 40)):
        return say(shell, "LINE", w.text(text) + w.u32(size[0]) +
                   w.u32(size[1]), 0)

    def words(text):
        return say(shell, "WORDS", w.text(text), 2)

    recorded = say(audit, "OP_OPENED", w.u32(0) + w.u64(8) + w.text(""),
                   LAST, (2, FILE))
    unasked = opened + ask("", kind=0, tty=1)
    sh = unasked + recorded
    over = say(hop, "HOP_ENDED", w.u8(1) + w.u32(0) + w.u32(0), 0)
    leave, brk = say(shell, "LEAVE", b"", 0), say(shell, "BREAK", b"", 0)
    restart = line("systemctl restart web")
    surface = say(oidc, "SESSION_NEW", proof("postern"), 3) + say(
        session, "SESSION_OPEN", w.text(HANDLE) + w.text("postern") +
        w.text("10.0.3.4") + w.text(""), 5, (1, PIDFD)) + done + ask(
        "", kind=0, tty=1) + recorded
    out |= {
        "bs": sh + line("help") + line("cd /srv") + words("sys") + restart +
        answers + over + done + line("systemctl stop web") + done + line(
            "", (0, 70000)) + line("cd"),
        "bs-two": sh + line("systemctl restart web; systemctl restart web") +
        done + say(audit, "EVENT_DONE", w.u32(0) + w.u64(8), BEFORE) +
        answers + brk + over,
        "bs-broken": sh + restart + brk + answers + brk,
        "bs-at-once": unasked + restart,
        "bs-leave-at-once": sh + leave,
        "bs-line-in-line": sh + restart + restart,
        "bs-leave-in-line": surface + line("web-1") + restart + leave,
        "bs-words-in-line": sh + restart + words("x"),
        "bs-left": unasked + step(CLOSE, shell) + recorded,
        "bs-left-line": sh + restart + step(CLOSE, shell) + answers,
        "bs-left-running": sh + restart + answers + step(CLOSE, shell) + over,
        "bs-refused": unasked + say(
            audit, "OP_OPENED", w.u32(3) + w.u64(0) + w.text("no room")),
        "bs-no-fds": unasked + say(
            audit, "OP_OPENED", w.u32(0) + w.u64(8) + w.text("")),
        "bs-slow": unasked + time(5) + recorded,
        "bs-idle": sh + time(7) + time(7),
        "bs-audit-dead": unasked + step(CLOSE, audit) + step(OPEN, audit),
        "bs-stop": sh + restart + answers + say(0, "STOP") + over + time(4),
        "bs-kill": sh + restart + answers + say(
            ctl, "KILL", w.u8(2) + w.text(""), 9) + done * 2 + over,
        "bs-lock": sh + say(ctl, "LOCK", w.u8(1) + w.text("x"), 9) + say(
            audit, "KEPT", w.u32(0)) + done + line("help") + restart + done,
        "bs-surface": surface + b"".join(line(x) + done for x in (
            "help", "whoami", "can web-1 systemctl restart web", "nosuch x",
            "root+web-1 help", "\x00", "web-1 systemctl stop web")) + words(
            "we") + words("can web-1 sys") + line("web-1") + words("sys") +
        restart + answers + over + done + leave + leave,
    }
    # From the beginning, with rows of the process before.
    names = ("session", "shell", "ctl", "audit")
    given = b"".join(say(0, "LISTEN", w.text(n), 0, (1, SOCKET))
                     for n in names) + \
        say(0, "FOLDER", w.text("policy"), 0, (1, FOLDER)) + \
        say(0, "FOLDER", w.text("session-key"), 0, (1, FILE))
    out["fresh"] = FRESH + given + step(OPEN, audit) + say(
        0, "GO", w.text("") + w.text("10.91.0.1/32"), 0)
    out["fresh-go"] = FRESH + say(
        0, "GO", w.text("") + w.text("10.91.0.1/32"), 0)
    out["fresh-reload"] = FRESH + given + say(0, "RELOAD", w.u32(0), 0)
    # A link anew, and an answer that was not asked for.
    out["recalled"] = say(audit, "RECALLED", kept(*row.items()))
    shown = step(OPEN, session) + say(
        session, "SESSION_OPEN", w.text("") + w.text("web-1") +
        w.text("10.0.3.9") + w.text(
            b"publickey ssh-ed25519-cert-v01@openssh.com " +
            base64.b64encode(cert) + b"\n"), 5, (1, PIDFD))
    out["certificate"] = FRESH + given + step(OPEN, audit) + say(
        0, "GO", w.text("") + w.text("10.91.0.1/32"), 0) + \
        say(audit, "RECALLED", kept(*row.items())) + shown + shown
    out["no-certificate"] = opened + shown
    out["rows"] = FRESH + given + step(
        OPEN, audit) + say(0, "GO", w.text("") + w.text("10.91.0.1/32"), 0) + \
        say(audit, "RECALLED", kept(*row.items()))
    return out


# -- audit --------------------------------------------------------------------------

def audit():
    pol, oidc, cli = 1, 2, 3
    op = ulid(5)
    decide = event("operation.decide", session=ulid(1), operation=op,
                   identity="shop", target="web-1", login="deploy",
                   command="id", verdict="allow", rule="deploy")
    open_ = say(pol, "OP_OPEN", w.text(op) + w.u8(0) + w.u32(80) + w.u32(24) +
                w.text("xterm") + w.text("web-1: id") + decide, 4)
    session = say(pol, "EVENT", event(
        "session.open", session=ulid(1), identity="shop", user="web-1",
        source="10.0.3.4"), 2)

    def ask(what, **keys):
        return act(0, w.text("uid:0") + w.text(what) + w.u32(len(keys)) +
                   b"".join(w.text(k) + w.text(v) for k, v in keys.items()))
    listed = say(pol, "EVENT", event(
        "operation.decide", session=ulid(1), operation=ulid(6),
        command="id", verdict="allow"), 3)
    out = table(["parent", "policy", "oidc", "cli"])
    out |= {
        "alarm": say(0, "ALARM", w.text("hop") + w.text("x"), 5) * 2,
        "anchor": session + time(3) + say(
            0, "ANCHOR_DONE", w.u32(1) + w.text("no")) + session + time(4),
        "files": session + open_ + ask("files") + ask("files", id=op) +
        ask("anchor") + ask("recording", id=op, **{"as": "export"}),
        "life": session + open_ + say(pol, "OP_STARTED", w.text(op), 0,
                                      (1, PIPE)) + time(4) + ask("sessions") +
        ask("show", id=op) + ask("recording", id=op),
        "aborted": open_ + say(pol, "OP_ABORT", w.text(op) + w.text("no"), 0) +
        time(3) + time(4),
        "lives": open_ + say(pol, "OP_STARTED", w.text(op), 0, (1, PIDFD)),
        "twice": open_ + open_,
        "list": session + listed + say(
            pol, "OP_ABORT", w.text(ulid(6)) + w.text("not run"), 0),
        "orphan": listed + step(CLOSE, pol) + step(OPEN, pol) + session,
        "refusal": say(oidc, "EVENT", event(
            "login.refused", user="x", source="10.0.3.4", reason="no"), 2),
        "oidc-lies": say(oidc, "EVENT", event(
            "session.open", session=ulid(1)), 2),
        "kept": say(pol, "KEEP", w.text("1/a") + w.u64(NOW + 99) +
                    w.text("v"), 2) + say(pol, "RECALL", w.text(""), 3) +
        say(pol, "FORGET", w.text("1/a"), 0) + say(
            pol, "RECALL", w.text(""), 3) + say(pol, "SETTLED", b"", 0),
        "marks": say(oidc, "KEEP", w.text("ab" * 32) + w.u64(NOW + 99) +
                     w.text("10.0.3.4"), 2) * 3 + say(
            oidc, "RECALL", w.text(""), 3) + say(
            oidc, "RECALL", w.text("ab" * 32), 3),
        "settled": session + say(pol, "SETTLED", b"", 0) + ask("sessions"),
        "ask": ask("sessions", commit="a", since="2026-01-01", limit="3") +
        ask("x") + ask("show", id="x") + ask("sessions", x="y") +
        ask("sessions", limit="0"),
        "asker-left": session + ask("sessions") + step(CLOSE, cli),
        "stop": open_ + say(0, "STOP") + time(3) + time(3),
        "links": step(OPEN, pol) + session + step(CLOSE, pol) + step(
            OPEN, pol) + session + step(OPEN, oidc),
        "fresh": FRESH + say(0, "GO", w.text("") + w.text(""), 0),
    }
    return out


# -- oidc ---------------------------------------------------------------------------

def token(**more):
    """Signed by the key whose public half is in proc_jwks.h."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    key = ec.derive_private_key(
        int("1234567890abcdef" * 4, 16), ec.SECP256R1())
    claims = {"iss": "https://issuer.example", "aud": "bastion", "sub": "s",
              "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300,
              "jti": "1"} | more

    def part(d):
        d = d if isinstance(d, bytes) else json.dumps(d).encode()
        return base64.urlsafe_b64encode(d).rstrip(b"=")
    head = part({"alg": "ES256", "kid": "k1"}) + b"." + part(claims)
    r, s = utils.decode_dss_signature(key.sign(
        head, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        if "deterministic_signing" in ec.ECDSA.__init__.__code__.co_varnames
        else ec.ECDSA(hashes.SHA256())))
    return (head + b"." + part(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
            ).decode()


def oidc():
    pol, audit_, pam = 1, 2, 3

    def login(text, trouble=""):
        return step(OPEN, pam) + say(
            pam, "LOGIN", w.text("web-1") + w.text("10.0.3.4") + w.text(text) +
            w.u32(1) + w.text(trouble), 7)
    good = token()
    kept_ = say(audit_, "KEPT", w.u32(0))
    made = say(pol, "SESSION_MADE", w.u32(0) + w.text(HANDLE) + w.text(""))
    issuers = say(pol, "ISSUERS", w.u32(1) + w.text("acme") + w.text(
        "https://issuer.example") + w.u32(1) + w.text("other") + w.u32(1) +
        w.text("ES256") + w.u32(600) + w.u32(86400) + w.u32(30) +
        w.u8(1) + w.text("https://keys.example/set"), 0)
    out = table(["parent", "policy", "audit", "pam"])
    out |= {
        "good": login(good) + kept_ + made,
        "refused": login(good) + kept_ + say(
            pol, "SESSION_MADE", w.u32(1) + w.text("") + w.text("no")) +
        time(3),
        "not-kept": login(good) + say(audit_, "KEPT", w.u32(9)) + time(3),
        "twice": login(good) + kept_ + made + login(good) + made,
        "late": login(good) + time(5) + kept_ + made,
        "left": login(good) + step(CLOSE, pam) + kept_ + made,
        "policy-gone": login(good) + kept_ + step(CLOSE, pol) + time(3),
        "policy-new": login(good) + kept_ + step(OPEN, pol) + made,
        "audit-new": login(good) + step(CLOSE, audit_) + step(
            OPEN, audit_) + kept_ + made,
        "again": login(good) + say(pam, "LOGIN", w.text("a") + w.text("b") +
                                   w.text("c") + w.u32(1) + w.text(""), 8),
        "old": login(token(exp=NOW - 999)) + login(token(iss="x")) +
        login(token(aud="x")) + login("x") + login("a.b.c") + login("") +
        login("", "it was cut") + time(3),
        "issuers": issuers + act(2) + act(3) + login(good) + time(3),
        "issuers-gone": login(good) + say(pol, "ISSUERS", w.u32(0), 0) + kept_ +
        made,
        "keys": issuers + act(1) + login(good) + act(2) + act(0, b"{}") +
        time(5),
        "stop": login(good) + say(0, "STOP") + kept_ + made + time(3),
        "mute": step(OPEN, pam) * 3 + time(5),
        "event-done": login("x") + say(
            audit_, "EVENT_DONE", w.u32(1) + w.u64(0)),
    }
    go = say(0, "GO", w.text("") + w.text("10.91.0.1/32"), 0)
    mark = w.text("ab" * 32) + w.u64(NOW + 99) + w.text("10.0.3.4")
    first = FRESH + say(0, "LISTEN", w.text("pam"), 0, (1, SOCKET))
    out["fresh"] = first + step(OPEN, audit_) + step(OPEN, pol) + go + say(
        audit_, "RECALLED", w.u32(0) + w.u8(1) + w.u32(1) + mark) + say(
        audit_, "RECALLED", w.u32(0) + w.u8(0) + w.u32(1) + mark)
    out["fresh-later"] = first + go + step(OPEN, audit_) + say(
        audit_, "RECALLED", w.u32(5) + w.u8(0) + w.u32(0)) + time(4) + say(
        audit_, "RECALLED", w.u32(0) + w.u8(0) + w.u32(0))
    out["fresh-ca"] = FRESH + say(
        0, "FOLDER", w.text("issuer-ca"), 0, (1, FILE)) + go
    return out


# -- hop, shell, the module, posternd -----------------------------------------------

def hop_run(pty=0, stdin=1, host="10.0.0.1", port=22, what=0, rules=(),
            refs=()):
    return (w.text(ulid(1)) + w.text(ulid(2)) + w.text("web-1") +
            w.text(host) + w.u32(port) + w.text("deploy") + w.u32(1) +
            w.text("ssh-ed25519") + w.text("SHA256:x") + w.text("'id'") +
            w.u8(pty) + w.text("xterm") + w.u32(80) + w.u32(24) +
            w.u8(stdin) + w.u64(5) + w.u32(60) + w.u64(1000) + w.u8(0) +
            w.u8(0) + w.u8(0) + w.u32(10) + w.u32(20) + w.u32(60) + w.u32(3) +
            w.u64(1 << 16) + w.u64(1 << 16) + w.text("web-1: id") +
            w.u8(what) + w.u32(len(rules)) + b"".join(
                w.text("ship") + w.u8(deny) + w.u8(1) + w.text(path) +
                w.u64(1 << 20) + w.u8(1) + w.u8(1) for deny, path in rules) +
            w.u32(len(refs)) + b"".join(
                w.text("code") + w.u8(deny) + w.u32(len(globs)) +
                b"".join(w.text(g) if isinstance(g, str) else
                         w.text("") + w.u32(len(g)) + b"".join(g)
                         for g in globs) for deny, globs in refs))


def hop():
    pol, shell, cert, target = range(4)

    def does(*b):
        return step(RAW, target, body=bytes(b))
    certified = act(0, hop_run()) + say(
        cert, "CERT", w.u32(0) + w.text("blob") + w.text(""))
    running = certified + does(0, 7)
    data = does(1, 0, *b"hello\n") + does(1, 1, *b"oops\n")
    out = table(["policy", "shell", "cert", "target"])
    out |= {
        "whole": running + data + does(2, 3),
        "signal": running + say(shell, "SIGNAL", w.u32(15), 0) + does(3, 0),
        "resized": act(0, hop_run(pty=1)) + say(
            shell, "RESIZED", b"", 0) + say(
            cert, "CERT", w.u32(0) + w.text("blob") + w.text("")) +
        does(0, 7) + say(shell, "RESIZED", b"", 0) + does(2, 0),
        "early": act(0, hop_run()) + say(shell, "SIGNAL", w.u32(2), 0),
        "policy-gone": running + step(CLOSE, pol) + data + does(2, 0),
        "no-cert": act(0, hop_run()) + say(
            cert, "CERT", w.u32(1) + w.text("") + w.text("no such target")),
        "cert-gone": act(0, hop_run()) + step(CLOSE, cert),
        "shell-gone": running + step(CLOSE, shell),
        "shell-lies": running + say(shell, "EXIT", w.u32(0) + w.u32(0), 0),
        "denied": certified + does(0, 1) + does(4, 0),
        "broken": certified + does(5, 0),
        "lost": running + data + does(6, 0),
        "late": act(0, hop_run()) + time(6),
        "long": running + data + time(6),
        "much": running + does(1, 0, *bytes(1200)) + does(1, 0, *bytes(1200)),
        "lease": running + time(7) + time(7),
        "nowhere": act(0, hop_run(host="nowhere")),
        "twice": act(0, hop_run()) + act(0, hop_run()),
        "file": act(1, hop_run()) + say(
            cert, "CERT", w.u32(0) + w.text("blob") + w.text("")) + does(0, 7),
        "pipe": act(2, hop_run()),
        "generic": say(pol, "HOP_RUN", hop_run(), 0, (7, SOCKET)),
        "bad-port": act(0, hop_run(port=0)),
        "sftp": act(0, hop_run(what=1, rules=[(0, "/srv"), (1, "/srv/k")])),
        "no-rule": act(0, hop_run(what=1)),
        "fetch": act(0, hop_run(what=3, refs=[(0, ["refs/heads/*"])])),
        "archive": act(0, hop_run(what=4, refs=[(0, [])])),
        "push": act(0, hop_run(what=5, refs=[
            (0, ["refs/**"]), (1, ["refs/heads/k", [
                w.u8(0) + w.text("refs/v"), w.u8(1) + w.u64(1) + w.u64(9),
                w.u8(2) + w.u32(2) + w.text("a") + w.text("b"),
                w.u8(3), w.u8(4)]])])),
        "no-ref": act(0, hop_run(what=5)),
        "odd-path": act(0, hop_run(what=2, rules=[(0, "/srv/../k")])),
    }
    return out


def shell():
    pol, hop_ = 0, 1
    answer = say(pol, "ANSWER", w.u32(77) + w.text("out") + w.text("no\n"), 0)
    end = w.u32(0) + w.u32(3)
    accepted = say(pol, "ACCEPTED", b"", 0)
    out = table(["policy", "hop"])
    out |= {
        "answer": answer, "code": say(
            pol, "ANSWER", w.u32(256) + w.text("") + w.text(""), 0),
        "accepted": accepted + say(pol, "EXIT", end, 0),
        "signalled": accepted + say(pol, "EXIT", w.u32(1) + w.u32(15), 0),
        "passed-on": accepted + b"".join(act(1, bytes([i])) for i in range(5)) +
        say(pol, "EXIT", end, 0),
        "hangup": act(1, b"\0"),
        "exit-first": say(pol, "EXIT", end, 0),
        "twice": accepted + accepted,
        "answered-late": accepted + answer,
        "lost": accepted + step(CLOSE, pol),
        "gone": step(CLOSE, pol),
        "list": act(0) + say(hop_, "EXIT", end, 0) + act(0) + say(
            hop_, "EXIT", end, 0) + accepted + say(pol, "EXIT", end, 0),
        "list-broken": act(0) + say(hop_, "EXIT", end, 0) + answer,
        "list-signal": act(0) + act(1, b"\2") + say(hop_, "EXIT", end, 0),
        "list-lost": act(0) + step(CLOSE, pol) + say(hop_, "EXIT", end, 0),
        "list-lies": act(0) + say(hop_, "ANSWER", w.u32(0) + w.text("") +
                                  w.text(""), 0),
        "bad-exit": accepted + say(pol, "EXIT", w.u32(2) + w.u32(0), 0),
    }
    # A broker shell: it has a terminal, and somebody types (tests/shell).
    def typed(text):
        return act(2, text.encode())

    def prompt(text, inner=0):
        return say(pol, "PROMPT", w.text(ulid(1)) + w.text(text) +
                   w.u8(inner), 0)

    def record(kind=FILE):
        return say(pol, "SHELL_RECORD", b"".join(w.text(x) for x in (
            ulid(1), ulid(9), "web-1", "xterm", "web-1 as shop")), 0,
            (2, kind))

    done = say(pol, "ANSWER", w.u32(0) + w.text("out\n") + w.text(""), 0)
    begun = FRESH + record() + prompt("web-1 as shop> ")
    running = begun + typed("/usr/bin/id \u6f22\\\r") + act(0)
    over = say(hop_, "EXIT", end, 0) + done
    out |= {
        "bs": running + over + typed("\x1b[A\r") + done + typed("exit 3\r"),
        "bs-refused": FRESH + answer,
        "bs-unrecorded": FRESH + prompt("x> "),
        "bs-recorded-twice": begun + record(),
        "bs-no-room": FRESH + record(FOLDER) + prompt("x> ") + typed("id\r"),
        "bs-ended": begun + typed("id") + answer,
        "bs-gone": begun + step(CLOSE, pol),
        "bs-lost": running + step(CLOSE, pol) + say(hop_, "EXIT", end, 0),
        "bs-words": begun + typed("sys\t") + say(
            pol, "WORDS_ARE", w.u32(3) + w.u32(2) + w.text("system") +
            w.text("sysctl"), LAST) + typed("\t") + say(
            pol, "WORDS_ARE", w.u32(9) + w.u32(1) + w.text("x"), LAST),
        "bs-in-target": FRESH + record() + prompt("postern as shop> ") + typed(
            "web-1\r") + prompt("web-1 as shop:/srv> ", 1) + done + typed(
            "\x04") + prompt("postern as shop> ") + done + typed("\x04"),
        "bs-leave-refused": FRESH + record() + prompt("x> ", 1) + typed(
            "exit\r") + answer + typed("logout 2\r") + step(CLOSE, pol),
        "bs-breaks": running + act(1, b"\1") + act(1, b"\4") + act(
            1, b"\1") + done + typed("half") + act(1, b"\1") + typed("\x04"),
        "bs-hangup": running + act(1, b"\0") + over,
        "bs-between": begun + prompt("other> ") + act(1, b"\4") + typed(
            "id\r") + typed("ahead\r") + done + done + act(1, b"\2"),
        "bs-odd-prompt": FRESH + record() + prompt("\u6f22\x1b[31m") + prompt(
            "x" * 600),
        "bs-lies": running + say(pol, "ACCEPTED", b"", 0),
    }
    return out


def pam():
    oidc_, pol = 0, 1
    login = say(oidc_, "LOGIN_RESULT", w.u32(0) + w.text(HANDLE), 0)
    opened = say(pol, "SESSION_OPENED", w.u32(0) + w.text(HANDLE), 0)
    out = table(["pam", "session"])
    out |= {
        "whole": login + opened + say(pol, "SESSION_CLOSED", w.u32(0), 0),
        "refused": say(oidc_, "LOGIN_RESULT", w.u32(1) + w.text(""), 0),
        "not-opened": login + say(
            pol, "SESSION_OPENED", w.u32(1) + w.text(""), 0),
        "not-closed": login + opened + say(
            pol, "SESSION_CLOSED", w.u32(1), 0),
        "bad-handle": say(
            oidc_, "LOGIN_RESULT", w.u32(0) + w.text("Z" * 32), 0),
        "short-handle": say(oidc_, "LOGIN_RESULT", w.u32(0) + w.text(""), 0),
        "other-id": say(
            oidc_, "LOGIN_RESULT", w.u32(0) + w.text(HANDLE), 9),
        "late": time(5) + login, "gone": step(CLOSE, oidc_),
        "twice": login + login + opened + opened,
    }
    return out


def posternd():
    audit_, sign, pol, oidc_, hop_ = range(5)
    ready = b"".join(say(i, "READY", b"", 0) for i in range(4))
    start = say(pol, "HOP_START", w.text(ulid(1)), 7, (1, SOCKET))
    out = table(["audit", "signer", "policy", "oidc", "hop"])
    out |= {
        "ready": ready, "hop": ready + start * 3,
        "again": ready + b"".join(act(1, bytes([i])) + time(2)
                                  for i in range(4)),
        "broke": ready + say(sign, "STOP", b"", 0) + time(3) + ready,
        "closed": ready + step(CLOSE, pol) + time(3) + ready + start,
        "hangup": ready + act(0, b"\0"),
        "upgrade": ready + act(0, b"\1") + act(2, b"\x14") + time(3),
        "no-upgrade": ready + act(0, b"\1") + act(2, b"\4") + time(3),
        "stop": ready + act(0, b"\2") + act(1, b"\x12") + act(
            1, b"\x13") + act(1, b"\x10") + act(1, b"\x11"),
        "deaf": ready + act(0, b"\2") + time(5) + time(5),
        "signer-asks": ready + say(
            sign, "HOP_START", w.text(ulid(1)), 7, (1, SOCKET)),
        "unborn": act(1, b"\0") + time(2) + act(1, b"\0") + time(3) + ready,
        "reload": ready + say(pol, "RELOAD_WANTED", b"", 5) + say(
            sign, "RELOADED", w.u32(0) + w.text("")) + say(
            pol, "RELOADED", w.u32(0) + w.text("")),
        "alarm": ready + act(1, b"\1") + time(2) + say(
            audit_, "ALARM_DONE", w.u32(0)),
        "anchor": ready + say(audit_, "ANCHOR", w.text("x"), 5) + say(
            audit_, "ANCHOR", w.text("y"), 6),
        "hop-stop": ready + start + b"".join(say(
            pol, "HOP_STOP", w.text(ulid(1)) + w.u8(n), 0, (1, fd))
            for n, fd in ((0, PIDFD), (1, PIDFD), (1, PIPE), (0, SOCKET))),
        "hop-stop-odd": ready + say(
            pol, "HOP_STOP", w.text(ulid(1)) + w.u8(2), 0, (1, PIDFD)),
        "agent": ready + say(sign, "AGENT_WANTED", w.u8(0), 7) + time(3) +
        ready + say(sign, "AGENT_LOST", w.u8(1) + w.u8(9), 0),
        "hop-file": ready + say(
            pol, "HOP_START", w.text(ulid(1)), 7, (1, FILE)),
    }
    return out


ALL = {f.__name__: f for f in (
    audit, hop, oidc, pam, policy, posternd, shell, signer)}


def main():
    for name in sys.argv[1:] or ALL:
        folder = TOP / "tests/fuzz/corpus" / f"proc_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        for what, script in ALL[name]().items():
            script = script if script[:1] == FRESH else b"\0" + script
            (folder / what).write_bytes(script)


if __name__ == "__main__":
    main()
