/*
 * What verifying a token costs beside the signature alone (`./dev bench auth`,
 * row 7 of doc/PROMISES.md):
 *
 *	bare	EVP_DigestVerify of the same bytes with the same key
 *	ours	gate, claims and OpenSSL's verdict, up to what policy is told
 *	libjwt	the second opinion, and wiping what it leaves behind
 *
 * One after the other in each of many rounds, with memory as postern-oidc has
 * it; medians.  Fails when a token costs more than AUTH_RATIO of the bare.
 */
#include "config.h"

#include <err.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "broker/jsonin.h"
#include "broker/jws.h"
#include "broker/token.h"
#include "lib/buf.h"
#include "lib/str.h"
#include "tests/unit/mint.h"

#define AUTH_ROUNDS 2001
#define AUTH_ROUNDS_MAX 1000001
#define AUTH_RATIO 2.0
#define NOW 1700000000

/* The shape and size of a GitHub token. */
static const char claims[] =
    "{\"jti\":\"7e2c1a3f-9d77-4a1b-8c5e-0f6b2d9a4e11\","
    "\"sub\":\"repo:octo-org/octo-repo:ref:refs/heads/main\","
    "\"aud\":\"bastion.acme.example\",\"ref\":\"refs/heads/main\","
    "\"sha\":\"0123456789abcdef0123456789abcdef01234567\","
    "\"repository\":\"octo-org/octo-repo\",\"repository_owner\":\"octo-org\","
    "\"repository_owner_id\":\"123456\",\"run_id\":\"16512345678\","
    "\"run_number\":\"4711\",\"run_attempt\":\"1\","
    "\"repository_visibility\":\"private\",\"repository_id\":\"456789012\","
    "\"actor_id\":\"12345678\",\"actor\":\"octocat\",\"workflow\":\"deploy\","
    "\"head_ref\":\"\",\"base_ref\":\"\",\"event_name\":\"push\","
    "\"ref_protected\":\"true\",\"ref_type\":\"branch\","
    "\"workflow_ref\":\"octo-org/octo-repo/.github/workflows/deploy.yml@"
    "refs/heads/main\","
    "\"workflow_sha\":\"0123456789abcdef0123456789abcdef01234567\","
    "\"job_workflow_ref\":\"octo-org/octo-repo/.github/workflows/deploy.yml@"
    "refs/heads/main\","
    "\"job_workflow_sha\":\"0123456789abcdef0123456789abcdef01234567\","
    "\"runner_environment\":\"github-hosted\",\"environment\":\"production\","
    "\"environment_node_id\":\"EN_kwDOABCDEF4AbCdE\","
    "\"check_run_id\":\"47110815\","
    "\"iss\":\"https://token.actions.githubusercontent.com\","
    "\"nbf\":1699999390,\"exp\":1700000290,\"iat\":1699999990}";

static char name[] = "github", us[] = "bastion.acme.example",
	    url[] = "https://token.actions.githubusercontent.com";
static char *aud[] = { us };
static const struct token_rules rules = { .name = name,
	.url = url,
	.aud = aud,
	.naud = 1,
	.max_age_s = 300,
	.max_life_s = 3600,
	.leeway_s = 30,
	.once = true };

/* One algorithm's token, taken apart before the clock runs. */
struct subject {
	struct jwk_set *keys;
	struct buf text;
	struct jws jws;
	struct buf sig; /* as OpenSSL wants it */
};

enum arm { BARE, OURS, LIBJWT, ARMS };

static int
bare(struct subject *s)
{
	const struct jwa *a = s->jws.alg;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	int ok;

	ok = ctx != NULL &&
	     EVP_DigestVerifyInit(ctx, &pctx, a->md == NULL ? NULL : a->md(),
		 NULL, s->keys->key[0].key) == 1;
	if (ok && a->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(
			 pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(
			 pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(ctx, buf_ptr(&s->sig), buf_len(&s->sig),
		       (const uint8_t *)s->jws.token, s->jws.signed_len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -1;
}

static int
ours(struct subject *s)
{
	const char *why;
	struct token t = { 0 };
	struct jws j;
	struct buf told;
	int r;

	buf_init(&told, 64 * 1024);
	if ((r = jws_parse((const char *)buf_ptr(&s->text), buf_len(&s->text),
		 &j, &why)) == 0 &&
	    (r = token_parse(
		 buf_ptr(&j.payload), buf_len(&j.payload), &t, &why)) == 0 &&
	    (r = jws_verify(&j, s->keys, UINT32_MAX, &why)) == 0 &&
	    (r = token_check(&t, &rules, NOW, &why)) == 0)
		r = token_put_claims(&t, &told, &why);
	buf_clear(&told);
	token_clear(&t);
	jws_clear(&j);
	return r;
}

static int
libjwt(struct subject *s)
{
	const char *why;

	return jws_second_opinion(&s->jws, s->keys, &why);
}

static void
subject_make(struct subject *s, const char *alg, EVP_PKEY *key)
{
	const char *why;
	char header[256];
	struct buf set;

	buf_init(&set, JWK_SET_MAX);
	(void)buf_putf(&set, "{\"keys\":[");
	mint_jwk(&set, key, "\"kid\":\"cc413527-173f-5a05-976e-9c52b1d7b431\"");
	(void)buf_putf(&set, "]}");
	(void)snprintf(header, sizeof(header),
	    "{\"typ\":\"JWT\",\"alg\":\"%s\","
	    "\"x5t\":\"eBZ_cn3sXYAd0ch4THBKHIgOwOE\",\"kid\":\"cc413527-173f-"
	    "5a05"
	    "-976e-9c52b1d7b431\"}",
	    alg);
	buf_init(&s->text, 16 * 1024);
	mint_token(&s->text, key, alg, header, claims);
	buf_init(&s->sig, 1024);
	if (jwk_set_parse(buf_ptr(&set), buf_len(&set), &s->keys, &why) != 0 ||
	    buf_cstr(&s->text) == NULL ||
	    jws_parse(buf_cstr(&s->text), buf_len(&s->text), &s->jws, &why) !=
		0)
		errx(1, "%s: %s", alg, why);
	mint_openssl(&s->sig, key, alg, s->jws.token, s->jws.signed_len);
	buf_clear(&set);
}

static void
subject_clear(struct subject *s)
{
	jws_clear(&s->jws);
	buf_clear(&s->text);
	buf_clear(&s->sig);
	jwk_set_free(s->keys);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* One row; whether the bound is met. */
static int
measure(const char *alg, EVP_PKEY *key, size_t rounds, double bound)
{
	static int (*const arm[ARMS])(
	    struct subject *) = { bare, ours, libjwt };
	struct subject s;
	int64_t *took[ARMS];
	double us_of[ARMS], ratio;

	subject_make(&s, alg, key);
	for (size_t a = 0; a < ARMS; a++) {
		if ((took[a] = calloc(rounds, sizeof(*took[a]))) == NULL)
			err(1, NULL);
	}
	for (size_t i = 0; i < rounds; i++) {
		for (size_t k = 0; k < ARMS; k++) {
			size_t a = (i + k) % ARMS; /* each comes first */
			int64_t since = now_ns();

			if (arm[a](&s) != 0)
				errx(1, "%s: a good token is refused", alg);
			took[a][i] = now_ns() - since;
		}
	}
	for (size_t a = 0; a < ARMS; a++) {
		qsort(took[a], rounds, sizeof(*took[a]), by_value);
		us_of[a] = (double)took[a][rounds / 2] / 1000;
		free(took[a]);
	}
	ratio = us_of[OURS] / us_of[BARE];
	printf("%-8s%6zu%9.1f%9.1f%9.2f", alg, buf_len(&s.text), us_of[BARE],
	    us_of[OURS], ratio);
	if (s.jws.alg->libjwt)
		printf("%9.1f\n", us_of[LIBJWT]);
	else
		printf("%9s\n", "-");
	subject_clear(&s);
	return ratio <= bound ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *alg;
		size_t key;
		bool promised; /* of the others, the ratio is told */
	} rows[] = { { "RS256", 0, true }, { "RS384", 0, false },
		{ "RS512", 0, false }, { "PS256", 0, false },
		{ "PS384", 0, false }, { "PS512", 0, false },
		{ "ES256", 1, true }, { "ES384", 2, false },
		{ "ES512", 3, false }, { "EdDSA", 4, false } };
	EVP_PKEY *key[5] = { mint_rsa(2048), mint_ec("P-256"), mint_ec("P-384"),
		mint_ec("P-521"), mint_ed25519() };
	uint64_t rounds = AUTH_ROUNDS;
	int bad = 0;

	if (argc > 1 && num_parse(argv[1], 1, AUTH_ROUNDS_MAX, &rounds) != 0)
		errx(64, "usage: auth [ROUNDS]");
	if (jsonin_harden() != 0)
		errx(1, "jsonin_harden");
	jws_harden();
	printf("µs, medians of %" PRIu64 " rounds\n"
	       "%-8s%6s%9s%9s%9s%9s\n",
	    rounds, "", "bytes", "bare", "ours", "ratio", "libjwt");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int missed =
		    measure(rows[i].alg, key[rows[i].key], rounds, AUTH_RATIO);

		if (missed != 0 && rows[i].promised)
			bad = 1;
	}
	printf(" 7  RS256 and ES256 <= %.1f x bare: %s\n", AUTH_RATIO,
	    bad == 0 ? "ok" : "MISS");
	for (size_t i = 0; i < 5; i++)
		EVP_PKEY_free(key[i]);
	return bad;
}
