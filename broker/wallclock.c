/*
 * The wall clock and whether to believe it.  Runs in policy and
 * audit.  Distrusts what
 * sets the host's time: a time server that lies, a host that was paused, a
 * battery that is empty.
 */
#include "config.h"

#include "broker/wallclock.h"

#include <inttypes.h>

#include "lib/log.h"

static int64_t
read_ms(const struct wallclock *c, clockid_t id)
{
	struct timespec t;

	if (c->read_ms != NULL)
		return c->read_ms(id, c->ctx);
	if (clock_gettime(id, &t) == -1 || t.tv_sec < 0 ||
	    t.tv_sec > INT64_MAX / 2000)
		return -1;
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How far the two are apart, and the wall clock's seconds; false: unknown. */
static bool
look(const struct wallclock *c, int64_t *apart, int64_t *seconds)
{
	int64_t wall = read_ms(c, CLOCK_REALTIME);
	int64_t boot = read_ms(c, CLOCK_BOOTTIME);

	if (wall < WALLCLOCK_MIN_S * 1000 || boot < 0)
		return false;
	*apart = wall - boot; /* neither is negative */
	*seconds = wall / 1000;
	return true;
}

void
wallclock_believe(struct wallclock *c)
{
	int64_t seconds;

	c->known = look(c, &c->apart_ms, &seconds);
	c->wrong = !c->known;
	if (c->wrong)
		log_err(0,
		    "ALARM: the clock was never set: %s until it is and %s",
		    c->meanwhile, c->then);
}

time_t
wallclock_now(struct wallclock *c)
{
	int64_t apart = 0, seconds = 0, step = 0;
	bool right = c->known && look(c, &apart, &seconds);

	if (right) {
		step = apart - c->apart_ms;
		right = step <= WALLCLOCK_STEP_MS && step >= -WALLCLOCK_STEP_MS;
	}
	if (!right && !c->wrong)
		log_err(0,
		    "ALARM: the clock was set, by %" PRId64
		    " s: %s until it is as it was, or is right and %s",
		    step / 1000, c->meanwhile, c->then);
	if (right && c->wrong)
		log_info("the clock is as it was, and is believed again");
	c->wrong = !right;
	return right ? (time_t)seconds : 0;
}
