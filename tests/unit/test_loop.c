/*
 * broker/loop.c: callbacks that free, add and stop while others are due.
 */
#include "config.h"

#include "broker/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "tests/unit/fault.h"

#define PIPES 4

/* Some readable pipes, their watches, and what was called in which order. */
struct stage {
	struct loop *loop;
	int rd[PIPES], wr[PIPES];
	struct watch *w[PIPES];
	struct timer *t[PIPES];
	char log[64];
	size_t nlog;
	void (*act)(struct stage *s, char who);
};

/* A callback's argument: the stage and its own letter. */
struct who {
	struct stage *s;
	char c;
};
static struct who whos[16];

static void
note(struct stage *s, char c)
{
	assert_true(s->nlog + 1 < sizeof(s->log));
	s->log[s->nlog++] = c;
	s->log[s->nlog] = '\0';
}

static void
on_read(void *arg, int fd, short revents)
{
	const struct who *w = arg;

	(void)fd;
	assert_int_not_equal(revents, 0);
	note(w->s, w->c);
	if (w->s->act != NULL)
		w->s->act(w->s, w->c);
}

static void
on_time(void *arg)
{
	const struct who *w = arg;

	note(w->s, w->c);
	if (w->s->act != NULL)
		w->s->act(w->s, w->c);
}

static void
on_end(void *arg)
{
	loop_stop(arg);
}

/* Runs until the loop has turned for some milliseconds. */
static void
run(struct stage *s, int64_t ms)
{
	struct timer *t = loop_timer(s->loop, ms, on_end, s->loop);

	assert_non_null(t);
	assert_int_equal(loop_run(s->loop), 0);
}

static void
drain(struct stage *s, size_t i)
{
	char d[16];

	if (i >= PIPES)
		return; /* a timer's letter */
	assert_true(read(s->rd[i], d, sizeof(d)) > 0);
}

static int
setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->loop = loop_new()) == NULL)
		return -1;
	for (int i = 0; i < PIPES; i++) {
		int fd[2];

		if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) == -1)
			return -1;
		s->rd[i] = fd[0];
		s->wr[i] = fd[1];
		whos[i] = (struct who){ s, (char)('a' + i) };
		s->w[i] = loop_watch(s->loop, s->rd[i], POLLIN, on_read,
		    &whos[i]);
		if (s->w[i] == NULL)
			return -1;
	}
	for (int i = PIPES; i < 16; i++)
		whos[i] = (struct who){ s, (char)('a' + i) };
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct stage *s = *state;

	loop_free(s->loop); /* and what it still holds */
	for (int i = 0; i < PIPES; i++) {
		if (s->rd[i] != -1)
			(void)close(s->rd[i]);
		(void)close(s->wr[i]);
	}
	free(s);
	return 0;
}

static void
feed(struct stage *s, size_t i)
{
	assert_int_equal(write(s->wr[i], "x", 1), 1);
}

static void
act_drain(struct stage *s, char who)
{
	drain(s, (size_t)(who - 'a'));
}

static void
t_each_once(void **state)
{
	struct stage *s = *state;

	s->act = act_drain;
	feed(s, 0);
	feed(s, 2);
	run(s, 20);
	assert_string_equal(s->log, "ac");
}

/* The first one frees itself and the third one, which is due as well. */
static void
act_free(struct stage *s, char who)
{
	drain(s, (size_t)(who - 'a'));
	if (who != 'a')
		return;
	watch_free(s->w[0]);
	watch_free(s->w[2]);
	s->w[0] = s->w[2] = NULL;
}

static void
t_free_while_due(void **state)
{
	struct stage *s = *state;

	s->act = act_free;
	for (size_t i = 0; i < PIPES; i++)
		feed(s, i);
	run(s, 20);
	assert_string_equal(s->log, "abd");
	feed(s, 0);
	feed(s, 3);
	run(s, 20);
	assert_string_equal(s->log, "abdd");
}

/* A descriptor is closed and its number is another's in the same round: what
 * poll said about the old one is not told to the new one. */
static void
act_reuse(struct stage *s, char who)
{
	int fd[2];

	drain(s, (size_t)(who - 'a'));
	if (who != 'a')
		return;
	watch_free(s->w[1]);
	(void)close(s->rd[1]);
	(void)close(s->wr[1]);
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(fd[0] == s->rd[1] || fd[1] == s->rd[1]);
	s->rd[1] = fd[0];
	s->wr[1] = fd[1];
	whos[10] = (struct who){ s, 'b' };
	s->w[1] = loop_watch(s->loop, s->rd[1], POLLIN, on_read, &whos[10]);
	assert_non_null(s->w[1]);
}

static void
t_number_reused(void **state)
{
	struct stage *s = *state;

	s->act = act_reuse;
	feed(s, 0);
	feed(s, 1);
	run(s, 20);
	assert_string_equal(s->log, "a");
	feed(s, 1);
	run(s, 20);
	assert_string_equal(s->log, "ab");
}

/* Many are added in a callback: the tables move below the loop's feet. */
static void
act_add(struct stage *s, char who)
{
	drain(s, (size_t)(who - 'a'));
	if (who != 'a' || s->nlog > 4)
		return;
	for (int i = 0; i < 200; i++)
		assert_non_null(loop_watch(s->loop, s->rd[0], POLLIN, on_read,
		    &whos[0]));
}

static void
t_add_while_due(void **state)
{
	struct stage *s = *state;

	s->act = act_add;
	for (size_t i = 0; i < PIPES; i++)
		feed(s, i);
	run(s, 20);
	assert_string_equal(s->log, "abcd");
}

static void
act_stop(struct stage *s, char who)
{
	drain(s, (size_t)(who - 'a'));
	loop_stop(s->loop);
}

static void
t_stop(void **state)
{
	struct stage *s = *state;

	s->act = act_stop;
	feed(s, 0);
	feed(s, 1);
	assert_non_null(loop_timer(s->loop, 0, on_time, &whos[9]));
	assert_int_equal(loop_run(s->loop), 0);
	assert_string_equal(s->log, "a"); /* neither b nor the timer */
	s->act = act_drain;
	run(s, 20);
	assert_string_equal(s->log, "abj");
}

static void
t_hang_up(void **state)
{
	struct stage *s = *state;

	s->act = act_stop;
	watch_set_events(s->w[0], 0);
	feed(s, 0);
	run(s, 10);
	assert_string_equal(s->log, "");
	(void)close(s->wr[0]);
	s->wr[0] = -1;
	assert_int_equal(loop_run(s->loop), 0);
	assert_string_equal(s->log, "a");
}

static void
t_timers_in_order(void **state)
{
	static const struct {
		int64_t ms;
		char who;
	} cases[] = { { 30, 'e' }, { 10, 'f' }, { 20, 'g' }, { 10, 'h' },
		{ 0, 'i' } };
	struct stage *s = *state;

	for (size_t i = 0; i < 5; i++)
		assert_non_null(loop_timer(s->loop, cases[i].ms, on_time,
		    &whos[cases[i].who - 'a']));
	run(s, 60);
	assert_string_equal(s->log, "ifhge");
}

/* Of three that are due at once the first frees the second and the third's
 * watch, and sets itself anew. */
static void
act_timers(struct stage *s, char who)
{
	if (who != 'e')
		return;
	timer_free(s->t[1]);
	s->t[1] = NULL;
	watch_free(s->w[0]);
	s->w[0] = NULL;
	if (s->nlog < 3)
		s->t[0] = loop_timer(s->loop, 0, on_time, &whos[4]);
}

static void
t_timers_free(void **state)
{
	struct stage *s = *state;

	s->act = act_timers;
	s->t[0] = loop_timer(s->loop, 5, on_time, &whos[4]);
	s->t[1] = loop_timer(s->loop, 5, on_time, &whos[5]);
	s->t[2] = loop_timer(s->loop, 5, on_time, &whos[6]);
	/* On a busy machine the end may come in the same turn. */
	for (int i = 0; i < 100 && s->nlog < 3; i++)
		run(s, 40);
	assert_int_equal(s->log[0], 'e');
	assert_null(strchr(s->log, 'f'));
	assert_non_null(strchr(s->log, 'g'));
	assert_non_null(strchr(s->log + 1, 'e'));
	feed(s, 0);
	run(s, 10);
	assert_null(strchr(s->log, 'a'));
	timer_free(NULL);
	watch_free(NULL);
}

/* Earlier, later, and never: set anew among others. */
static void
t_timer_set(void **state)
{
	struct stage *s = *state;

	for (size_t i = 0; i < 3; i++)
		s->t[i] =
		    loop_timer(s->loop, i == 1 ? -1 : 5, on_time, &whos[4 + i]);
	timer_set(s->t[0], -1);
	timer_set(s->t[1], 0);
	timer_set(s->t[2], 5);
	run(s, 40);
	assert_string_equal(s->log, "fg");
	timer_free(s->t[0]);
}

static void
t_watch_bound(void **state)
{
	struct stage *s = *state;
	struct watch *last = NULL, *w;
	size_t n = PIPES;

	while ((w = loop_watch(s->loop, s->rd[0], POLLIN, on_read,
	    &whos[0])) != NULL) {
		last = w;
		n++;
	}
	assert_int_equal(n, LOOP_WATCHES_MAX);
	watch_free(last);
	assert_non_null(loop_watch(s->loop, s->rd[0], POLLIN, on_read,
	    &whos[0]));
	assert_null(loop_watch(s->loop, s->rd[0], POLLIN, on_read, &whos[0]));
}

static void
t_timer_bound(void **state)
{
	struct stage *s = *state;
	struct timer *t = NULL, *last = NULL;
	size_t n = 0;

	/* Later ones first: each is put in front. */
	while ((t = loop_timer(s->loop, 1000000 - (int64_t)n * 10, on_time,
	    &whos[4])) != NULL) {
		last = t;
		n++;
	}
	assert_int_equal(n, LOOP_TIMERS_MAX);
	timer_free(last);
	assert_non_null(loop_timer(s->loop, 1000000, on_time, &whos[4]));
	assert_null(loop_timer(s->loop, 1000000, on_time, &whos[4]));
}

static void
t_no_memory(void **state)
{
	struct stage *s = *state;
	struct loop *l = NULL;
	struct watch *w;
	size_t i;

	fault_at(1);
	l = loop_new();
	assert_true(fault_off());
	assert_null(l);
	assert_non_null(l = loop_new());
	for (unsigned long n = 1;; n++) { /* two tables and the watch */
		fault_at(n);
		w = loop_watch(l, s->rd[0], POLLIN, on_read, &whos[0]);
		if (!fault_off())
			break;
		assert_null(w);
	}
	assert_non_null(w);
	for (i = 1; i < 32; i++)
		assert_non_null(loop_watch(l, s->rd[0], POLLIN, on_read,
		    &whos[0]));
	for (unsigned long n = 1;; n++) { /* the same when they are full */
		fault_at(n);
		w = loop_watch(l, s->rd[0], POLLIN, on_read, &whos[0]);
		if (!fault_off())
			break;
		assert_null(w);
	}
	assert_non_null(w);
	fault_at(1);
	assert_null(loop_timer(l, 1, on_time, &whos[0]));
	assert_true(fault_off());
	loop_free(l);
	loop_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_each_once),
		T(t_free_while_due),
		T(t_number_reused),
		T(t_add_while_due),
		T(t_stop),
		T(t_hang_up),
		T(t_timers_in_order),
		T(t_timers_free),
		T(t_timer_set),
		T(t_watch_bound),
		T(t_timer_bound),
		T(t_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
