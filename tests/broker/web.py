"""An issuer: a real HTTPS server with discovery and keys, that can be made to
misbehave, and tokens signed with the `cryptography` library."""
import base64
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asym
from cryptography.x509.oid import NameOID


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Ca:
    def __init__(self, text):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(name(text), self.key.public_key(), name(text),
                              [(x509.BasicConstraints(True, None), True)])

    def sign(self, subject, key, issuer, extensions, days=0):
        """days: how far its two days lie in the past or in the future."""
        now = datetime.datetime.utcnow() + datetime.timedelta(days=days)
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(issuer).public_key(key)
             .serial_number(x509.random_serial_number())
             .not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=1)))
        for extension, critical in extensions:
            b = b.add_extension(extension, critical)
        return b.sign(self.key, hashes.SHA256())

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def leaf(self, folder, hosts, days=0):
        """Key and certificate of a server, as one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = []
        for h in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(h)))
            except ValueError:
                names.append(x509.DNSName(h))
        cert = self.sign(name(hosts[0]), key.public_key(), self.cert.subject,
                         [(x509.SubjectAlternativeName(names), False)], days)
        path = folder / f"{key.private_numbers().private_value:x}.pem"
        path.write_bytes(pem(key) + cert.public_bytes(
            serialization.Encoding.PEM))
        return path


class Key:
    """A signing key of an issuer."""

    def __init__(self, kid, alg="RS256", bits=2048):
        self.kid, self.alg = kid, alg
        self.key = (rsa.generate_private_key(65537, bits)
                    if alg[0] in "RP" else
                    ec.generate_private_key(ec.SECP256R1()))

    def jwk(self):
        n = self.key.public_key().public_numbers()
        if self.alg[0] in "RP":
            size = (n.n.bit_length() + 7) // 8
            j = {"kty": "RSA", "n": b64(n.n.to_bytes(size, "big")),
                 "e": "AQAB"}
        else:
            j = {"kty": "EC", "crv": "P-256", "x": b64(n.x.to_bytes(32, "big")),
                 "y": b64(n.y.to_bytes(32, "big"))}
        return {**j, "kid": self.kid, "use": "sig", "alg": self.alg}

    def public_pem(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data):
        if self.alg == "RS256":
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if self.alg == "PS256":
            return self.key.sign(data, padding.PSS(
                padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        r, s = asym.decode_dss_signature(
            self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(self, claims, header=None, raw=None):
        """raw: the payload's bytes instead of claims."""
        h = {"alg": self.alg, "kid": self.kid, "typ": "JWT"}
        h.update(header or {})
        h = {k: v for k, v in h.items() if v is not None}
        data = b64(json.dumps(h)) + "." + b64(raw or json.dumps(claims))
        return data + "." + b64(self.sign(data.encode()))


def hs256(secret, claims, kid):
    data = (b64(json.dumps({"alg": "HS256", "kid": kid})) + "." +
            b64(json.dumps(claims)))
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(data.encode())
    return data + "." + b64(mac.finalize())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    accepted = 0

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests

    def get_request(self):
        self.accepted += 1
        return super().get_request()


class Issuer:
    """One server.  `behave` is called for each request, and answers it itself
    when it returns True."""

    def __init__(self, folder, ca, hosts=("127.0.0.1", "localhost"),
                 host="127.0.0.1", days=0):
        self.keys, self.paths, self.behave = [], [], None
        self.same = 0   # answers that nothing has changed
        self.headers, self.lock = {}, threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                with outer.lock:
                    outer.paths.append(self.path)
                if outer.behave is not None and outer.behave(self):
                    return
                self.reply(outer.document(self.path))

            def reply(self, body, status=200, headers=()):
                tag = outer.headers.get("ETag")
                if tag and status == 200 and \
                        self.headers.get("If-None-Match") == tag:
                    with outer.lock:
                        outer.same += 1
                    status, body = 304, b""
                body = body if isinstance(body, bytes) else \
                    json.dumps(body).encode()
                self.send_response(status)
                for k, v in (*outer.headers.items(), *headers):
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = Server(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(ca.leaf(folder, list(hosts), days))
        # the handshake is the handler's thread's, not the accepting one's
        self.server.socket = tls.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": self.url + "/keys"}
        return {"keys": [k.jwk() for k in self.keys]}

    @property
    def accepted(self):
        """Connections, whatever became of them."""
        return self.server.accepted

    def fetches(self):
        with self.lock:
            return self.paths.count("/keys")

    def claims(self, **more):
        now = int(time.time())
        c = {"iss": self.url, "aud": "bastion", "sub": "repo:acme/shop",
             "iat": now, "nbf": now - 5, "exp": now + 300}
        c.update(more)
        return {k: v for k, v in c.items() if v is not None}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
