/*
 * What a login must get through.  Runs in postern-oidc.  The token is from
 * anybody who reaches the SSH port; user and source are sshd's words.
 *
 * Order: gate, then the issuer by the exact iss and aud, then that issuer's
 * keys, OpenSSL's verdict, libjwt's, and only then the claims; the mark of a
 * spent token comes last, so that nobody can mark a token that is not his, and
 * lasts only if policy has an identity for it.
 */
#include "config.h"

#include "broker/login.h"

#include <string.h>

#include "broker/issuers.h"
#include "broker/jwks.h"
#include "broker/replay.h"
#include "lib/err.h"
#include "lib/str.h"

int
login_read(struct buf *b, struct login *out)
{
	const uint8_t *token;
	uint32_t parts;
	size_t n;
	int r;

	if ((r = buf_get_fixed(b, out->user, sizeof(out->user))) != 0 ||
	    (r = buf_get_fixed(b, out->source, sizeof(out->source))) != 0 ||
	    (r = buf_get_view(b, PROTO_TOKEN_MAX, &token, &n)) != 0 ||
	    (r = secret_init(&out->token, PROTO_TOKEN_MAX)) != 0 ||
	    (r = secret_append(&out->token, token, n)) != 0 ||
	    (r = buf_get_u32(b, &parts)) != 0 ||
	    (r = buf_get_fixed(b, out->trouble, sizeof(out->trouble))) != 0)
		return r;
	return buf_end(b);
}

int
login_parse(struct login *l, const char **why)
{
	int r;

	*why = l->trouble;
	if (l->trouble[0] != '\0')
		return ERR_DENIED;
	/* the module checks it, too; policy takes a longer one for an attack */
	*why = "the user name is too long";
	if (strlen(l->user) > USER_LEN_MAX)
		return ERR_DENIED;
	*why = "there is no token";
	if (l->token.len == 0)
		return ERR_DENIED;
	if ((r = jws_parse((const char *)l->token.d, l->token.len, &l->jws,
	    why)) != 0)
		return r;
	return token_parse(buf_ptr(&l->jws.payload), buf_len(&l->jws.payload),
	    &l->claims, why);
}

/* OpenSSL's verdict, with newer keys if the token names an unknown one. */
static int
login_first_verdict(struct login *l, const struct trusted *t,
    const struct jwk_set **keys, const char **why)
{
	int r;

	*why = "the issuer's keys cannot be had";
	if ((r = jwks_keys(t->jwks, keys)) != 0)
		return r;
	r = jws_verify(&l->jws, *keys, t->rules.algs, why);
	return r == ERR_NOTFOUND ? jwks_missing(t->jwks) : r;
}

int
login_verify(struct login *l, const struct issuers *is, int64_t now,
    const char **why)
{
	const struct trusted *t;
	const struct jwk_set *keys;
	const char *whose;
	int r, fits = issuers_for(is, &l->claims, &t, &whose);

	*why = whose;
	if (t == NULL)
		return fits;
	if ((r = login_first_verdict(l, t, &keys, why)) != 0)
		return r;
	if ((r = jws_second_opinion(&l->jws, keys, why)) != 0) {
		l->alarm = r == ERR_CRYPTO;
		return r;
	}
	l->verified = true;
	*why = whose;
	if (fits != 0)
		return fits;
	return token_check(&l->claims, &t->rules, now, why);
}

int
login_spend(struct login *l, const struct issuers *is, struct replay *marks,
    int64_t now, const char **why)
{
	const struct trusted *t;
	uint8_t digest[32];
	int r;

	if ((r = issuers_for(is, &l->claims, &t, why)) != 0 || !l->verified)
		return ERR_DENIED;
	*why = "the token cannot be told from others";
	if ((r = jws_digest(&l->jws, digest)) != 0)
		return r;
	hex_encode(digest, sizeof(digest), l->digest);
	if (!t->rules.once)
		return 0;
	*why = "the token cannot be marked as spent";
	l->spent_until = l->claims.exp + t->rules.leeway_s;
	r = replay_mark(marks, digest, l->source, l->spent_until, now);
	if (r == ERR_EXISTS)
		*why = "the token was spent by another address";
	l->alarm = r == ERR_TOOBIG;
	if (r == ERR_TOOBIG)
		*why = "as many spent tokens are remembered as can be: no new "
		       "one is taken until some of them expire";
	l->marked = r == 0;
	return r;
}

/* The key of the login's own mark; false: it has none. */
static bool
login_mark(const struct login *l, uint8_t digest[32])
{
	return l->marked && hex_decode(l->digest, digest, 32) == 0;
}

void
login_keep(const struct login *l, struct replay *marks)
{
	uint8_t digest[32];

	if (login_mark(l, digest))
		replay_keep(marks, digest);
}

void
login_opened(const struct login *l, struct replay *marks)
{
	uint8_t digest[32];

	if (login_mark(l, digest))
		replay_open(marks, digest);
}

void
login_unspend(const struct login *l, struct replay *marks)
{
	uint8_t digest[32];

	if (login_mark(l, digest))
		replay_unmark(marks, digest);
}

int
login_put_session(const struct login *l, const struct issuers *is,
    struct replay *marks, struct buf *b, const char **why)
{
	const struct trusted *t;
	uint8_t digest[32];
	int r;

	if ((r = issuers_for(is, &l->claims, &t, why)) != 0 || !l->verified ||
	    l->digest[0] == '\0')
		return ERR_DENIED;
	*why = "the claims are too long";
	if ((r = buf_put_cstr(b, l->user)) != 0 ||
	    (r = buf_put_cstr(b, l->source)) != 0 ||
	    (r = buf_put_cstr(b, t->rules.name)) != 0 ||
	    (r = buf_put_cstr(b, l->claims.sub)) != 0 ||
	    (r = buf_put_cstr(b, l->digest)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)l->claims.exp)) != 0 ||
	    (r = buf_put_u8(b,
		 login_mark(l, digest) && replay_opened(marks, digest))) != 0)
		return r;
	return token_put_claims(&l->claims, b, why);
}

void
login_forget(struct login *l)
{
	token_clear(&l->claims);
	jws_clear(&l->jws);
	secret_clear(&l->token);
}
