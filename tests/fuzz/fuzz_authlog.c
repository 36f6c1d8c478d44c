/*
 * A target's log, of whatever form: entries are bounded, and what a line says
 * of a certificate is what its bytes say.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/authlog.h"
#include "lib/err.h"
#include "tests/fuzz/depth.h"

#define REF_MS UINT64_C(1795730400000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a line with a certificate", NULL };

static void
look(const struct authlog_entry *e, const uint8_t *data, size_t size)
{
	if (e->kind != AUTHLOG_CERT)
		return;
	fuzz_reached(0);
	if (strnlen(e->login, sizeof(e->login)) == sizeof(e->login) ||
	    strnlen(e->key_id, sizeof(e->key_id)) == sizeof(e->key_id) ||
	    strlen(e->ca) != 50 || strncmp(e->ca, "SHA256:", 7) != 0 ||
	    e->port > 65535)
		abort();
	/* In JSON it may be spelled otherwise. */
	if (memmem(data, size, "\\u", 2) == NULL &&
	    memmem(data, size, "SHA256:", 7) == NULL &&
	    memchr(data, '[', size) == NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct authlog_entry e;
	struct authlog *a = NULL;
	uint64_t last = 0;
	FILE *f;
	int r;

	if (size == 0)
		return 0;
	f = fmemopen((void *)(uintptr_t)data, size, "r");
	if (f == NULL || authlog_new(f, REF_MS, &a) != 0)
		abort();
	while ((r = authlog_next(a, &e)) != ERR_NOTFOUND && r != ERR_FORMAT) {
		if ((r != 0 && r != ERR_TOOBIG) || e.line <= last)
			abort();
		last = e.line;
		if (r == 0)
			look(&e, data, size);
	}
	authlog_free(a);
	(void)fclose(f);
	e = (struct authlog_entry){ 0 };
	authlog_read_line((const char *)data, size, REF_MS, &e);
	return 0;
}
