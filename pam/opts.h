/*
 * The arguments of pam_postern.so in the PAM service file.
 */
#ifndef POSTERN_PAM_OPTS_H
#define POSTERN_PAM_OPTS_H

#include <stdint.h>

#define OPTS_RUN_MAX 90 /* leaves room for a socket's name in sun_path */

struct opts {
	char run[OPTS_RUN_MAX + 1]; /* run=DIR: the folder of the sockets */
	int64_t deadline_ms; /* deadline=MS: how long the broker may take */
	int64_t floor_ms;    /* floor=MS: how long a refusal takes at least */
};

/* Defaults, then the arguments.  ERR_CONFIG: *bad points at the one that is
 * unknown, or whose value is out of bounds. */
int opts_parse(int argc, const char **argv, struct opts *o, const char **bad);

#endif
