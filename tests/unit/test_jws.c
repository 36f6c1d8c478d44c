/*
 * The gate and the signature: Wycheproof's vectors, and tokens of our own that
 * are good but for one thing.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "broker/jws.h"
#include "lib/b64.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "tests/unit/mint.h"

#define ALL UINT32_MAX
#define CLAIMS "{\"iss\":\"https://i.example\",\"sub\":\"s\"}"

/* -- Wycheproof ---------------------------------------------------------- */

#define SIGNATURE "json_web_signature_test.json"
#define KEY "json_web_key_test.json"
#define CRYPTO "json_web_crypto_test.json"
#define DEVIATIONS_MAX 64

/* Vectors that are called valid and that we refuse: those that were seen, and
 * those that the page lists, "FILE tcId" each. */
struct deviations {
	char row[DEVIATIONS_MAX][64];
	size_t n;
};

static struct deviations seen, listed;

static void
deviations_add(struct deviations *d, const char *file, int id)
{
	int n;

	assert_true(d->n < DEVIATIONS_MAX);
	n = snprintf(d->row[d->n], sizeof(d->row[0]), "%s %d", file, id);
	assert_in_range(n, 1, sizeof(d->row[0]) - 1);
	d->n++;
}

static bool
deviations_have(const struct deviations *d, const char *row)
{
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->row[i], row) == 0)
			return true;
	}
	return false;
}

/* The page's table, | file | tcId | reason |, and a reason there must be. */
static void
deviations_read(struct deviations *d)
{
	FILE *f = fopen(TEST_DOC "/WYCHEPROOF.md", "re");
	char line[1024], *id, *reason;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "| json_web_", 11) != 0)
			continue;
		assert_non_null(id = strstr(line, ".json | "));
		id[5] = '\0';
		id += 8;
		assert_non_null(reason = strstr(id, " | "));
		assert_true(strlen(reason) > strlen(" | HS |\n"));
		deviations_add(d, line + 2, (int)strtol(id, NULL, 10));
	}
	(void)fclose(f);
}

static bool
accepts(const char *token, size_t n, const char *set, size_t set_len,
    uint32_t allowed)
{
	struct jwk_set *keys = NULL;
	const char *why = NULL;
	struct jws j = { 0 };
	bool ok = false;

	if (jwk_set_parse(set, set_len, &keys, &why) == 0)
		ok = jws_parse(token, n, &j, &why) == 0 &&
		    jws_verify(&j, keys, allowed, &why) == 0;
	if (!ok)
		assert_non_null(why);
	jws_clear(&j);
	jwk_set_free(keys);
	return ok;
}

/* A group's public key, or its secret one where it has no other, as a set. */
static char *
group_keys(const json_t *g)
{
	json_t *k = json_object_get(g, "public"), *set;
	char *text;

	if (k == NULL)
		k = json_object_get(g, "private");
	assert_non_null(k);
	if (json_object_get(k, "keys") != NULL)
		return json_dumps(k, 0);
	set = json_pack("{s:[O]}", "keys", k);
	text = json_dumps(set, 0);
	json_decref(set);
	return text;
}

static int
run_vector(const char *file, const json_t *t, const char *set)
{
	const json_t *jws = json_object_get(t, "jws");
	const char *result = json_string_value(json_object_get(t, "result"));
	int id = (int)json_integer_value(json_object_get(t, "tcId"));
	bool ok, valid = strcmp(result, "valid") == 0;
	char *text;

	if (jws == NULL) /* encryption is not ours */
		return 0;
	text = json_is_string(jws) ? strdup(json_string_value(jws)) :
	    json_dumps(jws, 0);
	ok = accepts(text, strlen(text), set, strlen(set), ALL);
	if (ok && !valid)
		fail_msg("%s %d: is invalid, and we accept it", file, id);
	if (valid && !ok)
		deviations_add(&seen, file, id);
	free(text);
	return 1;
}

static int
run_file(const char *file)
{
	json_t *root, *groups, *tests, *g, *t;
	char path[1024];
	size_t i, k;
	int n = 0;

	(void)snprintf(path, sizeof(path), "%s/wycheproof/%s", TEST_DATA,
	    file);
	root = json_load_file(path, 0, NULL);
	assert_non_null(root);
	groups = json_object_get(root, "testGroups");
	json_array_foreach (groups, i, g) {
		char *set = group_keys(g);

		tests = json_object_get(g, "tests");
		json_array_foreach (tests, k, t)
			n += run_vector(file, t, set);
		free(set);
	}
	json_decref(root);
	return n;
}

static void
t_wycheproof(void **state)
{
	(void)state;
	assert_int_equal(run_file(SIGNATURE), 401);
	assert_int_equal(run_file(KEY), 26);
	assert_int_equal(run_file(CRYPTO), 49);
	deviations_read(&listed);
	for (size_t i = 0; i < seen.n; i++) {
		if (!deviations_have(&listed, seen.row[i]))
			fail_msg("%s is not in the list", seen.row[i]);
	}
	for (size_t i = 0; i < listed.n; i++) {
		if (!deviations_have(&seen, listed.row[i]))
			fail_msg("%s is in the list", listed.row[i]);
	}
	assert_int_equal(listed.n, seen.n); /* each once */
}

/* What else the four of RFC 7520 are refused for: nothing. */
static void
t_wycheproof_labels(void **state)
{
	json_t *root =
		   json_load_file(TEST_DATA "/wycheproof/" SIGNATURE, 0, NULL),
	       *g, *t, *key;
	size_t i, k;
	int n = 0;

	(void)state;
	assert_non_null(root);
	json_array_foreach(json_object_get(root, "testGroups"), i, g)
	{
		char *set;

		key = json_object_get(g, "public");
		if (key == NULL || json_object_del(key, "alg") != 0)
			continue;
		set = group_keys(g);
		json_array_foreach(json_object_get(g, "tests"), k, t)
		{
			int id =
			    (int)json_integer_value(json_object_get(t, "tcId"));
			const char *jws =
			    json_string_value(json_object_get(t, "jws"));

			if (id != 346 && id != 347 && id != 350 && id != 351)
				continue;
			assert_true(
			    accepts(jws, strlen(jws), set, strlen(set), ALL));
			n++;
		}
		free(set);
	}
	json_decref(root);
	assert_int_equal(n, 4);
}

/* -- examples of the RFCs ------------------------------------------------ */

static void
t_jws_verify_rfc_examples(void **state)
{
#define JOE                                                                    \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"     \
	"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
	static const struct {
		const char *set, *token;
	} cases[] = {
		{ /* RFC 7515 appendix A.2 */
		    "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
		    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPd"
		    "dxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC"
		    "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf6"
		    "3kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6"
		    "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK"
		    "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
		    "yuXpoQ\"}]}",
		    "eyJhbGciOiJSUzI1NiJ9." JOE
		    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOi"
		    "Zj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
		    "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArL"
		    "IARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
		    "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUi"
		    "pUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
		    "Ge77Rw" },
		{ /* RFC 7515 appendix A.3 */
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\""
		    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\""
		    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
		    "eyJhbGciOiJFUzI1NiJ9." JOE
		    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djx"
		    "La8ISlSApmWQxfKTUJqPP3-Kg6NU1Q" },
		{ /* RFC 7515 appendix A.4 */
		    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\""
		    "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_"
		    "NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSN"
		    "x_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZ"
		    "MaZmh9ubmf63e3kyMj2\"}]}",
		    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
		    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPW"
		    "ROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZC"
		    "PEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXo"
		    "lLzeO_Jn" },
		{ /* RFC 8037 appendix A.4 */
		    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\""
		    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
		    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
		    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4"
		    "iylGjg5BhVsPt9g7sVvpAr_MuM0KAg" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *t = cases[i].token, *set = cases[i].set;
		char *other = strdup(t);

		if (!accepts(t, strlen(t), set, strlen(set), ALL))
			fail_msg("%s", t);
		/* and not with another payload */
		strchr(other, '.')[2] ^= 1;
		assert_false(accepts(other, strlen(t), set, strlen(set), ALL));
		free(other);
	}
	/* RFC 7515 appendix A.5: no signature at all */
	assert_false(accepts("eyJhbGciOiJub25lIn0." JOE, strlen(JOE) + 20,
	    cases[0].set, strlen(cases[0].set), ALL));
}

/* -- our own ------------------------------------------------------------- */

static struct {
	EVP_PKEY *rsa, *rsa2, *p256, *p384, *p521, *ed;
	struct buf set; /* all of them */
} env;

static int
setup(void **state)
{
	(void)state;
	env.rsa = mint_rsa(2048);
	env.rsa2 = mint_rsa(2048);
	env.p256 = mint_ec("P-256");
	env.p384 = mint_ec("P-384");
	env.p521 = mint_ec("P-521");
	env.ed = mint_ed25519();
	buf_init(&env.set, JWK_SET_MAX);
	(void)buf_putf(&env.set, "{\"keys\":[");
	mint_jwk(&env.set, env.rsa, "\"kid\":\"r\",\"use\":\"sig\"");
	(void)buf_putf(&env.set, ",");
	mint_jwk(&env.set, env.rsa2, "\"kid\":\"r512\",\"alg\":\"RS512\"");
	(void)buf_putf(&env.set, ",");
	mint_jwk(&env.set, env.p256, "\"kid\":\"e256\",\"alg\":\"ES256\"");
	(void)buf_putf(&env.set, ",");
	mint_jwk(&env.set, env.p384, "\"kid\":\"e384\"");
	(void)buf_putf(&env.set, ",");
	mint_jwk(&env.set, env.p521, "\"kid\":\"e521\"");
	(void)buf_putf(&env.set, ",");
	mint_jwk(&env.set, env.ed, "\"kid\":\"ed\"");
	(void)buf_putf(&env.set, "]}");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(env.rsa);
	EVP_PKEY_free(env.rsa2);
	EVP_PKEY_free(env.p256);
	EVP_PKEY_free(env.p384);
	EVP_PKEY_free(env.p521);
	EVP_PKEY_free(env.ed);
	buf_clear(&env.set);
	return 0;
}

static struct jwk_set *
keys_new(void)
{
	struct jwk_set *s = NULL;
	const char *why;

	assert_int_equal(jwk_set_parse(buf_ptr(&env.set), buf_len(&env.set),
	    &s, &why), 0);
	return s;
}

/* The first error on the token's way.  Here, the two judges agree about every
 * token: what only the second refuses, the first should have. */
static int
judge(const char *token, size_t n, uint32_t allowed)
{
	struct jwk_set *keys = keys_new();
	const char *why = NULL;
	struct jws j = { 0 };
	int r;

	if ((r = jws_parse(token, n, &j, &why)) == 0 &&
	    (r = jws_verify(&j, keys, allowed, &why)) == 0 &&
	    (r = jws_second_opinion(&j, keys, &why)) == ERR_CRYPTO)
		fail_msg("%s: %s", why, token);
	if (r != 0)
		assert_non_null(why);
	jws_clear(&j);
	jwk_set_free(keys);
	return r;
}

static int
judge_minted(EVP_PKEY *key, const char *alg, const char *header)
{
	struct buf b;
	int r;

	buf_init(&b, 4 * PROTO_TOKEN_MAX);
	mint_token(&b, key, alg, header, CLAIMS);
	r = judge(buf_cstr(&b), buf_len(&b), ALL);
	buf_clear(&b);
	return r;
}

static void
t_jws_verify_every_algorithm(void **state)
{
	const struct {
		EVP_PKEY *key;
		const char *alg, *header;
	} good[] = {
		{ env.rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}" },
		{ env.rsa, "RS384", "{\"alg\":\"RS384\",\"kid\":\"r\"}" },
		{ env.rsa, "RS512", "{\"alg\":\"RS512\",\"kid\":\"r\"}" },
		{ env.rsa2, "RS512", "{\"alg\":\"RS512\",\"kid\":\"r512\"}" },
		{ env.rsa, "PS256", "{\"alg\":\"PS256\",\"kid\":\"r\"}" },
		{ env.rsa, "PS384", "{\"alg\":\"PS384\",\"kid\":\"r\"}" },
		{ env.rsa, "PS512", "{\"alg\":\"PS512\",\"kid\":\"r\"}" },
		{ env.p256, "ES256", "{\"alg\":\"ES256\",\"kid\":\"e256\"}" },
		{ env.p384, "ES384", "{\"alg\":\"ES384\",\"kid\":\"e384\"}" },
		{ env.p521, "ES512", "{\"alg\":\"ES512\",\"kid\":\"e521\"}" },
		{ env.ed, "EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}" },
		{ env.ed, "Ed25519", "{\"alg\":\"Ed25519\",\"kid\":\"ed\"}" },
		/* without kid, where one key alone fits */
		{ env.p256, "ES256", "{\"alg\":\"ES256\"}" },
		{ env.rsa, "RS256", "{\"alg\":\"RS256\"}" },
		{ env.rsa, "RS256",
		    "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"JWT\"}" },
		{ env.rsa, "RS256",
		    "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"jwt\"}" },
		{ env.rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\","
		    "\"x5t\":\"eA\",\"odd\":[{\"a\":1}]}" },
		{ env.rsa, "RS256", " { \"alg\" : \"RS256\" ,\n\"kid\":\"r\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int r = judge_minted(good[i].key, good[i].alg, good[i].header);

		if (r != 0)
			fail_msg("%s: %s", good[i].header, err_text(r));
	}
}

/* Each is signed by the right key: only the header is wrong. */
static void
t_jws_parse_header(void **state)
{
	static const struct {
		const char *header;
		int r;
	} bad[] = {
		{ "{\"alg\":\"none\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"None\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"HS256\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"HS512\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"rs256\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256 \",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":256,\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":[\"RS256\"],\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"kid\":\"r\"}", ERR_DENIED },
		{ "{}", ERR_DENIED },
		{ "{\"alg\":\"RSA-OAEP\",\"enc\":\"A128GCM\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"a\":1,\"a\":1}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"a\":{\"b\":1,\"b\":1}}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"crit\":[]}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"crit\":[\"x\"]}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"b64\":true}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"jwk\":{}}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"jku\":\"https://x\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"x5u\":\"https://x\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"x5c\":[]}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"zip\":\"DEF\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"cty\":\"JWT\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"cty\":null}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"typ\":\"JWTx\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"typ\":null}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"typ\":\"JOSE\"}", ERR_DENIED },
		{ "{\"alg\":\"RS256\",\"kid\":\"\"}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"kid\":7}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"kid\":null}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"kid\":\"r\\u0000\"}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\"}x", ERR_FORMAT },
		{ "{\"alg\":\"RS256\"}{}", ERR_FORMAT },
		{ "[{\"alg\":\"RS256\"}]", ERR_FORMAT },
		{ "\"RS256\"", ERR_FORMAT },
		{ "", ERR_FORMAT },
		{ "\xef\xbb\xbf{\"alg\":\"RS256\"}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"a\":\"\xff\"}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"a\":[[[[1]]]]}", ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"a\":99999999999999999999}",
		    ERR_FORMAT },
		{ "{\"alg\":\"RS256\",\"kid\":\"unknown\"}", ERR_NOTFOUND },
		{ "{\"alg\":\"RS256\",\"kid\":\"../r\"}", ERR_NOTFOUND },
		{ "{\"alg\":\"RS256\",\"kid\":\"R\"}", ERR_NOTFOUND },
		/* that kid is another key of the same kind, or of another */
		{ "{\"alg\":\"RS256\",\"kid\":\"r512\"}", ERR_DENIED },
		{ "{\"alg\":\"RS512\",\"kid\":\"r512\"}", ERR_CRYPTO },
		{ "{\"alg\":\"RS256\",\"kid\":\"e256\"}", ERR_DENIED },
		/* another algorithm than the one it was signed with */
		{ "{\"alg\":\"PS256\",\"kid\":\"r\"}", ERR_CRYPTO },
		{ "{\"alg\":\"RS384\",\"kid\":\"r\"}", ERR_CRYPTO },
		{ "{\"alg\":\"ES256\",\"kid\":\"r\"}", ERR_DENIED },
		{ "{\"alg\":\"ES256\",\"kid\":\"e256\"}", ERR_CRYPTO },
		/* without kid, and two keys would fit */
		{ "{\"alg\":\"RS512\"}", ERR_DENIED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = judge_minted(env.rsa, "RS256", bad[i].header);

		if (r != bad[i].r)
			fail_msg("%s: %s", bad[i].header, err_text(r));
	}
}

static void
t_jws_parse_bounds(void **state)
{
	struct buf h, t;

	(void)state;
	buf_init(&h, 64 * 1024);
	(void)buf_putf(&h, "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}",
	    JWK_KID_MAX, 0);
	assert_int_equal(judge_minted(env.rsa, "RS256", buf_cstr(&h)),
	    ERR_NOTFOUND);
	buf_reset(&h);
	(void)buf_putf(&h, "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}",
	    JWK_KID_MAX + 1, 0);
	assert_int_equal(judge_minted(env.rsa, "RS256", buf_cstr(&h)),
	    ERR_FORMAT);
	buf_reset(&h);
	(void)buf_putf(&h, "{\"alg\":\"RS256\",\"kid\":\"r\",\"a\":\"%0*d\"}",
	    4100, 0);
	assert_int_equal(judge_minted(env.rsa, "RS256", buf_cstr(&h)),
	    ERR_TOOBIG);
	/* the longest token, and one byte more */
	buf_init(&t, 64 * 1024);
	for (int pad = 11000; pad < 14000; pad++) {
		buf_reset(&h);
		buf_reset(&t);
		(void)buf_putf(&h, "{\"a\":\"%0*d\"}", pad, 0);
		mint_token(&t, env.p256, "ES256", "{\"alg\":\"ES256\"}",
		    buf_cstr(&h));
		if (buf_len(&t) >= PROTO_TOKEN_MAX)
			break;
		pad += (int)(PROTO_TOKEN_MAX - buf_len(&t)) / 2;
	}
	assert_in_range(buf_len(&t), PROTO_TOKEN_MAX, PROTO_TOKEN_MAX + 2);
	assert_int_equal(judge(buf_cstr(&t), buf_len(&t), ALL),
	    buf_len(&t) == PROTO_TOKEN_MAX ? 0 : ERR_TOOBIG);
	assert_int_equal(judge(buf_cstr(&t), PROTO_TOKEN_MAX + 1, ALL),
	    ERR_TOOBIG);
	buf_clear(&t);
	buf_clear(&h);
}

static void
t_jws_parse_form(void **state)
{
	struct buf good, b;
	const char *g, *d1, *d2;
	size_t n;

	(void)state;
	buf_init(&good, PROTO_TOKEN_MAX);
	mint_token(&good, env.rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}",
	    CLAIMS);
	g = buf_cstr(&good);
	n = buf_len(&good);
	d1 = strchr(g, '.');
	d2 = strchr(d1 + 1, '.');
	assert_int_equal(judge(g, n, ALL), 0);
	/* a byte put in at each of these places, and at the ends */
	static const char odd[] = { '.', '=', '+', '/', ' ', '\n', '\0', '!',
		'\x80', 'A' };
	const size_t place[] = { 0, 1, (size_t)(d1 - g), (size_t)(d1 + 1 - g),
		(size_t)(d2 - g), (size_t)(d2 + 1 - g), n };

	buf_init(&b, PROTO_TOKEN_MAX);
	for (size_t p = 0; p < sizeof(place) / sizeof(place[0]); p++) {
		for (size_t o = 0; o < sizeof(odd); o++) {
			buf_reset(&b);
			(void)buf_put(&b, g, place[p]);
			(void)buf_put(&b, &odd[o], 1);
			(void)buf_put(&b, g + place[p], n - place[p]);
			if (judge(buf_cstr(&b), buf_len(&b), ALL) == 0)
				fail_msg("byte %d at %zu", odd[o], place[p]);
		}
	}
	/* every prefix */
	for (size_t k = 0; k < n; k += k > n - 12 ? 1 : 7) {
		buf_reset(&b);
		(void)buf_put(&b, g, k);
		assert_int_not_equal(judge(buf_cstr(&b), k, ALL), 0);
	}
	/* 256 bytes of signature are 342 characters: 4 spare bits */
	for (const char *c = "BCDEFGHIJKLMNOP"; *c != '\0'; c++) {
		static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij"
		    "klmnopqrstuvwxyz0123456789-_";
		size_t v = (size_t)(strchr(abc, g[n - 1]) - abc);

		buf_reset(&b);
		(void)buf_put(&b, g, n - 1);
		(void)buf_put(&b, &abc[v | (size_t)(*c - 'A')], 1);
		assert_int_equal(judge(buf_cstr(&b), n, ALL), ERR_FORMAT);
	}
	assert_int_equal(judge("", 0, ALL), ERR_FORMAT);
	assert_int_equal(judge("..", 2, ALL), ERR_FORMAT);
	assert_int_equal(judge("a", 1, ALL), ERR_FORMAT);
	buf_clear(&b);
	buf_clear(&good);
}

/* Junk behind a good signature, which libjwt would not mind. */
static void
t_jws_verify_junk(void **state)
{
	static const char *const junk[] = { "AAAA", "AA", "=", "==", ".", "%00",
		" ", "\n", "\t#" };
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_TOKEN_MAX);
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		buf_reset(&b);
		mint_token(&b, env.rsa, "RS256", "{\"alg\":\"RS256\"}", CLAIMS);
		(void)buf_putf(&b, "%s", junk[i]);
		assert_int_not_equal(judge(buf_cstr(&b), buf_len(&b), ALL), 0);
	}
	buf_clear(&b);
}

/* The classic: the public key as an HMAC secret. */
static void
t_jws_promise_6_confusion(void **state)
{
	struct jwk_set *keys = keys_new();
	unsigned char mac[32];
	unsigned int n = sizeof(mac);
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_TOKEN_MAX);
	mint_b64(&b, "{\"alg\":\"HS256\",\"kid\":\"r\"}", 25);
	(void)buf_putf(&b, ".");
	mint_b64(&b, CLAIMS, strlen(CLAIMS));
	assert_non_null(HMAC(EVP_sha256(), keys->key[0].pem,
	    (int)keys->key[0].pem_len, buf_ptr(&b), buf_len(&b), mac, &n));
	(void)buf_putf(&b, ".");
	mint_b64(&b, mac, sizeof(mac));
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), ALL), ERR_DENIED);
	buf_clear(&b);
	jwk_set_free(keys);
}

static void
t_jws_verify_allowed(void **state)
{
	uint32_t rs = jwa_bit(jwa_find("RS256")),
	    es = jwa_bit(jwa_find("ES256"));
	struct buf b;

	(void)state;
	assert_int_equal(jwa_bit(jwa_find("none")), 0);
	assert_int_equal(jwa_bit(jwa_find("HS256")), 0);
	buf_init(&b, PROTO_TOKEN_MAX);
	mint_token(&b, env.rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}",
	    CLAIMS);
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), rs), 0);
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), rs | es), 0);
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), es), ERR_DENIED);
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), 0), ERR_DENIED);
	assert_int_equal(judge(buf_cstr(&b), buf_len(&b), ALL & ~rs),
	    ERR_DENIED);
	buf_clear(&b);
}

/* A token of that header with any bytes as its signature. */
static int
judge_signature(const char *header, const void *sig, size_t n)
{
	struct buf b;
	int r;

	buf_init(&b, PROTO_TOKEN_MAX);
	mint_b64(&b, header, strlen(header));
	(void)buf_putf(&b, ".");
	mint_b64(&b, CLAIMS, strlen(CLAIMS));
	(void)buf_putf(&b, ".");
	mint_b64(&b, sig, n);
	r = judge(buf_cstr(&b), buf_len(&b), ALL);
	buf_clear(&b);
	return r;
}

static void
t_jws_verify_es_shapes(void **state)
{
	static const char h[] = "{\"alg\":\"ES256\",\"kid\":\"e256\"}";
	struct jwk_set *keys = keys_new();
	struct buf in, sig;
	uint8_t s[256], order[32];

	(void)state;
	buf_init(&in, 4096);
	buf_init(&sig, 4096);
	mint_b64(&in, h, strlen(h));
	(void)buf_putf(&in, ".");
	mint_b64(&in, CLAIMS, strlen(CLAIMS));
	mint_signature(&sig, env.p256, "ES256", buf_ptr(&in), buf_len(&in));
	memset(s, 0, sizeof(s));
	memcpy(s, buf_ptr(&sig), 64);
	assert_int_equal(judge_signature(h, s, 64), 0);
	for (size_t n = 1; n < sizeof(s); n++) {
		if (n != 64)
			assert_int_not_equal(judge_signature(h, s, n), 0);
	}
	/* r, s or both: zero, the order, all ones */
	BN_bn2binpad(keys->key[2].order, order, 32);
	for (int which = 1; which <= 3; which++) {
		for (int kind = 0; kind < 3; kind++) {
			memcpy(s, buf_ptr(&sig), 64);
			for (int half = 0; half < 2; half++) {
				if ((which & 1 << half) == 0)
					continue;
				if (kind == 1)
					memcpy(s + 32 * half, order, 32);
				else
					memset(s + 32 * half,
					    kind == 0 ? 0 : 0xff, 32);
			}
			assert_int_equal(judge_signature(h, s, 64), ERR_CRYPTO);
		}
	}
	/* r and s, each led by a zero: 66 bytes of the same numbers */
	memset(s, 0, sizeof(s));
	memcpy(s + 1, buf_ptr(&sig), 32);
	memcpy(s + 34, buf_ptr(&sig) + 32, 32);
	assert_int_equal(judge_signature(h, s, 66), ERR_CRYPTO);
	buf_clear(&in);
	buf_clear(&sig);
	jwk_set_free(keys);
}

static void
t_jws_verify_rs_shapes(void **state)
{
	static const char h[] = "{\"alg\":\"RS256\",\"kid\":\"r\"}";
	struct buf in, sig;
	uint8_t s[1025];

	(void)state;
	buf_init(&in, 4096);
	buf_init(&sig, 4096);
	mint_b64(&in, h, strlen(h));
	(void)buf_putf(&in, ".");
	mint_b64(&in, CLAIMS, strlen(CLAIMS));
	mint_signature(&sig, env.rsa, "RS256", buf_ptr(&in), buf_len(&in));
	memset(s, 0, sizeof(s));
	memcpy(s, buf_ptr(&sig), 256);
	assert_int_equal(judge_signature(h, s, 256), 0);
	assert_int_equal(judge_signature(h, s, 255), ERR_CRYPTO);
	assert_int_equal(judge_signature(h, s, 257), ERR_CRYPTO);
	assert_int_equal(judge_signature(h, s, 1024), ERR_CRYPTO);
	assert_int_equal(judge_signature(h, s, 1025), ERR_TOOBIG);
	memcpy(s + 1, buf_ptr(&sig), 256);
	s[0] = 0;
	assert_int_equal(judge_signature(h, s, 257), ERR_CRYPTO);
	memset(s, 0, 256);
	assert_int_equal(judge_signature(h, s, 256), ERR_CRYPTO);
	memset(s, 0xff, 256);
	assert_int_equal(judge_signature(h, s, 256), ERR_CRYPTO);
	for (size_t i = 0; i < 256; i += 17) {
		memcpy(s, buf_ptr(&sig), 256);
		s[i] ^= 1;
		assert_int_equal(judge_signature(h, s, 256), ERR_CRYPTO);
	}
	buf_clear(&in);
	buf_clear(&sig);
}

/* A PS256 signature with another salt or another mask than RFC 7518 says. */
static int
judge_pss(int salt, const EVP_MD *mgf)
{
	static const char h[] = "{\"alg\":\"PS256\",\"kid\":\"r\"}";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx = NULL;
	uint8_t sig[256];
	size_t n = sizeof(sig);
	struct buf in;

	buf_init(&in, 4096);
	mint_b64(&in, h, strlen(h));
	(void)buf_putf(&in, ".");
	mint_b64(&in, CLAIMS, strlen(CLAIMS));
	assert_int_equal(
	    EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, env.rsa), 1);
	assert_int_equal(
	    EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, mgf), 1);
	assert_int_equal(
	    EVP_DigestSign(ctx, sig, &n, buf_ptr(&in), buf_len(&in)), 1);
	EVP_MD_CTX_free(ctx);
	buf_clear(&in);
	return judge_signature(h, sig, n);
}

static void
t_jws_verify_pss_shapes(void **state)
{
	(void)state;
	assert_int_equal(judge_pss(32, EVP_sha256()), 0);
	assert_int_equal(judge_pss(0, EVP_sha256()), ERR_CRYPTO);
	assert_int_equal(judge_pss(20, EVP_sha256()), ERR_CRYPTO);
	assert_int_equal(judge_pss(31, EVP_sha256()), ERR_CRYPTO);
	assert_int_equal(judge_pss(33, EVP_sha256()), ERR_CRYPTO);
	assert_int_equal(judge_pss(222, EVP_sha256()), ERR_CRYPTO);
	assert_int_equal(judge_pss(32, EVP_sha1()), ERR_CRYPTO);
	assert_int_equal(judge_pss(32, EVP_sha512()), ERR_CRYPTO);
}

/* RFC 8032 section 5.1.7: s below the order, and the one length. */
static void
t_jws_verify_ed_shapes(void **state)
{
	static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63,
		0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
		0x14, [31] = 0x10 };
	static const char h[] = "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}";
	struct buf in, sig;
	uint8_t s[128] = { 0 };
	unsigned int carry = 0;

	(void)state;
	buf_init(&in, 4096);
	buf_init(&sig, 4096);
	mint_b64(&in, h, strlen(h));
	(void)buf_putf(&in, ".");
	mint_b64(&in, CLAIMS, strlen(CLAIMS));
	mint_signature(&sig, env.ed, "EdDSA", buf_ptr(&in), buf_len(&in));
	memcpy(s, buf_ptr(&sig), 64);
	for (size_t n = 1; n < sizeof(s); n++)
		assert_int_equal(
		    judge_signature(h, s, n), n == 64 ? 0 : ERR_CRYPTO);
	for (size_t i = 0; i < 32; i++) {
		carry += s[32 + i] + (unsigned int)order[i];
		s[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(judge_signature(h, s, 64), ERR_CRYPTO);
	buf_clear(&in);
	buf_clear(&sig);
}

/* The second judge is really asked, and never without a key. */
static void
t_jws_promise_6_second_opinion(void **state)
{
	struct jwk_set *keys = keys_new();
	const char *why = NULL;
	struct jws j = { 0 };
	struct buf b;
	char *pem;

	(void)state;
	buf_init(&b, PROTO_TOKEN_MAX);
	mint_token(&b, env.rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}",
	    CLAIMS);
	assert_int_equal(jws_parse(buf_cstr(&b), buf_len(&b), &j, &why), 0);
	assert_int_equal(jws_verify(&j, keys, ALL, &why), 0);
	assert_int_equal(jws_second_opinion(&j, keys, &why), 0);
	pem = keys->key[0].pem;
	keys->key[0].pem = keys->key[1].pem; /* another RSA key */
	assert_int_equal(jws_second_opinion(&j, keys, &why), ERR_CRYPTO);
	assert_non_null(strstr(why, "disagree"));
	keys->key[0].pem = NULL;
	assert_int_equal(jws_second_opinion(&j, keys, &why), ERR_INTERNAL);
	keys->key[0].pem = pem;
	keys->key[0].pem_len = 0;
	assert_int_equal(jws_second_opinion(&j, keys, &why), ERR_INTERNAL);
	jws_clear(&j);
	buf_reset(&b);
	/* what libjwt does not speak is not put before it */
	mint_token(&b, env.rsa, "PS256", "{\"alg\":\"PS256\",\"kid\":\"r\"}",
	    CLAIMS);
	assert_int_equal(jws_parse(buf_cstr(&b), buf_len(&b), &j, &why), 0);
	assert_int_equal(jws_second_opinion(&j, keys, &why), 0);
	jws_clear(&j);
	buf_clear(&b);
	jwk_set_free(keys);
}

static void
t_jws_digest(void **state)
{
	uint8_t a[32], b[32];
	const char *why;
	struct buf one, two;
	struct jws j;

	(void)state;
	/* two signatures over the same claims are one token */
	buf_init(&one, PROTO_TOKEN_MAX);
	buf_init(&two, PROTO_TOKEN_MAX);
	mint_token(&one, env.p256, "ES256", "{\"alg\":\"ES256\"}", CLAIMS);
	mint_token(&two, env.p256, "ES256", "{\"alg\":\"ES256\"}", CLAIMS);
	assert_string_not_equal(buf_cstr(&one), buf_cstr(&two));
	assert_int_equal(jws_parse(buf_cstr(&one), buf_len(&one), &j, &why),
	    0);
	assert_int_equal(jws_digest(&j, a), 0);
	jws_clear(&j);
	assert_int_equal(jws_parse(buf_cstr(&two), buf_len(&two), &j, &why),
	    0);
	assert_int_equal(jws_digest(&j, b), 0);
	jws_clear(&j);
	assert_memory_equal(a, b, 32);
	buf_clear(&one);
	buf_clear(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_wycheproof),
		cmocka_unit_test(t_wycheproof_labels),
		cmocka_unit_test(t_jws_verify_rfc_examples),
		cmocka_unit_test(t_jws_verify_every_algorithm),
		cmocka_unit_test(t_jws_parse_header),
		cmocka_unit_test(t_jws_parse_bounds),
		cmocka_unit_test(t_jws_parse_form),
		cmocka_unit_test(t_jws_verify_junk),
		cmocka_unit_test(t_jws_promise_6_confusion),
		cmocka_unit_test(t_jws_verify_allowed),
		cmocka_unit_test(t_jws_verify_es_shapes),
		cmocka_unit_test(t_jws_verify_rs_shapes),
		cmocka_unit_test(t_jws_verify_pss_shapes),
		cmocka_unit_test(t_jws_verify_ed_shapes),
		cmocka_unit_test(t_jws_promise_6_second_opinion),
		cmocka_unit_test(t_jws_digest),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
