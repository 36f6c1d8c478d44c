/*
 * Messages on SOCK_SEQPACKET sockets.  Used by every process and by both
 * modules.  What arrives comes from a peer that may be owned: type, version,
 * length and number of descriptors are checked against the table before a
 * handler sees the message.
 */
#include "config.h"

#include "lib/msg.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

#define MSG_HEADER_LEN 8

/* As many as the kernel passes with one message (its SCM_MAX_FD).  What found
 * no room here it would close, in our time. */
#define MSG_FDS_SENT_MAX 253

union msg_control {
	struct cmsghdr align;
	uint8_t d[CMSG_SPACE(MSG_FDS_SENT_MAX * sizeof(int)) +
		  CMSG_SPACE(sizeof(struct ucred))];
};

void
msg_init(struct msg *m, uint32_t type)
{
	const struct proto_row *row = proto_find(type);

	*m = (struct msg){ .type = type };
	buf_init(&m->body, row == NULL ? 0 : row->max);
	for (size_t i = 0; i < MSG_FDS_MAX; i++)
		m->fd[i] = -1;
}

/* What came uninvited may be a network connection that is to linger: its last
 * close, which is ours, would wait for a stranger. */
static void
msg_drop_fd(int fd)
{
	const struct linger at_once = { 0 };
	int saved = errno;

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)close(fd);
	errno = saved;
}

void
msg_clear(struct msg *m)
{
	buf_clear(&m->body);
	for (size_t i = 0; i < m->nfd; i++) {
		/* pid is set on received messages only: what is being sent
		 * holds lent descriptors. */
		if (m->fd[i] >= 0 && m->pid != 0)
			msg_drop_fd(m->fd[i]);
		m->fd[i] = -1;
	}
	m->nfd = 0;
}

int
msg_add_fd(struct msg *m, int fd)
{
	if (m->nfd == MSG_FDS_MAX || fd < 0)
		return ERR_INTERNAL;
	m->fd[m->nfd++] = fd;
	return 0;
}

int
msg_take_fd(struct msg *m, size_t i)
{
	int fd;

	if (i >= m->nfd)
		return -1;
	fd = m->fd[i];
	m->fd[i] = -1;
	return fd;
}

int
msg_send(int fd, const struct msg *m)
{
	const struct proto_row *row = proto_find(m->type);
	size_t n = buf_len(&m->body), fdlen = m->nfd * sizeof(int);
	uint8_t head[MSG_HEADER_LEN] = { 0, MSG_VERSION,
		(uint8_t)(m->type >> 8), (uint8_t)m->type,
		(uint8_t)(m->id >> 24), (uint8_t)(m->id >> 16),
		(uint8_t)(m->id >> 8), (uint8_t)m->id };
	union {
		const uint8_t *ro;
		void *rw;
	} body = { .ro = buf_ptr(&m->body) };
	struct iovec iov[2] = { { head, sizeof(head) }, { body.rw, n } };
	union msg_control c = { .d = { 0 } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t sent;

	if (row == NULL || n > row->max || m->nfd < row->fds_min ||
	    m->nfd > row->fds_max)
		return ERR_INTERNAL;
	if (fdlen > 0) {
		h.msg_control = c.d;
		h.msg_controllen = CMSG_SPACE(fdlen);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(fdlen);
		memcpy(CMSG_DATA(&c.align), m->fd, fdlen);
	}
	/* A reset is reported once, by whatever call comes first; after it the
	 * same call says what every caller knows: EPIPE. */
	for (int reset = 0;;) {
		sent = sendmsg(fd, &h, MSG_NOSIGNAL);
		if (sent != -1 || (errno != EINTR && errno != ECONNRESET))
			break;
		if (errno == ECONNRESET && reset++ > 0)
			break;
	}
	if (sent == -1)
		return errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
	return (size_t)sent == sizeof(head) + n ? 0 : ERR_INTERNAL;
}

/* Takes descriptors and credentials out of the control data. */
static int
msg_get_control(struct msg *m, struct msghdr *h)
{
	struct cmsghdr *c;
	struct ucred cred;
	size_t n;
	int r = 0;

	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			m->pid = cred.pid;
			continue;
		}
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(fd));
			if (m->nfd < MSG_FDS_MAX) {
				m->fd[m->nfd++] = fd;
			} else {
				msg_drop_fd(fd);
				r = ERR_PROTO;
			}
		}
	}
	return r;
}

/* The message's own rules; n bytes were received, header and all. */
static int
msg_check(struct msg *m, size_t n, int flags, const uint8_t *head)
{
	const struct proto_row *row;

	if ((flags & MSG_TRUNC) != 0 || n < MSG_HEADER_LEN || head[0] != 0 ||
	    head[1] != MSG_VERSION)
		return ERR_PROTO;
	m->type = (uint32_t)head[2] << 8 | head[3];
	m->id = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 |
	    (uint32_t)head[6] << 8 | head[7];
	n -= MSG_HEADER_LEN;
	if ((flags & MSG_CTRUNC) != 0) {
		/* There was room for more: it is us who have no number left
		 * for a descriptor. */
		errno = EMFILE;
		return m->nfd < MSG_FDS_MAX ? ERR_SYS : ERR_PROTO;
	}
	if ((row = proto_find(m->type)) == NULL || n > row->max ||
	    m->nfd < row->fds_min || m->nfd > row->fds_max)
		return ERR_PROTO;
	m->body.len = n;
	return 0;
}

/* The next message's length, so that memory is taken for what is there. */
static int
msg_peek(int fd, size_t *np)
{
	uint8_t head[1];
	ssize_t n;

	/* A peer that left without reading all we sent is reported once, and
	 * ahead of what it sent before: what is queued still counts. */
	for (int reset = 0;;) {
		n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_TRUNC);
		if (n != -1 || (errno != EINTR && errno != ECONNRESET))
			break;
		if (errno == ECONNRESET && reset++ > 0)
			return ERR_NOTFOUND;
	}
	if (n == -1)
		return errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
	if (n == 0)
		return ERR_NOTFOUND;
	*np = (size_t)n;
	return 0;
}

int
msg_recv(int fd, struct msg *m)
{
	uint8_t head[MSG_HEADER_LEN], *body;
	struct iovec iov[2] = { { head, sizeof(head) } };
	union msg_control c;
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2,
		.msg_control = c.d, .msg_controllen = sizeof(c) };
	ssize_t n;
	size_t len;
	int r;

	msg_init(m, 0);
	m->pid = -1;	/* received: descriptors are ours to close */
	if ((r = msg_peek(fd, &len)) != 0)
		return r;
	len = len < MSG_HEADER_LEN ? 0 : len - MSG_HEADER_LEN;
	if (len > MSG_BODY_MAX)
		len = MSG_BODY_MAX; /* cut short below: ERR_PROTO */
	buf_init(&m->body, MSG_BODY_MAX);
	if ((r = buf_reserve(&m->body, len, &body)) != 0)
		return r;
	iov[1] = (struct iovec){ len == 0 ? head : body, len };
	do
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
	if (n == 0)
		return ERR_NOTFOUND;
	if ((r = msg_get_control(m, &h)) == 0)
		r = msg_check(m, (size_t)n, h.msg_flags, head);
	if (r != 0)
		msg_clear(m);
	return r;
}

int
msg_end(const struct msg *m)
{
	return buf_end(&m->body) == 0 ? 0 : ERR_PROTO;
}

int64_t
msg_now_ms(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
msg_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int n;

	for (;;) {
		left = deadline_ms - msg_now_ms();
		if (left < 0)
			left = 0;
		if (left > INT32_MAX)
			left = INT32_MAX;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n == 0 && msg_now_ms() >= deadline_ms)
			return ERR_TIMEOUT;
		if (n == -1 && errno != EINTR)
			return ERR_SYS;
	}
}

/* wait_ms 0: no bound.  The kernel waits for a place in the listener's queue
 * and bounds that by the socket's send timeout. */
static int
msg_connect_wait(const char *path, int64_t wait_ms, int *fdp)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = wait_ms / 1000,
		.tv_usec = wait_ms % 1000 * 1000 };
	int fd, r;

	if ((r = str_copy(sa.sun_path, sizeof(sa.sun_path), path)) != 0)
		return r;
	if ((fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) == -1)
		return ERR_SYS;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1 ||
	    connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1) {
		r = errno;
		(void)close(fd);
		errno = r;
		return r == EAGAIN ? ERR_TIMEOUT : ERR_SYS;
	}
	*fdp = fd;
	return 0;
}

int
msg_connect(const char *path, int *fdp)
{
	return msg_connect_wait(path, 0, fdp);
}

int
msg_connect_by(const char *path, int64_t deadline_ms, int *fdp)
{
	int64_t left = deadline_ms - msg_now_ms();

	return left <= 0 ? ERR_TIMEOUT : msg_connect_wait(path, left, fdp);
}

int
msg_call(int fd, const struct msg *q, uint32_t answer, struct msg *a,
    int64_t deadline_ms)
{
	int r;

	msg_init(a, 0);
	if ((r = msg_wait(fd, POLLOUT, deadline_ms)) != 0 ||
	    (r = msg_send(fd, q)) != 0 ||
	    (r = msg_wait(fd, POLLIN, deadline_ms)) != 0 ||
	    (r = msg_recv(fd, a)) != 0)
		return r;
	if (a->type != answer || a->id != q->id)
		return ERR_PROTO;
	return 0;
}
