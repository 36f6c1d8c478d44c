"""The snippet that job authors copy, and other stock ways in."""
import secrets
import socket
import subprocess

import house as h
import jwt
import pytest


@pytest.mark.parametrize("shell", [("/bin/dash",), ("/bin/bash",),
                                   ("/bin/busybox", "sh")],
                         ids=["dash", "bash", "busybox"])
@pytest.mark.parametrize("size", ["github", "short", "long"])
def test_askpass_snippet(up, job, shell, size):
    """Tokens of one part, three parts, and more."""
    changes = {"short": {c: None for c in (
        "job_workflow_ref", "job_workflow_sha", "workflow_sha", "head_ref",
        "workflow_ref", "repository_visibility", "enterprise", "check_run_id",
        "environment_node_id", "runner_environment", "ref_type", "base_ref",
        "enterprise_id", "run_number", "run_attempt", "actor_id", "sub")} |
        {"sub": "x"}, "github": {}, "long": {
            "repo_property_x": secrets.token_hex(1250)}}
    token = up.issuer.token(**changes[size])
    if size == "long":
        assert len(token) > 4000
    r = job.ssh("web-1", "systemctl restart web", token=token, shell=shell)
    assert (r.code, r.text) == (0, "restart web\nweb is up\n"), r.error


def token_of(issuer, length):
    """A small ES256 token of exactly that many bytes."""
    key = issuer.keys[h.ACME]
    claims = {k: v for k, v in issuer.claims(h.ACME).items()
              if k in ("iss", "aud", "iat", "nbf", "exp", "jti",
                       "repository_id")} | {"sub": "s"}
    # Base64 skips one length in four: a longer header helps then.
    text = secrets.token_hex(length)
    for x5t in range(4):
        for pad in range(max(0, length * 3 // 4 - 700), length):
            # No claim may be very long.
            pads = {f"p{i // 2000}": text[i:min(i + 2000, pad)]
                    for i in range(0, pad, 2000)}
            token = jwt.encode(
                claims | pads, key.key, algorithm="ES256",
                headers={"kid": key.kid, "x5t": "x" * x5t})
            if len(token) == length:
                issuer.minted.append(token)
                return token
            if len(token) > length:
                break
    raise AssertionError(f"no token of {length} bytes")


@pytest.mark.parametrize("length", [999, 1000, 1001, 1999, 2000, 2001])
def test_token_lengths_around_the_parts(up, job, length):
    """The last part full, empty, or one byte long."""
    r = job.ssh("web-1", "systemctl restart web",
                token=token_of(up.issuer, length))
    assert r.code == 0, r.error


def test_whole_token_in_the_first_answer(up):
    """paramiko has no limit of its own: one prompt, one answer."""
    paramiko = pytest.importorskip("paramiko")
    with h.in_netns("job"):
        s = socket.create_connection(("10.91.0.1", 22), 10)
    t = paramiko.Transport(s)
    try:
        t.start_client(timeout=10)
        assert h.fingerprint(up.bastion.hostkey.with_suffix(".pub"))
        token, asked = up.issuer.token(), []

        def answer(title, instructions, prompts):
            asked.extend(p for p, _ in prompts)
            return [token for _ in prompts]

        assert t.auth_interactive("web-1", answer) == []
        assert len(asked) == 1, asked
        c = t.open_session(timeout=10)
        c.exec_command("systemctl restart web")
        assert c.makefile("rb").read() == b"restart web\nweb is up\n"
        assert c.recv_exit_status() == 0
    finally:
        t.close()


@pytest.mark.parametrize("opts", [
    ["-W", "10.91.0.2:22"], ["-N", "-L", "2222:10.91.0.2:22"],
    ["-N", "-R", "2222:10.91.0.2:22"], ["-N", "-D", "1080"],
], ids=lambda o: o[0] if o[0] != "-N" else o[1])
def test_4_forwardings_are_off(up, job, opts):
    mark = up.web1.mark()
    p = job.popen(job.argv("web-1", opts=["-o", "ExitOnForwardFailure=yes",
                                          *opts]),
                  env=job.env(CI_TOKEN=up.issuer.token()))
    try:
        out, err = p.communicate(timeout=3)
    except subprocess.TimeoutExpired:
        # -L and -D listen: what connects must not get through.
        port = int(opts[2].split(":")[0])
        with h.in_netns("job"):
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                if opts[1] == "-D":
                    s.sendall(b"\5\1\0")
                    assert s.recv(2) == b"\5\0"
                    s.sendall(b"\5\1\0\1\x0a\x5b\0\2\0\x16")
                    got = s.recv(2)
                    assert got in (b"", b"\5\1", b"\5\2", b"\5\5"), got
                else:
                    assert s.recv(100) == b""
        job.kill(p)
        out, err = p.communicate()
    assert b"SSH-2.0" not in out
    assert not up.web1.reached(mark)
