/*
 * The poll loop.  Used by posternd and its children; sees no input itself.
 */
#include "config.h"

#include "broker/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "lib/err.h"
#include "lib/msg.h"

struct watch {
	struct loop *loop;
	size_t slot;	/* index in loop->w and loop->p */
	watch_cb cb;
	void *arg;
	bool dead;	/* freed while callbacks run */
};

struct timer {
	struct timer *next;
	struct loop *loop;
	int64_t at;
	timer_cb cb;
	void *arg;
};

struct loop {
	struct watch **w;
	struct pollfd *p;
	size_t n, cap;
	struct timer *timers; /* sorted, the next one first */
	size_t ntimers;
	bool stop;
	bool dispatching;
	bool dirty;	/* dead watches wait to be swept */
};

struct loop *
loop_new(void)
{
	return calloc(1, sizeof(struct loop));
}

void
loop_free(struct loop *l)
{
	struct timer *t;

	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->w[i]);
	while ((t = l->timers) != NULL) {
		l->timers = t->next;
		free(t);
	}
	free(l->w);
	free(l->p);
	free(l);
}

static int
loop_grow(struct loop *l)
{
	size_t cap = l->cap == 0 ? 32 : l->cap * 2;
	struct watch **w;
	struct pollfd *p;

	if (cap > LOOP_WATCHES_MAX)
		return ERR_TOOBIG;
	if ((w = reallocarray(l->w, cap, sizeof(struct watch *))) == NULL)
		return ERR_NOMEM;
	l->w = w;
	if ((p = reallocarray(l->p, cap, sizeof(*p))) == NULL)
		return ERR_NOMEM;
	l->p = p;
	l->cap = cap;
	return 0;
}

struct watch *
loop_watch(struct loop *l, int fd, short events, watch_cb cb, void *arg)
{
	struct watch *w;

	if (l->n == l->cap && loop_grow(l) != 0)
		return NULL;
	if ((w = malloc(sizeof(*w))) == NULL)
		return NULL;
	*w = (struct watch){ .loop = l, .slot = l->n, .cb = cb, .arg = arg };
	l->w[l->n] = w;
	l->p[l->n] = (struct pollfd){ .fd = fd, .events = events };
	l->n++;
	return w;
}

void
watch_set_events(struct watch *w, short events)
{
	w->loop->p[w->slot].events = events;
}

/* Fills the slot with the last watch. */
static void
loop_remove(struct loop *l, size_t slot)
{
	free(l->w[slot]);
	l->n--;
	if (slot != l->n) {
		l->w[slot] = l->w[l->n];
		l->p[slot] = l->p[l->n];
		l->w[slot]->slot = slot;
	}
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	if (!w->loop->dispatching) {
		loop_remove(w->loop, w->slot);
		return;
	}
	w->dead = true;
	w->loop->p[w->slot].fd = -1; /* poll must not see a reused number */
	w->loop->dirty = true;
}

static void
timer_in(struct timer *t, int64_t ms)
{
	struct timer **at = &t->loop->timers;

	t->at = ms < 0 ? INT64_MAX : msg_now_ms() + ms;
	while (*at != NULL && (*at)->at <= t->at)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

static void
timer_out(const struct timer *t)
{
	struct timer **at = &t->loop->timers;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

struct timer *
loop_timer(struct loop *l, int64_t ms, timer_cb cb, void *arg)
{
	struct timer *t;

	if (l->ntimers == LOOP_TIMERS_MAX ||
	    (t = malloc(sizeof(*t))) == NULL)
		return NULL;
	*t = (struct timer){ .loop = l, .cb = cb, .arg = arg };
	l->ntimers++;
	timer_in(t, ms);
	return t;
}

void
timer_set(struct timer *t, int64_t ms)
{
	timer_out(t);
	timer_in(t, ms);
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	timer_out(t);
	t->loop->ntimers--;
	free(t);
}

static void
loop_run_timers(struct loop *l)
{
	int64_t now = msg_now_ms();
	struct timer *t;
	timer_cb cb;
	void *arg;

	while ((t = l->timers) != NULL && t->at <= now && !l->stop) {
		cb = t->cb;
		arg = t->arg;
		timer_free(t);
		cb(arg);
	}
}

static void
loop_sweep(struct loop *l)
{
	if (!l->dirty)
		return;
	l->dirty = false;
	for (size_t i = l->n; i > 0; i--) {
		if (l->w[i - 1]->dead)
			loop_remove(l, i - 1);
	}
}

static int
loop_wait_ms(const struct loop *l)
{
	int64_t left;

	if (l->timers == NULL)
		return -1;
	left = l->timers->at - msg_now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

int
loop_run(struct loop *l)
{
	size_t n;
	int k;

	l->stop = false;
	while (!l->stop) {
		n = l->n; /* what is added by callbacks waits a round */
		k = poll(l->p, n, loop_wait_ms(l));
		if (k == -1 && errno != EINTR)
			return ERR_SYS;
		l->dispatching = true;
		for (size_t i = 0; k > 0 && i < n && !l->stop; i++) {
			short revents = l->p[i].revents;

			if (revents == 0 || l->w[i]->dead)
				continue;
			l->p[i].revents = 0;
			l->w[i]->cb(l->w[i]->arg, l->p[i].fd, revents);
		}
		loop_run_timers(l);
		l->dispatching = false;
		loop_sweep(l);
	}
	return 0;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
