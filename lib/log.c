/*
 * Log lines to standard error.  Used by the broker's processes and the CLI;
 * everything that somebody else chose passes log_safe first.
 */
#include "config.h"

#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"

#define LOG_LINE_MAX 4096
#define LOG_SAFE_MAX 200

static const char *log_process = "postern";

void
log_init(const char *process)
{
	log_process = process;
}

/* One write a line, so that lines of several processes do not mix. */
static void log_line(int r, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
log_line(int r, const char *fmt, va_list ap)
{
	const char *why = r == 0 ? NULL : err_text(r); /* before errno goes */
	struct buf b;

	buf_init(&b, LOG_LINE_MAX);
	(void)buf_putf(&b, "%s: ", log_process);
	(void)buf_vputf(&b, fmt, ap);
	if (why != NULL)
		(void)buf_putf(&b, ": %s", why);
	(void)buf_put(&b, "\n", 1);
	(void)write_all(STDERR_FILENO, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(0, fmt, ap);
	va_end(ap);
}

void
log_err(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(r, fmt, ap);
	va_end(ap);
}

void
fatal(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(r, fmt, ap);
	va_end(ap);
	exit(1);
}

bool
log_may(struct log_limit *l, int64_t now_ms)
{
	if (now_ms - l->since_ms >= LOG_LIMIT_MS) {
		if (l->left_out > 0)
			log_info(
			    "%u more such lines were left out", l->left_out);
		*l = (struct log_limit){ .since_ms = now_ms };
	}
	if (l->said == LOG_LIMIT_LINES) {
		l->left_out++;
		return false;
	}
	l->said++;
	return true;
}

const char *
log_safe(const char *s)
{
	static char slot[4][LOG_SAFE_MAX + 8];
	static unsigned int turn;
	char *d = slot[turn++ % 4];
	size_t n = 0;

	for (; *s != '\0' && n < LOG_SAFE_MAX; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			d[n++] = (char)c;
		} else {
			(void)snprintf(d + n, 5, "\\x%02x", c);
			n += 4;
		}
	}
	(void)snprintf(d + n, 4, "%s", *s == '\0' ? "" : "...");
	return d;
}
