/*
 * The table of trusted issuers.  Runs in postern-oidc; its content comes from
 * the policy process, which read it from root's files.
 */
#include "config.h"

#include "broker/issuers.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"

/* There is one already that would take its tokens. */
static bool
issuers_taken(const struct issuers *s, const struct token_rules *rules)
{
	for (size_t i = 0; i < s->n; i++) {
		if (token_rules_overlap(&s->t[i].rules, rules))
			return true;
	}
	return false;
}

/* One entry of the message; an unusable one is taken back. */
static int
issuers_read_one(struct buf *b, struct issuers *s)
{
	struct trusted *t = &s->t[s->n];
	int r;

	if ((r = token_rules_get(b, &t->rules)) != 0)
		return r;
	if (!http_url_ok(t->rules.url) || t->rules.algs == 0 ||
	    (*t->rules.keys_url != '\0' && !http_url_ok(t->rules.keys_url)) ||
	    issuers_taken(s, &t->rules)) {
		token_rules_clear(&t->rules);
		s->unusable++;
		return 0;
	}
	s->n++;
	return 0;
}

int
issuers_read(struct buf *b, struct issuers *out)
{
	uint32_t n;
	int r;

	*out = (struct issuers){ 0 };
	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > ISSUERS_MAX)
		return ERR_TOOBIG;
	while (r == 0 && n-- > 0)
		r = issuers_read_one(b, out);
	if (r == 0)
		r = buf_end(b);
	if (r != 0)
		issuers_clear(out);
	return r;
}

int
issuers_read_keys(
    struct buf *b, struct jwk_set *take_set, struct issuers *pending)
{
	size_t n = pending->n;
	int r;

	if ((r = n == ISSUERS_MAX ? ERR_TOOBIG : 0) != 0 ||
	    (r = issuers_read_one(b, pending)) != 0 || (r = buf_end(b)) != 0)
		goto out;
	if (pending->n == n)
		goto out; /* unusable */
	if (take_set == NULL) {
		token_rules_clear(&pending->t[--pending->n].rules);
		goto out;
	}
	pending->t[n].jwks = jwks_new_fixed(pending->t[n].rules.url, take_set);
	take_set = NULL;
	r = pending->t[n].jwks == NULL ? ERR_NOMEM : 0;
out:
	jwk_set_free(take_set);
	if (r != 0 && pending->n > n)
		token_rules_clear(&pending->t[--pending->n].rules);
	return r;
}

void
issuers_append(struct issuers *s, struct issuers *pending)
{
	for (size_t i = 0; i < pending->n; i++) {
		struct trusted *t = &pending->t[i];

		if (s->n == ISSUERS_MAX || issuers_taken(s, &t->rules)) {
			s->unusable++;
			continue;
		}
		s->t[s->n++] = *t;
		*t = (struct trusted){ 0 };
	}
	s->unusable += pending->unusable;
	issuers_clear(pending);
}

int
issuers_adopt(struct issuers *s, struct issuers *old, const struct jwks_io *io,
    jwks_cb changed)
{
	int r = 0;

	for (size_t i = 0; i < s->n; i++) {
		char *url = s->t[i].rules.url;
		const char *keys_url = s->t[i].rules.keys_url;

		for (size_t k = 0; k < old->n; k++) {
			if (s->t[i].jwks != NULL || old->t[k].jwks == NULL ||
			    jwks_is_fixed(old->t[k].jwks) ||
			    strcmp(old->t[k].rules.url, url) != 0 ||
			    strcmp(old->t[k].rules.keys_url, keys_url) != 0)
				continue;
			s->t[i].jwks = old->t[k].jwks;
			s->t[i].said = old->t[k].said;
			old->t[k].jwks = NULL;
			jwks_set_arg(s->t[i].jwks, url);
		}
		if (s->t[i].jwks == NULL)
			s->t[i].jwks =
			    jwks_new(io, url, keys_url, changed, url);
		if (s->t[i].jwks == NULL)
			r = ERR_NOMEM;
	}
	issuers_clear(old);
	return r;
}

void
issuers_clear(struct issuers *s)
{
	for (size_t i = 0; i < s->n; i++) {
		jwks_free(s->t[i].jwks);
		token_rules_clear(&s->t[i].rules);
	}
	*s = (struct issuers){ 0 };
}

int
issuers_for(const struct issuers *s, const struct token *t,
    const struct trusted **out, const char **why)
{
	const struct trusted *first = NULL, *found = NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->t[i].rules.url, t->iss) != 0)
			continue;
		if (first == NULL)
			first = &s->t[i];
		if (!token_names_aud(t, &s->t[i].rules))
			continue;
		found = &s->t[i];
		n++;
	}
	*out = n == 1 ? found : first;
	*why = first == NULL ? "no issuer of the policy has this iss"
	       : n == 0      ? "the audience is not ours"
			     : "the token has audiences of two issuers of the "
			       "policy";
	return n == 1 ? 0 : ERR_DENIED;
}

struct trusted *
issuers_at(struct issuers *s, const char *url)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->t[i].rules.url == url)
			return &s->t[i];
	}
	return NULL;
}

void
issuers_tick(const struct issuers *s)
{
	for (size_t i = 0; i < s->n; i++)
		jwks_tick(s->t[i].jwks);
}
