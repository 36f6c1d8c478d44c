/*
 * One message connection in a loop: a reader that calls back per message, and
 * a bounded queue of what the socket would not take yet.
 */
#ifndef POSTERN_BROKER_PEER_H
#define POSTERN_BROKER_PEER_H

#include <stdint.h>
#include <sys/types.h>

struct loop;
struct msg;
struct peer;

#define PEER_QUEUE_MAX 256 /* messages, but for peer_bound_queue */

/* A message has come; it is cleared after the callback (take its descriptors
 * to keep them).  Non-zero closes the connection (on_close is called). */
typedef int (*peer_msg_cb)(void *arg, struct peer *p, struct msg *m);
/* The connection is gone: end of file (r = ERR_NOTFOUND), a broken rule
 * (ERR_PROTO) or whatever the message callback returned.  The peer is freed
 * after this call. */
typedef void (*peer_close_cb)(void *arg, struct peer *p, int r);

/* `from` is the PROC_* bit of the other end, `self` ours: a message that the
 * table does not allow between the two closes the connection.  Takes fd, also
 * on failure (NULL). */
struct peer *peer_new(struct loop *l, int fd, unsigned int from,
    unsigned int self, peer_msg_cb on_msg, peer_close_cb on_close, void *arg);
/* Closes without calling on_close.  Takes NULL; safe inside callbacks. */
void peer_free(struct peer *p);
/* Closes, with ERR_TIMEOUT, when no message has come for that long; runs anew
 * with each one.  ERR_NOMEM: there is no bound. */
int peer_bound_idle(struct peer *p, int64_t ms);
/* As many messages may wait for the socket from here on. */
void peer_bound_queue(struct peer *p, size_t n);
/* Reads no further question while so many answers wait for the socket: for who
 * answers whatever is asked, and is not to fall over an asker that is slow to
 * listen.  What an end of file leaves is read. */
void peer_hold(struct peer *p, size_t n);
/* Changes the callbacks' argument. */
void peer_set_arg(struct peer *p, void *arg);

/* Sends or queues (descriptors are duplicated while queued).  ERR_TOOBIG: the
 * queue is full, which is a reason to close. */
int peer_send(struct peer *p, const struct msg *m);
/* Sends nothing more; the other end sees an end of file, and what it still
 * sends is read. */
void peer_end(struct peer *p);
/* Goes on counting ids where the link before this one stopped. */
void peer_continue(struct peer *p, const struct peer *before);
/* Reads all that has come already, as if the loop had found it.  Takes NULL. */
void peer_drain(struct peer *p);
/* How many messages wait for the socket. */
size_t peer_queued(const struct peer *p);
/* A new id for a question on this connection. */
uint32_t peer_next_id(struct peer *p);
/* The other end's process, as the kernel saw it at connect. */
int peer_cred(const struct peer *p, pid_t *pid, uid_t *uid, gid_t *gid);
/* A pidfd of the process that connected.  Where the kernel gives it by itself
 * (6.5), of that very one; else of who has its pid now.  ERR_NOTFOUND: it is
 * dead. */
int peer_pidfd(const struct peer *p, int *fdp);
/* The socket, still the peer's. */
int peer_fd(const struct peer *p);
/* Takes the socket out and frees the peer (its queue must be empty: ERR_AGAIN
 * otherwise, and nothing happens). */
int peer_detach(struct peer *p, int *fdp);

#endif
