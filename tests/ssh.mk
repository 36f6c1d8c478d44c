# The ssh room: unit tests, fuzz targets, and what tests/ssh needs.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_quote tests/unit/test_cert
TESTS += tests/unit/test_quote tests/unit/test_cert
tests_unit_test_quote_SOURCES = tests/unit/test_quote.c
tests_unit_test_quote_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_quote_LDADD = ssh/libquote.la $(CMOCKA_LIBS)
tests_unit_test_cert_SOURCES = tests/unit/test_cert.c
tests_unit_test_cert_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CRYPTO_CFLAGS)
tests_unit_test_cert_LDADD = ssh/libcert.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)
endif
