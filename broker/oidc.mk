# Tokens and keys as data, without network and libjwt: for the tools, too.
noinst_LTLIBRARIES += broker/libpeek.la
broker_libpeek_la_SOURCES = \
	broker/jsonin.c broker/jsonin.h \
	broker/jwa.c broker/jwa.h \
	broker/jwk.c broker/jwk.h \
	broker/jws.c broker/jws.h \
	broker/peek.c broker/peek.h \
	broker/token.c broker/token.h
broker_libpeek_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS)
broker_libpeek_la_LIBADD = lib/libclaimtext.la lib/libbase.la \
	$(JANSSON_LIBS) $(CRYPTO_LIBS)

# postern-oidc; its pure parts as a library for the tests and the fuzzer.
noinst_LTLIBRARIES += broker/liboidc.la
broker_liboidc_la_SOURCES = \
	broker/debt.c broker/debt.h \
	broker/http.c broker/http.h \
	broker/http_head.c broker/http_head.h \
	broker/issuers.c broker/issuers.h \
	broker/jwks.c broker/jwks.h \
	broker/keyfile.c broker/keyfile.h \
	broker/jws_libjwt.c \
	broker/login.c broker/login.h \
	broker/reach.c broker/reach.h \
	broker/replay.c broker/replay.h
broker_liboidc_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(JANSSON_CFLAGS) \
	$(CURL_CFLAGS) $(LIBJWT_CFLAGS)
broker_liboidc_la_LIBADD = broker/libpeek.la $(LIBJWT_LIBS) $(CURL_LIBS)

posternlibexec_PROGRAMS += broker/postern-oidc
# All but its main, which is fuzzed with them (tests/fuzz.mk), too.
oidc_files = \
	broker/conn.c broker/conn.h broker/refusal.c broker/refusal.h
broker_postern_oidc_SOURCES = broker/oidc.c $(oidc_files)
broker_postern_oidc_CFLAGS = $(PROGRAM_CFLAGS) $(CRYPTO_CFLAGS) \
	$(JANSSON_CFLAGS)
broker_postern_oidc_LDFLAGS = $(PROGRAM_LDFLAGS)
broker_postern_oidc_LDADD = broker/liboidc.la broker/libchild.la \
	lib/libsandbox.la
