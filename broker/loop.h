/*
 * The poll loop of every broker process: descriptors, timers, signals.  One
 * thread; callbacks run to their end.  Bounded: LOOP_WATCHES_MAX descriptors.
 */
#ifndef POSTERN_BROKER_LOOP_H
#define POSTERN_BROKER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_WATCHES_MAX 8192
#define LOOP_TIMERS_MAX 8192

struct loop;
struct watch;
struct timer;

/* revents as poll(2) gives them. */
typedef void (*watch_cb)(void *arg, int fd, short revents);
typedef void (*timer_cb)(void *arg);

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop; 0, or ERR_SYS when poll fails. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Watches fd (which stays the caller's); NULL when the bound is reached or
 * memory is out.  events may be 0: errors and hang-ups alone. */
struct watch *loop_watch(struct loop *l, int fd, short events, watch_cb cb,
    void *arg);
void watch_set_events(struct watch *w, short events);
/* Takes NULL.  Safe inside any callback; cb is not called again. */
void watch_free(struct watch *w);

/* Calls cb once, ms from now (never, below zero); NULL as with loop_watch. */
struct timer *loop_timer(struct loop *l, int64_t ms, timer_cb cb, void *arg);
/* Calls it then instead; cannot fail. */
void timer_set(struct timer *t, int64_t ms);
/* Takes NULL; after cb has run the timer is gone by itself and must not be
 * freed: set your pointer NULL in cb. */
void timer_free(struct timer *t);

#endif
