/*
 * The certificate parser.  Its signature check stops a fuzzer early, so that
 * the body is what is explored; corpus files with a good signature go through.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>

#include "ssh/cert.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a certificate", NULL };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cert *c = NULL;

	if (cert_parse(data, size, &c) == 0) {
		fuzz_reached(0);
		cert_free(c);
	}
	return 0;
}
