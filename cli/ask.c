/*
 * Questions to the broker over ctl.sock, or audit.sock for who may only read.
 * The answers are the broker's, but hold what jobs and targets sent: callers
 * print them with cli_print_safe.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define ASK_MS 10000	/* for each answer */

/* An admin's socket, else an auditor's: whose they are is their groups' word.
 */
static int
ask_connect(int *fdp)
{
	static const char *const names[] = { "ctl", "audit" };
	char path[512];
	int n, r = ERR_INTERNAL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		n = snprintf(path, sizeof(path), "%s/%s.sock",
		    cli_conf()->run_folder, names[i]);
		if (n < 0 || (size_t)n >= sizeof(path))
			return POSTERN_EX_UNAVAILABLE;
		if ((r = msg_connect(path, fdp)) == 0)
			return 0;
		if (r != ERR_SYS || errno != EACCES)
			break;
	}
	if (r == ERR_SYS && errno == EACCES) {
		cli_error("you may not ask the broker: become root, or a "
			  "member of group postern-admin, or of "
			  "postern-auditor to look at what it recorded");
		return POSTERN_EX_DENIED;
	}
	cli_error("posternd does not answer at %s (%s): is it running?", path,
	    err_text(r));
	return POSTERN_EX_UNAVAILABLE;
}

int
cli_ask_failed(int r)
{
	cli_error("the broker's answer did not come: %s", err_text(r));
	return POSTERN_EX_UNAVAILABLE;
}

int
cli_ask(uint32_t question, uint32_t answer, int64_t ms, struct msg *a)
{
	return cli_ask_with(question, NULL, answer, ms, a);
}

int
cli_ask_with(uint32_t question, const struct buf *body, uint32_t answer,
    int64_t ms, struct msg *a)
{
	struct msg q;
	int fd, r;

	if ((r = ask_connect(&fd)) != 0)
		return r;
	msg_init(&q, question);
	q.id = 1;
	r = body == NULL ? 0 : buf_put(&q.body, buf_ptr(body), buf_len(body));
	if (r == 0)
		r = msg_call(fd, &q, answer, a, msg_now_ms() + ms);
	msg_clear(&q);
	(void)close(fd);
	if (r == 0)
		return 0;
	msg_clear(a);
	return cli_ask_failed(r);
}

int
cli_status(char **json)
{
	struct msg a;
	int r;

	if ((r = cli_ask(MSG_STATUS, MSG_STATUS_IS, ASK_MS, &a)) != 0)
		return r;
	r = buf_get_cstr(&a.body, MSG_BODY_MAX, json);
	msg_clear(&a);
	return r == 0 ? 0 : cli_ask_failed(r);
}

/* The last message of an answer: how it ended. */
static int
ask_end(struct msg *m)
{
	char reason[1024];
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0)
		return cli_ask_failed(r);
	if (result == 0)
		return 0;
	cli_error("%s", reason[0] != '\0' ? reason : "the broker refused");
	return result == (uint32_t)-ERR_DENIED ? POSTERN_EX_DENIED
					       : CLI_EX_FAILED;
}

static int
ask_rows(int fd, cli_row_fn fn, void *arg)
{
	const uint8_t *p;
	struct msg m;
	size_t n;
	int r;

	for (;;) {
		if ((r = msg_wait(fd, POLLIN,
		    msg_now_ms() + ASK_MS)) != 0)
			return cli_ask_failed(r);
		if ((r = msg_recv(fd, &m)) != 0)
			return cli_ask_failed(r);
		if (m.type == MSG_ROWS_END) {
			r = ask_end(&m);
			msg_clear(&m);
			return r;
		}
		if (m.type != MSG_ROW || (r = buf_get_view(&m.body,
		    MSG_BODY_MAX, &p, &n)) != 0) {
			msg_clear(&m);
			return cli_ask_failed(ERR_PROTO);
		}
		r = fn(arg, (const char *)p, n, msg_take_fd(&m, 0));
		msg_clear(&m);
		if (r != 0)
			return r;
	}
}

int
cli_query(const char *what, const struct cli_param *param, size_t nparam,
    cli_row_fn fn, void *arg)
{
	struct msg q;
	int fd, r;

	if ((r = ask_connect(&fd)) != 0)
		return r;
	msg_init(&q, MSG_QUERY);
	q.id = 1;
	if ((r = buf_put_cstr(&q.body, what)) == 0)
		r = buf_put_u32(&q.body, (uint32_t)nparam);
	for (size_t i = 0; i < nparam && r == 0; i++) {
		if ((r = buf_put_cstr(&q.body, param[i].key)) == 0)
			r = buf_put_cstr(&q.body, param[i].value);
	}
	if (r == 0)
		r = msg_send(fd, &q);
	msg_clear(&q);
	r = r == 0 ? ask_rows(fd, fn, arg) : cli_ask_failed(r);
	(void)close(fd);
	return r;
}
