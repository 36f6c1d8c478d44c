/*
 * lib/msg.c: what may be sent, what a hostile peer may make of it, and that no
 * descriptor is left behind whatever it sent.
 */
#include "config.h"

#include "lib/msg.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "tests/unit/fault.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static size_t
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

struct pair {
	int ours, theirs;
	size_t before;	/* descriptors before the pair was made */
};

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int sv[2];

	if (p == NULL)
		return -1;
	p->before = open_fds();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return -1;
	p->ours = sv[0];
	p->theirs = sv[1];
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;
	int r;

	if (p->ours != -1)
		(void)close(p->ours);
	if (p->theirs != -1)
		(void)close(p->theirs);
	r = open_fds() == p->before ? 0 : -1; /* a leak fails the test */
	free(p);
	return r;
}

/* Sends bytes as they are, with nfd copies of standard input. */
static void
raw_send(int fd, const void *bytes, size_t n, size_t nfd)
{
	union {
		struct cmsghdr align;
		uint8_t d[CMSG_SPACE(64 * sizeof(int))];
	} c = { .d = { 0 } };
	union {
		const void *ro;
		void *rw;
	} u = { .ro = bytes };
	struct iovec iov = { u.rw, n };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(nfd <= 64);
	if (nfd > 0) {
		h.msg_control = c.d;
		h.msg_controllen = CMSG_SPACE(nfd * sizeof(int));
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(nfd * sizeof(int));
		for (size_t i = 0; i < nfd; i++)
			memcpy(CMSG_DATA(&c.align) + i * sizeof(int),
			    &(int){ STDIN_FILENO }, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &h, MSG_NOSIGNAL), n);
}

static void
raw_header(uint8_t d[8], uint16_t version, uint16_t type)
{
	const uint8_t head[8] = { (uint8_t)(version >> 8), (uint8_t)version,
		(uint8_t)(type >> 8), (uint8_t)type, 1, 2, 3, 4 };

	memcpy(d, head, 8);
}

static void
t_send_recv(void **state)
{
	struct pair *p = *state;
	struct msg m, got;
	char s[16];
	int fd;

	msg_init(&m, MSG_LISTEN);
	m.id = 0xdeadbeef;
	assert_int_equal(buf_put_cstr(&m.body, "shell"), 0);
	assert_int_equal(msg_add_fd(&m, STDIN_FILENO), 0);
	assert_int_equal(msg_send(p->theirs, &m), 0);
	msg_clear(&m); /* lends: standard input stays open */
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);

	assert_int_equal(msg_recv(p->ours, &got), 0);
	assert_int_equal(got.type, MSG_LISTEN);
	assert_int_equal(got.id, 0xdeadbeef);
	assert_int_equal(msg_end(&got), ERR_PROTO); /* not read yet */
	assert_int_equal(buf_get_fixed(&got.body, s, sizeof(s)), 0);
	assert_string_equal(s, "shell");
	assert_int_equal(msg_end(&got), 0);
	assert_int_equal(msg_take_fd(&got, 1), -1);
	fd = msg_take_fd(&got, 0);
	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(msg_take_fd(&got, 0), -1); /* once */
	msg_clear(&got);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* taken: not the message's */
	(void)close(fd);
}

/* Not taken: the message closes them, and clearing twice is harmless. */
static void
t_clear_closes(void **state)
{
	struct pair *p = *state;
	struct msg m;
	uint8_t d[8];
	size_t n = open_fds();

	raw_header(d, MSG_VERSION, MSG_HOP_RUN);
	raw_send(p->theirs, d, 8, 7);
	assert_int_equal(msg_recv(p->ours, &m), 0);
	assert_int_equal(m.nfd, 7);
	assert_int_equal(open_fds(), n + 7);
	msg_clear(&m);
	assert_int_equal(open_fds(), n);
	msg_clear(&m);
	assert_int_equal(open_fds(), n);
}

static void
t_send_refused(void **state)
{
	static const uint8_t much[101 * 1024];
	struct pair *p = *state;
	struct msg m;

	/* not in the table */
	msg_init(&m, 1);
	assert_int_equal(msg_send(p->ours, &m), ERR_INTERNAL);
	msg_init(&m, MSG_HOP_STARTED + 65536);
	assert_int_equal(msg_send(p->ours, &m), ERR_INTERNAL);
	/* a body that is too long does not even get into the buf */
	msg_init(&m, MSG_STOP);
	assert_int_equal(buf_put_u8(&m.body, 0), ERR_TOOBIG);
	msg_init(&m, MSG_RUN);
	assert_int_equal(buf_put(&m.body, much, sizeof(much)), ERR_TOOBIG);
	msg_clear(&m);
	/* but a type that is changed afterwards could */
	msg_init(&m, MSG_HOP_RUN);
	assert_int_equal(buf_put(&m.body, much, sizeof(much)), 0);
	m.type = MSG_RUN;
	m.nfd = 3;
	assert_int_equal(msg_send(p->ours, &m), ERR_INTERNAL);
	msg_clear(&m);
	/* descriptors: too few, too many, none at all, no room */
	msg_init(&m, MSG_RUN);
	assert_int_equal(msg_add_fd(&m, 0), 0);
	assert_int_equal(msg_send(p->ours, &m), ERR_INTERNAL);
	msg_init(&m, MSG_ANSWER);
	assert_int_equal(msg_add_fd(&m, 0), 0);
	assert_int_equal(msg_send(p->ours, &m), ERR_INTERNAL);
	msg_init(&m, MSG_LINK);
	assert_int_equal(msg_add_fd(&m, -1), ERR_INTERNAL);
	for (size_t i = 0; i < MSG_FDS_MAX; i++)
		assert_int_equal(msg_add_fd(&m, 0), 0);
	assert_int_equal(msg_add_fd(&m, 0), ERR_INTERNAL);
	assert_int_equal(recv(p->theirs, (char[1]){ 0 }, 1, MSG_DONTWAIT), -1);
}

/* Every row: its limits are reached, and one more of anything is refused. */
static void
t_recv_table(void **state)
{
	struct pair *p = *state;
	const struct proto_row *row;
	uint8_t *d = calloc(1, MSG_BODY_MAX + 16);
	size_t nrow, before = open_fds();
	struct msg m;

	assert_non_null(d);
	row = proto_table(&nrow);
	for (size_t i = 0; i < nrow; i++) {
		const struct {
			size_t n, nfd;
			bool ok;
		} tries[] = {
			{ row[i].max, row[i].fds_min, true },
			{ row[i].max, row[i].fds_max, true },
			{ row[i].max + 1, row[i].fds_min, false },
			{ 0, row[i].fds_max + 1U, false },
			{ 0, row[i].fds_min - 1U, false },
		};

		assert_ptr_equal(proto_find(row[i].type), &row[i]);
		for (size_t k = 0; k < LENGTH(tries); k++) {
			if (tries[k].nfd > 64)
				continue; /* none is the fewest */
			raw_header(d, MSG_VERSION, (uint16_t)row[i].type);
			raw_send(p->theirs, d, 8 + tries[k].n, tries[k].nfd);
			assert_int_equal(msg_recv(p->ours, &m),
			    tries[k].ok ? 0 : ERR_PROTO);
			if (tries[k].ok) {
				assert_int_equal(m.type, row[i].type);
				assert_int_equal(buf_len(&m.body), tries[k].n);
				assert_int_equal(m.nfd, tries[k].nfd);
			} else {
				assert_int_equal(open_fds(), before);
			}
			msg_clear(&m);
			assert_int_equal(open_fds(), before);
		}
	}
	free(d);
}

/* Refused, with all that came closed; the next message is read as ever. */
static void
t_recv_refused(void **state)
{
	static const struct {
		uint16_t version, type;
		size_t n, nfd;
	} cases[] = {
		{ 0, MSG_LISTEN, 8, 1 },
		{ MSG_VERSION + 1, MSG_LISTEN, 8, 1 },
		{ 256, MSG_LISTEN, 8, 1 },
		{ 257, MSG_LISTEN, 8, 1 },
		{ MSG_VERSION, 0, 8, 1 },
		{ MSG_VERSION, 1, 8, 1 },
		{ MSG_VERSION, MSG_LISTEN + 1, 8, 1 },
		{ MSG_VERSION, 0xffff, 8, 1 },
		{ MSG_VERSION, MSG_LISTEN, 1, 1 }, /* no header */
		{ MSG_VERSION, MSG_LISTEN, 7, 1 },
		{ MSG_VERSION, MSG_LISTEN, 8, 0 },
		{ MSG_VERSION, MSG_LISTEN, 8, 2 },
		{ MSG_VERSION, MSG_HOP_RUN, 8, 8 },
		{ MSG_VERSION, MSG_HOP_RUN, 8,
		    9 }, /* more than a message holds */
		{ MSG_VERSION, MSG_HOP_RUN, 8,
		    16 }, /* as the control data holds */
		{ MSG_VERSION, MSG_HOP_RUN, 8, 17 }, /* control data cut off */
		{ MSG_VERSION, MSG_HOP_RUN, 8, 64 },
		{ MSG_VERSION, MSG_HOP_RUN, 8 + MSG_BODY_MAX + 1, 7 },
		{ MSG_VERSION, MSG_HOP_RUN, 8 + MSG_BODY_MAX + 4096, 7 },
	};
	struct pair *p = *state;
	uint8_t *d = calloc(1, MSG_BODY_MAX + 8192);
	size_t before = open_fds();
	struct msg m;

	assert_non_null(d);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		raw_header(d, cases[i].version, cases[i].type);
		raw_send(p->theirs, d, cases[i].n, cases[i].nfd);
		assert_int_equal(msg_recv(p->ours, &m), ERR_PROTO);
		assert_int_equal(open_fds(), before);
		msg_clear(&m);
		assert_int_equal(open_fds(), before);

		raw_header(d, MSG_VERSION, MSG_STOP);
		raw_send(p->theirs, d, 8, 0);
		assert_int_equal(msg_recv(p->ours, &m), 0);
		assert_int_equal(m.id, 0x01020304);
		msg_clear(&m);
	}
	free(d);
}

/* None is left for those that a message carries: it is lost, and said. */
static void
t_recv_no_descriptors(void **state)
{
	struct pair *p = *state;
	size_t before = open_fds();
	struct rlimit old, few;
	struct msg m;
	int top, r, err;

	top = dup(p->ours);
	assert_int_not_equal(top, -1);
	assert_int_equal(close(top), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (rlim_t more = 0; more < 7; more++) { /* of seven */
		few = (struct rlimit){ (rlim_t)top + more, old.rlim_max };
		msg_init(&m, MSG_HOP_RUN);
		for (int i = 0; i < 7; i++)
			assert_int_equal(msg_add_fd(&m, p->ours), 0);
		assert_int_equal(msg_send(p->theirs, &m), 0);
		msg_clear(&m);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		errno = 0;
		r = msg_recv(p->ours, &m);
		err = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(r, ERR_SYS);
		assert_int_equal(err, EMFILE);
		assert_int_equal(m.nfd, 0);
		assert_int_equal(m.type, MSG_HOP_RUN);
		msg_clear(&m);
		assert_int_equal(open_fds(), before);
	}
}

static void
t_recv_end(void **state)
{
	struct pair *p = *state;
	struct msg m;

	assert_int_equal(fcntl(p->ours, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(msg_recv(p->ours, &m), ERR_AGAIN);
	msg_clear(&m);
	/* An empty datagram reads like the end, and ends the connection. */
	raw_send(p->theirs, "", 0, 1);
	assert_int_equal(msg_recv(p->ours, &m), ERR_NOTFOUND);
	msg_clear(&m);
	(void)close(p->theirs);
	p->theirs = -1;
}

static void
t_recv_eof(void **state)
{
	struct pair *p = *state;
	struct msg m;

	(void)close(p->theirs);
	p->theirs = -1;
	assert_int_equal(msg_recv(p->ours, &m), ERR_NOTFOUND);
	msg_clear(&m);
	msg_init(&m, MSG_STOP);
	assert_int_equal(msg_send(p->ours, &m), ERR_SYS);
	assert_int_equal(errno, EPIPE);
}

/* A peer that dies before it has read everything resets the connection; what
 * it said before is read all the same, and then comes the end. */
static void
t_recv_last_words(void **state)
{
	struct pair *p = *state;
	struct msg m;

	msg_init(&m, MSG_STOP);
	assert_int_equal(msg_send(p->ours, &m), 0);
	msg_init(&m, MSG_READY);
	assert_int_equal(msg_send(p->theirs, &m), 0);
	(void)close(p->theirs);
	p->theirs = -1;
	assert_int_equal(msg_recv(p->ours, &m), 0);
	assert_int_equal(m.type, MSG_READY);
	msg_clear(&m);
	assert_int_equal(msg_recv(p->ours, &m), ERR_NOTFOUND);
	msg_clear(&m);
}

static void
t_send_to_the_dead(void **state)
{
	struct pair *p = *state;
	struct msg m;

	msg_init(&m, MSG_STOP);
	assert_int_equal(msg_send(p->ours, &m), 0);
	(void)close(p->theirs);
	p->theirs = -1;
	assert_int_equal(msg_send(p->ours, &m), ERR_SYS);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(msg_recv(p->ours, &m), ERR_NOTFOUND);
	msg_clear(&m);
}

static void
t_send_again(void **state)
{
	struct pair *p = *state;
	struct msg m;
	int r, n = 0;

	assert_int_equal(fcntl(p->ours, F_SETFL, O_NONBLOCK), 0);
	msg_init(&m, MSG_STOP);
	while ((r = msg_send(p->ours, &m)) == 0)
		assert_true(++n < 1000000);
	assert_int_equal(r, ERR_AGAIN);
	assert_int_equal(msg_wait(p->ours, POLLOUT, msg_now_ms() + 20),
	    ERR_TIMEOUT);
}

static void
t_credentials(void **state)
{
	struct pair *p = *state;
	struct msg m;
	int on = 1;

	assert_int_equal(setsockopt(p->ours, SOL_SOCKET, SO_PASSCRED, &on,
	    sizeof(on)), 0);
	msg_init(&m, MSG_HOP_RUN);
	for (int i = 0; i < 7; i++)
		assert_int_equal(msg_add_fd(&m, 0), 0);
	assert_int_equal(msg_send(p->theirs, &m), 0);
	assert_int_equal(msg_recv(p->ours, &m), 0);
	assert_int_equal(m.pid, getpid());
	assert_int_equal(m.nfd, 7);
	msg_clear(&m);
}

static void
t_wait(void **state)
{
	struct pair *p = *state;
	int64_t start = msg_now_ms();

	assert_int_equal(msg_wait(p->ours, POLLIN, start + 30), ERR_TIMEOUT);
	assert_true(msg_now_ms() >= start + 30);
	/* A deadline that is past is no reason to miss what is there. */
	raw_send(p->theirs, "x", 1, 0);
	assert_int_equal(msg_wait(p->ours, POLLIN, start - 1000), 0);
	assert_int_equal(msg_wait(p->theirs, POLLIN, start - 1000),
	    ERR_TIMEOUT);
}

static void
t_call(void **state)
{
	struct pair *p = *state;
	struct msg q, a;
	uint8_t d[8];

	msg_init(&q, MSG_STATUS);
	q.id = 0x01020304;
	/* nobody answers */
	assert_int_equal(msg_call(p->ours, &q, MSG_STATUS_IS, &a,
	    msg_now_ms() + 30), ERR_TIMEOUT);
	msg_clear(&a);
	/* another type */
	raw_header(d, MSG_VERSION, MSG_ROWS_END);
	raw_send(p->theirs, d, 8, 0);
	assert_int_equal(msg_call(p->ours, &q, MSG_STATUS_IS, &a,
	    msg_now_ms() + 1000), ERR_PROTO);
	msg_clear(&a);
	/* another question's answer */
	raw_header(d, MSG_VERSION, MSG_STATUS_IS);
	raw_send(p->theirs, d, 8, 0);
	q.id = 5;
	assert_int_equal(msg_call(p->ours, &q, MSG_STATUS_IS, &a,
	    msg_now_ms() + 1000), ERR_PROTO);
	msg_clear(&a);
	raw_send(p->theirs, d, 8, 0);
	q.id = 0x01020304;
	assert_int_equal(msg_call(p->ours, &q, MSG_STATUS_IS, &a,
	    msg_now_ms() + 1000), 0);
	msg_clear(&a);
}

static void
t_connect(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/test_msg.XXXXXX", longer[200];
	int fd = -1, listener, full[8];
	int64_t start;
	size_t n;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(msg_connect(longer, &fd), ERR_TOOBIG);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", folder);
	assert_int_equal(msg_connect(sa.sun_path, &fd), ERR_SYS);
	assert_int_equal(errno, ENOENT);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&sa,
	    sizeof(sa)), 0);
	assert_int_equal(msg_connect(sa.sun_path, &fd), ERR_SYS);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(fd, -1);
	/* Nobody accepts: the queue fills up, and nobody hangs for it. */
	start = msg_now_ms();
	for (n = 0; n < LENGTH(full); n++) {
		if (msg_connect_by(sa.sun_path, msg_now_ms() + 100,
		    &full[n]) != 0)
			break;
		assert_int_equal(fcntl(full[n], F_GETFD), FD_CLOEXEC);
	}
	assert_true(n < LENGTH(full));
	assert_int_equal(msg_connect_by(sa.sun_path, start + 100, &fd),
	    ERR_TIMEOUT);
	assert_int_equal(msg_connect_by(sa.sun_path, msg_now_ms() + 50, &fd),
	    ERR_TIMEOUT);
	assert_true(msg_now_ms() - start < 5000);
	while (n > 0)
		(void)close(full[--n]);
	(void)close(listener);
	(void)unlink(sa.sun_path);
	(void)rmdir(folder);
}

/* Without memory nothing is read: the message is still there afterwards. */
static void
t_no_memory(void **state)
{
	struct pair *p = *state;
	size_t before = open_fds();
	struct msg m;

	msg_init(&m, MSG_LISTEN);
	fault_at(1);
	assert_int_equal(buf_put_cstr(&m.body, "shell"), ERR_NOMEM);
	assert_true(fault_off());
	assert_int_equal(buf_put_cstr(&m.body, "shell"), 0);
	assert_int_equal(msg_add_fd(&m, 0), 0);
	assert_int_equal(msg_send(p->theirs, &m), 0);
	msg_clear(&m);
	fault_at(1);
	assert_int_equal(msg_recv(p->ours, &m), ERR_NOMEM);
	assert_true(fault_off());
	msg_clear(&m);
	assert_int_equal(open_fds(), before);
	assert_int_equal(msg_recv(p->ours, &m), 0);
	assert_int_equal(m.nfd, 1);
	msg_clear(&m);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_send_recv),
		T(t_clear_closes),
		T(t_send_refused),
		T(t_recv_table),
		T(t_recv_refused),
		T(t_recv_no_descriptors),
		T(t_recv_end),
		T(t_recv_eof),
		T(t_recv_last_words),
		T(t_send_to_the_dead),
		T(t_send_again),
		T(t_credentials),
		T(t_wait),
		T(t_call),
		T(t_connect),
		T(t_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
