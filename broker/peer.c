/*
 * Message connections.  Used by posternd and its children; this is where a
 * peer's message is held against the table's from and to.
 */
#include "config.h"

#include "broker/peer.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/loop.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since Linux 6.5; Debian 12's headers lack it */
#endif

struct queued {
	struct queued *next;
	struct msg m; /* its descriptors are duplicates of ours */
};

struct peer {
	struct loop *loop;
	struct watch *watch;
	int fd;
	unsigned int from, self;
	peer_msg_cb on_msg;
	peer_close_cb on_close;
	void *arg;
	struct queued *first, **last;
	size_t nqueued, queue_max;
	size_t hold; /* reads while fewer are queued */
	uint32_t next_id;
	int64_t idle_ms; /* without a bound: 0 */
	struct timer *idle;
	bool ended;     /* no more, once the queue is empty */
	bool busy;	/* inside a callback: free later */
	bool dead;
};

static void peer_event(void *arg, int fd, short revents);

struct peer *
peer_new(struct loop *l, int fd, unsigned int from, unsigned int self,
    peer_msg_cb on_msg, peer_close_cb on_close, void *arg)
{
	struct peer *p;
	int fl;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		goto fail;
	*p = (struct peer){ .loop = l,
		.fd = fd,
		.from = from,
		.self = self,
		.on_msg = on_msg,
		.on_close = on_close,
		.arg = arg,
		.queue_max = PEER_QUEUE_MAX,
		.hold = SIZE_MAX };
	p->last = &p->first;
	if ((fl = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, fl | O_NONBLOCK) == -1 ||
	    (p->watch = loop_watch(l, fd, POLLIN, peer_event, p)) == NULL)
		goto fail;
	return p;
fail:
	free(p);
	(void)close(fd);
	return NULL;
}

static void
queued_free(struct queued *q)
{
	for (size_t i = 0; i < q->m.nfd; i++) {
		if (q->m.fd[i] >= 0)
			(void)close(q->m.fd[i]);
	}
	msg_clear(&q->m);
	free(q);
}

/* Everything but the struct itself. */
static void
peer_shut(struct peer *p)
{
	struct queued *q;

	watch_free(p->watch);
	p->watch = NULL;
	timer_free(p->idle);
	p->idle = NULL;
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	while ((q = p->first) != NULL) {
		p->first = q->next;
		queued_free(q);
	}
	p->dead = true;
}

void
peer_free(struct peer *p)
{
	if (p == NULL)
		return;
	peer_shut(p);
	if (!p->busy)
		free(p);
}

void
peer_bound_queue(struct peer *p, size_t n)
{
	p->queue_max = n;
}

/* What to wait for. */
static void
peer_watch(struct peer *p)
{
	short in = p->nqueued < p->hold ? POLLIN : 0;
	short out = p->first != NULL ? POLLOUT : 0;

	watch_set_events(p->watch, (short)(in | out));
}

void
peer_hold(struct peer *p, size_t n)
{
	p->hold = n;
	peer_watch(p);
}

void
peer_set_arg(struct peer *p, void *arg)
{
	p->arg = arg;
}

static int
peer_enqueue(struct peer *p, const struct msg *m)
{
	struct queued *q;
	int r;

	if (p->nqueued >= p->queue_max)
		return ERR_TOOBIG;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		return ERR_NOMEM;
	msg_init(&q->m, m->type);
	q->m.id = m->id;
	if ((r = buf_put(&q->m.body, buf_ptr(&m->body),
	    buf_len(&m->body))) != 0)
		goto fail;
	for (size_t i = 0; i < m->nfd; i++) {
		int fd = fcntl(m->fd[i], F_DUPFD_CLOEXEC, 3);

		r = fd == -1 ? ERR_SYS : msg_add_fd(&q->m, fd);
		if (r != 0)
			goto fail;
	}
	*p->last = q;
	p->last = &q->next;
	p->nqueued++;
	peer_watch(p);
	return 0;
fail:
	queued_free(q);
	return r;
}

int
peer_send(struct peer *p, const struct msg *m)
{
	int r;

	if (p->dead)
		return ERR_NOTFOUND;
	if (p->first != NULL)
		return peer_enqueue(p, m);
	if ((r = msg_send(p->fd, m)) == ERR_AGAIN)
		r = peer_enqueue(p, m);
	return r;
}

static int
peer_flush(struct peer *p)
{
	struct queued *q;
	int r;

	while ((q = p->first) != NULL) {
		if ((r = msg_send(p->fd, &q->m)) != 0) {
			peer_watch(p);
			return r == ERR_AGAIN ? 0 : r;
		}
		if ((p->first = q->next) == NULL)
			p->last = &p->first;
		p->nqueued--;
		queued_free(q);
	}
	peer_watch(p);
	if (p->ended)
		(void)shutdown(p->fd, SHUT_WR);
	return 0;
}

static void peer_idle(void *arg);

int
peer_bound_idle(struct peer *p, int64_t ms)
{
	timer_free(p->idle);
	p->idle_ms = ms;
	p->idle = loop_timer(p->loop, ms, peer_idle, p);
	return p->idle == NULL ? ERR_NOMEM : 0;
}

/* A message that came while no descriptor was left.  A sibling's is an
 * operation that ends with its asker's patience; what the parent sets a process
 * up with is not to be done without; and a stranger is closed, and so told. */
static bool
peer_can_lose(const struct peer *p, uint32_t type)
{
	return (p->from & (PROC_CHILD | PROC_PARENT)) != 0 &&
	       type != MSG_LISTEN && type != MSG_LINK && type != MSG_FOLDER;
}

/* One message in; the table's from and to must fit this connection. */
static int
peer_read(struct peer *p)
{
	const struct proto_row *row;
	struct msg m;
	int r;

	r = msg_recv(p->fd, &m);
	if (r == 0) {
		row = proto_find(m.type);
		if ((row->from & p->from) == 0 || (row->to & p->self) == 0)
			r = ERR_PROTO;
		else
			r = p->on_msg(p->arg, p, &m);
	} else if (r == ERR_SYS && errno == EMFILE &&
		   peer_can_lose(p, m.type)) {
		log_err(r, "a message of type %u is lost", m.type);
		r = 0;
	}
	msg_clear(&m);
	if (r == 0 && !p->dead && p->idle_ms != 0)
		r = peer_bound_idle(p, p->idle_ms);
	return r;
}

/* A turn has ended with r: close, if that is an end. */
static void
peer_turn_end(struct peer *p, int r)
{
	/* A write to a peer that has left is an end of file seen early. */
	if (r == ERR_SYS && (errno == EPIPE || errno == ECONNRESET))
		r = ERR_NOTFOUND;
	if (r != 0 && r != ERR_AGAIN && !p->dead) {
		p->on_close(p->arg, p, r);
		peer_shut(p);
	}
	p->busy = false;
	if (p->dead)
		free(p);
}

static void
peer_idle(void *arg)
{
	struct peer *p = arg;

	p->idle = NULL;
	p->busy = true;
	peer_turn_end(p, ERR_TIMEOUT);
}

void
peer_drain(struct peer *p)
{
	int r = 0;

	if (p == NULL || p->busy)
		return;
	p->busy = true;
	while (r == 0 && !p->dead)
		r = peer_read(p);
	peer_turn_end(p, r);
}

static void
peer_event(void *arg, int fd, short revents)
{
	struct peer *p = arg;
	int r = 0;

	(void)fd;
	p->busy = true;
	if ((revents & POLLOUT) != 0)
		r = peer_flush(p);
	if (!p->dead && (revents & ~POLLOUT) != 0 &&
	    (r == 0 || r == ERR_SYS)) /* what it said last still counts */
		r = peer_read(p);
	peer_turn_end(p, r);
}

void
peer_end(struct peer *p)
{
	if (p->first == NULL)
		(void)shutdown(p->fd, SHUT_WR);
	else
		p->ended = true;
}

void
peer_continue(struct peer *p, const struct peer *before)
{
	p->next_id = before->next_id;
}

size_t
peer_queued(const struct peer *p)
{
	return p->nqueued;
}

uint32_t
peer_next_id(struct peer *p)
{
	if (++p->next_id == 0)
		p->next_id = 1;
	return p->next_id;
}

int
peer_cred(const struct peer *p, pid_t *pid, uid_t *uid, gid_t *gid)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == -1)
		return ERR_SYS;
	*pid = c.pid;
	*uid = c.uid;
	*gid = c.gid;
	return 0;
}

int
peer_pidfd(const struct peer *p, int *fdp)
{
	struct ucred c;
	socklen_t n = sizeof(int);
	int fd = -1;

	if (getsockopt(p->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &n) == -1) {
		if (errno != ENOPROTOOPT)
			return ERR_NOTFOUND; /* it is dead */
		n = sizeof(c);
		if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == -1)
			return ERR_SYS;
		fd = (int)syscall(SYS_pidfd_open, c.pid, 0);
		if (fd == -1)
			return errno == ESRCH ? ERR_NOTFOUND : ERR_SYS;
	}
	*fdp = fd;
	return 0;
}

int
peer_fd(const struct peer *p)
{
	return p->fd;
}

int
peer_detach(struct peer *p, int *fdp)
{
	if (p->first != NULL)
		return ERR_AGAIN;
	*fdp = p->fd;
	p->fd = -1;
	peer_free(p);
	return 0;
}
