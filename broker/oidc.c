/*
 * postern-oidc: who is calling?  Takes tokens from the PAM module, verifies
 * them against the keys that the policy's issuers publish, and gives the claims
 * to policy, which makes the session.  Runs as _postern-oidc; holds pam.sock
 * and the way to the issuers, no key and no session.
 *
 * Distrusts: tokens (anybody's), issuers' web servers, and of the PAM module's
 * messages the texts that sshd took from the client.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/conn.h"
#include "broker/issuers.h"
#include "broker/jsonin.h"
#include "broker/jws.h"
#include "broker/keyfile.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/reach.h"
#include "broker/refusal.h"
#include "broker/replay.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/sandbox.h"
#include "lib/str.h"

#define OIDC_RECALL_MS 1000
#define OIDC_TICK_MS 10000	/* between looks at the age of the keys */
#define OIDC_CA_MAX (4 * 1024 * 1024)
#define OIDC_REASON_MAX 4096

static struct {
	struct judge judge;
	struct issuers pending; /* with keys from files, until ISSUERS comes */
	int listener;
	struct watch *watch; /* on it, as soon as the marks are there */
	char after[PROTO_KEEP_KEY_MAX + 1]; /* the last mark that came back */
	uint32_t recall_id;
	bool go, recalling, recalled;
	struct buf ca;
	struct keyfile *keys; /* for the process after this; NULL: none */
	bool unsaved;         /* its trouble is in the log */
	struct http *http;
	struct jwks_io io;
} env = { .listener = -1 };

/* -- the issuers --------------------------------------------------------- */

static int
io_get(void *ctx, const struct http_ask *ask, struct http_req **out)
{
	(void)ctx;
	return http_get(env.http, ask, out);
}

static void
io_cancel(void *ctx, struct http_req *q)
{
	(void)ctx;
	http_cancel(q);
}

static int64_t
io_now_ms(void *ctx)
{
	(void)ctx;
	return msg_now_ms();
}

static void
save_keys(void)
{
	int r = keyfile_save(env.keys, &env.judge.issuers, (int64_t)time(NULL));

	if (r != 0 && !env.unsaved)
		log_err(r,
		    "the issuers' keys cannot be kept: logins of an issuer "
		    "that is away would not survive a restart of postern-oidc");
	env.unsaved = r != 0;
}

/* What the process before has left, for the first issuers there are. */
static void
take_keys(void)
{
	unsigned int n =
	    keyfile_give(env.keys, &env.judge.issuers, (int64_t)time(NULL));

	if (n > 0)
		log_info("taken over: the keys of %u issuers, while these "
			 "cannot be asked",
		    n);
}

static enum keys_said
keys_are(const struct jwks *k, int r)
{
	if (r == 0)
		return KEYS_WELL;
	switch (jwks_state(k)) {
	case JWKS_FRESH:
		return KEYS_FAILING;
	case JWKS_STALE:
		return KEYS_STALE;
	case JWKS_NONE:
		break;
	}
	return KEYS_GONE;
}

/* When it changes, and what is to be done about it. */
static void
say_keys(struct trusted *t, int r, const char *why)
{
	const char *url = log_safe(t->rules.url);
	enum keys_said is = keys_are(t->jwks, r);

	if (is == t->said)
		return;
	t->said = is;
	switch (is) {
	case KEYS_WELL:
		log_info("keys of %s: they can be had again", url);
		return;
	case KEYS_FAILING:
		log_err(0,
		    "keys of %s: %s; those at hand serve on. See that "
		    "this host reaches the issuer",
		    url, why);
		return;
	case KEYS_STALE:
		log_err(0, "keys of %s: %s", url, why);
		log_err(0,
		    "ALARM: the keys of %s could not be confirmed in time: "
		    "those at hand serve for %lld minutes more, then its "
		    "logins are refused. See that this host reaches the issuer",
		    url, (long long)(jwks_stale_s(t->jwks) / 60));
		return;
	case KEYS_GONE:
		log_err(0,
		    "keys of %s: %s; its logins are refused until they "
		    "can be had. See that this host reaches the issuer, or "
		    "give it a keys-file",
		    url, why);
	}
}

static void
on_keys(void *arg, int r, const char *why)
{
	const char *url = arg;
	struct trusted *t = issuers_at(&env.judge.issuers, url);
	char text[HTTP_WHY_MAX];

	if (t != NULL) {
		(void)snprintf(text, sizeof(text), "%s", log_safe(why));
		say_keys(t, r, text);
	}
	if (r == 0)
		save_keys();
	conns_rejudge(url);
}

static void
on_tick(void *arg)
{
	(void)arg;
	issuers_tick(&env.judge.issuers);
	if (loop_timer(child_loop(), OIDC_TICK_MS, on_tick, NULL) == NULL)
		fatal(ERR_NOMEM, "timer");
}

static int
on_issuers(struct msg *m)
{
	struct issuers s, old = env.judge.issuers;
	int r;

	if ((r = issuers_read(&m->body, &s)) != 0)
		return r;
	issuers_append(&s, &env.pending);
	if (s.unusable > 0)
		log_err(0,
		    "%zu issuers of the policy cannot be used (no https "
		    "url, no known algorithm, or url and audience of another "
		    "one)",
		    s.unusable);
	if ((r = issuers_adopt(&s, &old, &env.io, on_keys)) != 0)
		fatal(r, "issuers");
	env.judge.issuers = s;
	take_keys();
	if (env.http != NULL)
		issuers_tick(&env.judge.issuers);
	conns_rejudge(NULL);
	return 0;
}

/* The keys that policy opened a file of.  A file that holds none leaves its
 * issuer without any: nobody asks for what was to come from a file. */
static int
on_issuer_keys(struct msg *m)
{
	const char *why = "the file cannot be read";
	struct jwk_set *set = NULL;
	struct stat st;
	struct buf b;
	int fd = msg_take_fd(m, 0), r = ERR_DENIED;

	buf_init(&b, JWK_SET_MAX);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (r = slurp_fd(fd, &b)) == 0)
		r = jwk_set_parse(buf_ptr(&b), buf_len(&b), &set, &why);
	(void)close(fd);
	buf_clear(&b);
	if (r != 0)
		log_err(r, "an issuer has no keys (keys-file): %s", why);
	/* The message is looked at whatever the file was. */
	return r == ERR_NOMEM ? r
			      : issuers_read_keys(&m->body, set, &env.pending);
}

/* -- the siblings -------------------------------------------------------- */

static int
on_session_made(struct msg *m)
{
	char handle[PROTO_HANDLE_LEN + 1], *reason = NULL;
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_fixed(&m->body, handle, sizeof(handle))) != 0 ||
	    (r = buf_get_cstr(&m->body, OIDC_REASON_MAX, &reason)) != 0 ||
	    (r = msg_end(m)) != 0)
		goto out;
	if (result == 0 && strlen(handle) == PROTO_HANDLE_LEN)
		conns_session_made(m->id, handle, NULL);
	else
		conns_session_made(m->id, NULL, reason[0] != '\0' ? reason :
		    "policy made no session");
out:
	free(reason);
	return r;
}

static int
on_policy_msg(void *arg, struct peer *p, struct msg *m)
{
	(void)arg;
	(void)p;
	switch (m->type) {
	case MSG_ISSUERS:
		return on_issuers(m);
	case MSG_ISSUER_KEYS:
		return on_issuer_keys(m);
	case MSG_SESSION_MADE:
		return on_session_made(m);
	default:
		return ERR_PROTO;
	}
}

static void
on_pam(void *arg, int fd, short revents)
{
	(void)arg;
	(void)revents;
	conns_accept(fd);
}

/* The marks of the oidc process before: nobody is served without them. */
static void
recall(void *arg)
{
	struct msg m;
	bool gone;
	int r;

	(void)arg;
	if (!env.go || env.recalled || env.recalling || env.judge.audit == NULL)
		return;
	msg_init(&m, MSG_RECALL);
	m.id = env.recall_id = peer_next_id(env.judge.audit);
	if ((r = buf_put_cstr(&m.body, env.after)) == 0)
		r = peer_send(env.judge.audit, &m);
	/* Dead, and the loop is about to see it: the next one is asked. */
	gone = r == ERR_SYS && (errno == EPIPE || errno == ECONNRESET);
	msg_clear(&m);
	if (r != 0 && !gone)
		fatal(r, "cannot ask audit for the marks");
	env.recalling = !gone;
}

static void
serve(void)
{
	int r = ERR_NOMEM;

	env.recalled = true;
	if (env.listener == -1)
		return; /* told to stop meanwhile */
	if (replay_count(env.judge.marks) > 0)
		log_info("taken over: %zu marks of spent tokens",
		    replay_count(env.judge.marks));
	env.watch =
	    loop_watch(child_loop(), env.listener, POLLIN, on_pam, NULL);
	if (env.watch == NULL || (r = child_ready()) != 0)
		fatal(r, "cannot serve");
}

/* One row: str digest, u64 until, str source. */
static int
recall_mark(struct buf *b)
{
	char source[PROTO_SOURCE_MAX + 1];
	uint8_t digest[32];
	uint64_t until;
	int r;

	if ((r = buf_get_fixed(b, env.after, sizeof(env.after))) != 0 ||
	    (r = buf_get_u64(b, &until)) != 0 ||
	    (r = buf_get_fixed(b, source, sizeof(source))) != 0)
		return r;
	if (until > INT64_MAX ||
	    hex_decode(env.after, digest, sizeof(digest)) != 0)
		return ERR_PROTO;
	r = replay_mark(env.judge.marks, digest, source, (int64_t)until,
	    (int64_t)time(NULL));
	if (r != 0 && r != ERR_EXISTS) /* the first one counts */
		return r;
	/* Whether somebody was told, nobody knows any more. */
	replay_open(env.judge.marks, digest);
	return 0;
}

static int
on_recalled(struct msg *m)
{
	uint32_t result, n;
	uint8_t more;
	int r;

	if (!env.recalling || m->id != env.recall_id)
		return ERR_PROTO;
	env.recalling = false;
	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u8(&m->body, &more)) != 0 ||
	    (r = buf_get_u32(&m->body, &n)) != 0)
		return r;
	if (more && n == 0)
		return ERR_PROTO;
	for (; n > 0; n--) {
		if ((r = recall_mark(&m->body)) != 0)
			return r;
	}
	if ((r = msg_end(m)) != 0)
		return r;
	if (result != 0) {
		if (loop_timer(child_loop(), OIDC_RECALL_MS, recall, NULL) ==
		    NULL)
			return ERR_NOMEM;
	} else if (more) {
		recall(NULL);
	} else {
		serve();
	}
	return 0;
}

static int
on_kept(struct msg *m)
{
	uint32_t result;
	int r;

	if ((r = buf_get_u32(&m->body, &result)) != 0 || (r = msg_end(m)) != 0)
		return r;
	conns_kept(m->id, result == 0);
	return 0;
}

static int
on_audit_msg(void *arg, struct peer *p, struct msg *m)
{
	uint32_t result;
	uint64_t number;
	int r;

	(void)arg;
	if (p != env.judge.audit)
		return 0; /* what was asked is asked again of the next one */
	if (m->type == MSG_KEPT)
		return on_kept(m);
	if (m->type == MSG_RECALLED)
		return on_recalled(m);
	if (m->type != MSG_EVENT_DONE)
		return ERR_PROTO;
	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_u64(&m->body, &number)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (result != 0)
		log_err(0, "audit could not write a refused login");
	return 0;
}

static void
on_sibling_close(void *arg, struct peer *p, int r)
{
	const char *name = arg;

	/* Not what it was, or a link that we could not read: nobody makes
	 * another before one of the two has ended. */
	if (r != ERR_NOTFOUND)
		fatal(r, "a message of %s", name);
	if (p == env.judge.policy || p == env.judge.audit)
		log_err(r, "lost %s", name);
	if (p == env.judge.policy) {
		env.judge.policy = NULL;
		conns_policy_gone();
	}
	if (p == env.judge.audit)
		env.judge.audit = NULL;
}

static int
on_link(unsigned int sibling, int fd)
{
	static char policy[] = "policy", audit[] = "audit";
	struct loop *l = child_loop();

	switch (sibling) {
	case PROC_POLICY:
		peer_free(env.judge.policy);
		issuers_clear(&env.pending);
		env.judge.policy = peer_new(l, fd, PROC_POLICY, PROC_OIDC,
		    on_policy_msg, on_sibling_close, policy);
		if (env.judge.policy == NULL)
			return ERR_NOMEM;
		conns_policy_new();
		return 0;
	case PROC_AUDIT:
		if (env.judge.audit != NULL) /* gets what waits for it */
			peer_end(env.judge.audit);
		env.judge.audit = peer_new(l, fd, PROC_AUDIT, PROC_OIDC,
		    on_audit_msg, on_sibling_close, audit);
		if (env.judge.audit == NULL)
			return ERR_NOMEM;
		env.recalling = false;
		recall(NULL);
		conns_audit_new();
		return 0;
	default:
		(void)close(fd);
		return ERR_PROTO;
	}
}

/* -- the start ----------------------------------------------------------- */

static int
on_listen(const char *name, int fd)
{
	if (strcmp(name, "pam") != 0 || env.listener != -1) {
		(void)close(fd);
		return ERR_PROTO;
	}
	env.listener = fd;
	return 0;
}

static int
on_folder(const char *name, int fd)
{
	int r = ERR_PROTO;

	if (strcmp(name, "issuer-keys") == 0 && env.keys == NULL) {
		if ((r = keyfile_open(fd, &env.keys)) != 0)
			log_err(r, "the keys of the process before");
		return 0; /* it does without */
	}
	if (strcmp(name, "issuer-ca") == 0) {
		buf_reset(&env.ca);
		r = slurp_fd(fd, &env.ca);
		if (r == 0 && buf_len(&env.ca) == 0)
			r = ERR_CONFIG; /* empty must not mean the system's */
	}
	(void)close(fd);
	return r;
}

static int
on_go(const struct conf *conf, const char *addresses)
{
	struct reach reach;
	int r;

	(void)addresses;
	env.judge.conf = conf;
	if (env.listener == -1)
		return ERR_PROTO;
	/* settings that name a bundle, and no bundle: not the system's then */
	if (conf->issuer_ca != NULL && buf_len(&env.ca) == 0)
		return ERR_CONFIG;
	if ((env.http = http_new(child_loop())) == NULL)
		return ERR_NOMEM;
	if ((r = reach_init(&conf->issuer_address, &reach)) != 0)
		return r;
	http_set_reach(env.http, &reach);
	if (buf_len(&env.ca) > 0 && (r = http_set_ca(env.http,
	    buf_ptr(&env.ca), buf_len(&env.ca))) != 0)
		return r;
	/* Before the first fetch, which makes a thread. */
	if ((r = sandbox_enter(SANDBOX_OIDC,
		 (const int[SANDBOX_GIVEN_MAX]){ -1, -1, -1 })) != 0)
		return r;
	take_keys();
	on_tick(NULL);
	env.go = true;
	recall(NULL);
	return ERR_AGAIN; /* serve says when */
}

/* Who knocks from here on is the next one's. */
static bool
on_idle(void)
{
	watch_free(env.watch);
	env.watch = NULL;
	refusal_flush(&env.judge);
	if (env.listener != -1)
		(void)close(env.listener);
	env.listener = -1;
	return !conns_busy() &&
	       (env.judge.audit == NULL || peer_queued(env.judge.audit) == 0);
}

int
main(void)
{
	static const struct child_handlers handlers = {
		.listen = on_listen,
		.link = on_link,
		.folder = on_folder,
		.go = on_go,
		.idle = on_idle,
	};

	log_init("postern-oidc");
	buf_init(&env.ca, OIDC_CA_MAX);
	env.io = (struct jwks_io){ .get = io_get, .cancel = io_cancel,
		.now_ms = io_now_ms };
	jws_harden();
	if (jsonin_harden() != 0)
		fatal(ERR_SYS, "cannot start");
	if ((env.judge.marks = replay_new(REPLAY_MAX)) == NULL)
		fatal(ERR_NOMEM, "cannot start");
	conns_init(&env.judge);
	return child_main("postern-oidc", PROC_OIDC, &handlers);
}
