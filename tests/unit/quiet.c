/*
 * Every decision of the unit tests, those in loaded policies' tests, too: it
 * asks for no memory.  The linker sends calls of decide() here.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/decide.h"
#include "tests/unit/fault.h"

void __real_decide(const struct request *q, struct decision *d);
void __wrap_decide(const struct request *q, struct decision *d);

void
__wrap_decide(const struct request *q, struct decision *d)
{
	fault_at(1); /* the first allocation would fail, and be seen */
	__real_decide(q, d);
	assert_false(fault_off());
}
