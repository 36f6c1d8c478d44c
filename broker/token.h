/*
 * The claims of a token (RFC 7519, the checks of RFC 8725): from a payload that
 * jws_verify accepted to what policy is told.
 */
#ifndef POSTERN_BROKER_TOKEN_H
#define POSTERN_BROKER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct buf;

#define TOKEN_AUD_MAX 64	/* audiences of an issuer, and in a token */
#define TOKEN_NAME_MAX 64	/* bytes of an issuer's name and algorithms' */
#define TOKEN_URL_MAX 1024	/* bytes of an issuer's url and an audience */
#define TOKEN_LEEWAY_MAX 60	/* seconds */
#define TOKEN_LIFE_MAX (7 * 86400) /* seconds from iat to exp */

/* What a policy says of an issuer: one entry of the message ISSUERS. */
struct token_rules {
	char *name;
	char *url;		/* the exact iss */
	char **aud;
	size_t naud;
	uint32_t algs;		/* jwa_bit set; 0: none of them is known */
	uint32_t max_age_s;	/* now - iat; 0: no such bound */
	uint32_t max_life_s;    /* exp - iat; never 0, at most TOKEN_LIFE_MAX */
	uint32_t leeway_s;
	bool once;		/* a token serves one client address only */
	char *keys_url;         /* "": where the issuer says */
};

/* Reads one entry.  On failure *out is clear. */
int token_rules_get(struct buf *b, struct token_rules *out);
void token_rules_clear(struct token_rules *t);
/* Tokens of one audience could be either's. */
bool token_rules_overlap(
    const struct token_rules *a, const struct token_rules *b);

struct token {
	json_t *claims;
	const char *iss;	/* these three inside claims */
	const char *sub;	/* set by token_check */
	int64_t exp;		/* seconds; set by token_check */
};

/* Parses a payload that is NOT verified yet, to learn whose token it claims to
 * be.  Only iss and aud may be used, and only to look up an issuer that the
 * policy names.  token_clear(out) whatever comes back. */
int token_parse(const void *payload, size_t n, struct token *out,
    const char **why);
/* One of the token's audiences is these rules'. */
bool token_names_aud(const struct token *t, const struct token_rules *rules);
/* The claims of a verified token against its issuer's rules at time now
 * (seconds): iss, aud, azp, sub, exp, iat, nbf, the age, the lifetime. */
int token_check(struct token *t, const struct token_rules *rules, int64_t now,
    const char **why);
/* The NumericDate of that name, cut to seconds; -1: missing or malformed. */
int64_t token_time(const struct token *t, const char *name);
/* The claims as text (lib/claimtext.h), a new object.  ERR_DENIED: a name or
 * value is empty where it must not be, too long, or holds a control or bidi
 * character; a claim that is only dropped would look absent to a rule, so the
 * token is refused.  ERR_EXISTS, ERR_TOOBIG as claimtext_flatten. */
int token_texts(const struct token *t, json_t **out, const char **why);
/* Appends u32 count and count times (str name, str value) of them. */
int token_put_claims(const struct token *t, struct buf *b, const char **why);
void token_clear(struct token *t);

#endif
