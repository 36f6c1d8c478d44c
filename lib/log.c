/*
 * Log lines to standard error.  Used by the broker's processes and the CLI;
 * everything that somebody else chose passes log_safe first.
 */
#include "config.h"

#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/journal.h"
#include "lib/safeopen.h"

#define LOG_LINE_MAX 4096
#define LOG_ENTRY_MAX (LOG_LINE_MAX + 1024) /* with its fields */
#define LOG_SAFE_MAX 200

/* syslog's (RFC 5424, 6.2.1); ours have three. */
#define LOG_PRIORITY_ALARM "1"
#define LOG_PRIORITY_ERR "3"
#define LOG_PRIORITY_INFO "6"

static struct {
	const char *process;
	struct log_about about;
	int journal; /* 0: not asked for */
} env = { .process = "postern" };

void
log_init(const char *process)
{
	env.process = process;
}

void
log_journal(void)
{
	env.journal = journal_open();
}

void
log_about(const struct log_about *about)
{
	env.about = *about;
}

/* One field; what there is nothing to say of has none. */
static int
log_field(struct buf *e, const char *name, const char *value)
{
	return value == NULL ? 0 : journal_put(e, name, value, strlen(value));
}

static int
log_entry(const struct log_about *about, const char *priority, const char *text,
    size_t n)
{
	struct buf e;
	int r;

	if (env.journal <= 0)
		return ERR_NOTFOUND;
	buf_init(&e, LOG_ENTRY_MAX);
	if ((r = journal_put(&e, "MESSAGE", text, n)) == 0 &&
	    (r = log_field(&e, "PRIORITY", priority)) == 0 &&
	    (r = log_field(&e, "SYSLOG_IDENTIFIER", env.process)) == 0 &&
	    (r = log_field(&e, "POSTERN_OPERATION", about->operation)) == 0 &&
	    (r = log_field(&e, "POSTERN_SESSION", about->session)) == 0 &&
	    (r = log_field(&e, "POSTERN_TARGET", about->target)) == 0)
		r = journal_send(env.journal, &e);
	buf_clear(&e);
	return r;
}

/* One write a line, so that lines of several processes do not mix. */
static void log_line(const struct log_about *about, const char *priority, int r,
    const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

static void
log_line(const struct log_about *about, const char *priority, int r,
    const char *fmt, va_list ap)
{
	const char *why = r == 0 ? NULL : err_text(r); /* before errno goes */
	size_t head;
	struct buf b;

	if (strncmp(fmt, "ALARM", 5) == 0)
		priority = LOG_PRIORITY_ALARM;
	buf_init(&b, LOG_LINE_MAX);
	(void)buf_putf(&b, "%s: ", env.process);
	head = buf_len(&b);
	(void)buf_vputf(&b, fmt, ap);
	if (why != NULL)
		(void)buf_putf(&b, ": %s", why);
	/* The journal has the process's name in a field. */
	if (log_entry(about, priority, (const char *)buf_ptr(&b) + head,
		buf_len(&b) - head) != 0) {
		(void)buf_put(&b, "\n", 1);
		(void)write_all(STDERR_FILENO, buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(&env.about, LOG_PRIORITY_INFO, 0, fmt, ap);
	va_end(ap);
}

void
log_err(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(&env.about, LOG_PRIORITY_ERR, r, fmt, ap);
	va_end(ap);
}

void
log_err_about(const struct log_about *about, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(about, LOG_PRIORITY_ERR, r, fmt, ap);
	va_end(ap);
}

void
fatal(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(&env.about, LOG_PRIORITY_ERR, r, fmt, ap);
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
