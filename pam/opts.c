/*
 * pam_postern's arguments.  Read in sshd, as root, from a file that only root
 * writes; still, what is misspelt is refused rather than ignored.
 */
#include "config.h"

#include "pam/opts.h"

#include <stddef.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"

struct opt {
	const char *name;
	int (*set)(struct opts *o, const char *value);
};

static int
set_run(struct opts *o, const char *value)
{
	if (value[0] != '/')
		return ERR_CONFIG;
	return str_copy(o->run, sizeof(o->run), value);
}

static int
set_ms(int64_t *ms, const char *value, uint64_t min, uint64_t max)
{
	uint64_t n;
	int r;

	if ((r = num_parse(value, min, max, &n)) == 0)
		*ms = (int64_t)n;
	return r;
}

static int
set_deadline(struct opts *o, const char *value)
{
	/* Above 25 s sshd's LoginGraceTime (30 s) would speak first. */
	return set_ms(&o->deadline_ms, value, 100, 25000);
}

static int
set_floor(struct opts *o, const char *value)
{
	return set_ms(&o->floor_ms, value, 0, 5000);
}

static const struct opt opts_table[] = {
	{ "run=", set_run },
	{ "deadline=", set_deadline },
	{ "floor=", set_floor },
};

static int
opts_set(struct opts *o, const char *arg)
{
	for (size_t i = 0; i < sizeof(opts_table) / sizeof(opts_table[0]);
	     i++) {
		const struct opt *t = &opts_table[i];
		size_t n = strlen(t->name);

		if (strncmp(arg, t->name, n) == 0)
			return t->set(o, arg + n);
	}
	return ERR_CONFIG;
}

int
opts_parse(int argc, const char **argv, struct opts *o, const char **bad)
{
	struct opts new = {
		.run = POSTERN_RUNDIR, .deadline_ms = 12000, .floor_ms = 300
	};

	for (int i = 0; i < argc; i++) {
		if (opts_set(&new, argv[i]) != 0) {
			*bad = argv[i];
			return ERR_CONFIG;
		}
	}
	*o = new;
	return 0;
}
