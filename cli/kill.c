/*
 * postern kill, lock and unlock: an admin stops what runs, or what would begin.
 * policy does it; here it is asked, and said how it went.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

#define ASK_MS 30000 /* audit may have much to write before */
#define TEXT_MAX (4 * PROTO_KEEP_KEY_MAX + 8 * 1024)

/* Exit codes of enum admin_result. */
static const int codes[] = { [ADMIN_DONE] = 0,
	[ADMIN_NOTHING] = CLI_EX_FAILED,
	[ADMIN_UNWRITTEN] = POSTERN_EX_IOERR,
	[ADMIN_REFUSED] = POSTERN_EX_IOERR,
	[ADMIN_DENIED] = POSTERN_EX_DENIED };
static const char *const names[] = { [ADMIN_DONE] = "done",
	[ADMIN_NOTHING] = "nothing",
	[ADMIN_UNWRITTEN] = "unwritten",
	[ADMIN_REFUSED] = "refused",
	[ADMIN_DENIED] = "denied" };
#define NRESULT (sizeof(codes) / sizeof(codes[0]))

struct killed {
	uint32_t result, sessions, operations;
	char why[512];
};

struct locked {
	uint32_t result;
	uint8_t on;
	char who[64], reason[PROTO_REASON_MAX + 1], why[512];
	uint64_t since;
};

static void
print_object(struct buf *text, int r)
{
	if (r == 0 && buf_cstr(text) != NULL)
		(void)puts(buf_cstr(text));
}

/* -- kill ------------------------------------------------------------------ */

static int
kill_ask(enum kill_what what, const char *name, struct killed *k)
{
	struct buf body;
	struct msg a;
	int r;

	buf_init(&body, 256);
	if ((r = buf_put_u8(&body, (uint8_t)what)) != 0 ||
	    (r = buf_put_cstr(&body, name)) != 0) {
		buf_clear(&body);
		return cli_ask_failed(r);
	}
	r = cli_ask_with(MSG_KILL, &body, MSG_KILLED, ASK_MS, &a);
	buf_clear(&body);
	if (r != 0)
		return r;
	if ((r = buf_get_u32(&a.body, &k->result)) != 0 ||
	    (r = buf_get_u32(&a.body, &k->sessions)) != 0 ||
	    (r = buf_get_u32(&a.body, &k->operations)) != 0 ||
	    (r = buf_get_fixed(&a.body, k->why, sizeof(k->why))) != 0 ||
	    (r = msg_end(&a)) != 0 || k->result >= NRESULT)
		r = cli_ask_failed(r == 0 ? ERR_PROTO : r);
	msg_clear(&a);
	return r;
}

static void
kill_print(const struct killed *k, bool json)
{
	struct buf text;
	struct json j;

	if (!json) {
		if (k->result == ADMIN_DONE || k->result == ADMIN_UNWRITTEN)
			(void)printf("%u session%s ended, %u operation%s told "
				     "to end\n",
			    k->sessions, k->sessions == 1 ? "" : "s",
			    k->operations, k->operations == 1 ? "" : "s");
		if (k->why[0] != '\0')
			cli_error("%s", k->why);
		return;
	}
	buf_init(&text, TEXT_MAX);
	json_init(&j, &text);
	json_open(&j, '{');
	json_kv_str(&j, "result", names[k->result]);
	json_kv_num(&j, "sessions", k->sessions);
	json_kv_num(&j, "operations", k->operations);
	json_kv_str(&j, "reason", k->why);
	json_close(&j, '}');
	print_object(&text, json_end(&j));
	buf_clear(&text);
}

int
cli_kill(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "identity", required_argument, NULL, 'i' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	enum kill_what what = KILL_SESSION;
	const char *name = NULL;
	struct killed k = { 0 };
	bool json = false;
	int c, n = 0, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j') {
			json = true;
			continue;
		}
		if (c != 'a' && c != 'i')
			return cli_usage();
		what = c == 'a' ? KILL_ALL : KILL_IDENTITY;
		name = c == 'a' ? "" : optarg;
		n++;
	}
	if (optind < argc) {
		name = argv[optind++];
		n++;
	}
	if (n != 1 || optind != argc)
		return cli_usage();
	if (what != KILL_ALL &&
	    (*name == '\0' || strlen(name) > NAME_LEN_MAX)) {
		cli_error(what == KILL_SESSION
			      ? "a session has an id of %d characters; see "
				"`postern sessions'"
			      : "an identity has a name of up to %d characters",
		    what == KILL_SESSION ? PROTO_ID_LEN : NAME_LEN_MAX);
		return POSTERN_EX_USAGE;
	}
	if ((r = kill_ask(what, name, &k)) != 0)
		return r;
	kill_print(&k, json);
	return codes[k.result];
}

/* -- lock ------------------------------------------------------------------ */

static int
lock_ask(bool on, const char *reason, struct locked *l)
{
	struct buf body;
	struct msg a;
	int r;

	buf_init(&body, 2 * PROTO_REASON_MAX);
	if ((r = buf_put_u8(&body, on)) != 0 ||
	    (r = buf_put_cstr(&body, reason)) != 0) {
		buf_clear(&body);
		return cli_ask_failed(r);
	}
	r = cli_ask_with(MSG_LOCK, &body, MSG_LOCKED, ASK_MS, &a);
	buf_clear(&body);
	if (r != 0)
		return r;
	if ((r = buf_get_u32(&a.body, &l->result)) != 0 ||
	    (r = buf_get_u8(&a.body, &l->on)) != 0 ||
	    (r = buf_get_fixed(&a.body, l->who, sizeof(l->who))) != 0 ||
	    (r = buf_get_u64(&a.body, &l->since)) != 0 ||
	    (r = buf_get_fixed(&a.body, l->reason, sizeof(l->reason))) != 0 ||
	    (r = buf_get_fixed(&a.body, l->why, sizeof(l->why))) != 0 ||
	    (r = msg_end(&a)) != 0 || l->result >= NRESULT)
		r = cli_ask_failed(r == 0 ? ERR_PROTO : r);
	msg_clear(&a);
	return r;
}

static void
lock_print_json(const struct locked *l)
{
	struct buf text;
	struct json j;

	buf_init(&text, TEXT_MAX);
	json_init(&j, &text);
	json_open(&j, '{');
	json_kv_str(&j, "result", names[l->result]);
	json_kv_bool(&j, "locked", l->on != 0);
	json_kv_str(&j, "who", l->who);
	json_kv_num(&j, "since", l->since);
	json_kv_str(&j, "lock_reason", l->reason);
	json_kv_str(&j, "reason", l->why);
	json_close(&j, '}');
	print_object(&text, json_end(&j));
	buf_clear(&text);
}

static void
lock_print(const struct locked *l)
{
	if (l->result == ADMIN_DONE || l->result == ADMIN_UNWRITTEN)
		(void)puts(l->on ? "locked: nothing new begins until `postern "
				   "unlock'; what runs goes on, `postern kill "
				   "--all' ends it"
				 : "unlocked: operations may begin again");
	if (l->why[0] != '\0')
		cli_error("%s", l->why);
}

/* Text that jobs will read: one line of plain words. */
static bool
is_plain(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s), k;
	uint32_t cp;

	for (; n > 0; p += k, n -= k) {
		k = utf8_next(p, n, &cp);
		if (k == 0 || utf8_is_control(cp) || utf8_is_hidden(cp))
			return false;
	}
	return true;
}

static int
lock_run(int argc, char **argv, bool on)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "reason", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	const char *reason = "";
	struct locked l = { 0 };
	bool json = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 'r' && on)
			reason = optarg;
		else
			return cli_usage();
	}
	if (optind != argc)
		return cli_usage();
	if (strlen(reason) > PROTO_REASON_MAX || !is_plain(reason)) {
		cli_error("jobs are shown the reason: one line of at most %d "
			  "bytes, without control characters",
		    PROTO_REASON_MAX);
		return POSTERN_EX_USAGE;
	}
	if ((r = lock_ask(on, reason, &l)) != 0)
		return r;
	if (json)
		lock_print_json(&l);
	else
		lock_print(&l);
	return codes[l.result];
}

int
cli_lock(int argc, char **argv)
{
	return lock_run(argc, argv, true);
}

int
cli_unlock(int argc, char **argv)
{
	return lock_run(argc, argv, false);
}
