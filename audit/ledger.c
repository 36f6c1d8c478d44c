/*
 * The ledger's file.  Runs in audit, which alone has it open for writing.
 * What events say comes from policy and oidc and was checked there and in
 * lib/event.c; what the file says when it is opened is checked here.
 */
#include "config.h"

#include "audit/ledger.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger_lines.h"
#include "audit/utc.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/json.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define LEDGER_FILE "ledger.jsonl"
#define LEDGER_RESERVE_FILE "reserve"
#define LEDGER_FIELDS_MAX 64

/* -- events -------------------------------------------------------------- */

void
ledger_put_num(struct json *j, uint64_t n)
{
	char text[21];

	if (n <= LEDGER_NUMBER_MAX) {
		json_num(j, n);
		return;
	}
	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	json_str(j, text);
}

int
ledger_put_fields(struct json *j, const struct buf *event)
{
	struct event_value v;
	uint64_t seen = 0;
	struct buf b;
	uint32_t kind;
	int r;

	buf_view(&b, buf_ptr(event), buf_len(event));
	if ((r = event_get_kind(&b, &kind)) != 0)
		return r;
	while (buf_len(&b) > 0) {
		if ((r = event_get(&b, &v)) != 0)
			return r;
		if (v.field >= LEDGER_FIELDS_MAX ||
		    (seen & UINT64_C(1) << v.field) != 0)
			return ERR_FORMAT;
		seen |= UINT64_C(1) << v.field;
		json_key(j, event_field_name(v.field));
		if (v.type == 's')
			json_strn(j, v.s, v.len);
		else if (v.type == 'b')
			json_bool(j, v.n != 0);
		else
			ledger_put_num(j, v.n);
	}
	return json_end(j);
}

static int
ledger_build(
    struct buf *line, const struct buf *event, uint64_t number, uint64_t now_ms)
{
	char utc[UTC_LEN + 1];
	struct json j;
	uint32_t kind;
	int r;

	if ((r = ledger_kind(event, &kind)) != 0)
		return r;
	utc_format(now_ms, utc);
	json_init(&j, line);
	json_open(&j, '{');
	json_kv_num(&j, "number", number);
	json_kv_str(&j, "time", utc);
	json_kv_str(&j, "event", event_kind_name(kind));
	if ((r = ledger_put_fields(&j, event)) != 0)
		return r;
	json_close(&j, '}');
	if ((r = json_end(&j)) != 0)
		return r;
	return buf_put(line, "\n", 1);
}

/* -- opening ------------------------------------------------------------- */

/* Reads up to max bytes that end at offset end; *startp is where they begin. */
static int
ledger_read_back(
    int fd, uint64_t end, size_t max, struct buf *b, uint64_t *startp)
{
	size_t n = end > max ? max : (size_t)end, got = 0;
	uint8_t *d;
	ssize_t k;
	int r;

	if ((r = buf_reserve(b, n, &d)) != 0)
		return r;
	*startp = end - n;
	while (got < n) {
		k = pread(fd, d + got, n - got, (off_t)(*startp + got));
		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return k == 0 ? ERR_FORMAT : ERR_SYS;
		got += (size_t)k;
	}
	return 0;
}

/* Puts what follows the last newline into a file of its own.  It is on the
 * disk there before it leaves the ledger. */
static int
ledger_move_cut(
    struct ledger *l, const uint8_t *p, size_t n, struct ledger_repair *rep)
{
	char utc[UTC_LEN + 1];
	int fd, k, r;

	utc_format(utc_now_ms(), utc);
	k = snprintf(rep->name, sizeof(rep->name), "ledger.cut.%" PRIu64 ".%s",
	    l->next, utc);
	if (k < 0 || (size_t)k >= sizeof(rep->name))
		return ERR_TOOBIG;
	fd = openat(l->dir, rep->name,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0440);
	if (fd == -1)
		return ERR_SYS;
	r = write_all(fd, p, n);
	if (r == 0 && fsync(fd) == -1)
		r = ERR_SYS;
	(void)close(fd);
	if (r == 0 &&
	    (fsync(l->dir) == -1 || ftruncate(l->fd, (off_t)l->size) == -1 ||
		fsync(l->fd) == -1))
		r = ERR_SYS;
	rep->bytes = n;
	return r;
}

/* Finds the last whole line: l->next, l->size; repairs a cut one. */
static int
ledger_recover(struct ledger *l, uint64_t size, struct ledger_repair *rep)
{
	const uint8_t *p, *nl, *prev;
	uint64_t start, number = 0;
	size_t whole;
	struct buf b;
	int r;

	/* A whole line and the beginning of another at most. */
	buf_init(&b, 2 * LEDGER_LINE_MAX);
	if ((r = ledger_read_back(
		 l->fd, size, 2 * LEDGER_LINE_MAX, &b, &start)) != 0)
		goto out;
	p = buf_ptr(&b);
	nl = memrchr(p, '\n', buf_len(&b));
	whole = nl == NULL ? 0 : (size_t)(nl - p) + 1;
	r = ERR_FORMAT;
	if (whole == 0 && start != 0)
		goto out;
	if (whole > 0) {
		prev = memrchr(p, '\n', whole - 1);
		if (prev == NULL && start != 0)
			goto out;
		prev = prev == NULL ? p : prev + 1;
		if ((r = ledger_lines_number((const char *)prev,
			 (size_t)(nl - prev), &number)) != 0)
			goto out;
	}
	l->next = number + 1;
	l->size = start + whole;
	r = whole == buf_len(&b)
		? 0
		: ledger_move_cut(l, p + whole, buf_len(&b) - whole, rep);
out:
	buf_clear(&b);
	return r;
}

int
ledger_open(struct ledger *l, int dirfd, struct ledger_repair *rep)
{
	struct stat st;
	int r = ERR_SYS;

	*l = (struct ledger){ .dir = dirfd, .fd = -1, .next = 1 };
	*rep = (struct ledger_repair){ 0 };
	l->fd = openat(dirfd, LEDGER_FILE,
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
	    0640);
	if (l->fd == -1)
		return ERR_SYS;
	if (flock(l->fd, LOCK_EX | LOCK_NB) == -1) {
		r = errno == EWOULDBLOCK ? ERR_EXISTS : ERR_SYS;
		goto out;
	}
	if (fstat(l->fd, &st) == -1)
		goto out;
	if (!S_ISREG(st.st_mode)) {
		r = ERR_DENIED;
		goto out;
	}
	if (st.st_size > 0)
		r = ledger_recover(l, (uint64_t)st.st_size, rep);
	else
		r = fsync(dirfd) == -1 ? ERR_SYS : 0;
	if (r == 0)
		(void)ledger_reserve(l);
out:
	if (r != 0)
		ledger_close(l);
	return r;
}

void
ledger_close(struct ledger *l)
{
	int err = errno;

	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	errno = err;
}

/* -- the reserve --------------------------------------------------------- */

bool
ledger_reserve(struct ledger *l)
{
	int fd, e;

	if (l->reserve)
		return true;
	fd = openat(l->dir, LEDGER_RESERVE_FILE,
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1)
		return false;
	/* Blocks, not a promise: a sparse file would keep nothing free. */
	e = posix_fallocate(fd, 0, LEDGER_RESERVE);
	(void)close(fd);
	if (e != 0) {
		(void)unlinkat(l->dir, LEDGER_RESERVE_FILE, 0);
		errno = e;
		return false;
	}
	l->reserve = true;
	return true;
}

/* Gives its room back to the file system. */
static bool
ledger_spend_reserve(struct ledger *l)
{
	if (!l->reserve || unlinkat(l->dir, LEDGER_RESERVE_FILE, 0) == -1)
		return false;
	l->reserve = false;
	return true;
}

/* -- writing ------------------------------------------------------------- */

/* Takes an incomplete line back.  errno stays that of what went wrong. */
static void
ledger_take_back(struct ledger *l)
{
	int err = errno;

	if (ftruncate(l->fd, (off_t)l->size) == -1)
		l->broken = true;
	errno = err;
}

static int
ledger_write(struct ledger *l, const struct buf *line)
{
	ssize_t n;

	do {
		n = write(l->fd, buf_ptr(line), buf_len(line));
	} while (n == -1 && errno == EINTR);
	if (n != (ssize_t)buf_len(line)) {
		if (n != -1)
			errno = ENOSPC;
		ledger_take_back(l);
		return ERR_SYS;
	}
	if (fdatasync(l->fd) == -1) {
		/* The kernel may have dropped the pages: a later success
		 * would prove nothing about this line. */
		l->broken = true;
		ledger_take_back(l);
		return ERR_SYS;
	}
	return 0;
}

int
ledger_append(struct ledger *l, const struct buf *event, uint64_t now_ms,
    bool last_words, struct ledger_line *out)
{
	struct tree_hash hash;
	struct buf line;
	int r;

	if (l->fd == -1 || l->broken) {
		errno = EIO;
		return ERR_SYS;
	}
	buf_init(&line, LEDGER_LINE_MAX);
	if ((r = ledger_build(&line, event, l->next, now_ms)) != 0 ||
	    (r = tree_sha256(buf_ptr(&line), buf_len(&line) - 1, &hash)) != 0)
		goto out;
	r = ledger_write(l, &line);
	if (r == ERR_SYS && (errno == ENOSPC || errno == EDQUOT) &&
	    last_words && !l->broken && ledger_spend_reserve(l))
		r = ledger_write(l, &line);
	if (r != 0)
		goto out;
	l->size += buf_len(&line);
	*out = (struct ledger_line){ .number = l->next,
		.time_ms = now_ms,
		.end = l->size,
		.sha256 = hash };
	l->next++;
out:
	buf_clear(&line);
	return r;
}

/* -- reading ------------------------------------------------------------- */

int
ledger_scan(
    const struct ledger *l, uint64_t offset, ledger_line_cb cb, void *arg)
{
	struct ledger_lines lines;
	const char *line;
	size_t n;
	int r;

	if ((r = ledger_lines_init(&lines, l->fd, offset, l->size)) != 0)
		return r;
	while ((r = ledger_lines_next(&lines, &line, &n)) == 0) {
		if ((r = cb(arg, line, n, lines.next)) != 0)
			goto out;
	}
	/* size is a line's end, and the file is as long */
	if (r == ERR_NOTFOUND)
		r = offset < l->size && lines.next != l->size ? ERR_FORMAT : 0;
out:
	ledger_lines_clear(&lines);
	return r;
}

int
ledger_back(const struct ledger *l, uint64_t lines, uint64_t *offset)
{
	uint8_t d[16384];
	uint64_t end = l->size, begin, found = 0;
	ssize_t n;

	/* The newline before them is one more than theirs. */
	while (end > 0) {
		begin = end > sizeof(d) ? end - sizeof(d) : 0;
		n = pread(l->fd, d, (size_t)(end - begin), (off_t)begin);
		if (n != (ssize_t)(end - begin))
			return n == -1 ? ERR_SYS : ERR_FORMAT;
		for (; n > 0; n--) {
			if (d[n - 1] != '\n' || found++ < lines)
				continue;
			*offset = begin + (uint64_t)n;
			return 0;
		}
		end = begin;
	}
	*offset = 0;
	return found == lines ? 0 : ERR_NOTFOUND;
}
