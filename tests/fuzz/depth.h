/*
 * How far seeds come.  A target says what some of its seeds must reach: behind
 * the first check that turns an input away, in each of the parts that it is
 * for.  `make check` replays the seeds, and fails when one of these was never
 * reached; a format that changed leaves nobody with seeds that do nothing.
 */
#ifndef POSTERN_TESTS_FUZZ_DEPTH_H
#define POSTERN_TESTS_FUZZ_DEPTH_H

#define FUZZ_DEPTHS_MAX 32

/* What is reached, in words; NULL ends it.  Each target has its own. */
extern const char *const fuzz_depths[];

#ifdef POSTERN_LIBFUZZER
static inline void
fuzz_reached(unsigned int depth)
{
	(void)depth;
}
#else
/* One of fuzz_depths, by its place; of processes that were copied, too. */
void fuzz_reached(unsigned int depth);
#endif

#endif
