/*
 * What the two halves of the log reader share: authlog.c takes files apart,
 * authlog_line.c lines.
 */
#ifndef POSTERN_AUDIT_AUTHLOG_INTERNAL_H
#define POSTERN_AUDIT_AUTHLOG_INTERNAL_H

#include "audit/authlog.h"

/* What sshd itself said, without stamp and name. */
void authlog_read_message(const char *p, size_t n, struct authlog_entry *e);
/* sshd (9.2), sshd-session (10.0) and what is called after them. */
bool authlog_is_sshd(const char *ident);

#endif
