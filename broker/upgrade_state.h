/*
 * What a posternd leaves to the next one: its children, what they are given,
 * their links, how many hops there are.
 *
 * u32 version, u32 of the messages, u64 hops, then four lists, each with its
 * length: given, links, children, alarms of ssh-agents; names, so that a newer
 * posternd can have others.
 */
#ifndef POSTERN_BROKER_UPGRADE_STATE_H
#define POSTERN_BROKER_UPGRADE_STATE_H

#include <stdbool.h>

struct buf;
struct upgrade_fds;

int upgrade_state_put(struct buf *b, struct upgrade_fds *fds);
/* Takes it over; in a trial it is only read.  ERR_FORMAT: of another version.
 */
int upgrade_state_get(struct buf *b, bool trial);

#endif
