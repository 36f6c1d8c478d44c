/*
 * Log lines of the broker's processes, on standard error; where that is the
 * journal's, as its entries, with fields (posternd(8)).
 * Nothing in lib, policy, ssh or audit logs; a process logs an error once,
 * where it stops.
 */
#ifndef POSTERN_LIB_LOG_H
#define POSTERN_LIB_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name that begins every line; a string literal. */
void log_init(const char *process);
/* Lines go to the journal from here on, if standard error does.  A descriptor:
 * behind whatever closes those that it does not know, before confinement. */
void log_journal(void);

/* What a line is about: ids of ours, or NULL.  They stay the caller's. */
struct log_about {
	const char *operation, *session, *target;
};
#define ABOUT_OPERATION(id) (&(struct log_about){ .operation = (id) })
#define ABOUT_SESSION(id) (&(struct log_about){ .session = (id) })
/* All further lines, in a process that does one thing; the ids stay. */
void log_about(const struct log_about *about);

void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "what: err_text(r)"; r = 0 leaves the error text away. */
void log_err(int r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_err_about(const struct log_about *about, int r, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* log_err, then exit(1).  Broker process files only. */
void fatal(int r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* Lines that a stranger can bring about as often as he likes: LOG_LIMIT_LINES
 * in LOG_LIMIT_MS, and then a line that says how many there would have been.
 * now_ms: msg_now_ms. */
#define LOG_LIMIT_LINES 10
#define LOG_LIMIT_MS 10000
struct log_limit {
	int64_t since_ms;
	unsigned int said, left_out;
};
bool log_may(struct log_limit *l, int64_t now_ms);

/* s with everything outside printable ASCII, and the backslash, escaped; for
 * text that somebody else chose.  At most ~200 characters, in one of four
 * static buffers that are used in turn: for log arguments only. */
const char *log_safe(const char *s);

#endif
