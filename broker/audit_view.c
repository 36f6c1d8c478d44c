/*
 * Lines that say who looked, and that the ledger could not take at that moment.
 * Runs in audit.  An admin must see what runs when the disk is full: he is
 * answered, the log says so at once, and the line follows when there is room.
 * Its input is what audit itself has made of the question.
 */
#include "config.h"

#include "broker/audit.h"

#include <string.h>

#include "audit/utc.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"

#define OWED_MAX 64 /* lines; then even an admin waits for the ledger */
#define OWED_LINE_MAX 4096

static struct {
	struct buf line[OWED_MAX];
	size_t n;
} env;

int
view_owe(const struct buf *event, const struct buf *why)
{
	char utc[UTC_LEN + 1], viewer[64] = "";
	struct buf text, *b;
	int r;

	if (env.n == OWED_MAX)
		return ERR_TOOBIG;
	b = &env.line[env.n];
	buf_init(b, OWED_LINE_MAX);
	buf_init(&text, 1024);
	utc_format(utc_now_ms(), utc);
	(void)ledger_field(event, EV_VIEWER, viewer, sizeof(viewer));
	if ((r = buf_putf(&text,
		 "shown at %s, when it could not be written: ", utc)) == 0 &&
	    (r = buf_put(&text, buf_ptr(why), buf_len(why))) == 0 &&
	    (r = buf_put(b, buf_ptr(event), buf_len(event))) == 0)
		r = event_str(b, EV_REASON, buf_cstr(&text));
	if (r == 0)
		log_err(0,
		    "ALARM: %s looks, and that has no line in the ledger yet; "
		    "%s",
		    log_safe(viewer), buf_cstr(&text));
	if (r == 0)
		env.n++;
	else
		buf_clear(b);
	buf_clear(&text);
	return r;
}

void
view_tidy(void)
{
	struct ledger_line line;
	size_t done = 0;

	while (done < env.n &&
	       audit_write(&env.line[done], false, &line, NULL) == 0)
		buf_clear(&env.line[done++]);
	if (done == 0)
		return;
	env.n -= done;
	memmove(env.line, env.line + done, env.n * sizeof(env.line[0]));
	log_info("%zu lines about who looked are in the ledger now", done);
}
