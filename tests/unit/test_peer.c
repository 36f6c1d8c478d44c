/*
 * broker/peer.c: who may say what to whom, callbacks that free and detach, the
 * queue and its bound, and that no descriptor stays behind.
 */
#include "config.h"

#include "broker/peer.h"

#include <sys/socket.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/loop.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tests/unit/fault.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define NEVER 4711

struct stage {
	struct loop *loop;
	struct peer *p;
	int theirs;
	size_t before;
	int nmsg;
	uint32_t last_id;
	int closed;		/* what on_close was told; NEVER before */
	int (*act)(struct stage *s, struct peer *p, struct msg *m);
	struct peer *other;	/* another peer, for the act to play with */
	int detached;
};

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

static int
on_msg(void *arg, struct peer *p, struct msg *m)
{
	struct stage *s = arg;

	s->nmsg++;
	s->last_id = m->id;
	return s->act == NULL ? 0 : s->act(s, p, m);
}

static void
on_close(void *arg, struct peer *p, int r)
{
	struct stage *s = arg;

	assert_int_equal(s->closed, NEVER); /* once */
	s->closed = r;
	if (p == s->p)
		s->p = NULL;
}

static void
on_end(void *arg)
{
	loop_stop(arg);
}

/* A few turns of the loop. */
static void
run(struct stage *s)
{
	assert_non_null(loop_timer(s->loop, 5, on_end, s->loop));
	assert_int_equal(loop_run(s->loop), 0);
}

/* policy, as the process at the other end of the parent's control socket */
static struct peer *
make_peer(struct stage *s, int *theirs)
{
	struct peer *p;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    sv), 0);
	p = peer_new(s->loop, sv[0], PROC_POLICY, PROC_PARENT, on_msg,
	    on_close, s);
	assert_non_null(p);
	*theirs = sv[1];
	return p;
}

static int
setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->loop = loop_new()) == NULL)
		return -1;
	s->before = open_fds();
	s->closed = NEVER;
	s->detached = -1;
	s->p = make_peer(s, &s->theirs);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct stage *s = *state;
	int r;

	peer_free(s->p);
	loop_free(s->loop);
	if (s->theirs != -1)
		(void)close(s->theirs);
	r = open_fds() == s->before ? 0 : -1;
	free(s);
	return r;
}

static void
say(int fd, uint32_t type, uint32_t id, size_t nfd)
{
	struct msg m;

	msg_init(&m, type);
	m.id = id;
	for (size_t i = 0; i < nfd; i++)
		assert_int_equal(msg_add_fd(&m, STDIN_FILENO), 0);
	assert_int_equal(msg_send(fd, &m), 0);
	msg_clear(&m);
}

static void
t_message(void **state)
{
	struct stage *s = *state;

	say(s->theirs, MSG_READY, 7, 0);
	say(s->theirs, MSG_HOP_START, 8, 1); /* its descriptor is not taken */
	run(s);
	assert_int_equal(s->nmsg, 2);
	assert_int_equal(s->last_id, 8);
	assert_int_equal(s->closed, NEVER);
}

/* The table's from and to, for both ends of this connection. */
static void
t_from_and_to(void **state)
{
	static const struct {
		uint32_t type;
		size_t nfd;
	} cases[] = {
		{ MSG_STOP, 0 },	/* the parent's own */
		{ MSG_LISTEN, 1 },
		{ MSG_HOP_STARTED, 1 },
		{ MSG_GRANT, 1 },	/* policy's, but to the signer */
		{ MSG_ANSWER, 0 },
		{ MSG_RUN, 3 },		/* a shell's */
		{ MSG_LOGIN, 0 },
		{ MSG_CERT_REQUEST, 0 },
	};
	struct stage *s = *state;

	for (size_t i = 0; i < LENGTH(cases); i++) {
		if (s->p == NULL) {
			(void)close(s->theirs);
			s->closed = NEVER;
			s->p = make_peer(s, &s->theirs);
		}
		say(s->theirs, cases[i].type, 1, cases[i].nfd);
		run(s);
		assert_int_equal(s->nmsg, 0);
		assert_int_equal(s->closed, ERR_PROTO);
		assert_null(s->p);
		assert_int_equal(recv(s->theirs, (char[1]){ 0 }, 1,
		    MSG_DONTWAIT), 0);
	}
}

static void
t_malformed(void **state)
{
	struct stage *s = *state;

	assert_int_equal(send(s->theirs, "rubbish", 7, 0), 7);
	run(s);
	assert_int_equal(s->nmsg, 0);
	assert_int_equal(s->closed, ERR_PROTO);
}

static void
t_idle(void **state)
{
	struct stage *s = *state;

	assert_int_equal(peer_bound_idle(s->p, 60000), 0);
	say(s->theirs, MSG_READY, 7, 0);
	run(s);
	assert_int_equal(s->closed, NEVER);
	assert_int_equal(peer_bound_idle(s->p, 1), 0);
	run(s);
	assert_int_equal(s->closed, ERR_TIMEOUT);
	assert_int_equal(s->nmsg, 1);
	assert_null(s->p);
}

/* The bound goes with the connection, however that ends. */
static void
t_idle_freed(void **state)
{
	struct stage *s = *state;

	assert_int_equal(peer_bound_idle(s->p, 1), 0);
	peer_free(s->p);
	s->p = NULL;
	run(s);
	assert_int_equal(s->closed, NEVER);
}

static void
t_end_of_file(void **state)
{
	struct stage *s = *state;

	say(s->theirs, MSG_READY, 7, 0);
	(void)close(s->theirs);
	s->theirs = -1;
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, ERR_NOTFOUND);
}

/* The other end dies with our words unread: still an end of file. */
static void
t_end_with_reset(void **state)
{
	struct stage *s = *state;
	struct msg m;

	msg_init(&m, MSG_STOP);
	assert_int_equal(peer_send(s->p, &m), 0);
	say(s->theirs, MSG_READY, 7, 0);
	(void)close(s->theirs);
	s->theirs = -1;
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, ERR_NOTFOUND);
}

/* ... and so it is when the write of an answer finds out first. */
static int
act_answer_the_dead(struct stage *s, struct peer *p, struct msg *m)
{
	struct msg a;

	(void)m;
	(void)close(s->theirs);
	s->theirs = -1;
	msg_init(&a, MSG_STOP);
	return peer_send(p, &a);
}

static void
t_answer_to_the_dead(void **state)
{
	struct stage *s = *state;

	s->act = act_answer_the_dead;
	say(s->theirs, MSG_READY, 7, 0);
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, ERR_NOTFOUND);
}

static int
act_fail(struct stage *s, struct peer *p, struct msg *m)
{
	(void)s;
	(void)p;
	(void)m;
	return ERR_CRYPTO;
}

static void
t_callback_fails(void **state)
{
	struct stage *s = *state;

	s->act = act_fail;
	say(s->theirs, MSG_READY, 7, 0);
	say(s->theirs, MSG_READY, 8, 0);
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, ERR_CRYPTO);
}

/* Freed in its own callback: no on_close, whatever the callback returns. */
static int
act_free_self(struct stage *s, struct peer *p, struct msg *m)
{
	(void)m;
	peer_free(p);
	s->p = NULL;
	return s->nmsg == 1 ? 0 : ERR_CRYPTO;
}

static void
t_free_self(void **state)
{
	struct stage *s = *state;

	s->act = act_free_self;
	for (int i = 1; i <= 2; i++) {
		if (s->p == NULL) {
			(void)close(s->theirs);
			s->p = make_peer(s, &s->theirs);
		}
		say(s->theirs, MSG_READY, 7, 0);
		say(s->theirs, MSG_READY, 8, 0);
		run(s);
		assert_int_equal(s->nmsg, i);
		assert_int_equal(s->closed, NEVER);
	}
}

/* Two are due; the first that is called frees the other. */
static int
act_free_other(struct stage *s, struct peer *p, struct msg *m)
{
	struct peer *victim = p == s->p ? s->other : s->p;

	(void)m;
	peer_free(victim);
	if (victim == s->p)
		s->p = NULL;
	else
		s->other = NULL;
	return 0;
}

static void
t_free_other(void **state)
{
	struct stage *s = *state;
	int theirs;

	s->other = make_peer(s, &theirs);
	s->act = act_free_other;
	say(s->theirs, MSG_READY, 7, 0);
	say(theirs, MSG_READY, 8, 0);
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, NEVER);
	peer_free(s->other);
	(void)close(theirs);
}

/* Detached in its own callback: the descriptor lives on, with what is in it. */
static int
act_detach(struct stage *s, struct peer *p, struct msg *m)
{
	(void)m;
	assert_int_equal(peer_detach(p, &s->detached), 0);
	s->p = NULL;
	return 0;
}

static void
t_detach(void **state)
{
	struct stage *s = *state;
	struct msg m;

	s->act = act_detach;
	say(s->theirs, MSG_READY, 7, 0);
	say(s->theirs, MSG_READY, 8, 0);
	run(s);
	assert_int_equal(s->nmsg, 1);
	assert_int_equal(s->closed, NEVER);
	assert_int_equal(msg_recv(s->detached, &m), 0);
	assert_int_equal(m.id, 8);
	msg_clear(&m);
	(void)close(s->detached);
}

/* Fills the socket with messages that carry a descriptor each; the ids count.
 * Returns how many the kernel took. */
static uint32_t
fill(struct stage *s)
{
	uint32_t n = 0;
	struct msg m;
	size_t before = open_fds();

	msg_init(&m, MSG_HOP_STARTED);
	assert_int_equal(msg_add_fd(&m, STDIN_FILENO), 0);
	while (open_fds() == before) {
		assert_true(n < 100000);
		m.id = ++n;
		assert_int_equal(peer_send(s->p, &m), 0);
	}
	return n - 1; /* the last one was duplicated: it is queued */
}

static void
t_queue(void **state)
{
	struct stage *s = *state;
	uint32_t n = fill(s), id = 0;
	size_t before;
	struct msg m;
	int fd;

	msg_init(&m, MSG_HOP_STARTED);
	assert_int_equal(msg_add_fd(&m, STDIN_FILENO), 0);
	for (uint32_t i = 2; i <= PEER_QUEUE_MAX; i++) {
		m.id = n + i;
		assert_int_equal(peer_send(s->p, &m), 0);
	}
	before = open_fds();
	assert_int_equal(peer_send(s->p, &m), ERR_TOOBIG);
	assert_int_equal(open_fds(), before);
	assert_int_equal(peer_detach(s->p, &fd), ERR_AGAIN);
	assert_int_equal(s->closed, NEVER);

	/* All of it comes, in order, each with its descriptor. */
	assert_int_equal(fcntl(s->theirs, F_SETFL, O_NONBLOCK), 0);
	while (id < n + PEER_QUEUE_MAX) {
		int r = msg_recv(s->theirs, &m);

		if (r == ERR_AGAIN) {
			run(s);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(m.id, ++id);
		assert_int_equal(m.nfd, 1);
		msg_clear(&m);
	}
	run(s);
	assert_int_equal(msg_recv(s->theirs, &m), ERR_AGAIN);
	msg_clear(&m);
	/* Nothing waits any longer: it may go, and keeps nothing. */
	assert_int_equal(open_fds(), s->before + 2);
	assert_int_equal(peer_detach(s->p, &fd), 0);
	s->p = NULL;
	(void)close(fd);
}

/* A short message does not overtake the queue, though it would fit. */
static void
t_queue_order(void **state)
{
	struct stage *s = *state;
	uint32_t n = fill(s), last = 0;
	struct msg m;

	assert_int_equal(msg_recv(s->theirs, &m), 0); /* room for one */
	msg_clear(&m);
	msg_init(&m, MSG_STOP);
	m.id = n + 2;
	assert_int_equal(peer_send(s->p, &m), 0);
	assert_int_equal(fcntl(s->theirs, F_SETFL, O_NONBLOCK), 0);
	while (last != n + 2) {
		int r = msg_recv(s->theirs, &m);

		if (r == ERR_AGAIN) {
			run(s);
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(m.id > last);
		last = m.id;
		msg_clear(&m);
	}
}

/* Freed with a queue: its descriptors go with it (teardown counts). */
static void
t_queue_freed(void **state)
{
	struct stage *s = *state;

	(void)fill(s);
	peer_free(s->p);
	s->p = NULL;
}

/* The other end dies while a queue waits: what it said last is heard. */
static void
t_queue_to_the_dead(void **state)
{
	struct stage *s = *state;

	(void)fill(s);
	say(s->theirs, MSG_READY, 77, 0);
	(void)close(s->theirs);
	s->theirs = -1;
	for (int i = 0; i < 100 && s->closed == NEVER; i++)
		run(s); /* a busy machine's five milliseconds are short */
	assert_int_equal(s->last_id, 77);
	assert_int_equal(s->closed, ERR_NOTFOUND);
}

static void
t_send_to_the_shut(void **state)
{
	struct stage *s = *state;
	struct msg m;

	msg_init(&m, MSG_STOP);
	(void)close(s->theirs);
	s->theirs = -1;
	assert_int_equal(peer_send(s->p, &m), ERR_SYS);
	assert_int_equal(s->closed, NEVER); /* the loop finds out */
	run(s);
	assert_int_equal(s->closed, ERR_NOTFOUND);
}

static void
t_ids_and_cred(void **state)
{
	struct stage *s = *state;
	uint32_t a = peer_next_id(s->p), b = peer_next_id(s->p);
	pid_t pid;
	uid_t uid;
	gid_t gid;

	assert_int_not_equal(a, 0);
	assert_int_not_equal(a, b);
	assert_int_equal(peer_cred(s->p, &pid, &uid, &gid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, getuid());
	assert_int_equal(gid, getgid());
	assert_int_equal(fcntl(peer_fd(s->p), F_GETFL) & O_NONBLOCK,
	    O_NONBLOCK);
}

/* Whatever fails, the descriptor is taken. */
static void
t_new_fails(void **state)
{
	struct stage *s = *state;
	int sv[2];

	assert_null(peer_new(s->loop, -1, PROC_POLICY, PROC_PARENT, on_msg,
	    on_close, s));
	for (unsigned long n = 1;; n++) {
		struct peer *p;

		assert_int_equal(socketpair(AF_UNIX,
		    SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
		fault_at(n);
		p = peer_new(s->loop, sv[0], PROC_POLICY, PROC_PARENT, on_msg,
		    on_close, s);
		(void)close(sv[1]);
		if (!fault_off()) {
			assert_non_null(p);
			peer_free(p);
			assert_true(n > 2);
			return;
		}
		assert_null(p);
		assert_int_equal(fcntl(sv[0], F_GETFD), -1);
	}
}

static void
t_queue_no_memory(void **state)
{
	struct stage *s = *state;
	size_t before;
	struct msg m;
	int r;

	(void)fill(s);
	before = open_fds();
	msg_init(&m, MSG_LISTEN); /* a body, so that its copy may fail, too */
	assert_int_equal(buf_put_cstr(&m.body, "shell"), 0);
	assert_int_equal(msg_add_fd(&m, STDIN_FILENO), 0);
	for (unsigned long n = 1;; n++) {
		fault_at(n);
		r = peer_send(s->p, &m);
		if (!fault_off())
			break;
		assert_int_equal(r, ERR_NOMEM);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(r, 0);
	assert_int_equal(open_fds(), before + 1);
	msg_clear(&m);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_message),
		T(t_from_and_to),
		T(t_malformed),
		T(t_idle),
		T(t_idle_freed),
		T(t_end_of_file),
		T(t_end_with_reset),
		T(t_answer_to_the_dead),
		T(t_callback_fails),
		T(t_free_self),
		T(t_free_other),
		T(t_detach),
		T(t_queue),
		T(t_queue_order),
		T(t_queue_freed),
		T(t_queue_to_the_dead),
		T(t_send_to_the_shut),
		T(t_ids_and_cred),
		T(t_new_fails),
		T(t_queue_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
