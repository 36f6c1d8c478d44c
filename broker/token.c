/*
 * Claims.  Runs in postern-oidc.  token_parse sees what anybody sent; the rest
 * sees what a configured issuer signed, and a job may still have chosen many of
 * the values (branch and workflow names).
 */
#include "config.h"

#include "broker/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/jsonin.h"
#include "broker/jwa.h"
#include "lib/buf.h"
#include "lib/claimtext.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

#define TOKEN_DEPTH 16
#define TOKEN_TIME_MAX INT64_C(253402300799) /* the end of the year 9999 */

/* -- the issuer's rules -------------------------------------------------- */

void
token_rules_clear(struct token_rules *t)
{
	free(t->name);
	free(t->url);
	free(t->keys_url);
	for (size_t i = 0; i < t->naud; i++)
		free(t->aud[i]);
	free(t->aud);
	*t = (struct token_rules){ 0 };
}

static int
token_rules_get_aud(struct buf *b, struct token_rules *t)
{
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n == 0 || n > TOKEN_AUD_MAX)
		return ERR_TOOBIG;
	if ((t->aud = calloc(n, sizeof(*t->aud))) == NULL)
		return ERR_NOMEM;
	while (t->naud < n) {
		if ((r = buf_get_cstr(b, TOKEN_URL_MAX,
		    &t->aud[t->naud])) != 0)
			return r;
		/* an empty audience would be met by an empty claim */
		if (*t->aud[t->naud++] == '\0')
			return ERR_FORMAT;
	}
	return 0;
}

static int
token_rules_get_algs(struct buf *b, struct token_rules *t)
{
	char name[TOKEN_NAME_MAX];
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > TOKEN_AUD_MAX)
		return ERR_TOOBIG;
	while (n-- > 0) {
		if ((r = buf_get_fixed(b, name, sizeof(name))) != 0)
			return r;
		t->algs |= jwa_bit(jwa_find(name)); /* unknown: adds nothing */
	}
	return 0;
}

int
token_rules_get(struct buf *b, struct token_rules *out)
{
	struct token_rules t = { 0 };
	uint8_t once;
	int r;

	if ((r = buf_get_cstr(b, TOKEN_NAME_MAX, &t.name)) != 0 ||
	    (r = buf_get_cstr(b, TOKEN_URL_MAX, &t.url)) != 0 ||
	    (r = token_rules_get_aud(b, &t)) != 0 ||
	    (r = token_rules_get_algs(b, &t)) != 0 ||
	    (r = buf_get_u32(b, &t.max_age_s)) != 0 ||
	    (r = buf_get_u32(b, &t.max_life_s)) != 0 ||
	    (r = buf_get_u32(b, &t.leeway_s)) != 0 ||
	    (r = buf_get_u8(b, &once)) != 0 ||
	    (r = buf_get_cstr(b, TOKEN_URL_MAX, &t.keys_url)) != 0)
		goto out;
	r = ERR_FORMAT;
	if (!name_valid(t.name) || *t.url == '\0' || once > 1 ||
	    t.leeway_s > TOKEN_LEEWAY_MAX || t.max_life_s == 0 ||
	    t.max_life_s > TOKEN_LIFE_MAX)
		goto out;
	t.once = once == 1;
	*out = t;
	return 0;
out:
	token_rules_clear(&t);
	*out = t;
	return r;
}

static bool
token_aud_ours(const char *s, const struct token_rules *rules)
{
	for (size_t i = 0; s != NULL && i < rules->naud; i++) {
		if (strcmp(s, rules->aud[i]) == 0)
			return true;
	}
	return false;
}

bool
token_rules_overlap(const struct token_rules *a, const struct token_rules *b)
{
	bool both = false;

	if (strcmp(a->url, b->url) != 0)
		return false;
	for (size_t i = 0; i < a->naud && !both; i++)
		both = token_aud_ours(a->aud[i], b);
	return both;
}

/* -- before the signature ------------------------------------------------ */

int
token_parse(const void *payload, size_t n, struct token *out,
    const char **why)
{
	int r;

	*out = (struct token){ 0 };
	*why = "the token's payload is not a strict JSON object";
	if ((r = jsonin_load(payload, n, TOKEN_DEPTH, &out->claims)) != 0)
		return r;
	*why = "the token has no issuer";
	out->iss = jsonin_str(out->claims, "iss", NULL);
	return out->iss == NULL || *out->iss == '\0' ? ERR_FORMAT : 0;
}

bool
token_names_aud(const struct token *t, const struct token_rules *rules)
{
	const json_t *aud = json_object_get(t->claims, "aud"), *v;
	size_t i;

	if (json_is_string(aud))
		return token_aud_ours(json_string_value(aud), rules);
	if (json_array_size(aud) > TOKEN_AUD_MAX)
		return false;
	json_array_foreach(aud, i, v)
	{
		if (token_aud_ours(json_string_value(v), rules))
			return true;
	}
	return false;
}

void
token_clear(struct token *t)
{
	json_decref(t->claims);
	*t = (struct token){ 0 };
}

/* -- after it ------------------------------------------------------------ */

/* Nothing that could drive a terminal or forge a line of a log. */
static bool
token_text_clean(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s), k;
	uint32_t cp;

	for (; n > 0; p += k, n -= k) {
		k = 1;
		if (*p >= 0x20 && *p < 0x7f)
			continue; /* nearly every byte there is */
		if ((k = utf8_next(p, n, &cp)) == 0 || utf8_is_control(cp))
			return false;
	}
	return true;
}

/* A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction, which
 * is cut off; up: towards later instead.  ERR_NOTFOUND when it is missing. */
static int
token_date(const json_t *claims, const char *name, bool up, int64_t *out)
{
	const json_t *v = json_object_get(claims, name);
	int64_t n;
	double d;

	if (v == NULL)
		return ERR_NOTFOUND;
	if (json_is_integer(v)) {
		n = json_integer_value(v);
	} else if (json_is_real(v)) {
		d = json_real_value(v);
		/* compared before it is converted: out of range is undefined */
		if (!(d >= 0 && d < (double)TOKEN_TIME_MAX))
			return ERR_FORMAT;
		n = (int64_t)d;
		n += up && (double)n < d;
	} else {
		return ERR_FORMAT;
	}
	if (n < 0 || n > TOKEN_TIME_MAX)
		return ERR_FORMAT;
	*out = n;
	return 0;
}

int64_t
token_time(const struct token *t, const char *name)
{
	int64_t when;

	return token_date(t->claims, name, false, &when) == 0 ? when : -1;
}

static int
token_check_times(struct token *t, const struct token_rules *rules,
    int64_t now, const char **why)
{
	int64_t leeway = rules->leeway_s, iat, nbf = 0;
	int r;

	*why = "exp is missing or malformed";
	if (token_date(t->claims, "exp", false, &t->exp) != 0)
		return ERR_FORMAT;
	*why = "iat is missing or malformed";
	if (token_date(t->claims, "iat", false, &iat) != 0)
		return ERR_FORMAT;
	*why = "nbf is malformed";
	r = token_date(t->claims, "nbf", true, &nbf);
	if (r != 0 && r != ERR_NOTFOUND)
		return r;
	*why = "the token expires before it was issued";
	if (t->exp <= iat)
		return ERR_DENIED;
	/* MUST be bounded: a spent token's mark is kept until then */
	*why = "the token lives longer than tokens of its issuer may";
	if (t->exp - iat > rules->max_life_s)
		return ERR_DENIED;
	*why = "the token has expired";
	if (now >= t->exp + leeway)
		return ERR_DENIED;
	*why = "the token is not valid yet";
	if (now + leeway < nbf)
		return ERR_DENIED;
	*why = "the token was issued in the future";
	if (now + leeway < iat)
		return ERR_DENIED;
	*why = "the token is too old";
	if (rules->max_age_s != 0 && now - iat > rules->max_age_s + leeway)
		return ERR_DENIED;
	return 0;
}

/* One of ours must be named, and everything named must be text. */
static int
token_check_aud(const struct token *t, const struct token_rules *rules)
{
	const json_t *aud = json_object_get(t->claims, "aud"), *v, *azp;
	size_t i;

	if (!json_is_string(aud) &&
	    (!json_is_array(aud) || json_array_size(aud) > TOKEN_AUD_MAX))
		return ERR_FORMAT;
	json_array_foreach (aud, i, v) {
		if (!json_is_string(v))
			return ERR_FORMAT;
	}
	/* OpenID Connect Core section 3.1.3.7, 4 and 5 */
	azp = json_object_get(t->claims, "azp");
	if (json_array_size(aud) > 1 && azp != NULL &&
	    !token_aud_ours(json_string_value(azp), rules))
		return ERR_DENIED;
	return token_names_aud(t, rules) ? 0 : ERR_DENIED;
}

int
token_check(struct token *t, const struct token_rules *rules, int64_t now,
    const char **why)
{
	int r;

	*why = "the issuer is another one";
	if (strcmp(t->iss, rules->url) != 0)
		return ERR_DENIED;
	*why = "the audience is not ours";
	if ((r = token_check_aud(t, rules)) != 0)
		return r;
	*why = "sub is missing, empty, too long or has control characters";
	t->sub = jsonin_str(t->claims, "sub", NULL);
	if (t->sub == NULL || *t->sub == '\0' ||
	    strlen(t->sub) > PROTO_CLAIM_VALUE_MAX || !token_text_clean(t->sub))
		return ERR_DENIED;
	return token_check_times(t, rules, now, why);
}

/* -- for policy ---------------------------------------------------------- */

static bool
token_claim_sane(const char *name, const char *value)
{
	return *name != '\0' && strlen(name) <= PROTO_CLAIM_NAME_MAX &&
	    strlen(value) <= PROTO_CLAIM_VALUE_MAX && token_text_clean(name) &&
	    token_text_clean(value);
}

static const char *
token_claims_why(int r)
{
	return r == ERR_EXISTS  ? "two claims of the token have one name"
	       : r == ERR_NOMEM ? "the broker is out of memory"
	       : r == ERR_DENIED
		   ? "a claim is too long or has control characters"
		   : "the token has too many claims";
}

static int
token_claim_check(void *ctx, size_t n, const char *name, const char *value)
{
	(void)ctx;
	(void)n;
	return token_claim_sane(name, value) ? 0 : ERR_DENIED;
}

int
token_texts(const struct token *t, json_t **out, const char **why)
{
	json_t *flat = NULL;
	int r = claimtext_flatten(t->claims, &flat);

	if (r == 0 &&
	    (r = claimtext_each(flat, token_claim_check, NULL)) == 0) {
		*out = flat;
		return 0;
	}
	json_decref(flat);
	*why = token_claims_why(r);
	return r;
}

struct token_told {
	struct buf *b;
	bool begun; /* the count stands in front */
};

static int
token_tell(void *ctx, size_t n, const char *name, const char *value)
{
	struct token_told *to = ctx;
	int r;

	if (!token_claim_sane(name, value))
		return ERR_DENIED;
	if (!to->begun && (r = buf_put_u32(to->b, (uint32_t)n)) != 0)
		return r;
	to->begun = true;
	if ((r = buf_put_cstr(to->b, name)) != 0)
		return r;
	return buf_put_cstr(to->b, value);
}

int
token_put_claims(const struct token *t, struct buf *b, const char **why)
{
	struct token_told to = { .b = b };
	int r = claimtext_each(t->claims, token_tell, &to);

	if (r == 0 && !to.begun) /* of no token that has an issuer */
		r = buf_put_u32(b, 0);
	if (r != 0)
		*why = token_claims_why(r);
	return r;
}
