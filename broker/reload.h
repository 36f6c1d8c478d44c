/*
 * A reload of the policy, in posternd: signer and policy are handed the folder,
 * opened anew, and answer; whoever waits hears when both have.
 */
#ifndef POSTERN_BROKER_RELOAD_H
#define POSTERN_BROKER_RELOAD_H

#include <stdbool.h>

struct child;
struct msg;
struct peer;

/* SIGHUP: a round begins, now or when the running one is over. */
void reload_begin(void);
/* RELOAD_WANTED, policy's: the same, and its end is told to it. */
int reload_wanted(struct msg *m);
/* RELOADED, of the child. */
int reload_answered(struct child *c, struct msg *m);
/* It is dead, and will read the folder when it is started again. */
void reload_child_gone(struct child *c);
bool reload_running(void);

#endif
