/*
 * The filter for git, both sides chosen by the input.  A first byte says which
 * service, and whether every ref may be; then pieces: a byte whose lowest bit
 * is the side, the rest the length, and so many bytes.  Whatever comes: a push
 * with a ref that is refused leaves the target without a byte, a fetch asks for
 * what was shown alone, and whoever is refused has an answer.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/str.h"
#include "ssh/git.h"
#include "ssh/pktline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	bool all, refused;
	bool passed; /* something, to the target */
	bool push;
};

static const char *
judge(void *arg, const char *ref, char why[GIT_WHY_MAX])
{
	const struct world *w = arg;

	(void)snprintf(why, GIT_WHY_MAX, "no");
	assert(utf8_valid(ref, strlen(ref)));
	return !w->all && strchr(ref, 'k') != NULL ? NULL : "rule";
}

static void
entry(void *arg, const struct git_entry *e)
{
	struct world *w = arg;

	assert(e->verb != NULL);
	assert(e->old == NULL || strlen(e->old) >= 40);
	assert(e->new == NULL || strlen(e->new) >= 40);
	assert(e->ref == NULL || utf8_valid(e->ref, strlen(e->ref)));
	w->refused |= e->result == GIT_REFUSED;
	/* MUST: the target has heard nothing of a push that is refused */
	assert(!(w->push && e->result == GIT_REFUSED && w->passed));
	if (w->push && e->result == GIT_DONE)
		assert(strchr(e->ref, 'k') == NULL || w->all);
}

static void
say(void *arg, const char *text)
{
	(void)arg;
	assert(*text != '\0');
}

static void
drain(struct git *g, struct world *w)
{
	const uint8_t *p;
	size_t n;

	for (int side = 0; side < 2; side++) {
		p = git_out(g, (enum git_side)side, &n);
		assert((p == NULL) == (n == 0));
		w->passed |= side == GIT_TARGET && n > 0;
		assert(!(side == GIT_TARGET && n > 0 && w->push && w->refused));
		git_sent(g, (enum git_side)side, n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = { .passed = false };
	struct git_want w = {
		.judge = judge, .entry = entry, .say = say, .arg = &world
	};
	enum git_side side;
	struct git *g;
	size_t n, took;
	int r = 0;

	if (size == 0)
		return 0;
	w.service = data[0] % 3 == 0   ? GIT_FETCH
		    : data[0] % 3 == 1 ? GIT_PUSH
				       : GIT_ARCHIVE;
	world.all = w.all = (data[0] & 64) != 0;
	world.push = w.service == GIT_PUSH;
	if (git_new(&w, &g) != 0)
		abort();
	data++;
	size--;
	while (size > 0 && r == 0) {
		side = (data[0] & 1) != 0 ? GIT_TARGET : GIT_JOB;
		n = data[0] >> 1;
		data++;
		size--;
		if (n > size)
			n = size;
		r = git_take(g, side, data, n, &took);
		assert(took <= n);
		assert(r == 0 || git_error(g)[0] != '\0');
		drain(g, &world);
		assert(!git_refused(g, true) || git_error(g)[0] != '\0');
		data += n;
		size -= n;
	}
	git_end(g);
	assert(!git_wants(g, GIT_JOB) && !git_wants(g, GIT_TARGET));
	git_free(g);
	return 0;
}
