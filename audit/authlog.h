/*
 * What a target's sshd said of logins, in whatever form it was kept: syslog's
 * lines (RFC 3164 and ISO 8601 stamps), journald's export and JSON, and the
 * bare lines that `sshd -E` writes.  Offline and pure: no file is opened here.
 * A log may hold anything; what an entry gives is bounded bytes, to be escaped
 * before anybody sees them.
 */
#ifndef POSTERN_AUDIT_AUTHLOG_H
#define POSTERN_AUDIT_AUTHLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AUTHLOG_LINE_MAX (64 * 1024) /* bytes */
/* Where sshd cuts what it says (log.c): what syslog gets, exactly; and for
 * `sshd -E`, where an escape that does not fit ends it up to 3 bytes before. */
#define AUTHLOG_CUT_SYSLOG 500
#define AUTHLOG_CUT_FILE 1018
#define AUTHLOG_NAME_MAX 256
#define AUTHLOG_KEY_ID_MAX 1024
#define AUTHLOG_KEY_MAX 64 /* "SHA256:" and 43 characters */

enum authlog_kind {
	AUTHLOG_OTHER,      /* of no interest */
	AUTHLOG_CERT,       /* sshd accepted a certificate */
	AUTHLOG_LOGIN,      /* it accepted something else: a key, a password */
	AUTHLOG_UNREADABLE, /* a certificate, but serial or CA cannot be read */
	AUTHLOG_FOREIGN,    /* a certificate, by the word of another process */
};

struct authlog_entry {
	enum authlog_kind kind;
	uint64_t line; /* where it began in the file: 1, 2 */
	bool has_time;
	bool local;       /* the stamp names no zone: read as if it were UTC */
	uint64_t time_ms; /* since 1970 */
	/* of a certificate */
	char login[AUTHLOG_NAME_MAX], address[AUTHLOG_NAME_MAX];
	char key_id[AUTHLOG_KEY_ID_MAX];
	char ca[AUTHLOG_KEY_MAX];
	uint32_t port;
	uint64_t serial;
};

struct authlog; /* opaque */

/* f is borrowed.  ref_ms: a stamp without a year is of the year that puts it
 * last before that time, a day's grace included. */
int authlog_new(FILE *f, uint64_t ref_ms, struct authlog **out);
void authlog_free(struct authlog *a);

/* The next entry.  ERR_NOTFOUND: the end.  ERR_TOOBIG: one that is longer than
 * AUTHLOG_LINE_MAX, its line is set; the caller may go on.  ERR_FORMAT: a
 * journal's export is cut off within an entry, or is none. */
int authlog_next(struct authlog *a, struct authlog_entry *e);

/* What one line says that is no journal's. */
void authlog_read_line(
    const char *line, size_t n, uint64_t ref_ms, struct authlog_entry *e);

#endif
