/*
 * Marks of spent tokens.  A token is bound to the client address that used it
 * first; the same token from there again is passed on, from anywhere else it is
 * refused.  Held in memory, for this process alone, until the token could not
 * be used anyway.
 *
 * A token opens one session.  It has opened it as soon as somebody was told of
 * that session; from then on policy hears so, and joins the token to its own
 * live session or refuses it.  A login that failed before, because policy had
 * no room or audit could not keep the mark, opened nothing: the token may come
 * again, from its address.
 */
#ifndef POSTERN_BROKER_REPLAY_H
#define POSTERN_BROKER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLAY_MAX 65536 /* marks at once */

struct replay;

/* max: at most REPLAY_MAX. */
struct replay *replay_new(size_t max);
void replay_free(struct replay *t);

/* Marks the token of this digest as used from source, until `until` (seconds,
 * as now).  0: first use, or a repeat from the same source.  ERR_EXISTS: spent
 * by another one.  ERR_TOOBIG: full of marks that are still needed.  MUST only
 * be called for verified tokens, and taken back for those that policy has no
 * identity for: everybody at a shared issuer could fill the table. */
int replay_mark(struct replay *t, const uint8_t digest[32],
    const char *source, int64_t until, int64_t now);
/* The token's mark is to stay, whoever wants to take it back. */
void replay_keep(struct replay *t, const uint8_t digest[32]);
/* Somebody is told of the session that the token opened. */
void replay_open(struct replay *t, const uint8_t digest[32]);
/* Somebody was. */
bool replay_opened(struct replay *t, const uint8_t digest[32]);
/* Takes the token's mark back, unless it is to stay: nobody was given anything
 * for it. */
void replay_unmark(struct replay *t, const uint8_t digest[32]);
size_t replay_count(const struct replay *t);

#endif
