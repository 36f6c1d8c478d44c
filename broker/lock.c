/*
 * The lock, in the policy process.  What an admin says is passed on to jobs: it
 * came through ctl.sock, and is text without control characters.  What comes
 * back from audit can only lock, never unlock, so it needs no MAC: one that
 * cannot be read locks as well.
 */
#include "config.h"

#include "broker/lock.h"

#include <string.h>
#include <time.h>

#include "broker/takeover.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/str.h"

#define LOCK_VERSION 1
#define LOCK_KEEP_S (10LL * 365 * 86400) /* until it is taken off */
#define LOCK_ROW_MAX 1024

static struct lock env;

const struct lock *
lock_now(void)
{
	return &env;
}

void
lock_say(struct buf *text)
{
	struct tm tm;
	time_t t = (time_t)env.since;
	char when[32] = "";

	if (env.since != 0 && gmtime_r(&t, &tm) != NULL)
		(void)strftime(
		    when, sizeof(when), " since %Y-%m-%dT%H:%M:%SZ", &tm);
	(void)buf_putf(text,
	    "postern: this bastion is locked%s by its admin: nothing new is "
	    "run\npostern: reason: %s\n",
	    when,
	    env.reason[0] == '\0' ? "none was given" : log_safe(env.reason));
}

int
lock_set(const struct lock *l, policy_done_cb done, void *arg)
{
	uint32_t turn = env.turn + 1;
	struct buf b;
	int r;

	env = *l;
	env.on = true;
	env.turn = turn;
	buf_init(&b, LOCK_ROW_MAX);
	if ((r = buf_put_u8(&b, LOCK_VERSION)) == 0 &&
	    (r = buf_put_cstr(&b, env.who)) == 0 &&
	    (r = buf_put_u64(&b, env.since)) == 0 &&
	    (r = buf_put_cstr(&b, env.reason)) == 0)
		r = takeover_keep_denial(
		    '5', "lock", LOCK_KEEP_S, &b, done, arg);
	buf_clear(&b);
	return r;
}

void
lock_clear(void)
{
	env = (struct lock){ .turn = env.turn };
	takeover_forget_denial('5', "lock");
}

void
lock_adopt(struct buf *row)
{
	struct lock l = { 0 };
	uint8_t version;

	if (buf_get_u8(row, &version) != 0 || version != LOCK_VERSION ||
	    buf_get_fixed(row, l.who, sizeof(l.who)) != 0 ||
	    buf_get_u64(row, &l.since) != 0 ||
	    buf_get_fixed(row, l.reason, sizeof(l.reason)) != 0 ||
	    buf_end(row) != 0 || !utf8_valid(l.reason, strlen(l.reason)))
		l = (struct lock){ .reason = "what was kept of it cannot be "
					     "read; ask the bastion's admin" };
	l.on = true;
	env = l;
}
