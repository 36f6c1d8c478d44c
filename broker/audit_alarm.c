/*
 * A death that posternd has seen, on its way into the ledger.  Runs in audit.
 * The parent is root's: it is read strictly, and believed.
 */
#include "config.h"

#include "broker/audit.h"

#include "broker/peer.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

int
alarm_write(const char *process, const char *reason, bool last_words)
{
	struct ledger_line line;
	struct buf ev;
	int r;

	buf_init(&ev, 1024);
	if ((r = event_start(&ev, EVENT_ALARM)) == 0 &&
	    (r = event_str(&ev, EV_PROCESS, process)) == 0 &&
	    (r = event_str(&ev, EV_REASON, reason)) == 0)
		r = audit_write(&ev, last_words, &line, NULL);
	buf_clear(&ev);
	return r;
}

int
alarm_take(struct peer *parent, struct msg *m)
{
	char process[PROTO_ALARM_MAX + 1], reason[PROTO_ALARM_MAX + 1];
	struct msg a;
	int done, r;

	if (m->type == MSG_ANCHOR_DONE)
		return anchor_done(m);
	if (m->type != MSG_ALARM)
		return ERR_PROTO;
	if ((r = buf_get_fixed(&m->body, process, sizeof(process))) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	/* Not said in the log: the parent comes again each second. */
	done = alarm_write(process, reason, false);
	msg_init(&a, MSG_ALARM_DONE);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, (uint32_t)-done)) == 0)
		r = peer_send(parent, &a);
	msg_clear(&a);
	return r;
}
