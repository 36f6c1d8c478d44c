/*
 * Sessions that an admin ends, in the policy process: their certificates and
 * connections open nothing any more.  Nor do their tokens, which oidc knows to
 * have opened a session.
 */
#include "config.h"

#include "broker/session.h"

#include <string.h>

#include "broker/operation.h"
#include "broker/policy.h"
#include "broker/session_internal.h"
#include "broker/takeover.h"

/* s may be gone afterwards. */
void
session_kill(struct session *s)
{
	struct connection *c, *next;

	s->over = s->killed = true;
	s->ncertificate = 0;
	takeover_keep_session(s);
	s->nconnection++; /* it stays until all of them were seen */
	for (c = session_table.connections; c != NULL; c = next) {
		next = c->next;
		if (c->session == s)
			connection_end(c);
	}
	s->nconnection--;
	if (!s->ending && session_may_end(s))
		session_end(s);
}

static bool
is_of(const struct session *s, enum kill_what what, const char *name)
{
	const struct policy *p = policy_now();

	switch (what) {
	case KILL_SESSION:
		return strcmp(s->id, name) == 0;
	case KILL_ALL:
		return true;
	case KILL_IDENTITY:
		break;
	}
	for (size_t i = 0; p != NULL && i < policy_nidentities(p); i++) {
		if (s->identity[i] &&
		    strcmp(policy_identity_name(p, i), name) == 0)
			return true;
	}
	return false;
}

size_t
session_kill_all(enum kill_what what, const char *name, size_t *operations)
{
	struct session *s, *next;
	size_t n = 0;

	*operations = 0;
	for (s = session_table.sessions; s != NULL; s = next) {
		next = s->next;
		if (s->ending || !is_of(s, what, name))
			continue;
		n++;
		*operations += operation_kill(s);
		session_kill(s);
	}
	return n;
}

void
session_kill_adopted(void)
{
	struct session *s, *next;

	for (s = session_table.sessions; s != NULL; s = next) {
		next = s->next;
		if (s->ending || !s->killed)
			continue;
		(void)operation_kill(s);
		session_kill(s);
	}
}
