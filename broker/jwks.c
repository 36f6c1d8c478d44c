/*
 * The cache of an issuer's keys.  Runs in postern-oidc.  What it parses comes
 * from the issuer's web server.  Tokens, which anybody can send, can make it
 * fetch, and so how often they can is bounded here.
 */
#include "config.h"

#include "broker/jwks.h"

#include <stdlib.h>
#include <string.h>

#include "broker/http_head.h"
#include "broker/jsonin.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

#define JWKS_DEPTH 8
#define JWKS_URL_MAX 2048
#define JWKS_PATH "/.well-known/openid-configuration"
#define S 1000 /* ms */

struct jwks {
	const struct jwks_io *io; /* NULL: the keys are from a file */
	char *issuer;
	jwks_cb changed;
	void *arg;
	char *uri;		/* of the key set; NULL: discovery comes first */
	bool told;              /* it is the policy's word, not the issuer's */
	struct http_req *req;	/* the fetch that runs, NULL for none */
	int64_t tried;		/* when the last fetch started */
	bool ever;		/* there was one */
	int last;		/* how it ended */
	struct jwk_set *set;
	int64_t fetched, fresh;	/* since when, until when it is fresh */
	char etag[HTTP_ETAG_MAX + 1]; /* of the set; "": none */
	char *tagged;                 /* the uri that it came from */
	struct buf text; /* of the set; empty: too long to be kept */
};

struct jwks *
jwks_new(const struct jwks_io *io, const char *issuer, const char *keys_url,
    jwks_cb changed, void *arg)
{
	struct jwks *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	*k = (struct jwks){ .io = io, .changed = changed, .arg = arg };
	buf_init(&k->text, JWKS_KEEP_MAX);
	k->told = keys_url != NULL && *keys_url != '\0';
	if ((k->issuer = strdup(issuer)) == NULL ||
	    (k->told && (k->uri = strdup(keys_url)) == NULL)) {
		free(k->issuer);
		free(k);
		return NULL;
	}
	return k;
}

struct jwks *
jwks_new_fixed(const char *issuer, struct jwk_set *take_set)
{
	struct jwks *k = jwks_new(NULL, issuer, NULL, NULL, NULL);

	if (k == NULL)
		jwk_set_free(take_set);
	else
		k->set = take_set;
	return k;
}

bool
jwks_is_fixed(const struct jwks *k)
{
	return k->io == NULL;
}

void
jwks_free(struct jwks *k)
{
	if (k == NULL)
		return;
	if (k->req != NULL)
		k->io->cancel(k->io->ctx, k->req);
	jwk_set_free(k->set);
	buf_clear(&k->text);
	free(k->tagged);
	free(k->issuer);
	free(k->uri);
	free(k);
}

void
jwks_set_arg(struct jwks *k, void *arg)
{
	k->arg = arg;
}

static int64_t
jwks_now(const struct jwks *k)
{
	return k->io->now_ms(k->io->ctx);
}

/* -- fetching ------------------------------------------------------------ */

static void
jwks_ended(struct jwks *k, int r, const char *why)
{
	k->req = NULL;
	k->last = r;
	if (r != 0 &&
	    !k->told) { /* the address of the keys may be what is wrong */
		free(k->uri);
		k->uri = NULL;
	}
	k->changed(k->arg, r, why);
}

static int64_t
jwks_lifetime(int64_t max_age)
{
	if (max_age < 0)
		return JWKS_FRESH_S * S;
	if (max_age < JWKS_FRESH_MIN_S)
		return JWKS_FRESH_MIN_S * S;
	return (max_age < JWKS_FRESH_MAX_S ? max_age : JWKS_FRESH_MAX_S) * S;
}

/* What does not fit is not kept, and nothing else is lost by that. */
static void
jwks_keep_text(struct jwks *k, const void *p, size_t n)
{
	buf_reset(&k->text);
	if (buf_put(&k->text, p, n) != 0)
		buf_clear(&k->text);
}

/* Without memory the set is fetched whole the next time. */
static void
jwks_keep_tag(struct jwks *k, const char *etag)
{
	k->etag[0] = '\0';
	free(k->tagged);
	k->tagged = strdup(k->uri);
	if (k->tagged != NULL && etag != NULL)
		(void)str_copy(k->etag, sizeof(k->etag), etag);
}

static int
jwks_take_set(struct jwks *k, const struct http_answer *a, const char **why)
{
	struct jwk_set *set = NULL;
	int r;

	if ((r = jwk_set_parse(a->body, a->len, &set, why)) != 0)
		return r;
	jwk_set_free(k->set);
	k->set = set;
	jwks_keep_text(k, a->body, a->len);
	jwks_keep_tag(k, a->etag);
	return 0;
}

static void
jwks_got_set(void *arg, const struct http_answer *a)
{
	struct jwks *k = arg;
	const char *why = a->why;
	int r = a->r;

	/* The same: the set at hand has more time, and nothing else changes. */
	if (r == 0 && !a->same)
		r = jwks_take_set(k, a, &why);
	if (r == 0) {
		k->fetched = jwks_now(k);
		k->fresh = k->fetched + jwks_lifetime(a->max_age);
	}
	jwks_ended(k, r, why);
}

/* A tag goes back to where it came from, while the set that it is of is at
 * hand. */
static int
jwks_ask_set(struct jwks *k)
{
	bool tagged = k->set != NULL && k->tagged != NULL &&
		      strcmp(k->tagged, k->uri) == 0;
	struct http_ask ask = { .url = k->uri,
		.cb = jwks_got_set,
		.arg = k,
		.etag = tagged ? k->etag : "" };

	return k->io->get(k->io->ctx, &ask, &k->req);
}

/* Who is known to keep its keys on another host than its own. */
static const struct {
	const char *issuer, *keys;
} elsewhere[] = {
	{ "https://accounts.google.com", "https://www.googleapis.com" },
};

static bool
jwks_may_be_at(const char *issuer, const char *uri)
{
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		if (strcmp(elsewhere[i].issuer, issuer) == 0)
			issuer = elsewhere[i].keys;
	}
	return http_same_origin(issuer, uri);
}

/* The address of the keys: of the same host or one that we know, so that a
 * document cannot send us elsewhere. */
static int
jwks_discovered(struct jwks *k, const void *p, size_t n, const char **why)
{
	const char *issuer, *uri;
	json_t *j = NULL;
	int r;

	*why = "the discovery document is not a strict JSON object";
	if ((r = jsonin_load(p, n, JWKS_DEPTH, &j)) != 0)
		return r;
	issuer = jsonin_str(j, "issuer", NULL);
	uri = jsonin_str(j, "jwks_uri", NULL);
	r = ERR_DENIED;
	*why = "the discovery document names another issuer";
	if (issuer == NULL || strcmp(issuer, k->issuer) != 0)
		goto out;
	*why = "the discovery document's jwks_uri is not https of its own "
	       "host: if it is right, the policy says so with keys-url";
	if (uri == NULL || strlen(uri) > JWKS_URL_MAX ||
	    !jwks_may_be_at(k->issuer, uri))
		goto out;
	free(k->uri);
	r = (k->uri = strdup(uri)) == NULL ? ERR_NOMEM : 0;
out:
	json_decref(j);
	return r;
}

static void
jwks_got_discovery(void *arg, const struct http_answer *a)
{
	struct jwks *k = arg;
	const char *why = a->why;
	int r = a->r;

	k->req = NULL;
	if (r == 0)
		r = jwks_discovered(k, a->body, a->len, &why);
	if (r == 0) {
		why = "the keys cannot be asked for";
		r = jwks_ask_set(k);
	}
	if (r != 0)
		jwks_ended(k, r, why);
}

static int
jwks_ask_discovery(struct jwks *k)
{
	size_t n = strlen(k->issuer);
	struct http_ask ask = { .cb = jwks_got_discovery, .arg = k };
	struct buf b;
	int r;

	/* section 4.1: a slash at the end is not doubled */
	if (n > 0 && k->issuer[n - 1] == '/')
		n--;
	buf_init(&b, JWKS_URL_MAX);
	if ((r = buf_putf(&b, "%.*s" JWKS_PATH, (int)n, k->issuer)) != 0)
		goto out;
	r = (ask.url = buf_cstr(&b)) == NULL
		? ERR_NOMEM
		: k->io->get(k->io->ctx, &ask, &k->req);
out:
	buf_clear(&b);
	return r;
}

/* ERR_AGAIN: one runs now; ERR_NOTFOUND: not so soon after the last. */
static int
jwks_start(struct jwks *k, int64_t pause_s)
{
	int r;

	if (k->req != NULL)
		return ERR_AGAIN;
	if (k->ever && jwks_now(k) - k->tried < pause_s * S)
		return ERR_NOTFOUND;
	k->ever = true;
	k->tried = jwks_now(k); /* an attempt counts however it ends */
	r = k->uri == NULL ? jwks_ask_discovery(k) : jwks_ask_set(k);
	if (r == 0)
		return ERR_AGAIN; /* k->last still speaks of the one before */
	k->last = r;
	return ERR_NOTFOUND;
}

/* -- asking -------------------------------------------------------------- */

int
jwks_keys(struct jwks *k, const struct jwk_set **out)
{
	int64_t now;

	if (jwks_is_fixed(k)) {
		*out = k->set;
		return 0;
	}
	now = jwks_now(k);
	if (k->set == NULL)
		return jwks_start(k, JWKS_COOLDOWN_S);
	if (now >= k->fresh) {
		int r = jwks_start(k, JWKS_COOLDOWN_S);

		/* Only a failing issuer gives its old keys more time, and then
		 * nobody waits for it. */
		if (k->last == 0 && r == ERR_AGAIN)
			return r;
		if (now >= k->fresh + (int64_t)JWKS_STALE_S * S)
			return r;
	}
	*out = k->set;
	return 0;
}

int
jwks_missing(struct jwks *k)
{
	return jwks_is_fixed(k) ? ERR_NOTFOUND : jwks_start(k, JWKS_COOLDOWN_S);
}

enum jwks_state
jwks_state(const struct jwks *k)
{
	int64_t stale = jwks_stale_s(k);

	if (k->set == NULL || stale == 0)
		return JWKS_NONE;
	return stale > 0 ? JWKS_STALE : JWKS_FRESH;
}

int64_t
jwks_stale_s(const struct jwks *k)
{
	int64_t past;

	if (jwks_is_fixed(k) || k->set == NULL)
		return -1;
	past = jwks_now(k) - k->fresh;
	if (past < 0)
		return -1;
	return past < (int64_t)JWKS_STALE_S * S ? JWKS_STALE_S - past / S : 0;
}

/* -- for the next process ------------------------------------------------ */

bool
jwks_kept(const struct jwks *k, int64_t now_s, struct jwks_kept *out)
{
	if (jwks_is_fixed(k) || k->set == NULL || buf_len(&k->text) == 0)
		return false;
	out->body = buf_ptr(&k->text);
	out->len = buf_len(&k->text);
	out->fetched_s = now_s - (jwks_now(k) - k->fetched) / S;
	out->fresh_s = now_s - (jwks_now(k) - k->fresh) / S;
	return out->fetched_s >= 0 && out->fresh_s >= 0;
}

int
jwks_restore(struct jwks *k, const struct jwks_kept *from, int64_t now_s)
{
	struct jwk_set *set;
	const char *why;
	int64_t fresh_s = from->fresh_s < now_s ? from->fresh_s : now_s;
	int r;

	if (jwks_is_fixed(k) || k->set != NULL)
		return ERR_EXISTS;
	if (from->fetched_s > now_s || from->fetched_s > from->fresh_s ||
	    from->fresh_s - from->fetched_s > JWKS_FRESH_MAX_S ||
	    now_s - from->fresh_s >= JWKS_STALE_S)
		return ERR_DENIED;
	if ((r = jwk_set_parse(from->body, from->len, &set, &why)) != 0)
		return r;
	k->set = set;
	jwks_keep_text(k, from->body, from->len);
	k->fetched = jwks_now(k) - (now_s - from->fetched_s) * S;
	k->fresh = jwks_now(k) - (now_s - fresh_s) * S;
	return 0;
}

void
jwks_tick(struct jwks *k)
{
	int64_t now;

	if (jwks_is_fixed(k))
		return;
	now = jwks_now(k);
	if (k->set != NULL && k->last == 0 &&
	    now < k->fetched + (k->fresh - k->fetched) / 5 * 4)
		return;
	(void)jwks_start(k, JWKS_RETRY_S);
}
