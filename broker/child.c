/*
 * A child's start and its conversation with the parent.  Runs in oidc, policy,
 * signer and audit; the only input here is the parent's, which is root's.
 */
#include "config.h"

#include "broker/child.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define CHILD_FDS_MAX (2 * LOOP_WATCHES_MAX)
#define CHILD_IDLE_MS 10     /* between two looks at what is under way */
#define CHILD_AWAIT_MS 60000 /* one wait for the parent's next word */

static struct {
	const struct child_handlers *h;
	struct loop *loop;
	struct peer *parent;
	struct conf conf;
	char *addresses;
	int64_t stop_by; /* 0: nobody has said STOP */
} env;

static const struct {
	const char *name;
	unsigned int proc;
} child_names[] = {
	{ "oidc", PROC_OIDC },
	{ "policy", PROC_POLICY },
	{ "signer", PROC_SIGNER },
	{ "audit", PROC_AUDIT },
};

struct loop *
child_loop(void)
{
	return env.loop;
}

struct peer *
child_parent(void)
{
	return env.parent;
}

static int
child_link(const char *name, int fd)
{
	size_t n = sizeof(child_names) / sizeof(child_names[0]);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(child_names[i].name, name) == 0 &&
		    env.h->link != NULL)
			return env.h->link(child_names[i].proc, fd);
	}
	(void)close(fd);
	return ERR_PROTO;
}

/* LISTEN, LINK and FOLDER have one form: a name and a descriptor. */
static int
child_given(struct msg *m)
{
	char name[32];
	int fd, r;

	if ((r = buf_get_fixed(&m->body, name, sizeof(name))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	fd = msg_take_fd(m, 0);
	if (m->type == MSG_LINK)
		return child_link(name, fd);
	if (m->type == MSG_LISTEN && env.h->listen != NULL)
		return env.h->listen(name, fd);
	if (m->type == MSG_FOLDER && env.h->folder != NULL)
		return env.h->folder(name, fd);
	(void)close(fd);
	return ERR_PROTO;
}

int
child_ready(void)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_READY);
	r = env.parent == NULL ? ERR_NOTFOUND : peer_send(env.parent, &m);
	msg_clear(&m);
	return r;
}

/* Ends the loop when nothing is under way any more. */
static void
child_stop(void *arg)
{
	(void)arg;
	if (env.h->idle == NULL || env.h->idle() ||
	    msg_now_ms() >= env.stop_by ||
	    loop_timer(env.loop, CHILD_IDLE_MS, child_stop, NULL) == NULL)
		loop_stop(env.loop);
}

/* The first word counts. */
static void
child_stop_begin(void)
{
	if (env.stop_by != 0)
		return;
	env.stop_by = msg_now_ms() +
		      (env.h->stop_ms != 0 ? env.h->stop_ms : CHILD_STOP_MS);
	child_stop(NULL);
}

static int
child_go(struct msg *m)
{
	const uint8_t *text;
	struct diags *d;
	size_t n;
	int r;

	if (env.addresses != NULL) /* once */
		return ERR_PROTO;
	if ((d = diags_new()) == NULL)
		return ERR_NOMEM;
	if ((r = buf_get_view(&m->body, CONF_MAX, &text, &n)) != 0 ||
	    (r = conf_parse("postern.conf", (const char *)text, n, d,
	    &env.conf)) != 0 ||
	    (r = buf_get_cstr(&m->body, 4096, &env.addresses)) != 0 ||
	    (r = msg_end(m)) != 0 ||
	    (r = env.h->go(&env.conf, env.addresses)) != 0)
		goto out;
	r = child_ready();
out:
	diags_free(d);
	return r == ERR_AGAIN ? 0 : r;
}

static int
child_reload(struct msg *m)
{
	uint32_t asked;
	struct msg a;
	int r;

	/* GO brings the settings by which it is read. */
	if (env.h->reload == NULL || env.addresses == NULL)
		return ERR_PROTO;
	if ((r = buf_get_u32(&m->body, &asked)) != 0 || (r = msg_end(m)) != 0)
		return r;
	msg_init(&a, MSG_RELOADED);
	a.id = m->id;
	if ((r = env.h->reload(asked, &a.body)) == 0)
		r = peer_send(env.parent, &a);
	msg_clear(&a);
	return r;
}

static int
child_msg(void *arg, struct peer *p, struct msg *m)
{
	(void)arg;
	switch (m->type) {
	case MSG_LISTEN:
	case MSG_LINK:
	case MSG_FOLDER:
		return child_given(m);
	case MSG_GO:
		return child_go(m);
	case MSG_RELOAD:
		return child_reload(m);
	case MSG_STOP:
		child_stop_begin();
		return 0;
	default:
		if (env.h->parent == NULL)
			return ERR_PROTO;
		return env.h->parent(p, m);
	}
}

static void
child_closed(void *arg, struct peer *p, int r)
{
	(void)arg;
	(void)p;
	if (r != ERR_NOTFOUND)
		fatal(r, "what the parent gave");
	env.parent = NULL;
	child_stop_begin(); /* it is gone for good */
}

/* A connection is a descriptor, a starting operation ten, and the usual soft
 * limit is one for programs that use select.  Running out of them would look
 * like a sibling's broken message.  What the system does not allow is left. */
static void
raise_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == -1 || l.rlim_cur >= CHILD_FDS_MAX)
		return;
	l.rlim_cur = l.rlim_max < CHILD_FDS_MAX ? l.rlim_max : CHILD_FDS_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

/* Until GO nobody but the parent is heard: what siblings say meanwhile waits in
 * the sockets, for a process that is confined and knows its settings. */
static void
child_await_go(void)
{
	int r;

	while (
	    env.parent != NULL && env.addresses == NULL && env.stop_by == 0) {
		r = msg_wait(
		    CHILD_CONTROL_FD, POLLIN, msg_now_ms() + CHILD_AWAIT_MS);
		if (r == 0)
			peer_drain(env.parent);
		else if (r != ERR_TIMEOUT)
			fatal(r, "the parent");
	}
}

int
child_main(const char *name, unsigned int self,
    const struct child_handlers *h)
{
	const struct rlimit no_core = { 0, 0 };
	int r;

	log_init(name);
	log_journal();
	env.h = h;
	(void)signal(SIGPIPE, SIG_IGN);
	/* A terminal's ^C is for the parent, which then says STOP. */
	(void)signal(SIGINT, SIG_IGN);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    setrlimit(RLIMIT_CORE, &no_core) == -1)
		fatal(ERR_SYS, "cannot drop rights");
	raise_descriptors();
	if ((env.loop = loop_new()) == NULL)
		fatal(ERR_NOMEM, "cannot start");
	if (getsockopt(CHILD_CONTROL_FD, SOL_SOCKET, SO_TYPE, &(int){ 0 },
	    &(socklen_t){ sizeof(int) }) == -1)
		fatal(0, "this program is started by posternd");
	env.parent = peer_new(env.loop, CHILD_CONTROL_FD, PROC_PARENT, self,
	    child_msg, child_closed, NULL);
	if (env.parent == NULL)
		fatal(ERR_NOMEM, "cannot start");
	child_await_go();
	if (env.addresses != NULL && (r = loop_run(env.loop)) != 0)
		fatal(r, "loop");
	peer_free(env.parent);
	loop_free(env.loop);
	conf_clear(&env.conf);
	free(env.addresses);
	return 0;
}

int
child_accept(int listener, int *fdp)
{
	int fd;

	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1)
		return errno == EAGAIN || errno == ECONNABORTED ||
		    errno == EINTR ? ERR_AGAIN : ERR_SYS;
	*fdp = fd;
	return 0;
}
