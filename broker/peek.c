/*
 * Tokens without keys.  Runs in the tools, on whatever file a person names; the
 * same gate and the same checks as in postern-oidc, so that what is told here
 * is what happens there.
 */
#include "config.h"

#include "broker/peek.h"

#include <stdlib.h>

#include "broker/jsonin.h"
#include "broker/jws.h"
#include "broker/token.h"
#include "lib/buf.h"
#include "lib/claimtext.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "policy/policy.h"

_Static_assert(PEEK_TOKEN_MAX == PROTO_TOKEN_MAX, "one bound of a token");

struct peeked {
	struct peek pub; /* first: a peek is freed as what it is in */
	struct jws jws;
	struct token token;
	json_t *texts;
};

static void
peek_fill(struct peeked *p)
{
	p->pub = (struct peek){ .alg = p->jws.alg->name,
		.kid = p->jws.has_kid ? p->jws.kid : NULL,
		.iss = p->token.iss,
		.sub = jsonin_str(p->token.claims, "sub", NULL),
		.iat = token_time(&p->token, "iat"),
		.exp = token_time(&p->token, "exp"),
		.nbf = token_time(&p->token, "nbf"),
		.claims = p->token.claims,
		.texts = p->texts };
}

int
peek_open(const char *token, size_t n, struct peek **out, const char **why)
{
	struct peeked *p;
	int r;

	*why = "out of memory";
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return ERR_NOMEM;
	if ((r = jws_parse(token, n, &p->jws, why)) != 0 ||
	    (r = token_parse(buf_ptr(&p->jws.payload), buf_len(&p->jws.payload),
		 &p->token, why)) != 0 ||
	    (r = token_texts(&p->token, &p->texts, why)) != 0)
		goto out;
	peek_fill(p);
	*out = &p->pub;
	p = NULL;
out:
	if (p != NULL)
		peek_free(&p->pub);
	return r;
}

int
peek_check(const struct peek *pub, const struct issuer *is, int64_t now,
    const char **why)
{
	const struct peeked *p = (const struct peeked *)pub;
	struct token t = p->token; /* lends the claims */
	/* its members are read only: the types are those of what owns them */
	struct token_rules rules = { .url = (char *)(uintptr_t)is->url,
		.aud = (char **)(uintptr_t)is->audience,
		.naud = is->naudience,
		.max_age_s = is->max_age_s,
		.max_life_s = is->max_life_s,
		.leeway_s = is->leeway_s };

	for (size_t i = 0; i < is->nalgorithm; i++)
		rules.algs |= jwa_bit(jwa_find(is->algorithm[i]));
	*why = "the issuer is not allowed this algorithm";
	if ((jwa_bit(p->jws.alg) & rules.algs) == 0)
		return ERR_DENIED;
	return token_check(&t, &rules, now, why);
}

void
peek_free(struct peek *pub)
{
	struct peeked *p = (struct peeked *)pub;

	if (p == NULL)
		return;
	json_decref(p->texts);
	token_clear(&p->token);
	jws_clear(&p->jws);
	free(p);
}
