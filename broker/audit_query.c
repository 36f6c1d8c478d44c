/*
 * Answers of postern-audit to whoever may ask on the control socket.  policy
 * says who asks and hands over the connection; the rest of the question comes
 * from the asker unread and is distrusted: what is wrong with it is answered,
 * never a reason to drop policy.  An asker that takes nothing is dropped.
 */
#include "config.h"

#include "broker/audit.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/record.h"
#include "audit/store.h"
#include "audit/utc.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"

#define QUERY_KEYS_MAX 16
#define QUERY_VALUE_MAX 256
#define QUERY_VIEWER_MAX 64
#define QUERY_ROW_MAX (156 * 1024) /* what a ROW holds beside its lengths */
#define QUERY_TURN 16              /* rows per turn of the loop */
#define QUERY_FILES_MS 600000      /* a large recording is being read */
#define NO_SUCH_ID "there is no operation, session or shell of that id"

/* A question, as far as it could be read. */
struct query {
	char viewer[QUERY_VIEWER_MAX];
	char what[16];
	char id[QUERY_VALUE_MAX];
	char commit[QUERY_VALUE_MAX], identity[QUERY_VALUE_MAX];
	char target[QUERY_VALUE_MAX], session[QUERY_VALUE_MAX];
	char after[QUERY_VALUE_MAX], before[QUERY_VALUE_MAX];
	char reason[QUERY_VALUE_MAX], as[16];
	uint64_t since_ms;
	uint32_t limit;
	bool admin; /* by the socket that it came on */
};

/* An answer under way. */
struct view {
	LIST_ENTRY(view) link;
	int fd;
	uint32_t id;
	char viewer[QUERY_VIEWER_MAX];
	struct watch *watch;
	struct timer *timer;
	struct store_found *found;
	size_t n, at;
	bool whole;
	struct files *files; /* instead of found */
	struct buf own;      /* one row, which is no index's; empty: none */
	int recording; /* goes with the first row; -1: none */
	uint32_t result;
	struct buf reason;
};

static struct {
	LIST_HEAD(, view) all;
	size_t n;
} env;

static void
view_free(struct view *v)
{
	if (v == NULL)
		return;
	watch_free(v->watch);
	timer_free(v->timer);
	if (v->fd >= 0)
		(void)close(v->fd);
	if (v->recording >= 0)
		(void)close(v->recording);
	free(v->found);
	files_free(v->files);
	buf_clear(&v->own);
	buf_clear(&v->reason);
	LIST_REMOVE(v, link);
	env.n--;
	free(v);
}

/* -- sending ------------------------------------------------------------- */

static int
view_send(struct view *v, struct buf *json, int fd)
{
	const char *text = buf_cstr(json);
	struct msg m;
	int r;

	if (text == NULL)
		return ERR_NOMEM;
	msg_init(&m, MSG_ROW);
	m.id = v->id;
	if ((r = buf_put_cstr(&m.body, text)) == 0 &&
	    (fd < 0 || (r = msg_add_fd(&m, fd)) == 0))
		r = msg_send(v->fd, &m);
	msg_clear(&m);
	return r;
}

/* What was not taken yet is the next one still: only then is it gone on. */
static int
view_send_file(struct view *v)
{
	int r = 0;

	if (buf_len(&v->own) == 0 &&
	    (r = files_next(v->files, &v->own, &v->recording)) != 0)
		return r;
	if ((r = view_send(v, &v->own, v->recording)) != 0)
		return r;
	buf_reset(&v->own);
	if (v->recording >= 0)
		(void)close(v->recording);
	v->recording = -1;
	return 0;
}

static int
view_send_row(struct view *v)
{
	struct buf json;
	struct store *s;
	int r;

	if (v->files != NULL)
		return view_send_file(v);
	if (buf_len(&v->own) > 0)
		return view_send(v, &v->own, -1);
	if ((s = audit_store_as_it_is()) == NULL)
		return ERR_NOTFOUND;
	buf_init(&json, QUERY_ROW_MAX);
	if ((r = store_row(
		 s, &v->found[v->at], v->whole, QUERY_ROW_MAX - 1, &json)) == 0)
		r = view_send(v, &json, v->recording);
	buf_clear(&json);
	return r;
}

static int
view_send_end(struct view *v)
{
	const char *reason = buf_cstr(&v->reason);
	struct msg m;
	int r;

	msg_init(&m, MSG_ROWS_END);
	m.id = v->id;
	if ((r = buf_put_u32(&m.body, v->result)) == 0 &&
	    (r = buf_put_cstr(&m.body, reason)) == 0)
		r = msg_send(v->fd, &m);
	msg_clear(&m);
	return r;
}

static void
view_timeout(void *arg)
{
	struct view *v = arg;

	v->timer = NULL;
	log_info("an asker took no answer for %d s and is dropped",
	    (v->files != NULL ? QUERY_FILES_MS : AUDIT_VIEW_MS) / 1000);
	view_free(v);
}

/* The asker's time runs anew whenever it has taken something. */
static void
view_patience(struct view *v)
{
	timer_free(v->timer);
	v->timer = loop_timer(child_loop(),
	    v->files != NULL ? QUERY_FILES_MS : AUDIT_VIEW_MS, view_timeout, v);
	if (v->timer == NULL)
		fatal(ERR_NOMEM, "timer");
}

static void
view_event(void *arg, int fd, short revents)
{
	struct view *v = arg;
	int r = 0;

	(void)fd;
	if ((revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
		view_free(v);
		return;
	}
	for (int i = 0; i < QUERY_TURN && v->at < v->n && r == 0; i++) {
		if ((r = view_send_row(v)) != 0)
			break;
		v->at += v->files == NULL;
		view_patience(v);
	}
	if (v->files != NULL && r == ERR_NOTFOUND) {
		v->at = v->n;
		r = 0;
	}
	if (r == 0 && v->at == v->n && (r = view_send_end(v)) == 0) {
		view_free(v);
		return;
	}
	if (r != 0 && r != ERR_AGAIN)
		view_free(v); /* it has left */
}

/* Who takes his answers slowly has no more than his share of them. */
static bool
view_fits(const char *viewer)
{
	const struct view *v;
	size_t n = 0;

	LIST_FOREACH(v, &env.all, link)
	n += strcmp(v->viewer, viewer) == 0;
	return env.n < AUDIT_VIEWS_MAX && n < AUDIT_VIEWS_EACH;
}

static struct view *
view_new(int fd, uint32_t id, const char *viewer)
{
	struct view *v;
	int fl;

	if (!view_fits(viewer) || (v = calloc(1, sizeof(*v))) == NULL) {
		(void)close(fd);
		return NULL;
	}
	*v = (struct view){ .fd = fd, .id = id, .recording = -1 };
	(void)str_copy(v->viewer, sizeof(v->viewer), viewer);
	buf_init(&v->reason, 700);
	buf_init(&v->own, QUERY_ROW_MAX);
	LIST_INSERT_HEAD(&env.all, v, link);
	env.n++;
	/* msg_send must not wait for the asker. */
	if ((fl = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, fl | O_NONBLOCK) == -1 ||
	    (v->watch = loop_watch(child_loop(), fd, POLLOUT, view_event, v)) ==
		NULL) {
		view_free(v);
		return NULL;
	}
	view_patience(v);
	return v;
}

/* -- the question -------------------------------------------------------- */

static int
query_key(struct query *q, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
	} texts[] = {
		{ "id", q->id },
		{ "commit", q->commit },
		{ "identity", q->identity },
		{ "target", q->target },
		{ "session", q->session },
		{ "after", q->after },
		{ "before", q->before },
		{ "reason", q->reason },
	};
	uint64_t n;

	if (strcmp(key, "as") == 0) {
		(void)str_copy(q->as, sizeof(q->as), value);
		return strcmp(q->as, "export") == 0 ? 0 : ERR_FORMAT;
	}

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(texts[i].key, key) == 0)
			return str_copy(texts[i].to, QUERY_VALUE_MAX, value);
	}
	if (strcmp(key, "since") == 0)
		return utc_since(value, utc_now_ms(), &q->since_ms);
	if (strcmp(key, "limit") == 0 &&
	    num_parse(value, 1, STORE_LIMIT_MAX, &n) == 0) {
		q->limit = (uint32_t)n;
		return 0;
	}
	return ERR_FORMAT;
}

static int
query_read(struct msg *m, struct query *q, struct buf *why)
{
	char key[32], value[QUERY_VALUE_MAX];
	uint32_t n;
	int r;

	if ((r = buf_get_fixed(&m->body, q->what, sizeof(q->what))) != 0 ||
	    (r = buf_get_u32(&m->body, &n)) != 0)
		goto bad;
	for (uint32_t i = 0; i < n; i++) {
		if (i == QUERY_KEYS_MAX) {
			r = ERR_TOOBIG;
			goto bad;
		}
		if ((r = buf_get_fixed(&m->body, key, sizeof(key))) != 0 ||
		    (r = buf_get_fixed(&m->body, value, sizeof(value))) != 0)
			goto bad;
		if ((r = query_key(q, key, value)) != 0) {
			/* Not the value: it would come back unescaped. */
			(void)buf_putf(why,
			    "the key or its value is not one "
			    "of: id, commit, identity, target, session, "
			    "after, before, reason, as (`export`), "
			    "since (a time), limit (1 to %d)",
			    STORE_LIMIT_MAX);
			return r;
		}
	}
	if (buf_end(&m->body) == 0)
		return 0;
	r = ERR_FORMAT;
bad:
	(void)buf_putf(why, "the question is malformed");
	return r;
}

/* An admin sees what runs also when the ledger cannot say so yet; contents are
 * handed to nobody then. */
static bool
query_may_owe(const struct query *q)
{
	return q->admin && (strcmp(q->what, "sessions") == 0 ||
			       strcmp(q->what, "show") == 0);
}

/* Who looks at what is in the ledger before it is shown.  kind 's', 'o' or 'h',
 * a shell: what q->id is; else the question's filters are named. */
static int
query_write_view(
    const struct query *q, char kind, const char *recording, struct buf *why)
{
	const char *what = q->as[0] != '\0' ? q->as : q->what;
	const char *session = kind == 's' ? q->id : q->session;
	struct ledger_line line;
	struct buf ev;
	int r;

	buf_init(&ev, 2048);
	if ((r = event_start(&ev, EVENT_VIEW)) == 0 &&
	    (r = event_str(&ev, EV_VIEWER, q->viewer)) == 0 &&
	    (r = event_str(&ev, EV_WHAT, what)) == 0 &&
	    (r = event_str(&ev, EV_SESSION, session)) == 0 &&
	    (kind != 'o' || (r = event_str(&ev, EV_OPERATION, q->id)) == 0) &&
	    (kind != 'h' || (r = event_str(&ev, EV_SHELL, q->id)) == 0) &&
	    (r = event_str(&ev, EV_COMMIT, q->commit)) == 0 &&
	    (r = event_str(&ev, EV_IDENTITY, q->identity)) == 0 &&
	    (r = event_str(&ev, EV_TARGET, q->target)) == 0 &&
	    (r = event_str(&ev, EV_RECORDING, recording)) == 0)
		r = audit_write(&ev, false, &line, why);
	else
		(void)buf_putf(why, "the question is malformed");
	if (r == ERR_SYS && query_may_owe(q) && view_owe(&ev, why) == 0) {
		buf_reset(why);
		r = 0;
	}
	buf_clear(&ev);
	return r;
}

static int
query_sessions(struct store *s, const struct query *q, struct view *v)
{
	const struct store_filter f = {
		.commit = q->commit[0] != '\0' ? q->commit : NULL,
		.identity = q->identity[0] != '\0' ? q->identity : NULL,
		.target = q->target[0] != '\0' ? q->target : NULL,
		.session = q->session[0] != '\0' ? q->session : NULL,
		.before = q->before[0] != '\0' ? q->before : NULL,
		.since_ms = q->since_ms,
		.limit = q->limit,
	};

	int r = store_find(s, &f, &v->found, &v->n);

	return r != 0 ? r : query_write_view(q, '-', NULL, &v->reason);
}

/* Recordings and sidecars themselves, for who verifies them. */
static int
query_files(struct store *s, const struct query *q, struct view *v)
{
	char kind = '-';
	int r;

	if (q->id[0] != '\0') {
		if ((r = store_find_id(s, q->id, &v->found, &v->n)) ==
		    ERR_NOTFOUND)
			(void)buf_putf(&v->reason, NO_SUCH_ID);
		if (r != 0)
			return r;
		kind = v->found[0].kind;
	}
	if ((v->files = files_new(q->id, q->viewer, &v->reason)) == NULL)
		return ERR_AGAIN;
	/* Descriptors on their way count against what this process may have
	 * open, and it needs those: a few at a time. */
	if (setsockopt(
		v->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)) == -1)
		return ERR_SYS;
	v->n = 1;
	return query_write_view(q, kind, NULL, &v->reason);
}

static char
kind_of(const struct view *v, const struct query *q)
{
	return strcmp(v->found[0].id, q->id) == 0 ? v->found[0].kind : 'h';
}

static int
query_show(struct store *s, const struct query *q, struct view *v)
{
	int r;

	v->whole = true;
	r = store_find_after(
	    s, q->id, q->after[0] != '\0' ? q->after : NULL, &v->found, &v->n);
	if (r == ERR_NOTFOUND && q->after[0] != '\0')
		(void)buf_putf(&v->reason,
		    "there is nothing of that id behind such an operation");
	else if (r == ERR_NOTFOUND)
		(void)buf_putf(&v->reason, NO_SUCH_ID);
	if (r != 0)
		return r;
	return query_write_view(q, kind_of(v, q), NULL, &v->reason);
}

/* Its row alone: a shell is found with its lines. */
static int
query_own_row(struct store *s, const struct query *q, struct view *v)
{
	int r = store_find_id(s, q->id, &v->found, &v->n);

	for (size_t i = 0; r == 0 && i < v->n; i++) {
		if (strcmp(v->found[i].id, q->id) != 0)
			continue;
		v->found[0] = v->found[i];
		v->n = 1;
	}
	return r;
}

/* The recording, or the sidecar with the manifest. */
static int
query_recording(struct store *s, const struct query *q, struct view *v)
{
	bool side = strcmp(q->what, "manifest") == 0;
	char path[STORE_PATH_MAX], utc[UTC_LEN + 1];
	uint64_t ms;
	int r;

	v->whole = true;
	if ((r = store_recording(s, q->id, path)) == 0 &&
	    (r = (side ? record_view_side : record_view)(
		 audit_recordings(), path, &v->recording)) == 0)
		r = query_own_row(s, q, v);
	if (r == ERR_NOTFOUND && store_deleted_ms(s, q->id, &ms) == 0) {
		utc_format(ms, utc);
		(void)buf_putf(&v->reason,
		    "the recording was deleted by retention on %s; `postern "
		    "show` has its SHA-256 and what else is known",
		    utc);
	} else if (r == ERR_NOTFOUND || r == ERR_FORMAT) {
		(void)buf_putf(&v->reason,
		    "there is no recording of an operation of that id");
	}
	if (r != 0)
		return r;
	return query_write_view(q, 'o', path, &v->reason);
}

/* Changes nothing but the ledger, which the index follows. */
static int
query_hold(const struct query *q, struct view *v, bool add)
{
	bool session = q->session[0] != '\0';

	if (session == (q->commit[0] != '\0')) {
		(void)buf_putf(&v->reason, "a hold is on a session or on a "
					   "commit");
		return ERR_FORMAT;
	}
	return retain_hold(add, session ? "session" : "commit",
	    session ? q->session : q->commit, q->viewer, q->reason, &v->reason);
}

static int
query_answer(const struct query *q, struct view *v)
{
	struct store *s;

	if (strcmp(q->what, "anchor") == 0) { /* no index is needed */
		v->n = 1;
		return sign_state(&v->own);
	}
	if ((s = audit_store_as_it_is()) == NULL) {
		(void)buf_putf(&v->reason,
		    "there is no index to answer from: its "
		    "disk may be full, and the log of "
		    "the bastion says why. It is made "
		    "anew from the ledger when there is "
		    "room; nothing is lost, and root "
		    "can read ledger/ledger.jsonl");
		return ERR_NOTFOUND;
	}
	if (strcmp(q->what, "sessions") == 0)
		return query_sessions(s, q, v);
	if (strcmp(q->what, "show") == 0)
		return query_show(s, q, v);
	if (strcmp(q->what, "recording") == 0 ||
	    strcmp(q->what, "manifest") == 0)
		return query_recording(s, q, v);
	if (strcmp(q->what, "files") == 0)
		return query_files(s, q, v);
	if (strcmp(q->what, "holds") == 0)
		return store_find_holds(s, &v->found, &v->n);
	if (strcmp(q->what, "hold-add") == 0)
		return query_hold(q, v, true);
	if (strcmp(q->what, "hold-remove") == 0)
		return query_hold(q, v, false);
	(void)buf_putf(&v->reason, "there is no such question");
	return ERR_FORMAT;
}

int
query_begin(struct msg *m)
{
	struct query q = { 0 };
	struct view *v;
	uint8_t admin;
	int r;

	if ((r = buf_get_fixed(&m->body, q.viewer, sizeof(q.viewer))) != 0 ||
	    (r = buf_get_u8(&m->body, &admin)) != 0)
		return r;
	q.admin = admin == 1;
	if (!utf8_valid(q.viewer, strlen(q.viewer)) || q.viewer[0] == '\0')
		return ERR_PROTO;
	view_tidy(); /* who looked before comes before */
	if ((v = view_new(msg_take_fd(m, 0), m->id, q.viewer)) == NULL)
		return 0; /* the asker sees its connection close */
	if ((r = query_read(m, &q, &v->reason)) == 0)
		r = query_answer(&q, v);
	if (r == 0)
		return 0;
	v->n = 0;
	if (v->recording >= 0)
		(void)close(v->recording);
	v->recording = -1;
	v->result = (uint32_t)-r;
	if (buf_len(&v->reason) == 0)
		(void)buf_putf(&v->reason, "it failed: %s", err_text(r));
	return 0;
}
