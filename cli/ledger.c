/*
 * A ledger's file for the tools: its events in their order.  It may have been
 * copied, cut or damaged: a line that cannot be read is said and counted.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_lines.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"

#define SAID_MAX 20             /* damaged lines that are told one by one */
#define PROGRESS_FROM (1 << 20) /* bytes of a ledger */

static void
progress(struct cli_ledger *l, uint64_t at)
{
	unsigned int percent =
	    l->size == 0 ? 100 : (unsigned int)(at * 100 / l->size);

	if (!l->shows || percent == l->shown)
		return;
	l->shown = percent;
	(void)fprintf(stderr, "\r%s ... %u%%", l->doing, percent);
	if (percent >= 100)
		(void)fputs("\r\033[K", stderr);
	(void)fflush(stderr);
}

void
cli_ledger_damage(struct cli_ledger *l, const char *what)
{
	if (++l->damaged > SAID_MAX)
		return;
	if (l->shows)
		(void)fputs("\r\033[K", stderr);
	cli_error("%s:%" PRIu64 ": %s%s", l->path, l->line, what,
	    l->damaged == SAID_MAX ? "; there may be more" : "");
}

/* Numbers have no gap; behind a damaged line one is not known. */
static void
check_number(struct cli_ledger *l, uint64_t number)
{
	char text[120];

	if (l->last_number != 0 && number != l->last_number + 1) {
		(void)snprintf(text, sizeof(text),
		    "its number is %" PRIu64 ", and the line before has "
		    "%" PRIu64,
		    number, l->last_number);
		cli_ledger_damage(l, text);
	}
	l->last_number = number;
}

static int
take_line(struct cli_ledger *l, const char *line, size_t n, struct buf *event)
{
	uint64_t number, ms;
	int r;

	buf_reset(event);
	r = ledger_parse(line, n, &number, &ms, event);
	if (r == ERR_NOMEM)
		return r;
	if (r != 0 && r != ERR_NOTFOUND) {
		cli_ledger_damage(l, "this is no line of a ledger");
		l->last_number = 0;
		return 0;
	}
	check_number(l, number);
	return r == ERR_NOTFOUND ? 0 : l->fn(l->arg, number, ms, event);
}

static int
take_lines(struct cli_ledger *l, int fd, struct buf *event)
{
	struct ledger_lines lines;
	const char *line;
	size_t n;
	int r;

	/* What is appended meanwhile is not looked at. */
	if ((r = ledger_lines_init(&lines, fd, 0, l->size)) != 0)
		return r;
	while ((r = ledger_lines_next(&lines, &line, &n)) != ERR_NOTFOUND) {
		l->line = lines.line;
		progress(l, lines.next);
		if (r == ERR_TOOBIG || r == ERR_FORMAT) {
			cli_ledger_damage(l,
			    r == ERR_TOOBIG ? "this line is longer than 1 MiB"
					    : "the last line has no end");
			l->last_number = 0;
			continue;
		}
		if (r != 0 || (r = take_line(l, line, n, event)) != 0)
			goto out;
	}
	r = 0;
out:
	ledger_lines_clear(&lines);
	return r;
}

static int
open_ledger(struct cli_ledger *l, int *fdp)
{
	struct stat st;
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1 || fstat(fd, &st) == -1) {
		cli_error("%s: %s", l->path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		cli_error("%s: this is no file", l->path);
	} else {
		l->size = (uint64_t)st.st_size;
		if (l->max != 0 && l->size > l->max)
			l->size = l->max;
		l->shows = l->size >= PROGRESS_FROM && isatty(STDERR_FILENO);
		*fdp = fd;
		return 0;
	}
	if (fd != -1)
		(void)close(fd);
	return CLI_EX_FAILED;
}

int
cli_ledger_read(struct cli_ledger *l)
{
	struct buf event;
	int fd, r;

	if ((r = open_ledger(l, &fd)) != 0)
		return r;
	buf_init(&event, LEDGER_LINE_MAX);
	r = take_lines(l, fd, &event);
	buf_clear(&event);
	(void)close(fd);
	if (r == 0)
		return 0;
	cli_error("%s: %s", l->path, err_text(r));
	return CLI_EX_FAILED;
}
