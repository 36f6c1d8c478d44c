# postern-oidc: unit tests, fuzz targets, and the whole process.
oidc_cppflags = $(AM_CPPFLAGS) -DTEST_DATA='"$(abs_top_srcdir)/tests/data"' \
	-DTEST_DOC='"$(abs_top_srcdir)/doc"'
oidc_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS)
oidc_ldadd = broker/liboidc.la broker/libchild.la $(CMOCKA_LIBS) $(JANSSON_LIBS) \
	$(CRYPTO_LIBS)

if HAVE_CMOCKA
oidc_unit_tests = \
	tests/unit/test_debt \
	tests/unit/test_http \
	tests/unit/test_issuers \
	tests/unit/test_jwk \
	tests/unit/test_jwks \
	tests/unit/test_jws \
	tests/unit/test_keyfile \
	tests/unit/test_reach \
	tests/unit/test_peek \
	tests/unit/test_replay \
	tests/unit/test_token
check_PROGRAMS += $(oidc_unit_tests)
TESTS += $(oidc_unit_tests)

tests_unit_test_debt_SOURCES = tests/unit/test_debt.c
tests_unit_test_debt_CFLAGS = $(oidc_cflags)
tests_unit_test_debt_LDADD = $(oidc_ldadd)
tests_unit_test_http_SOURCES = tests/unit/test_http.c
tests_unit_test_http_CFLAGS = $(oidc_cflags)
tests_unit_test_http_LDADD = $(oidc_ldadd)
tests_unit_test_issuers_SOURCES = tests/unit/test_issuers.c
tests_unit_test_issuers_CFLAGS = $(oidc_cflags)
tests_unit_test_issuers_LDADD = $(oidc_ldadd)
tests_unit_test_jwk_SOURCES = tests/unit/test_jwk.c tests/unit/mint.c \
	tests/unit/mint.h
tests_unit_test_jwk_CFLAGS = $(oidc_cflags)
tests_unit_test_jwk_LDADD = $(oidc_ldadd)
tests_unit_test_jwks_SOURCES = tests/unit/test_jwks.c
tests_unit_test_jwks_CFLAGS = $(oidc_cflags)
tests_unit_test_jwks_LDADD = $(oidc_ldadd)
tests_unit_test_jws_SOURCES = tests/unit/test_jws.c tests/unit/mint.c \
	tests/unit/mint.h
tests_unit_test_jws_CPPFLAGS = $(oidc_cppflags)
tests_unit_test_jws_CFLAGS = $(oidc_cflags)
tests_unit_test_jws_LDADD = $(oidc_ldadd)
tests_unit_test_keyfile_SOURCES = tests/unit/test_keyfile.c
tests_unit_test_keyfile_CFLAGS = $(oidc_cflags)
tests_unit_test_keyfile_LDADD = $(oidc_ldadd)
tests_unit_test_reach_SOURCES = tests/unit/test_reach.c
tests_unit_test_reach_CFLAGS = $(oidc_cflags)
tests_unit_test_reach_LDADD = $(oidc_ldadd)
# Without libjwt and curl: so the tools can have it.
tests_unit_test_peek_SOURCES = tests/unit/test_peek.c tests/unit/mint.c \
	tests/unit/mint.h
tests_unit_test_peek_CFLAGS = $(oidc_cflags)
tests_unit_test_peek_LDADD = broker/libpeek.la $(CMOCKA_LIBS) $(JANSSON_LIBS) \
	$(CRYPTO_LIBS)
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c
tests_unit_test_replay_CFLAGS = $(oidc_cflags)
tests_unit_test_replay_LDADD = $(oidc_ldadd)
tests_unit_test_token_SOURCES = tests/unit/test_token.c
tests_unit_test_token_CFLAGS = $(oidc_cflags)
tests_unit_test_token_LDADD = $(oidc_ldadd)
endif

oidc_fuzz_targets = tests/fuzz/fuzz_jwk tests/fuzz/fuzz_jws \
	tests/fuzz/fuzz_token
check_PROGRAMS += $(oidc_fuzz_targets)
TESTS += $(oidc_fuzz_targets)
tests_fuzz_fuzz_jwk_SOURCES = tests/fuzz/fuzz_jwk.c tests/fuzz/replay.c
tests_fuzz_fuzz_jwk_CFLAGS = $(oidc_cflags)
tests_fuzz_fuzz_jwk_LDADD = $(oidc_ldadd)
tests_fuzz_fuzz_jws_SOURCES = tests/fuzz/fuzz_jws.c tests/fuzz/replay.c
tests_fuzz_fuzz_jws_CFLAGS = $(oidc_cflags)
tests_fuzz_fuzz_jws_LDADD = $(oidc_ldadd)
tests_fuzz_fuzz_token_SOURCES = tests/fuzz/fuzz_token.c tests/fuzz/replay.c
tests_fuzz_fuzz_token_CFLAGS = $(oidc_cflags)
tests_fuzz_fuzz_token_LDADD = $(oidc_ldadd)

# OpenSSL and libjwt about the same tokens; many: ./dev fuzz jws-differential
check_PROGRAMS += tests/broker/judges
TESTS += tests/broker/judges
tests_broker_judges_SOURCES = tests/broker/judges.c tests/broker/mutate.c \
	tests/broker/mutate.h tests/unit/mint.c tests/unit/mint.h
tests_broker_judges_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS)
tests_broker_judges_LDADD = broker/liboidc.la $(JANSSON_LIBS) $(CRYPTO_LIBS)

# Built with the tests, run by `./dev bench auth`.
check_PROGRAMS += tests/bench/auth
tests_bench_auth_SOURCES = tests/bench/auth.c tests/unit/mint.c \
	tests/unit/mint.h
tests_bench_auth_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS)
tests_bench_auth_LDADD = broker/liboidc.la $(JANSSON_LIBS) $(CRYPTO_LIBS)

check_LTLIBRARIES += tests/broker/contrary.la
tests_broker_contrary_la_SOURCES = tests/broker/contrary.c
tests_broker_contrary_la_CFLAGS = -std=c17 -Wall -Wextra -fno-sanitize=all \
	$(LIBJWT_CFLAGS)
tests_broker_contrary_la_LDFLAGS = -module -avoid-version -shared \
	-rpath $(posternlibdir) -fno-sanitize=all

TESTS += tests/broker/oidc.sh
EXTRA_DIST += tests/data tests/broker
