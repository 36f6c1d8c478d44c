/*
 * postern-oidc: the PAM module, policy, audit; and issuers, whose answers come
 * without a network.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

int process_main(void);
#define main process_main
#include "broker/oidc.c"
#undef main

#include "broker/http.h"
#include "tests/fuzz/proc_jwks.h"

#define REQS_MAX 16

enum { CONTROL, POLICY, AUDIT, PAM };

static const struct proc_door doors[] = {
	{ .name = "parent", .kind = DOOR_CONTROL },
	{ .name = "policy", .kind = DOOR_LINK },
	{ .name = "audit", .kind = DOOR_LINK },
	{ .name = "pam", .kind = DOOR_LISTEN, .stranger = true },
};

/* -- a network without anybody ------------------------------------------------
 */

struct http_req {
	http_cb cb;
	void *arg;
	bool conditional;
};

static struct {
	struct http_req *req[REQS_MAX];
	size_t n;
} web;

struct http *__wrap_http_new(struct loop *l);
int __wrap_http_set_ca(struct http *h, const void *pem, size_t n);
void __wrap_http_set_reach(struct http *h, const struct reach *r);
int __wrap_http_get(
    struct http *h, const struct http_ask *ask, struct http_req **out);
void __wrap_http_cancel(struct http_req *q);

struct http *
__wrap_http_new(struct loop *l)
{
	return (struct http *)(void *)l; /* not NULL, and never looked at */
}

int
__wrap_http_set_ca(struct http *h, const void *pem, size_t n)
{
	(void)h;
	(void)pem;
	(void)n;
	return 0;
}

void
__wrap_http_set_reach(struct http *h, const struct reach *r)
{
	(void)h;
	(void)r;
}

int
__wrap_http_get(
    struct http *h, const struct http_ask *ask, struct http_req **out)
{
	struct http_req *q;

	(void)h;
	if (web.n == REQS_MAX || (q = malloc(sizeof(*q))) == NULL)
		return ERR_TOOBIG;
	*q = (struct http_req){ ask->cb, ask->arg,
		ask->etag != NULL && *ask->etag != '\0' };
	web.req[web.n++] = q;
	*out = q;
	return 0;
}

void
__wrap_http_cancel(struct http_req *q)
{
	for (size_t i = 0; i < web.n && q != NULL; i++) {
		if (web.req[i] != q)
			continue;
		memmove(&web.req[i], &web.req[i + 1],
		    (--web.n - i) * sizeof(web.req[0]));
		free(q);
		return;
	}
}

/* The oldest request is answered. */
static void
answer(int r, const void *p, size_t n)
{
	struct http_answer a = { .r = r,
		.why = r == 0 ? NULL : "no",
		.body = p,
		.len = n,
		.etag = "\"t\"",
		.max_age = 600 };
	struct http_req *q;

	if (web.n == 0)
		return;
	q = web.req[0];
	/* Of what has a tag every other answer says that it is still so. */
	a.same = r == 0 && q->conditional && (n & 1) != 0;
	memmove(&web.req[0], &web.req[1], --web.n * sizeof(web.req[0]));
	proc_inside = true;
	q->cb(q->arg, &a);
	proc_inside = false;
	free(q);
}

static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	switch (which % 4) {
	case 0:
		answer(0, p, n);
		break;
	case 1:
		answer(ERR_TIMEOUT, NULL, 0);
		break;
	case 2:
		answer(0, PROC_DISCOVERY, sizeof(PROC_DISCOVERY) - 1);
		break;
	default:
		answer(0, PROC_JWKS, sizeof(PROC_JWKS) - 1);
	}
}

/* -- what it is given
 * ----------------------------------------------------------- */

static void
say_recalled(void)
{
	struct buf b;

	buf_init(&b, 16);
	if (buf_put_u32(&b, 0) == 0 && buf_put_u8(&b, 0) == 0 &&
	    buf_put_u32(&b, 0) == 0)
		proc_send(
		    AUDIT, MSG_RECALLED, proc_last_id(AUDIT), &b, NULL, 0);
	buf_clear(&b);
}

static void
say_issuers(void)
{
	struct buf b;

	buf_init(&b, 512);
	if (buf_put_u32(&b, 1) == 0 && buf_put_cstr(&b, "acme") == 0 &&
	    buf_put_cstr(&b, PROC_ISSUER) == 0 && buf_put_u32(&b, 1) == 0 &&
	    buf_put_cstr(&b, "bastion") == 0 && buf_put_u32(&b, 1) == 0 &&
	    buf_put_cstr(&b, "ES256") == 0 && buf_put_u32(&b, 600) == 0 &&
	    buf_put_u32(&b, 86400) == 0 && buf_put_u32(&b, 30) == 0 &&
	    buf_put_u8(&b, 1) == 0 && buf_put_cstr(&b, "") == 0)
		proc_send(POLICY, MSG_ISSUERS, 0, &b, NULL, 0);
	buf_clear(&b);
}

static bool
prepare(unsigned int turn)
{
	switch (turn) {
	case 0:
		proc_name(MSG_LISTEN, "pam", proc_listen(PAM));
		proc_link(POLICY);
		proc_link(AUDIT);
		proc_go("");
		return true;
	case 1:
		say_recalled();
		say_issuers();
		return true;
	case 2: /* discovery, and then the keys */
		act(2, NULL, 0);
		return true;
	case 3:
		act(3, NULL, 0);
		return true;
	default:
		return false;
	}
}

static void
run(void)
{
	exit(process_main());
}

static const struct proc_depth depths[] = {
	{ PAM, MSG_LOGIN_RESULT },
	{ POLICY, MSG_SESSION_NEW },
	{ AUDIT, MSG_EVENT },
	{ AUDIT, MSG_KEEP },
};
const char *const fuzz_depths[] = { "a login is answered", "a token is good",
	"it is to be in the ledger", "and kept", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run,
	prepare, false, act, false, depths,
	sizeof(depths) / sizeof(depths[0]) };
