/*
 * The filter for scp's protocol, both sides chosen by the input.  A first byte
 * says which kind of transfer it is; then pieces: a byte whose lowest bit is
 * the side, the rest the length, and so many bytes.  Whatever comes: what is
 * passed on are whole turns, paths stay beneath the one that was asked for, and
 * nothing that was refused reaches the receiver as a line.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "ssh/scp.h"
#include "tests/fuzz/depth.h"

#define PATH "/srv/a"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a file that is done",
	"one that is refused", NULL };

static void
beneath(const char *path)
{
	assert(strncmp(path, PATH, sizeof(PATH) - 1) == 0);
	assert(path[sizeof(PATH) - 1] == '\0' || path[sizeof(PATH) - 1] == '/');
	assert(path_is_plain(path, strlen(path)));
	assert(utf8_valid(path, strlen(path)));
}

static const char *
judge(void *arg, const char *path, uint64_t bytes, const char **why)
{
	(void)arg;
	beneath(path);
	*why = "no";
	return bytes > 1000 || strchr(path, 'k') != NULL ? NULL : "rule";
}

static void
entry(void *arg, const struct scp_entry *e)
{
	uint64_t *done = arg;

	beneath(e->path);
	if (e->to != NULL)
		beneath(e->to);
	assert(e->result != SCP_DONE || e->rule != NULL);
	assert(e->sha256 == NULL || strlen(e->sha256) == 64);
	assert(e->bytes <= 1000);
	(*done)++;
	fuzz_reached(e->result == SCP_DONE ? 0 : 1);
}

static void
drain(struct scp *s)
{
	size_t n;

	for (int side = 0; side < 2; side++) {
		(void)scp_out(s, (enum scp_side)side, &n);
		scp_sent(s, (enum scp_side)side, n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t entries = 0;
	struct scp_want w = {
		.path = PATH, .judge = judge, .entry = entry, .arg = &entries
	};
	enum scp_side side;
	struct scp *s;
	size_t n, took;
	int r = 0;

	if (size == 0)
		return 0;
	w.write = (data[0] & 1) != 0;
	w.recurse = (data[0] & 2) != 0;
	w.into = (data[0] & 4) != 0;
	if (scp_new(&w, &s) != 0)
		abort();
	data++;
	size--;
	while (size > 0 && r == 0) {
		side = (data[0] & 1) != 0 ? SCP_TARGET : SCP_JOB;
		n = data[0] >> 1;
		data++;
		size--;
		if (n > size)
			n = size;
		r = scp_take(s, side, data, n, &took);
		assert(took <= n);
		assert(r == 0 || scp_error(s)[0] != '\0');
		drain(s);
		data += n;
		size -= n;
	}
	scp_end(s);
	assert(!scp_wants(s, SCP_JOB) && !scp_wants(s, SCP_TARGET));
	scp_free(s);
	return 0;
}
