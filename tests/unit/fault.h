/*
 * Failing allocations, for tests: the program is linked with fault_wrap of
 * tests/lead.mk, which wrap malloc, calloc, realloc and reallocarray.
 *
 *	for (unsigned long n = 1;; n++) {
 *		fault_at(n);
 *		r = thing(...);
 *		if (!fault_off())
 *			break;		every allocation was failed once
 *		assert_int_equal(r, ERR_NOMEM);
 *	}
 */
#ifndef POSTERN_TESTS_UNIT_FAULT_H
#define POSTERN_TESTS_UNIT_FAULT_H

#include <stdbool.h>

/* The nth allocation from now fails, and only that one. */
void fault_at(unsigned long n);
/* No allocation fails from here on; whether one did. */
bool fault_off(void);

#endif
