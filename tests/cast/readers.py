"""readers.py GENERATE N [SEED]: N generated recordings, each read by the
asciinema that Debian ships (its own reader, and for some its program), whose
output must be what was to be shown."""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.append("/usr/lib/python3/dist-packages")
import asciinema.asciicast as asciicast  # noqa: E402

PROGRAM = 5     # recordings that the program itself is run on


def text_of(data):
    """As any reader shows it; how many U+FFFD a broken character becomes is
    left to the writer."""
    return re.sub("\ufffd+", "\ufffd", data.decode(errors="replace"))


def raw_of(events, pty):
    """What was shown, by doc/LEDGER.md alone."""
    out, held = b"", None
    for _, code, data in events:
        if code == "b":
            held = bytes.fromhex(data)
        elif code == "o":
            d = data.encode() if held is None else held
            out += d if pty else d.replace(b"\r\n", b"\n")
            held = None
    return out


def check(path, seen):
    lines = path.read_text().split("\n")
    header, last = json.loads(lines[0]), lines.pop()
    assert last == "" and header["version"] == 2
    assert re.fullmatch(r"[\dT:-]+\.\d{3}Z", header["postern"]["time"])
    with asciicast.open_from_url(str(path)) as a:
        events = list(a.events())
    shown = "".join(e[2] for e in events if e[1] == "o")
    assert len(events) == len(lines) - 1
    times = [e[0] for e in events]
    assert times == sorted(times)
    for _, code, data in events:
        seen[code] = seen.get(code, 0) + 1
        if code == "r":
            w, h = map(int, data.split("x"))
            assert 1 <= w <= 1000 and 1 <= h <= 500
        if code == "x":
            assert 0 <= int(data) < 256
    raw = path.with_suffix(".raw").read_bytes()
    want, pty = text_of(raw), header["postern"]["pty"]
    got = re.sub("\ufffd+", "\ufffd", shown)
    marked = [e for e in events
              if e[1] == "m" and e[2].startswith("postern:")]
    assert not (pty and marked)
    if not pty:
        seen["text"] = seen.get("text", 0) + 1
    if not marked:
        assert got == (want if pty else want.replace("\n", "\r\n")), path
        assert raw_of(events, pty) == raw, path
    return shown


def main():
    generate, n = sys.argv[1], int(sys.argv[2])
    seed = sys.argv[3] if len(sys.argv) > 3 else str(
        random.randrange(1, 2 ** 31))
    seen = {}
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([generate, tmp, str(n), seed], check=True)
        for i in range(1, n + 1):
            path = pathlib.Path(tmp) / f"{i}.cast"
            try:
                shown = check(path, seen)
            except Exception as e:
                sys.exit(f"recording {i} of seed {seed}: {e!r}")
            if i <= PROGRAM:
                r = subprocess.run(     # it wants a terminal of its own
                    ["script", "-qec", f"asciinema cat {path}", "/dev/null"],
                    check=True, capture_output=True,
                    stdin=subprocess.DEVNULL)
                assert r.stdout.decode() == shown, path
    assert n < 50 or all(seen.get(x) for x in "bormx")
    print(f"{n} recordings of seed {seed}, read by asciinema:",
          ", ".join(f"{v} {k}" for k, v in sorted(seen.items())))


if __name__ == "__main__":
    main()
