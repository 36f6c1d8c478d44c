"""`./dev player [N [SEED]]`: N generated recordings, each read by
asciinema-player in a headless Chromium.

Of each recording there are three facts: the player has its length, it shows
something at its end when something was shown, and it shows the same with our
own events (`b`, doc/LEDGER.md) as without them.  Of those that fit a usual
screen, the one that shows most at its end is pictured, in build/log/player.png,
for a person to look at."""
import functools
import http.server
import json
import pathlib
import queue
import random
import subprocess
import sys
import tempfile

BATCH = 100     # recordings of a page
ANSWER_S = 60   # until one is read
USUAL = 132, 43     # columns and rows that a picture shows readably

PAGE = """<!doctype html><meta charset="utf-8">
<link rel="stylesheet" href="/player/asciinema-player.css">
<script src="/player/asciinema-player.min.js"></script>
<div id="d"></div><script>
const late = what => new Promise((_, no) =>
  setTimeout(() => no(what + " takes too long"), 10000));
async function screen(url) {
  const d = document.createElement("div");
  document.getElementById("d").append(d);
  const p = AsciinemaPlayer.create(url, d, {preload: true, controls: false,
    fit: false});
  try {
    let length = null;
    for (let i = 0; i < 1000 && typeof length != "number"; i++) {
      length = await Promise.race([p.getDuration(), late(url + " duration")]);
      await new Promise(r => setTimeout(r, 5));
    }
    await Promise.race([p.seek("100%"), late(url + " seek")]);
    for (let i = 0; i < 3; i++)    // the screen follows in its own time
      await Promise.race([new Promise(requestAnimationFrame),
        new Promise(r => setTimeout(r, 200))]);
    return [length, d.querySelector(".ap-term-text, .ap-term").innerText];
  } finally {
    p.dispose();
    d.remove();
  }
}
const say = x => fetch("/answer", {method: "POST", body: JSON.stringify(x)});
(async () => {
  for (const [n, own] of LIST) {
    try {
      const ours = await screen(`/casts/${n}.cast`);
      // Without events of ours it is the same file.
      await say([n, ours, own ? await screen(`/casts/${n}.pure`) : ours]);
    } catch (e) { await say(["error", String(e), n]); }
  }
})();
</script>"""

PICTURE = """<!doctype html><meta charset="utf-8">
<link rel="stylesheet" href="/player/asciinema-player.css">
<style>.ap-overlay-start { display: none !important }</style>
<script src="/player/asciinema-player.min.js"></script>
<div id="d" style="width: 900px; height: 600px"></div><script>
const p = AsciinemaPlayer.create("/casts/picture.cast",
  document.getElementById("d"), {preload: true, controls: true, fit: "both"});
(async () => {
  while (typeof await p.getDuration() != "number")
    await new Promise(r => setTimeout(r, 5));
  await p.seek("100%");
})();
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """The player, the recordings and the page; and what the page answers."""

    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def translate_path(self, path):
        _, folder, name = path.split("?")[0].split("/")
        return str({"player": self.site.player,
                    "casts": self.site.casts}[folder] / name)

    def do_GET(self):
        pages = {"/": self.site.page, "/picture": PICTURE}
        if self.path == "/favicon.ico":
            self.send_error(404)
            return
        if self.path not in pages:
            super().do_GET()
            return
        body = pages[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        n = int(self.headers["Content-Length"])
        self.site.answers.put(json.loads(self.rfile.read(n)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


class Site:
    def __init__(self, player, casts):
        self.player, self.casts = player, casts
        self.page, self.answers = "", queue.Queue()
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def chromium(self, *args):
        return subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", f"--user-data-dir={self.casts}/web",
             *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, numbers):
        self.page = PAGE.replace("LIST", json.dumps(numbers))
        p = self.chromium("--remote-debugging-port=0", self.url)
        try:
            for n, _ in numbers:
                yield self.answers.get(timeout=ANSWER_S)
        except queue.Empty:
            sys.exit(f"player: no answer for recording {n}; chromium "
                     f"{'runs' if p.poll() is None else 'has died'}")
        finally:
            p.terminate()
            p.wait()

    def picture(self, to):
        self.chromium("--virtual-time-budget=5000", "--window-size=940,640",
                      f"--screenshot={to}", self.url + "/picture").wait(60)


def events_of(path):
    return [json.loads(line) for line in path.read_text().split("\n")[1:-1]]


def usual(path):
    """Is it, whatever it was resized to, of a usual size?"""
    head = json.loads(path.read_text().split("\n")[0])
    sizes = [(head["width"], head["height"])] + [
        tuple(map(int, e[2].split("x"))) for e in events_of(path)
        if e[1] == "r"]
    return all(a <= b for size in sizes for a, b in zip(size, USUAL))


def pure(path):
    """Without what is ours."""
    lines = path.read_text().split("\n")
    own = [x for x in lines[1:-1] if json.loads(x)[1] == "b"]
    path.with_suffix(".pure").write_text(
        "\n".join(x for x in lines if x not in own))
    return len(own)


def check(casts, answer):
    """How much is to be seen at its end."""
    number, with_bytes, without = answer
    if number == "error":
        # One of which nothing was shown, and that did not end: the player
        # wants an event.
        if "missing events" in with_bytes and \
                not events_of(casts / f"{without}.cast"):
            return 0
        sys.exit(f"player: recording {without}: {with_bytes}")
    events = events_of(casts / f"{number}.cast")
    last = events[-1][0] if events else 0
    length, screen = with_bytes
    assert with_bytes == without, (number, with_bytes, without)
    assert abs(length - last) < 0.001, (number, length, last)
    shown = "".join(e[2] for e in events if e[1] == "o")
    # Behind the last time that the screen was cleared.
    if "hello" in shown.rpartition("\x1b[2J")[2]:
        assert screen.strip(), number
    return len("".join(screen.split()))


def main():
    generate, player = sys.argv[1], pathlib.Path(sys.argv[2])
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    seed = sys.argv[4] if len(sys.argv) > 4 else str(
        random.randrange(1, 2 ** 31))
    picture = pathlib.Path("log/player.png").absolute()
    picture.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        casts = pathlib.Path(tmp)
        subprocess.run([generate, tmp, str(n), seed], check=True)
        own = [pure(casts / f"{i}.cast") for i in range(1, n + 1)]
        site = Site(player, casts)
        import threading
        threading.Thread(target=site.server.serve_forever,
                         daemon=True).start()
        seen = []
        for at in range(1, n + 1, BATCH):
            numbers = list(range(at, min(at + BATCH, n + 1)))
            for answer in site.ask([(i, own[i - 1]) for i in numbers]):
                seen.append(check(casts, answer))
            print(f"{len(seen)} of {n} read", flush=True)
        assert len(seen) == n
        most = max(range(1, n + 1), key=lambda i: (
            usual(casts / f"{i}.cast"), seen[i - 1]))
        (casts / "picture.cast").write_bytes(
            (casts / f"{most}.cast").read_bytes())
        site.picture(picture)
        site.server.shutdown()
    assert picture.exists(), "no picture"
    print(f"{n} recordings of seed {seed}, {sum(own)} events of bytes, read "
          f"by asciinema-player; {picture} is recording {most}'s end")


if __name__ == "__main__":
    main()
