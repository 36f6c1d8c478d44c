/*
 * Sessions and connections from one policy process to the next.  The rows come
 * from audit, under a MAC (takeover.c).
 */
#include "config.h"

#include "broker/session.h"

#include <stdlib.h>
#include <string.h>

#include "broker/policy.h"
#include "broker/session_internal.h"
#include "broker/takeover.h"
#include "lib/err.h"
#include "lib/msg.h"

int
session_adopt(struct session_row *row)
{
	struct session *s;
	size_t n;
	int r;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return ERR_NOMEM;
	memcpy(s->id, row->id, sizeof(s->id));
	memcpy(s->source, row->proof.source, sizeof(s->source));
	memcpy(s->token, row->proof.token, sizeof(s->token));
	s->until_ms = row->until_ms;
	s->limit_ms = row->limit_ms;
	s->over = row->over || msg_now_ms() >= row->limit_ms;
	s->killed = row->killed;
	s->opened = row->opened;
	s->noted = row->opened ? KEPT_YES : KEPT_NO;
	s->kept = KEPT_YES;
	s->ncertificate = row->ncertificate;
	memcpy(s->certificate, row->certificate, sizeof(s->certificate));
	if ((r = session_fill(s, &row->proof, &n)) != 0 ||
	    (r = session_arm(s)) != 0)
		goto fail;
	session_join(s);
	return 0;
fail:
	session_free(s);
	return r;
}

int
session_adopt_connection(const struct connection_row *row)
{
	struct session *s = session_table.sessions;
	struct connection *c;
	int r;

	while (s != NULL && strcmp(s->id, row->session) != 0)
		s = s->next;
	if (s == NULL)
		return ERR_NOTFOUND;
	if (s->nconnection >= SESSION_CONNECTIONS_MAX)
		return ERR_TOOBIG;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return ERR_NOMEM;
	c->monitor_pidfd = -1;
	memcpy(c->id, row->id, sizeof(c->id));
	memcpy(c->handle, row->handle, sizeof(c->handle));
	c->monitor = row->monitor;
	c->monitor_start = row->monitor_start;
	c->kept = KEPT_YES;
	if ((r = str_copy(c->user, sizeof(c->user), row->user)) != 0 ||
	    (r = str_copy(c->source, sizeof(c->source), row->source)) != 0 ||
	    (r = str_copy(c->key, sizeof(c->key), row->key)) != 0 ||
	    (r = user_name_parse(c->user, &c->name)) != 0 ||
	    (r = connection_find_monitor(c)) != 0) {
		connection_free(c);
		return r;
	}
	connection_join(c, s);
	return 0;
}

void
session_adopted(void)
{
	struct connection *c, *nextc;
	struct session *s, *nexts;

	for (c = session_table.connections; c != NULL; c = nextc) {
		nextc = c->next;
		if (c->state == CONNECTION_OVER && c->noperations == 0)
			connection_drop(c);
	}
	for (s = session_table.sessions; s != NULL; s = nexts) {
		nexts = s->next;
		if (!s->ending && session_may_end(s))
			session_end(s);
	}
}

static int
session_keep(struct session *s)
{
	int r = 0;

	if (s->opened && s->noted == KEPT_NO &&
	    (r = session_note_open(s, NULL)) != 0)
		return r;
	if (s->kept == KEPT_NO)
		takeover_keep_session(s);
	return s->kept == KEPT_NO ? ERR_NOTFOUND : 0;
}

int
session_keep_all(void)
{
	struct connection *c;
	struct session *s, *next;
	int r = 0;

	for (s = session_table.sessions; s != NULL && r == 0; s = next) {
		next = s->next;
		if (!s->ending) {
			r = session_keep(s);
		} else if (policy_audit_room() > 1) {
			/* SETTLED follows, and closes it in the ledger. */
			takeover_forget_session(s);
			session_drop(s);
		} else {
			r = ERR_AGAIN;
		}
	}
	for (c = session_table.connections; c != NULL && r == 0; c = c->next) {
		if (c->kept != KEPT_NO)
			continue;
		takeover_keep_connection(c);
		if (c->kept == KEPT_NO)
			r = ERR_NOTFOUND;
	}
	return r;
}
