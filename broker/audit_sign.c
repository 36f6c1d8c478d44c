/*
 * How the ledger of postern-audit is signed.  Lines are on the disk before
 * anything follows from them; here they go into the tree one by one, and a
 * checkpoint signs them in groups.  Its only input is audit's own files, which
 * somebody may have changed while it was away.
 *
 * Nothing waits for a signature: where it cannot be given, that is an alarm,
 * and what is not signed yet is taken up when it can be again.
 */
#include "config.h"

#include "broker/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/tlog.h"
#include "audit/utc.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/msg.h"

#define SIGN_MS 1000 /* a line is signed so long after it was written */
#define SIGN_RETRY_MS 10000

static struct {
	struct tlog log;
	struct timer *timer;
	bool said;  /* its trouble is in the log */
	bool tell;  /* and is to be in the ledger */
	bool again; /* it signs again, and the ledger is to say so */
	char trouble[256];
	int64_t tried;
} env = { .log.dir = -1, .tried = -SIGN_RETRY_MS };

static void on_sign(void *arg);

static void
sign_later(int64_t ms)
{
	if (env.timer == NULL &&
	    (env.timer = loop_timer(child_loop(), ms, on_sign, NULL)) == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* Said once for each trouble: in the log here, in the ledger by on_sign. */
static void
sign_trouble(int r, const char *why)
{
	const char *text = *why != '\0' ? why : err_text(r);

	tlog_close(&env.log);
	if (env.said)
		return;
	(void)snprintf(env.trouble, sizeof(env.trouble),
	    "the ledger is not signed any more: %s", text);
	log_err(0, "ALARM: %s; postern verify says more%s", env.trouble,
	    r == ERR_DENIED ? "; put a good copy in its place, or move all of "
			      "it away to begin another"
			    : "; it is tried again");
	env.said = env.tell = true;
	env.again = false;
	sign_later(0);
}

static void
sign_well(void)
{
	if (env.log.made_anew)
		log_err(0, "ALARM: the ledger's checkpoint was gone, and is "
			   "made anew from its lines: compare it with one "
			   "that was kept elsewhere");
	if (env.log.repaired)
		log_info("the ledger's tiles were damaged or missing, and are "
			 "made anew from its lines");
	if (!env.said)
		return;
	log_info("the ledger is signed again");
	env.said = false;
	env.again = !env.tell;
	env.tell = false;
	sign_later(0);
}

void
sign_open(const struct ledger *l)
{
	const char *why = "";
	int r;

	tlog_close(&env.log);
	env.tried = msg_now_ms();
	if ((r = tlog_open(&env.log, l->dir, l, &why)) != 0 ||
	    (r = tlog_checkpoint(&env.log)) != 0)
		sign_trouble(r, why);
	else
		sign_well();
}

void
sign_key(char key[NOTE_KEY_MAX])
{
	key[0] = '\0';
	if (env.log.dir != -1)
		note_key_text(&env.log.signer.key, key);
}

void
sign_line(const struct ledger_line *line)
{
	int r;

	if (env.log.dir == -1)
		return;
	if ((r = tlog_line(&env.log, &line->sha256)) != 0)
		sign_trouble(r, "");
	else
		sign_later(SIGN_MS);
}

/* -- another key ---------------------------------------------------------- */

/* The old key signs all that is here and the new key's name, the ledger gets
 * both, and the old key is no more: who has this host's key tomorrow cannot
 * write another past for it. */
static int
rotate(void)
{
	char key[NOTE_KEY_MAX];
	struct ledger_line line;
	struct buf ev, note;
	int r;

	buf_init(&ev, LEDGER_EVENT_MAX);
	buf_init(&note, NOTE_MAX);
	if ((r = tlog_rotate_begin(&env.log, key, &note)) != 0 ||
	    (r = event_start(&ev, EVENT_LEDGER_KEY)) != 0 ||
	    (r = event_str(&ev, EV_KEY, key)) != 0 ||
	    (r = event_str(&ev, EV_CHECKPOINT, buf_cstr(&note))) != 0) {
		tlog_rotate_drop(&env.log);
		goto out;
	}
	/* Where this fails the line may be there all the same: what opening the
	 * tree again finds in the ledger decides. */
	if ((r = audit_write(&ev, false, &line, NULL)) == 0 &&
	    (r = tlog_rotate_end(&env.log)) == 0 &&
	    (r = tlog_checkpoint(&env.log)) == 0)
		log_info("the ledger is signed by another key from line "
			 "%" PRIu64 " on: %s",
		    line.number, key);
out:
	buf_clear(&ev);
	buf_clear(&note);
	return r;
}

static void
rotate_due(void)
{
	uint64_t now = utc_now_ms() / 1000;
	int r;

	if (env.log.dir == -1 || audit_ledger() == NULL ||
	    now < env.log.key_time ||
	    now - env.log.key_time < audit_conf()->ledger_key_lifetime_s)
		return;
	if ((r = rotate()) != 0)
		sign_trouble(r, "");
}

/* -- when ----------------------------------------------------------------- */

static void
on_sign(void *arg)
{
	int r;

	(void)arg;
	env.timer = NULL;
	if (env.tell && alarm_write("audit", env.trouble, true) == 0)
		env.tell = false;
	if (env.again &&
	    alarm_write("audit", "the ledger is signed again", true) == 0)
		env.again = false;
	if (env.log.dir == -1)
		return;
	if ((r = tlog_checkpoint(&env.log)) != 0) {
		sign_trouble(r, "");
		return;
	}
	anchor_due(&env.log.note, env.log.signed_size);
	rotate_due();
}

void
sign_tidy(void)
{
	const struct ledger *l = audit_ledger();

	if (l != NULL && env.log.dir == -1 &&
	    msg_now_ms() - env.tried >= SIGN_RETRY_MS)
		sign_open(l);
	if (env.tell || env.again)
		sign_later(0);
	if (env.log.dir != -1 && env.log.signed_size != TLOG_UNSIGNED)
		anchor_due(&env.log.note, env.log.signed_size);
	else
		anchor_due(NULL, 0);
	rotate_due();
}

void
sign_close(void)
{
	if (env.log.dir != -1 && tlog_checkpoint(&env.log) == 0)
		anchor_due(&env.log.note, env.log.signed_size);
	tlog_close(&env.log);
}

int
sign_state(struct buf *row)
{
	const struct ledger *l = audit_ledger();
	bool good = env.log.dir != -1 && env.log.signed_size != TLOG_UNSIGNED;
	uint64_t size = good ? env.log.signed_size : 0;
	struct json j;

	json_init(&j, row);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "anchor");
	json_kv_num(&j, "ledger_lines", l == NULL ? 0 : l->next - 1);
	json_kv_bool(&j, "ledger_signing", good);
	json_kv_num(&j, "ledger_signed_lines", size);
	anchor_state(&j, size);
	json_close(&j, '}');
	return json_end(&j);
}
