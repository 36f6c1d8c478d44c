/*
 * OpenSSL and libjwt, as two judges of tokens that are nearly right, of the
 * algorithms that both know.  Behind the gate they must agree about every one:
 *
 *	judges [N [SEED]]
 *
 * First the comparison is shown tokens about which the judges do disagree, for
 * one of them has other keys: it must notice.  Prints what came of each token,
 * and those that are not agreed on; then it fails.
 */
#include "config.h"

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/jws.h"
#include "broker/token.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "tests/broker/mutate.h"

#define JUDGES_DEFAULT 3000
#define JUDGES_MAX 100000000
#define JUDGES_PLANTED 200
#define JUDGES_SHOWN 20

enum outcome {
	GATE,       /* refused before anybody judged */
	NO_KEY,     /* no key of the set may have made it */
	NOT_CLAIMS, /* signed, but no strict JSON object: refused with claims */
	UNASKED,    /* libjwt cannot be asked, so it is refused */
	BOTH_ACCEPT,
	BOTH_REFUSE,
	ONLY_OPENSSL,
	ONLY_LIBJWT,
	OUTCOMES,
};

static const char *const outcome_text[OUTCOMES] = {
	[GATE] = "refused by the gate",
	[NO_KEY] = "refused for want of a key that fits",
	[NOT_CLAIMS] = "refused for its payload",
	[UNASKED] = "refused because libjwt cannot judge it",
	[BOTH_ACCEPT] = "accepted by both",
	[BOTH_REFUSE] = "refused by both",
	[ONLY_OPENSSL] = "ACCEPTED BY OPENSSL ALONE",
	[ONLY_LIBJWT] = "ACCEPTED BY LIBJWT ALONE",
};

static bool
claims_strict(const struct jws *j)
{
	const char *why;
	struct token t;
	bool ok = token_parse(buf_ptr(&j->payload), buf_len(&j->payload), &t,
		      &why) == 0;

	token_clear(&t);
	return ok;
}

static enum outcome
compare(const struct jws *j, const struct jwk_set *first,
    const struct jwk_set *second)
{
	const struct jwk *k;
	const char *why;
	int ours, theirs;

	if (jws_key(j, first, &k, &why) != 0)
		return NO_KEY;
	ours = jws_verify(j, first, UINT32_MAX, &why);
	if ((theirs = jws_second_opinion(j, second, &why)) == ERR_DENIED)
		return UNASKED;
	if ((ours != 0 && ours != ERR_CRYPTO) ||
	    (theirs != 0 && theirs != ERR_CRYPTO))
		errx(1, "no verdict: %s", why);
	if (ours == 0 && theirs == 0)
		return claims_strict(j) ? BOTH_ACCEPT : NOT_CLAIMS;
	if (ours == 0) /* libjwt reads the claims, too */
		return claims_strict(j) ? ONLY_OPENSSL : NOT_CLAIMS;
	return theirs == 0 ? ONLY_LIBJWT : BOTH_REFUSE;
}

static enum outcome
judge(struct buf *token, const struct jwk_set *first,
    const struct jwk_set *second)
{
	const char *text = buf_cstr(token), *why;
	enum outcome o = GATE;
	struct jws j;

	if (text == NULL)
		errx(1, "out of memory");
	if (jws_parse(text, buf_len(token), &j, &why) == 0 && j.alg->libjwt)
		o = compare(&j, first, second);
	jws_clear(&j);
	return o;
}

struct run {
	const struct mutate_keys *keys;
	const struct jwk_set *first, *second; /* for each judge */
	struct mutate_rng rng;
	size_t count[OUTCOMES];
	bool quiet;
};

/* How many tokens the judges do not agree on. */
static size_t
judge_many(struct run *r, uint64_t n)
{
	size_t bad = 0;

	while (n-- > 0) {
		enum outcome o;
		struct buf b;

		buf_init(&b, 64 * 1024);
		mutate_token(&b, r->keys, &r->rng);
		o = judge(&b, r->first, r->second);
		r->count[o]++;
		if (o == ONLY_OPENSSL || o == ONLY_LIBJWT) {
			if (!r->quiet && bad < JUDGES_SHOWN)
				printf(
				    "%s: %s\n", outcome_text[o], buf_cstr(&b));
			bad++;
		}
		buf_clear(&b);
	}
	return bad;
}

static struct jwk_set *
set_of(const struct mutate_keys *k)
{
	struct jwk_set *s = NULL;
	const char *why;
	struct buf b;

	buf_init(&b, JWK_SET_MAX);
	mutate_keys_set(&b, k);
	if (jwk_set_parse(buf_ptr(&b), buf_len(&b), &s, &why) != 0)
		errx(1, "%s", why);
	buf_clear(&b);
	return s;
}

int
main(int argc, char **argv)
{
	struct mutate_keys keys, others = { 0 };
	struct jwk_set *set, *other;
	struct run run;
	uint64_t n = JUDGES_DEFAULT, seed = 1;
	size_t bad, planted;

	if ((argc > 1 && num_parse(argv[1], 1, JUDGES_MAX, &n) != 0) ||
	    (argc > 2 && num_parse(argv[2], 0, UINT64_MAX, &seed) != 0))
		errx(64, "usage: judges [N [SEED]]");
	mutate_keys_make(&keys);
	for (size_t i = 0; i < MUTATE_KEYS; i++)
		others.right[i] = keys.wrong[i];
	set = set_of(&keys);
	other = set_of(&others);
	run = (struct run){ .keys = &keys,
		.first = set,
		.second = other,
		.rng = { seed },
		.quiet = true };
	planted = judge_many(&run, JUDGES_PLANTED);
	if (planted == 0 || run.count[ONLY_OPENSSL] == 0 ||
	    run.count[ONLY_LIBJWT] == 0 || run.count[BOTH_ACCEPT] != 0)
		errx(1, "judges with different keys were not told apart");
	run = (struct run){
		.keys = &keys, .first = set, .second = set, .rng = { seed }
	};
	bad = judge_many(&run, n);
	for (size_t o = 0; o < OUTCOMES; o++)
		printf("%8zu %s\n", run.count[o], outcome_text[o]);
	printf("%8zu of %" PRIu64 " tokens are not agreed on, seed %" PRIu64
	       "; of %d with other keys for libjwt, %zu\n",
	    bad, n, seed, JUDGES_PLANTED, planted);
	jwk_set_free(set);
	jwk_set_free(other);
	mutate_keys_free(&keys);
	/* A run that accepted nothing or refused nothing shows nothing. */
	return bad != 0 || run.count[BOTH_ACCEPT] == 0 ||
	       run.count[BOTH_REFUSE] == 0;
}
