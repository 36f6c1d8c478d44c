/*
 * ALARM from posternd to audit.  Runs in posternd; its only input is audit's
 * answer, a number.
 */
#include "config.h"

#include "broker/alarm.h"

#include <sys/wait.h>

#include <stdio.h>

#include "broker/agent_trouble.h"
#include "broker/peer.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"

void
alarm_note(struct alarm *a, int status)
{
	if (a->n < UINT32_MAX)
		a->n++;
	a->status = status;
}

static void
alarm_reason(const struct alarm *a, char *text, size_t size)
{
	char times[48] = "", how[32] = "";

	if (a->what != NULL) {
		(void)snprintf(text, size, "%s: %s", a->what,
		    agent_trouble_text((enum agent_trouble)a->status));
		return;
	}
	if (a->n > 1)
		(void)snprintf(
		    times, sizeof(times), " %u times, the last time", a->n);
	if (a->status != -1)
		(void)snprintf(how, sizeof(how), " (%s %d)",
		    WIFSIGNALED(a->status) ? "signal" : "exit code",
		    WIFSIGNALED(a->status) ? WTERMSIG(a->status)
					   : WEXITSTATUS(a->status));
	(void)snprintf(text, size, "died%s%s; started again", times, how);
}

int
alarm_tell(struct alarm *a, const char *process, struct peer *audit)
{
	char reason[PROTO_ALARM_MAX + 1];
	struct msg m;
	int r;

	if (a->n == 0 || a->id != 0 || audit == NULL)
		return 0;
	alarm_reason(a, reason, sizeof(reason));
	msg_init(&m, MSG_ALARM);
	m.id = peer_next_id(audit);
	if ((r = buf_put_cstr(&m.body, process)) == 0 &&
	    (r = buf_put_cstr(&m.body, reason)) == 0 &&
	    (r = peer_send(audit, &m)) == 0) {
		a->id = m.id;
		a->told = a->n;
	}
	msg_clear(&m);
	return r;
}

void
alarm_told(struct alarm *a, uint32_t id, uint32_t result)
{
	if (a->id == 0 || a->id != id)
		return;
	if (result == 0)
		a->n -= a->told;
	alarm_untold(a);
}

void
alarm_untold(struct alarm *a)
{
	a->told = a->id = 0;
}

int
alarm_put(struct buf *b, const struct alarm *a)
{
	int r;

	if ((r = buf_put_u32(b, a->n)) != 0)
		return r;
	return buf_put_u32(b, (uint32_t)a->status);
}

int
alarm_get(struct buf *b, struct alarm *a)
{
	uint32_t n, status;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0 || (r = buf_get_u32(b, &status)) != 0)
		return r;
	*a = (struct alarm){ .n = n, .status = (int)status };
	return 0;
}
