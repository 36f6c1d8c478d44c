/*
 * The module's side of LOGIN, SESSION_OPEN and SESSION_CLOSE.  Runs in sshd,
 * as root.  The answers come from processes that may be owned: they are a
 * number and a handle of fixed form, and everything else is a refusal.
 */
#include "config.h"

#include "pam/ask.h"

#include <sys/syscall.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/str.h"
#include "pam/opts.h"
#include "pam/token.h"

#define ASK_CLOSE_MS 3000 /* nobody waits for what this answers */

bool
ask_handle_valid(const char *s)
{
	uint8_t raw[PROTO_HANDLE_LEN / 2];

	return hex_decode(s, raw, sizeof(raw)) == 0;
}

/* One question to the socket `name`; the caller clears a. */
static int
ask(const struct opts *o, const char *name, int64_t ms, const struct msg *q,
    struct msg *a)
{
	char path[OPTS_RUN_MAX + 32];
	int64_t deadline = msg_now_ms() + ms;
	int fd = -1, n, r;

	msg_init(a, 0);
	n = snprintf(path, sizeof(path), "%s/%s", o->run, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_INTERNAL;
	if ((r = msg_connect_by(path, deadline, &fd)) != 0)
		return r;
	r = msg_call(fd, q, proto_find(q->type)->answer, a, deadline);
	(void)close(fd);
	return r;
}

/* The number every answer begins with. */
static int
get_result(struct msg *a)
{
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&a->body, &result)) != 0)
		return r;
	return result == 0 ? 0 : ERR_DENIED;
}

static int
get_handle(struct msg *a, char handle[ASK_HANDLE_SIZE])
{
	char h[ASK_HANDLE_SIZE];
	int r;

	if ((r = get_result(a)) != 0 ||
	    (r = buf_get_fixed(&a->body, h, sizeof(h))) != 0 ||
	    (r = msg_end(a)) != 0)
		return r;
	if (!ask_handle_valid(h))
		return ERR_PROTO;
	memcpy(handle, h, sizeof(h));
	return 0;
}

/* A user name of any length may come; what the table has no room for is cut
 * and thereby no name any more. */
static int
put_who(struct msg *q, const struct who *w)
{
	size_t n = strnlen(w->user, USER_LEN_MAX);
	int r;

	if ((r = buf_put_str(&q->body, w->user, n)) != 0)
		return r;
	n = strnlen(w->source, PROTO_SOURCE_MAX);
	return buf_put_str(&q->body, w->source, n);
}

static const char *
login_trouble(const struct who *w, const struct token *t)
{
	struct user_name un;

	if (t->trouble != NULL)
		return t->trouble;
	if (user_name_parse(w->user, &un) != 0)
		return "the user name is not TARGET or LOGIN+TARGET";
	if (t->text.len == 0)
		return "there is no token";
	return NULL;
}

int
ask_login(const struct opts *o, const struct who *w, const struct token *t,
    char handle[ASK_HANDLE_SIZE])
{
	const char *trouble = login_trouble(w, t);
	struct msg q, a;
	int r = ERR_INTERNAL;

	msg_init(&q, MSG_LOGIN);
	msg_init(&a, 0);
	if ((r = put_who(&q, w)) != 0 ||
	    (r = trouble == NULL ? buf_put_str(&q.body, t->text.d, t->text.len)
				 : buf_put_cstr(&q.body, "")) != 0 ||
	    (r = buf_put_u32(&q.body, t->parts)) != 0 ||
	    (r = buf_put_cstr(&q.body, trouble)) != 0 ||
	    (r = ask(o, "pam.sock", o->deadline_ms, &q, &a)) != 0)
		goto out;
	r = get_handle(&a, handle);
	/* Whatever the answer says, nobody comes in with trouble. */
	if (r == 0 && trouble != NULL)
		r = ERR_DENIED;
out:
	msg_clear(&a);
	msg_clear(&q);
	return r;
}

int
ask_open(const struct opts *o, const struct who *w, const char *handle,
    const char *auth_info, char opened[ASK_HANDLE_SIZE])
{
	struct msg q, a;
	int pidfd = -1, r = ERR_INTERNAL;

	msg_init(&q, MSG_SESSION_OPEN);
	msg_init(&a, 0);
	/* The descriptor names this process for ever; a pid could be another's
	 * by the time it is looked at. */
	if ((pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0)) == -1) {
		r = ERR_SYS;
		goto out;
	}
	if ((r = buf_put_cstr(&q.body, handle)) != 0 ||
	    (r = put_who(&q, w)) != 0 ||
	    (r = buf_put_cstr(&q.body, auth_info)) != 0 ||
	    (r = msg_add_fd(&q, pidfd)) != 0 ||
	    (r = ask(o, "session.sock", o->deadline_ms, &q, &a)) != 0)
		goto out;
	r = get_handle(&a, opened);
out:
	if (pidfd != -1)
		(void)close(pidfd);
	msg_clear(&a);
	msg_clear(&q);
	return r;
}

int
ask_close(const struct opts *o, const char *handle)
{
	struct msg q, a;
	int64_t ms =
	    o->deadline_ms < ASK_CLOSE_MS ? o->deadline_ms : ASK_CLOSE_MS;
	int r = ERR_INTERNAL;

	msg_init(&q, MSG_SESSION_CLOSE);
	msg_init(&a, 0);
	if ((r = buf_put_cstr(&q.body, handle)) != 0 ||
	    (r = ask(o, "session.sock", ms, &q, &a)) != 0 ||
	    (r = get_result(&a)) != 0)
		goto out;
	r = msg_end(&a);
out:
	msg_clear(&a);
	msg_clear(&q);
	return r;
}
