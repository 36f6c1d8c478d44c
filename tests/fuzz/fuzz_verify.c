/*
 * The verifier, on a small store of which one file was changed: what is signed
 * can then not be well, whatever the change was, and what was not changed is.
 * The store is made by audit's own code, with a key of its own; an input is a
 * change: which file, how, where, and with what bytes.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/tlog.h"
#include "audit/verify.h"
#include "lib/event.h"
#include "lib/safeopen.h"
#include "tests/fuzz/depth.h"

#define LINES 300 /* a full tile, and one that is not */
#define FILE_MAX (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a store that is well", "one that is not",
	NULL };

enum change { REPLACE, OVERWRITE, INSERT, CUT, UNLINK, CHANGES };

static struct file {
	const char *path;
	struct buf good;
} files[] = {
	{ "ledger/ledger.jsonl", { 0 } },
	{ "ledger/tree/checkpoint", { 0 } },
	{ "ledger/tree/tile/entries/000", { 0 } },
	{ "ledger/tree/tile/0/000", { 0 } },
	{ "ledger/tree/tile/entries/001.p/45", { 0 } },
	{ "ledger/tree/tile/0/001.p/45", { 0 } },
	{ "ledger/tree/tile/1/000.p/1", { 0 } },
};
#define FILES (sizeof(files) / sizeof(files[0]))

static char folder[] = "/tmp/fuzz-verify-XXXXXX";
static int dir = -1;

static void
must(bool good, const char *what)
{
	if (!good)
		err(1, "%s", what);
}

static void
put_line(struct ledger *l, struct tlog *t, uint32_t kind,
    enum event_field field, const char *text)
{
	struct ledger_line line;
	struct buf ev;

	buf_init(&ev, LEDGER_EVENT_MAX);
	must(event_start(&ev, kind) == 0 && event_str(&ev, field, text) == 0 &&
		 ledger_append(l, &ev, UINT64_C(1795000000000), false, &line) ==
		     0 &&
		 tlog_line(t, &line.sha256) == 0,
	    "a line");
	buf_clear(&ev);
}

static void
make_lines(int ledger)
{
	char key[NOTE_KEY_MAX];
	struct ledger_repair rep;
	struct ledger l;
	struct tlog t;
	const char *why;

	must(ledger_open(&l, ledger, &rep) == 0, "ledger");
	must(tlog_open(&t, ledger, &l, &why) == 0, "tlog");
	note_key_text(&t.signer.key, key);
	put_line(&l, &t, EVENT_START, EV_KEY, key);
	for (int i = 0; i < LINES; i++)
		put_line(&l, &t, EVENT_LOGIN_REFUSED, EV_USER, "web-1");
	must(tlog_checkpoint(&t) == 0, "checkpoint");
	tlog_close(&t);
	ledger_close(&l);
}

static void
clean(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/bin/rm", "rm", "-rf", folder, (char *)NULL);
		_exit(1);
	}
	if (pid > 0) /* the exit code stays this program's */
		(void)waitpid(pid, NULL, 0);
}

static void
make(void)
{
	int fd;

	must(mkdtemp(folder) != NULL, folder);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir != -1 && mkdirat(dir, "ledger", 0700) == 0 &&
		 mkdirat(dir, "recordings", 0700) == 0,
	    folder);
	fd = openat(dir, "ledger", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd != -1, "ledger");
	make_lines(fd);
	(void)close(fd);
	for (size_t i = 0; i < FILES; i++) {
		buf_init(&files[i].good, FILE_MAX);
		fd = openat(dir, files[i].path, O_RDONLY | O_CLOEXEC);
		must(fd != -1 && slurp_fd(fd, &files[i].good) == 0,
		    files[i].path);
		(void)close(fd);
	}
	(void)atexit(clean);
}

static void
put(const char *path, const struct buf *b)
{
	int fd;

	(void)unlinkat(dir, path, 0);
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(fd != -1 && write_all(fd, buf_ptr(b), buf_len(b)) == 0, path);
	(void)close(fd);
}

/* The file with n bytes at `at` put in, or in place of as many. */
static int
apply(const struct buf *good, enum change how, size_t at, const uint8_t *p,
    size_t n, struct buf *out)
{
	const uint8_t *g = buf_ptr(good);
	size_t len = buf_len(good), skip;
	int r;

	if (how == REPLACE)
		return buf_put(out, p, n);
	at = at > len ? len : at;
	if (how == CUT)
		return buf_put(out, g, at);
	skip = how == INSERT ? 0 : n > len - at ? len - at : n;
	if ((r = buf_put(out, g, at)) != 0 || (r = buf_put(out, p, n)) != 0)
		return r;
	return buf_put(out, g + at + skip, len - at - skip);
}

/* May it be well?  Behind what is signed there may be more: lines, and other
 * people's signatures. */
static bool
may_be_well(size_t which, const struct buf *now)
{
	const struct buf *good = &files[which].good;
	const char *text =
	    buf_ptr(good) == NULL ? "" : (const char *)buf_ptr(good);
	size_t n = buf_len(good);

	if (which == 1)
		n = (size_t)((const char *)memmem(text, n, "\n\n", 2) - text);
	else if (which > 1 && buf_len(now) != n)
		return false;
	return buf_len(now) >= n && memcmp(buf_ptr(now), text, n) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verify_ask ask;
	struct verify_found found;
	struct buf now;
	enum change how;
	size_t which;

	if (dir == -1)
		make();
	if (size < 5)
		return 0;
	which = data[0] % FILES;
	how = (enum change)(data[1] % CHANGES);
	buf_init(&now, FILE_MAX);
	if (apply(&files[which].good, how,
		(size_t)data[2] << 16 | (size_t)data[3] << 8 | data[4],
		data + 5, size - 5, &now) != 0)
		goto out;
	if (how == UNLINK)
		(void)unlinkat(dir, files[which].path, 0);
	else
		put(files[which].path, &now);
	ask = (struct verify_ask){ .dir = dir };
	(void)verify_store(&ask, &found);
	fuzz_reached(found.verdict == VERIFY_OK ? 0 : 1);
	if (found.verdict == VERIFY_OK &&
	    (how == UNLINK || !may_be_well(which, &now)))
		abort();
	if (found.verdict != VERIFY_OK && how != UNLINK &&
	    buf_len(&now) == buf_len(&files[which].good) &&
	    memcmp(buf_ptr(&now), buf_ptr(&files[which].good), buf_len(&now)) ==
		0)
		abort();
	put(files[which].path, &files[which].good);
out:
	buf_clear(&now);
	return 0;
}
