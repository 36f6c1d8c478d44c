/*
 * postern-audit: the process that holds recordings, ledger and index.  It
 * takes events from policy and oidc, which it believes as far as the event
 * vocabulary goes; what hops wrote it reads with bounds (audit/record_facts.c).
 *
 * When the ledger cannot be opened or written the process stays up and refuses
 * with the reason: nothing begins, and what runs can still be closed later.
 */
#include "config.h"

#include "broker/audit.h"

#include <sys/statvfs.h>

#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/store.h"
#include "audit/utc.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/sandbox.h"

#define AUDIT_RETRY_MS 1000 /* a ledger that cannot be opened */
#define AUDIT_AWAIT_MS 2000
#define AUDIT_AWAIT_STEP_MS 10
#define AUDIT_TIDY_MS 10000
/* Answers that a sibling has not taken: from the first number on it is asked
 * nothing more, and the rest is for what it had asked already when it was
 * replaced (on_link), which is what a socket holds. */
#define ANSWERS_HOLD 128
#define ANSWERS_MAX 1024

static struct {
	const struct conf *conf;
	int recordings, ledger_dir, store_dir; /* folders */
	struct peer *policy, *oidc;
	struct peer *policy_before, *oidc_before; /* of a sibling that went */
	bool oidc_speaks;
	struct ledger ledger;
	int64_t ledger_tried;
	int ledger_r, ledger_errno; /* why it is not open */
	bool ledger_old;            /* it had lines before we opened it */
	bool ledger_said;           /* its trouble is in the log */
	struct store *store;
	bool store_behind;
	bool store_said; /* its trouble is in the log */
	struct timer *tidy;
} env = {
	.recordings = -1,
	.ledger_dir = -1,
	.store_dir = -1,
	.ledger.fd = -1,
	.ledger_tried = -AUDIT_RETRY_MS,
};

int
audit_recordings(void)
{
	return env.recordings;
}

int
audit_store_folder(void)
{
	return env.store_dir;
}

bool
audit_is_oidc(void)
{
	return env.oidc_speaks;
}

const struct conf *
audit_conf(void)
{
	return env.conf;
}

/* -- the index ----------------------------------------------------------- */

static void
store_trouble(int r, const char *what)
{
	env.store_behind = true;
	if (!env.store_said)
		log_err(r, "index: %s; it follows when it can", what);
	env.store_said = true;
}

/* A line of the ledger that the index does not have yet. */
static int
store_follow_line(void *arg, const char *line, size_t n, uint64_t end)
{
	uint64_t number, time_ms;
	struct buf event;
	int r;

	(void)arg;
	buf_init(&event, LEDGER_EVENT_MAX);
	r = ledger_parse(line, n, &number, &time_ms, &event);
	if (r == 0)
		r = store_apply(env.store, number, time_ms, end, &event);
	else if (r == ERR_NOTFOUND)
		r = store_apply(env.store, number, time_ms, end, NULL);
	buf_clear(&event);
	return r;
}

static int
store_follow(void)
{
	uint64_t number = 0, end = 0;
	int r;

	if ((r = store_position(env.store, &number, &end)) != 0)
		return r;
	/* An index that is ahead belongs to another ledger, or to more of this
	 * one than there is now. */
	if (number >= env.ledger.next || end > env.ledger.size) {
		log_err(0,
		    "ALARM: the index knows %" PRIu64 " lines of the ledger, "
		    "and the ledger ends before: some of it is gone, or it "
		    "is another one",
		    number);
		if ((r = store_reset(env.store)) != 0)
			return r;
		end = 0;
	}
	r = ledger_scan(&env.ledger, end, store_follow_line, NULL);
	if (r != ERR_FORMAT)
		return r;
	/* Numbers that do not follow: from the first line again, once. */
	if ((r = store_reset(env.store)) != 0)
		return r;
	return ledger_scan(&env.ledger, 0, store_follow_line, NULL);
}

/* It is there, and behind. */
static int
store_ready(void)
{
	uint64_t number = 0, end = 0;
	char path[64];
	int r;

	(void)snprintf(
	    path, sizeof(path), "/proc/self/fd/%d/postern.db", env.store_dir);
	if (env.store != NULL && store_damaged(env.store)) {
		store_free(env.store);
		env.store = NULL;
		store_remove(path);
	}
	if (env.store != NULL)
		return 0;
	if ((r = store_open(path, &env.store)) != 0)
		return r;
	env.store_behind = true;
	if (store_position(env.store, &number, &end) == 0 && number == 0 &&
	    env.ledger_old)
		log_info("index: it was damaged or missing, and is made anew "
			 "from the ledger");
	return 0;
}

struct store *
audit_store(void)
{
	int r;

	if (env.ledger.fd == -1)
		return NULL;
	if ((r = store_ready()) != 0) {
		store_trouble(r, "cannot be opened");
		return NULL;
	}
	if (env.store_behind) {
		r = store_follow();
		/* Found just now: from the ledger again, once. */
		if (r != 0 && store_damaged(env.store) &&
		    (r = store_ready()) == 0)
			r = store_follow();
		if (r != 0) {
			store_trouble(r, "cannot follow the ledger");
			return NULL;
		}
		env.store_behind = env.store_said = false;
	}
	return env.store;
}

struct store *
audit_store_as_it_is(void)
{
	struct store *s = audit_store();

	if (s == NULL && env.ledger.fd != -1 && env.store != NULL &&
	    !store_damaged(env.store))
		s = env.store;
	return s;
}

const struct ledger *
audit_ledger(void)
{
	return env.ledger.fd == -1 || env.ledger.broken ? NULL : &env.ledger;
}

bool
audit_ledger_is_old(void)
{
	return env.ledger_old;
}

static void
store_take(const struct ledger_line *line, const struct buf *event)
{
	int r;

	if (audit_store() == NULL)
		return;
	r = store_apply(
	    env.store, line->number, line->time_ms, line->end, event);
	/* ERR_FORMAT: audit_store has just taken this line from the file. */
	if (r != 0 && r != ERR_FORMAT)
		store_trouble(r, "a line was not taken");
}

/* -- the ledger ---------------------------------------------------------- */

static int
ledger_write_start(const struct ledger_repair *rep)
{
	struct ledger_line line;
	struct buf ev, why;
	int r;

	char key[NOTE_KEY_MAX];

	buf_init(&ev, 1024);
	buf_init(&why, 512);
	sign_key(key);
	if (rep->bytes > 0)
		(void)buf_putf(&why,
		    "the last line was cut off: its %" PRIu64
		    " bytes are in %s",
		    rep->bytes, rep->name);
	if ((r = event_start(&ev, EVENT_START)) != 0 ||
	    (r = event_str(&ev, EV_REASON, buf_cstr(&why))) != 0 ||
	    (r = event_str(&ev, EV_KEY, key)) != 0)
		goto out;
	if ((r = ledger_append(&env.ledger, &ev, utc_now_ms(), true, &line)) ==
	    0) {
		store_take(&line, &ev);
		sign_line(&line);
	}
	if (rep->bytes > 0)
		log_info("ledger: %s", buf_cstr(&why));
out:
	buf_clear(&ev);
	buf_clear(&why);
	return r;
}

/* Once for each trouble, with what to do about it. */
static void
ledger_say(int r)
{
	if (r == 0 && env.ledger_said)
		log_info("the ledger is open again");
	if (r != 0 && !env.ledger_said)
		log_err(r,
		    "ALARM: ledger/ledger.jsonl cannot be opened, and nothing "
		    "begins until it can; %s",
		    r == ERR_FORMAT ? "its last line is none of a ledger's: "
				      "put a good copy in its place, or move "
				      "it away to begin another"
				    : "it is tried again");
	env.ledger_said = r != 0;
}

/* The ledger, open; tried again at most once a second. */
static int
ledger_ready(void)
{
	struct ledger_repair rep;
	int64_t now = msg_now_ms();
	int r;

	if (env.ledger.broken)
		ledger_close(&env.ledger);
	if (env.ledger.fd >= 0)
		return 0;
	if (now - env.ledger_tried < AUDIT_RETRY_MS) {
		errno = env.ledger_errno;
		return env.ledger_r;
	}
	env.ledger_tried = now;
	if ((r = ledger_open(&env.ledger, env.ledger_dir, &rep)) == 0) {
		env.ledger_old = env.ledger.next > 1;
		env.store_behind = true;
		sign_open(&env.ledger);
		r = ledger_write_start(&rep);
		if (r != 0)
			ledger_close(&env.ledger);
	}
	env.ledger_r = r;
	env.ledger_errno = errno;
	ledger_say(r);
	return r;
}

static void
put_why(struct buf *why, const char *what, int r)
{
	int err = errno;

	if (why == NULL)
		return;
	buf_reset(why);
	errno = err;
	(void)buf_putf(why, "%s: %s", what, err_text(r));
	errno = err;
}

int
audit_write(const struct buf *event, bool last_words, struct ledger_line *line,
    struct buf *why)
{
	int r;

	if ((r = ledger_ready()) == 0 &&
	    (r = ledger_append(
		 &env.ledger, event, utc_now_ms(), last_words, line)) == 0) {
		store_take(line, event);
		sign_line(line);
		return 0;
	}
	put_why(why, "the ledger cannot be written", r);
	return r;
}

static int
check_floor(int dir, struct buf *why)
{
	struct statvfs st;
	uint64_t left;

	if (fstatvfs(dir, &st) == -1)
		return ERR_SYS;
	if (__builtin_mul_overflow(
		(uint64_t)st.f_bavail, (uint64_t)st.f_frsize, &left))
		left = UINT64_MAX;
	if (left >= env.conf->disk_reserve)
		return 0;
	buf_reset(why);
	(void)buf_putf(why,
	    "the recording cannot be written: %" PRIu64
	    " MiB are free on the disk, and %" PRIu64
	    " MiB are kept in reserve",
	    left >> 20, env.conf->disk_reserve >> 20);
	errno = ENOSPC;
	return ERR_SYS;
}

bool
audit_may_begin(struct buf *why)
{
	int r;

	if ((r = ledger_ready()) != 0) {
		put_why(why, "the ledger cannot be written", r);
		return false;
	}
	if (check_floor(env.recordings, why) != 0 ||
	    check_floor(env.ledger_dir, why) != 0) {
		if (buf_len(why) == 0)
			put_why(
			    why, "the recording cannot be written", ERR_SYS);
		return false;
	}
	if (!ledger_reserve(&env.ledger)) {
		put_why(why,
		    "the recording cannot be written: no reserve for "
		    "its end",
		    ERR_SYS);
		return false;
	}
	return true;
}

/* -- messages ------------------------------------------------------------ */

/* Not what only audit itself may say; and oidc speaks of refusals alone. */
static bool
sibling_may_say(const struct buf *event)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;

	buf_view(&b, buf_ptr(event), buf_len(event));
	if (event_get_kind(&b, &kind) != 0 || kind == EVENT_START ||
	    kind == EVENT_OP_END || kind == EVENT_VIEW || kind == EVENT_ALARM ||
	    kind == EVENT_RETENTION || kind == EVENT_HOLD_ADD ||
	    kind == EVENT_HOLD_REMOVE || kind == EVENT_LEDGER_KEY ||
	    (env.oidc_speaks && kind != EVENT_LOGIN_REFUSED))
		return false;
	while (buf_len(&b) > 0) {
		if (event_get(&b, &v) != 0 ||
		    (v.field >= EV_EXIT && v.field != EV_DIRECTION &&
			v.field < EV_SHELL))
			return false;
	}
	return true;
}

/* A session's open or close that has its line: policy asks again when audit
 * died between the line and the answer. */
static bool
has_its_line(const struct buf *event)
{
	char session[STORE_ID_MAX];
	struct store *s;
	uint32_t kind;

	return ledger_kind(event, &kind) == 0 &&
	       (kind == EVENT_SESSION_OPEN || kind == EVENT_SESSION_CLOSE) &&
	       ledger_field(event, EV_SESSION, session, sizeof(session)) == 0 &&
	       (s = audit_store()) != NULL &&
	       store_session_has(s, session, kind == EVENT_SESSION_CLOSE);
}

static int
on_event(struct peer *p, struct msg *m)
{
	struct ledger_line line = { 0 };
	struct msg a;
	int done, r;

	if (!sibling_may_say(&m->body))
		done = ERR_DENIED;
	else if (has_its_line(&m->body))
		done = 0;
	else if (ops_is_decision(&m->body))
		done = ops_decided(p, &m->body, &line);
	else
		done = audit_write(&m->body, false, &line, NULL);
	if (done != 0)
		log_err(done, "an event is not in the ledger");
	msg_init(&a, MSG_EVENT_DONE);
	a.id = m->id;
	if ((r = buf_put_u32(&a.body, (uint32_t)-done)) == 0 &&
	    (r = buf_put_u64(&a.body, line.number)) == 0)
		r = peer_send(p, &a);
	msg_clear(&a);
	return r;
}

static int
on_msg(void *arg, struct peer *p, struct msg *m)
{
	struct peer **link = arg;

	/* What the one before said last comes before what this one asks. */
	if (link == &env.policy && env.policy_before != NULL)
		peer_drain(env.policy_before);
	if (link == &env.oidc && env.oidc_before != NULL)
		peer_drain(env.oidc_before);
	env.oidc_speaks = link == &env.oidc || link == &env.oidc_before;
	switch (m->type) {
	case MSG_EVENT:
		return on_event(p, m);
	case MSG_OP_OPEN:
		return ops_open(p, m);
	case MSG_OP_STARTED:
		return ops_started(m);
	case MSG_OP_ABORT:
		return ops_abort(m);
	case MSG_KEEP:
		return kept_put(p, m);
	case MSG_FORGET:
		return kept_forget(m);
	case MSG_RECALL:
		return kept_recall(p, m);
	case MSG_SETTLED:
		return kept_settled(m);
	case MSG_AUDIT_QUERY:
		return query_begin(m);
	default:
		return ERR_PROTO;
	}
}

static void
on_close(void *arg, struct peer *p, int r)
{
	struct peer **link = arg;

	ops_orphaned(p);
	*link = NULL;
	/* A sibling that ended comes back with a new link; one that broke a
	 * rule is not what it was. */
	if (r != ERR_NOTFOUND &&
	    !(r == ERR_SYS && (errno == ECONNRESET || errno == EPIPE)))
		fatal(r, "a sibling's message");
}

static int
on_link(unsigned int sibling, int fd)
{
	struct peer **link, **before;

	if (sibling != PROC_POLICY && sibling != PROC_OIDC) {
		(void)close(fd);
		return ERR_PROTO;
	}
	link = sibling == PROC_POLICY ? &env.policy : &env.oidc;
	before = sibling == PROC_POLICY ? &env.policy_before : &env.oidc_before;
	if (*link != NULL) {
		if (*before != NULL) {
			peer_drain(*before);
			peer_free(*before);
		}
		*before = *link;
		peer_set_arg(*before, before);
		*link = NULL;
	}
	*link = peer_new(
	    child_loop(), fd, sibling, PROC_AUDIT, on_msg, on_close, link);
	if (*link == NULL)
		return ERR_NOMEM;
	peer_bound_queue(*link, ANSWERS_MAX);
	peer_hold(*link, ANSWERS_HOLD);
	return 0;
}

static int
on_folder(const char *name, int fd)
{
	int *slot = strcmp(name, "recordings") == 0 ? &env.recordings
		    : strcmp(name, "ledger") == 0   ? &env.ledger_dir
		    : strcmp(name, "store") == 0    ? &env.store_dir
						    : NULL;

	if (slot == NULL || *slot >= 0) {
		(void)close(fd);
		return ERR_PROTO;
	}
	*slot = fd;
	return 0;
}

/* What siblings say last is read: each ends its link when it has said it, or
 * when it gets one to the next audit. */
static bool
on_idle(void)
{
	return env.policy == NULL && env.policy_before == NULL &&
	       env.oidc == NULL && env.oidc_before == NULL;
}

bool
audit_is_another(void)
{
	return ledger_ready() == ERR_EXISTS;
}

/* Whatever could not be done when it was due. */
static void
on_tidy(void *arg)
{
	(void)arg;
	env.tidy = NULL;
	if (ledger_ready() == 0) {
		(void)ledger_reserve(&env.ledger);
		if (audit_store() != NULL)
			ops_recover();
		view_tidy();
		sign_tidy();
	}
	kept_tidy();
	env.tidy = loop_timer(child_loop(), AUDIT_TIDY_MS, on_tidy, NULL);
	if (env.tidy == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* The audit of a posternd that was killed may still be reading what it was told
 * last: nothing is answered before the ledger is ours, or that wait is over. */
static void
ledger_await(void)
{
	int64_t end = msg_now_ms() + AUDIT_AWAIT_MS;

	while (ledger_ready() == ERR_EXISTS && msg_now_ms() < end) {
		(void)poll(NULL, 0, AUDIT_AWAIT_STEP_MS);
		env.ledger_tried = msg_now_ms() - AUDIT_RETRY_MS;
	}
}

static int
on_go(const struct conf *conf, const char *addresses)
{
	const int given[SANDBOX_GIVEN_MAX] = { env.recordings, env.ledger_dir,
		env.store_dir };
	int r;

	(void)addresses;
	if (env.recordings < 0 || env.ledger_dir < 0 || env.store_dir < 0)
		return ERR_PROTO;
	/* A limit on file sizes is an error of write, not a death. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Day folders and sealed recordings are for the auditors' group. */
	(void)umask(027);
	env.conf = conf;
	ledger_await();
	if (!sandbox_has_landlock()) /* said once, for all */
		log_info("this kernel has no Landlock: files are guarded by "
			 "seccomp and permissions alone");
	if ((r = sandbox_enter(SANDBOX_AUDIT, given)) != 0)
		return r;
	on_tidy(NULL);
	retain_begin();
	return 0;
}

int
main(void)
{
	static const struct child_handlers handlers = {
		.link = on_link,
		.folder = on_folder,
		.go = on_go,
		.idle = on_idle,
		.stop_ms = CHILD_STOP_LAST_MS,
		.parent = alarm_take,
	};
	int r = child_main("postern-audit", PROC_AUDIT, &handlers);

	view_tidy();
	sign_close();
	kept_close();
	store_free(env.store);
	ledger_close(&env.ledger);
	return r;
}
