/*
 * The issuer of fuzz_proc_oidc.c; tests/fuzz/seeds.py has its private key.
 */
#ifndef POSTERN_TESTS_FUZZ_PROC_JWKS_H
#define POSTERN_TESTS_FUZZ_PROC_JWKS_H

#define PROC_ISSUER "https://issuer.example"
/* clang-format off */
#define PROC_DISCOVERY \
	"{\"issuer\": \"https://issuer.example\", \"jwks_uri\":" \
	" \"https://issuer.example/jwks\"}"
#define PROC_JWKS \
	"{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"alg\": \"" \
	"ES256\", \"use\": \"sig\", \"kid\": \"k1\", \"x\": \"Rxw-dYx" \
	"JBChbun5TEY7Q9SSt6wdX0lvS-Oew1236cUw\", \"y\": \"3VI" \
	"PesqKi5F6zDf1HejwybvjrYWDgucC3CWhLQn3qFg\"}]}"
/* clang-format on */

#endif
