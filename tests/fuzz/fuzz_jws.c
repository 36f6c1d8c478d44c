/*
 * The gate and the signature check, on any bytes as a token.  What is accepted
 * must have been spelt in the one possible way.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/jws.h"
#include "lib/b64.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a token", "a signature that is good",
	NULL };

/* Keys of Wycheproof's vectors (tests/data/wycheproof). */
static const char keys_text[] =
    "{\"keys\": [{\"alg\": \"RS256\", \"use\": \"sig\", \"n\": \"kqGboB"
    "fAWttWPCA-0cGRgsY6SaYoIARt0B_PkaEcIq9HPYNdu9n6UuWHuuTHrjF_ZoQW97r5"
    "HaAorNvrMEGTGdxCHZdEtkHvNVVmrtxTBLiQCbCozXhFoIrVcr3qUBrdGnNn_M3jJi"
    "7Wg7p_-x62nS5gNG875oyheRkutHsQXikFZwsN3q_TsPNOVlCiHy8mxzaFTUQGm-X8"
    "UYexFyAivlDSjgDJLAZSWfxd7k9Gxuwa3AUfQqQcVcegmgKGCaErQ3qQbh1x7WB6io"
    "pE3_-GZ8HMAVtR9AmrVscqYsnjhaCehfAI0iKKs8zXr8tISc0ORbaalrkk03H1ZrsE"
    "nDKEWQ\", \"e\": \"AQAB\", \"kid\": \"kid-rsa-sign\", \"kty\": \"R"
    "SA\"}, {\"alg\": \"ES256\", \"use\": \"sig\", \"x\": \"04N0xi21hsh"
    "yvBp7I167sbE_bXqyqkAPfefdklMO7wY\", \"y\": \"UI8exy-C06a7DUnjIdENk"
    "xeFtHM4-l_41LqEw9nVgmw\", \"crv\": \"P-256\", \"kid\": \"kid-ec-si"
    "gn\", \"kty\": \"EC\"}, {\"kty\": \"RSA\", \"use\": \"sig\", \"alg"
    "\": \"PS256\", \"n\": \"orRRoH0KpfluRVZxUTVQUUqKW0YuvvcXCU-h_ugiJO"
    "Y3-XRtP3yv0xh42AMltu9aFwD2WQO0aUKeidbqyIRQl7WrOTGJ25JRLtincRoSU_rN"
    "IPecFegkfz0-QuRuSMmOJUov6XZTE6A-_48X4aApOXofomqNzib0kO2BKZYV2YFMIt"
    "phBCjgnH2WWFlCZvXAIdD87KCNlFoSvoLeTR7Oa0wDFFtdNJXU7VQR64eNrwX9evw-"
    "Ca2g8RJkIvWQl1oZaYFvSGmLy7obTZyuedRg2Pn4Xnl1AF2bwixOWsD3waRdElaaYo"
    "B9O5oC5aUw53MGb0U9H1tMLpz3ggKD90K51Q\", \"e\": \"AQAB\", \"kid\": "
    "\"PS256_2048\"}]}";

/* The segment at *p is the encoding of these bytes. */
static void
must_spell(const char **p, const struct buf *bytes)
{
	struct buf b;

	buf_init(&b, 64 * 1024);
	if (b64_encode(B64_URL, buf_ptr(bytes), buf_len(bytes), &b) != 0 ||
	    strncmp(*p, (const char *)buf_ptr(&b), buf_len(&b)) != 0)
		abort();
	*p += buf_len(&b);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwk_set *keys; /* once: parsing them is not the target */
	const char *why = NULL, *p;
	struct jws j;
	char *token;

	if ((keys == NULL && jwk_set_parse(keys_text, strlen(keys_text),
	    &keys, &why) != 0) ||
	    (token = malloc(size + 1)) == NULL)
		abort();
	memcpy(token, data, size);
	token[size] = '\0';
	if (jws_parse(token, size, &j, &why) == 0) {
		fuzz_reached(0);
		p = strchr(token, '.') + 1;
		must_spell(&p, &j.payload);
		p++;
		must_spell(&p, &j.sig);
		if (p != token + size)
			abort();
		if (jws_verify(&j, keys, UINT32_MAX, &why) == 0) {
			fuzz_reached(1);
			(void)jws_second_opinion(&j, keys, &why);
		}
	}
	jws_clear(&j);
	free(token);
	return 0;
}
