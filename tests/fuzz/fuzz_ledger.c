/*
 * A ledger's lines and what they say, from a file that may hold anything.
 */
#include "config.h"

#include <sys/mman.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/ledger_lines.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a line of the ledger", NULL };

/* What was read is an event, whole. */
static void
look(const struct buf *event)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;

	buf_view(&b, buf_ptr(event), buf_len(event));
	if (event_get_kind(&b, &kind) != 0)
		abort();
	fuzz_reached(0);
	while (buf_len(&b) > 0) {
		if (event_get(&b, &v) != 0)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("ledger", MFD_CLOEXEC), r;
	struct ledger_lines l;
	uint64_t number, ms, last = 0;
	struct buf event;
	const char *line;
	size_t n;

	if (fd == -1 || write(fd, data, size) != (ssize_t)size ||
	    ledger_lines_init(&l, fd, 0, UINT64_MAX) != 0)
		abort();
	buf_init(&event, LEDGER_EVENT_MAX);
	while ((r = ledger_lines_next(&l, &line, &n)) != ERR_NOTFOUND) {
		if (l.next <= last || l.next > size)
			abort();
		last = l.next;
		if (r == ERR_FORMAT || r == ERR_TOOBIG)
			continue;
		if (r != 0 || memchr(line, '\n', n) != NULL)
			abort();
		buf_reset(&event);
		if (ledger_parse(line, n, &number, &ms, &event) == 0)
			look(&event);
	}
	if (last != size)
		abort();
	buf_clear(&event);
	ledger_lines_clear(&l);
	(void)close(fd);
	return 0;
}
