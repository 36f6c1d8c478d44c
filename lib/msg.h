/*
 * One message on an AF_UNIX SOCK_SEQPACKET socket: a header, typed fields
 * (lib/buf.h), and file descriptors that belong to exactly this message.
 * What may be sent, by whom and how long it may be, stands in one table:
 * lib/proto.h; the fields of each message in doc/PROTOCOL.md.
 *
 *	struct msg m;
 *	msg_init(&m, MSG_RUN);
 *	if ((r = buf_put_cstr(&m.body, handle)) != 0 ||
 *	    (r = msg_add_fd(&m, 0)) != 0 ||
 *	    (r = msg_send(fd, &m)) != 0)
 *		goto out;
 *   out:
 *	msg_clear(&m);
 */
#ifndef POSTERN_LIB_MSG_H
#define POSTERN_LIB_MSG_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/buf.h"

#define MSG_VERSION 1
#define MSG_BODY_MAX (160 * 1024) /* no row of the table is larger */
#define MSG_FDS_MAX 8

enum msg_type; /* lib/proto.h */

struct msg {
	uint32_t type;	/* enum msg_type */
	uint32_t id;	/* chosen by the asker, repeated in the answer */
	struct buf body;
	int fd[MSG_FDS_MAX]; /* received: owned by the msg until taken */
	size_t nfd;
	pid_t pid;	/* 0: to be sent; received: the sender by
			 * SCM_CREDENTIALS, -1 without */
};

/* An empty message to be filled and sent. */
void msg_init(struct msg *m, uint32_t type);
/* Wipes the body, closes received descriptors that were not taken. */
void msg_clear(struct msg *m);

/* Lends fd (it stays the caller's and must stay open until msg_send). */
int msg_add_fd(struct msg *m, int fd);
/* Takes received descriptor i out of the message; -1 when there is none. */
int msg_take_fd(struct msg *m, size_t i);

/* Sends the message whole.  Checks it against the table first: what does not
 * fit its own row is ERR_INTERNAL.  ERR_AGAIN: the socket's queue is full (a
 * non-blocking socket); ERR_SYS with EPIPE: the peer is gone. */
int msg_send(int fd, const struct msg *m);
/* Receives one message into m (which need not be initialised; msg_clear it
 * whatever comes back).  Every descriptor is close-on-exec.
 * ERR_NOTFOUND: end of file.  ERR_AGAIN: nothing there.  ERR_PROTO: a type the
 * table does not know, a wrong version, too long, a wrong number of
 * descriptors, or cut short; all descriptors that came are closed.  ERR_SYS
 * with EMFILE: this process may have no more descriptors, and a message that
 * carries some is lost; type says which. */
int msg_recv(int fd, struct msg *m);
/* Every field was read and every descriptor taken or expected: ERR_PROTO on
 * leftover bytes. */
int msg_end(const struct msg *m);

/* Waits until fd is readable or writable (events: POLLIN, POLLOUT) at most
 * until the CLOCK_MONOTONIC time deadline_ms.  ERR_TIMEOUT when it is over. */
int msg_wait(int fd, short events, int64_t deadline_ms);
/* CLOCK_MONOTONIC in milliseconds. */
int64_t msg_now_ms(void);

/* Connects to the socket at path; blocking, close-on-exec. */
int msg_connect(const char *path, int *fdp);
/* The same, for callers that must not hang on a listener whose queue is full:
 * ERR_TIMEOUT past the CLOCK_MONOTONIC time deadline_ms. */
int msg_connect_by(const char *path, int64_t deadline_ms, int *fdp);
/* One question, one answer: sends q, waits for a message of type `answer` in
 * a; ERR_TIMEOUT past the deadline, ERR_PROTO for any other type.  The caller
 * clears a whatever comes back. */
int msg_call(int fd, const struct msg *q, uint32_t answer, struct msg *a,
    int64_t deadline_ms);

#endif
