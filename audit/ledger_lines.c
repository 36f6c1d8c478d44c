/*
 * Reading a ledger's file.  Runs in audit when it opens its ledger, and in
 * tools that were given a file, which may hold anything.
 */
#include "config.h"

#include "audit/ledger_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "lib/err.h"
#include "lib/str.h"

#define LINES_READ (64 * 1024)
#define LINES_ROOM (LEDGER_LINE_MAX + LINES_READ)

int
ledger_lines_init(
    struct ledger_lines *l, int fd, uint64_t offset, uint64_t stop)
{
	*l = (struct ledger_lines){
		.fd = fd, .read = offset, .stop = stop, .next = offset
	};
	l->d = malloc(LINES_ROOM);
	return l->d == NULL ? ERR_NOMEM : 0;
}

void
ledger_lines_clear(struct ledger_lines *l)
{
	free(l->d);
	l->d = NULL;
}

/* Some more of the file behind what is there; *end: there is no more. */
static int
lines_fill(struct ledger_lines *l, bool *end)
{
	size_t want = LINES_READ;
	ssize_t k;

	memmove(l->d, l->d + l->off, l->len - l->off);
	l->len -= l->off;
	l->off = 0;
	*end = l->read >= l->stop;
	if (*end)
		return 0;
	if (l->stop - l->read < want)
		want = (size_t)(l->stop - l->read);
	do {
		k = pread(l->fd, l->d + l->len, want, (off_t)l->read);
	} while (k == -1 && errno == EINTR);
	if (k == -1)
		return ERR_SYS;
	*end = k == 0;
	l->len += (size_t)k;
	l->read += (size_t)k;
	return 0;
}

/* n bytes of the buffer are done with. */
static void
lines_take(struct ledger_lines *l, size_t n)
{
	l->off += n;
	l->next += n;
}

/* What stands behind the last newline. */
static int
lines_last(struct ledger_lines *l)
{
	if (l->len == 0 && !l->skips)
		return ERR_NOTFOUND;
	lines_take(l, l->len);
	l->skips = false;
	l->line++;
	return ERR_FORMAT;
}

int
ledger_lines_next(struct ledger_lines *l, const char **line, size_t *n)
{
	const char *nl, *begin;
	bool end, skips;
	int r;

	while ((nl = memchr(l->d + l->off, '\n', l->len - l->off)) == NULL) {
		if (l->len - l->off >= LEDGER_LINE_MAX)
			l->skips = true;
		if (l->skips)
			lines_take(l, l->len - l->off);
		if ((r = lines_fill(l, &end)) != 0)
			return r;
		if (end)
			return lines_last(l);
	}
	begin = l->d + l->off;
	skips = l->skips;
	lines_take(l, (size_t)(nl - begin) + 1);
	l->skips = false;
	l->line++;
	if (skips || nl - begin >= LEDGER_LINE_MAX)
		return ERR_TOOBIG;
	*line = begin;
	*n = (size_t)(nl - begin);
	return 0;
}

int
ledger_lines_number(const char *p, size_t n, uint64_t *number)
{
	static const char start[] = "{\"number\":";
	const size_t at = sizeof(start) - 1;
	char text[21] = "";
	size_t k = 0;

	if (n < at || memcmp(p, start, at) != 0)
		return ERR_FORMAT;
	while (at + k < n && k < sizeof(text) - 1 && p[at + k] >= '0' &&
	       p[at + k] <= '9') {
		text[k] = p[at + k];
		k++;
	}
	if (at + k >= n || p[at + k] != ',' || p[n - 1] != '}')
		return ERR_FORMAT;
	return num_parse(text, 1, UINT64_MAX - 1, number) == 0 ? 0 : ERR_FORMAT;
}
