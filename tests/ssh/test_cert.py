"""Certificates: what OpenSSH and another implementation read in ours."""
import base64
import struct
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_pem_private_key)

import stage as s

KEY = bytes(range(32))


def show(tmp_path, blob):
    path = tmp_path / "cert.pub"
    path.write_text("ssh-ed25519-cert-v01@openssh.com " +
                    base64.b64encode(blob).decode() + "\n")
    return subprocess.check_output(["ssh-keygen", "-L", "-f", path],
                                   text=True, env={"TZ": "UTC"})


def test_ssh_keygen_reads_it(tmp_path, ca):
    text = show(tmp_path, ca.sign(
        KEY, serial=18446744073709551615, id="op=1 commit=1f0c",
        principal="deploy+web-1", after=1700000000, before=1700000060,
        force="'systemctl' 'restart' 'it'\\''s'",
        source="192.0.2.1/32,2001:db8::/32", pty=1))
    words = [" ".join(line.split()) for line in text.splitlines()]
    ca_line = subprocess.check_output(["ssh-keygen", "-lf", "-"], text=True,
                                      input=ca.public).split()[1]
    at = words.index("Type: ssh-ed25519-cert-v01@openssh.com user certificate")
    assert words[at + 2:] == [
        f"Signing CA: ED25519 {ca_line} (using ssh-ed25519)",
        'Key ID: "op=1 commit=1f0c"',
        "Serial: 18446744073709551615",
        "Valid: from 2023-11-14T22:13:20 to 2023-11-14T22:14:20",
        "Principals:", "deploy+web-1",
        "Critical Options:",
        "force-command 'systemctl' 'restart' 'it'\\''s'",
        "source-address 192.0.2.1/32,2001:db8::/32",
        "Extensions:", "permit-pty"]


def take(data):
    n = struct.unpack(">I", data[:4])[0]
    return data[4:4 + n], data[4 + n:]


def test_another_implementation_verifies_it(ca):
    blob = ca.sign(KEY, force="id")
    name, rest = take(blob)
    nonce, rest = take(rest)
    key, rest = take(rest)
    assert (name, len(nonce), key) == (b"ssh-ed25519-cert-v01@openssh.com",
                                       32, KEY)
    rest = rest[8 + 4:]
    for want in b"operation", s.s("root+web-1"):
        got, rest = take(rest)
        assert got == want
    rest = rest[16:]
    for want in s.s("force-command") + s.s(s.s("id")), b"", b"":
        got, rest = take(rest)
        assert got == want
    signer, rest = take(rest)
    body = blob[:-len(rest)]
    signature, rest = take(rest)
    assert rest == b""
    kind, public = take(signer)
    assert kind == b"ssh-ed25519"
    ed25519.Ed25519PublicKey.from_public_bytes(take(public)[0]).verify(
        take(take(signature)[1])[0], body)
    assert base64.b64encode(signer).decode() == ca.public.split()[1]


def test_ca_is_a_pkcs8_key(ca):
    key = load_pem_private_key(ca.pem.read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    assert " ".join(ca.public.split()[:2]).encode() == \
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def parses(blob):
    return subprocess.run([s.TOOL, "parse"], text=True, capture_output=True,
                          input=base64.b64encode(blob).decode()).stdout.strip()


@pytest.mark.parametrize("options,result", [
    (["-O", "clear", "-O", "force-command=id"], "ok"),
    (["-O", "clear", "-O", "permit-pty"], "ok"),
    (["-O", "clear", "-O", "source-address=192.0.2.1/32"], "ok"),
    ([], "malformed"),  # permit-X11-forwarding and others
    (["-O", "clear", "-O", "verify-required"], "malformed"),
    (["-O", "clear", "-O", "critical:x=1"], "malformed"),
    (["-O", "clear", "-O", "extension:x=1"], "malformed"),
    (["-O", "clear", "-h"], "malformed"),
])
def test_of_ssh_keygen_we_read(tmp_path, options, result):
    for name in "ca", "user":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        tmp_path / name], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "id",
                    "-n", "root", "-V", "+1m", *options,
                    tmp_path / "user.pub"], check=True)
    text = (tmp_path / "user-cert.pub").read_text().split()[1]
    assert parses(base64.b64decode(text)) == result
