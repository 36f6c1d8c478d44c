/*
 * Anchors of postern-audit: the signed checkpoint goes where this host's root
 * of tomorrow cannot reach it, as a line of the log and by the administrator's
 * command.  Audit may start nothing: posternd runs the command, and its answer
 * is the one input here.  Nothing waits for an anchor; that none gets through
 * is an alarm.
 */
#include "config.h"

#include "broker/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/utc.h"
#include "broker/child.h"
#include "broker/peer.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define ANSWER_MS 30000   /* posternd's, beyond what the command may take */
#define RETRY_MS 60000    /* of one that failed, at most */
#define OVERDUE_MS 120000 /* beyond the interval: something is wrong */

static struct {
	int64_t logged; /* when; and how far the log has it */
	uint64_t logged_size;
	/* the command */
	uint32_t id; /* of what posternd was asked, 0: nothing */
	int64_t asked;
	uint64_t asked_size;
	int64_t tried;
	uint64_t done_size, done_s; /* how far it got through, and when */
	int64_t behind;             /* since when more was signed than that */
	bool failed;                /* the last try */
	bool said, tell, again;     /* in the log; to be in the ledger */
	char trouble[256];
} env;

/* -- the log --------------------------------------------------------------- */

/* A checkpoint on one line: `anchor ORIGIN SIZE ROOT SIGNATURE`. */
static void
log_anchor(const struct buf *note, uint64_t size)
{
	char line[NOTE_MAX];
	const char *p = (const char *)buf_ptr(note);
	size_t n = buf_len(note), skip;
	char *s = line;

	/* origin \n size \n root \n \n dash origin signature \n */
	for (size_t i = 0; i < n && i < sizeof(line) - 1; i++)
		*s++ = p[i] == '\n' ? ' ' : p[i];
	while (s > line && s[-1] == ' ')
		s--;
	*s = '\0';
	/* of the signature's line its last word */
	p = strrchr(line, ' ');
	s = strstr(line, "  ");
	if (p == NULL || s == NULL)
		return;
	skip = strlen(p);
	memmove(s, p, skip + 1);
	log_info("anchor %s", line);
	env.logged = msg_now_ms();
	env.logged_size = size;
}

/* -- that none gets through ------------------------------------------------ */

static void
anchor_tell(void)
{
	if (env.tell && alarm_write("audit", env.trouble, true) == 0)
		env.tell = false;
	if (env.again &&
	    alarm_write("audit", "the ledger is anchored again", true) == 0)
		env.again = false;
}

/* Said once, until one gets through. */
static void
anchor_trouble(const char *why)
{
	env.failed = true;
	if (env.said)
		return;
	(void)snprintf(env.trouble, sizeof(env.trouble),
	    "the ledger is not anchored any more: %s", why);
	log_err(0,
	    "ALARM: %s; it is tried again, and until it works nobody "
	    "elsewhere knows what the ledger says from here on",
	    env.trouble);
	env.said = env.tell = true;
	env.again = false;
	anchor_tell();
}

static void
anchor_well(void)
{
	env.failed = false;
	env.done_size = env.asked_size;
	env.done_s = utc_now_ms() / 1000;
	if (!env.said)
		return;
	log_info("the ledger is anchored again");
	env.said = false;
	env.again = !env.tell;
	env.tell = false;
	anchor_tell();
}

/* -- the command ----------------------------------------------------------- */

static int
anchor_ask(const struct buf *note)
{
	struct peer *parent = child_parent();
	struct msg m;
	int r;

	if (parent == NULL)
		return ERR_NOTFOUND; /* and so all of this ends */
	msg_init(&m, MSG_ANCHOR);
	m.id = peer_next_id(parent);
	if ((r = buf_put_str(&m.body, buf_ptr(note), buf_len(note))) == 0 &&
	    (r = peer_send(parent, &m)) == 0)
		env.id = m.id;
	msg_clear(&m);
	return r;
}

/* So long after the last try. */
static int64_t
anchor_pause(void)
{
	int64_t every = (int64_t)audit_conf()->anchor_interval_s * 1000;

	return env.failed && every > RETRY_MS ? RETRY_MS : every;
}

static void
command_due(const struct buf *note, uint64_t size, int64_t now)
{
	int64_t bound =
	    (int64_t)audit_conf()->anchor_timeout_s * 1000 + ANSWER_MS;
	int r;

	if (env.id != 0 && now - env.asked < bound)
		return;
	if (env.id != 0)
		anchor_trouble("posternd does not say how the command ended");
	env.id = 0;
	if (env.tried != 0 && now - env.tried < anchor_pause())
		return;
	env.asked = env.tried = now;
	env.asked_size = size;
	if ((r = anchor_ask(note)) != 0 && r != ERR_NOTFOUND)
		anchor_trouble(err_text(r));
}

int
anchor_done(struct msg *m)
{
	char why[PROTO_ALARM_MAX + 1];
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_fixed(&m->body, why, sizeof(why))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (env.id == 0 || m->id != env.id)
		return 0; /* what the audit before this one asked */
	env.id = 0;
	if (result == 0)
		anchor_well();
	else
		anchor_trouble(log_safe(why));
	return 0;
}

/* -- when ------------------------------------------------------------------ */

/* Whatever the reason is: nothing signed, nothing answered. */
static void
overdue(int64_t now)
{
	int64_t every = (int64_t)audit_conf()->anchor_interval_s * 1000;
	char why[96];

	if (env.said || env.behind == 0 ||
	    now - env.behind < 2 * every + OVERDUE_MS)
		return;
	(void)snprintf(why, sizeof(why),
	    "no checkpoint has left this host for %" PRId64 " s",
	    (now - env.behind) / 1000);
	anchor_trouble(why);
}

void
anchor_due(const struct buf *note, uint64_t size)
{
	int64_t now = msg_now_ms();
	int64_t every = (int64_t)audit_conf()->anchor_interval_s * 1000;

	if (note != NULL && size != env.logged_size &&
	    (env.logged == 0 || now - env.logged >= every))
		log_anchor(note, size);
	if (audit_conf()->anchor_command == NULL)
		return;
	anchor_tell();
	if (note != NULL && size == env.done_size) {
		env.behind = 0;
		return;
	}
	if (env.behind == 0)
		env.behind = now;
	if (note != NULL)
		command_due(note, size, now);
	overdue(now);
}

void
anchor_state(struct json *j, uint64_t size)
{
	uint64_t now = utc_now_ms() / 1000;

	json_kv_bool(j, "anchor_command", audit_conf()->anchor_command != NULL);
	if (audit_conf()->anchor_command == NULL)
		return;
	json_kv_bool(j, "anchor_failing", env.said);
	if (env.said)
		json_kv_str(j, "anchor_trouble", env.trouble);
	if (env.done_s == 0)
		return; /* none since this process began */
	json_kv_num(j, "anchor_age_s", now > env.done_s ? now - env.done_s : 0);
	json_kv_num(j, "anchor_behind_lines",
	    size > env.done_size ? size - env.done_size : 0);
}
