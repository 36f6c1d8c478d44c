/*
 * The recording's reader: bounded, and time never runs backwards.
 */
#include "config.h"

#include <sys/mman.h>

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/castread.h"
#include "lib/err.h"
#include "lib/str.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "an event of a recording", NULL };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct castread_event ev;
	struct castread *cr = NULL;
	uint64_t last = 0;
	int fd = memfd_create("cast", MFD_CLOEXEC), r;

	if (fd == -1 || write(fd, data, size) != (ssize_t)size ||
	    lseek(fd, 0, SEEK_SET) == -1)
		abort();
	if (castread_open(fd, &cr) != 0)
		goto out;
	while ((r = castread_next(cr, &ev)) != ERR_NOTFOUND) {
		if (r == ERR_FORMAT || r == ERR_TOOBIG)
			continue;
		if (r != 0 || ev.at_us < last || ev.at_us > CASTREAD_TIME_MAX ||
		    !utf8_valid(ev.data, ev.len))
			abort();
		last = ev.at_us;
		fuzz_reached(0);
	}
out:
	castread_free(cr);
	(void)close(fd);
	return 0;
}
