/*
 * What the parts of the cells share.
 */
#ifndef POSTERN_POLICY_CELLS_INTERNAL_H
#define POSTERN_POLICY_CELLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct cells;
struct condition;

#define CELLS_VALUES_MAX 128 /* of one claim */

/* What a claim of a session may be. */
struct choice {
	const char *claim;
	char *value[CELLS_VALUES_MAX];
	size_t n, now;
};

/* Room for one more; NULL: none.  v is good either way. */
void *cells_more(void *v, size_t n, size_t *cap, size_t size);

/* Such values as the other conditions on the claim tell apart. */
int choice_make(
    struct cells *c, struct choice *to, const struct condition *mine);
void choice_clear(struct choice *to);
#define CELLS_FRESH_MAX 16
/* A value of which no condition speaks. */
void cells_fresh(
    const struct cells *c, const char *claim, char *out, size_t size);

bool condition_fits(const struct condition *c, const char *value);

int cells_make_sessions(struct cells *c);
int cells_make_places(struct cells *c, time_t from);
int cells_make_times(struct cells *c, time_t from);

#endif
