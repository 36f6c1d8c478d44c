/*
 * Doors and scripts: see proc.h.
 */
#include "config.h"

#include "tests/fuzz/proc.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tests/fuzz/depth.h"

#define CONNS_MAX 64
#define OURS_FROM 300 /* our descriptors; the process's are below */
#define GIVEN_TO 64   /* what it was given before it was copied */
#define HEARD_MAX 256
#define LAST_TURNS 5 /* after the script: timers run out */
#define LAST_MS 20000

static const int64_t times_ms[] = { 1, 20, 250, 1000, 5000, 20000, 70000,
	400000 };

struct conn {
	int fd;
	uint8_t door;
	uint32_t id, before;
	ino_t theirs; /* the other end's, to be found again */
	bool listens;
};

static struct {
	struct conn conn[CONNS_MAX];
	size_t n;
	uint8_t heard[16][HEARD_MAX];
	const uint8_t *p;
	size_t left, steps;
	unsigned int turn; /* of prepare */
	bool prepared, fresh;
	int last; /* turns after the script */
	bool stranger;
} env;

static int
ours(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, OURS_FROM);

	if (up == -1)
		err(1, "descriptor");
	(void)close(fd);
	return up;
}

static ino_t
inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == -1 ? 0 : st.st_ino;
}

static struct conn *
conn_add(size_t door, int fd, ino_t theirs)
{
	struct conn *c;

	if (env.n == CONNS_MAX) {
		(void)close(fd);
		return NULL;
	}
	c = &env.conn[env.n++];
	*c = (struct conn){
		.fd = ours(fd), .door = (uint8_t)door, .theirs = theirs
	};
	(void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
	return c;
}

static void
conn_drop(struct conn *c)
{
	(void)close(c->fd);
	env.n--;
	memmove(c, c + 1, (size_t)(env.conn + env.n - c) * sizeof(*c));
}

static struct conn *
conn_find(size_t door, size_t nth)
{
	for (size_t i = env.n; i-- > 0;) {
		struct conn *c = &env.conn[i];

		if (c->door == door && !c->listens && nth-- == 0)
			return c;
	}
	return NULL;
}

static struct conn *
conn_listener(size_t door)
{
	for (size_t i = 0; i < env.n; i++) {
		if (env.conn[i].door == door && env.conn[i].listens)
			return &env.conn[i];
	}
	return NULL;
}

int
proc_pair(size_t door)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		err(1, "socketpair");
	(void)conn_add(door, sv[0], inode(sv[1]));
	return sv[1];
}

static int
listener(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* A name of the kernel's choice. */
	if (fd == -1 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa.sun_family)) ==
		-1 ||
	    listen(fd, CONNS_MAX) == -1)
		err(1, "listener");
	return fd;
}

int
proc_listen(size_t door)
{
	int fd = listener();
	struct conn *c = conn_add(door, dup(fd), inode(fd));

	if (c != NULL)
		c->listens = true;
	return fd;
}

void
proc_adopt(size_t door, int fd)
{
	(void)conn_add(door, fd, 0);
}

static void
door_open(size_t door)
{
	struct sockaddr_un sa;
	socklen_t n = sizeof(sa);
	struct conn *c;
	int fd;

	if (proc.door[door].kind == DOOR_LINK) {
		proc_link(door);
		return;
	}
	if (proc.door[door].kind != DOOR_LISTEN ||
	    (c = conn_listener(door)) == NULL)
		return;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || getsockname(c->fd, (struct sockaddr *)&sa, &n) == -1 ||
	    connect(fd, (const struct sockaddr *)&sa, n) == -1)
		(void)close(fd);
	else
		(void)conn_add(door, fd, 0);
}

/* -- descriptors ----------------------------------------------------------- */

int
proc_file(const void *p, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd == -1 || write(fd, p, n) != (ssize_t)n ||
	    lseek(fd, 0, SEEK_SET) == -1)
		err(1, "memfd");
	return fd;
}

static int
fd_pipe(void)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) == -1)
		return -1;
	(void)close(p[0]);
	return p[1];
}

static int
fd_socket(void)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		return -1;
	(void)close(sv[0]);
	return sv[1];
}

int
proc_fd(enum proc_fd kind)
{
	switch (kind) {
	case FD_PIPE:
		return fd_pipe();
	case FD_SOCKET:
		return fd_socket();
	case FD_FILE:
		return proc_file("x", 1);
	case FD_FOLDER:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case FD_PIDFD:
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case FD_TCP:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case FD_NULL:
	case FD_KINDS:
		break;
	}
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* -- saying ------------------------------------------------------------------
 */

static void
say(struct conn *c, const void *head, size_t nhead, const void *p, size_t n,
    const int *fd, size_t nfd)
{
	union {
		struct cmsghdr align;
		uint8_t d[CMSG_SPACE(16 * sizeof(int))];
	} control = { .d = { 0 } };
	union {
		const void *ro;
		void *rw;
	} a = { .ro = head }, b = { .ro = p };
	struct iovec iov[2] = { { a.rw, nhead }, { b.rw, n } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };

	if (nfd > 0) {
		h.msg_control = control.d;
		h.msg_controllen = CMSG_SPACE(nfd * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfd * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fd, nfd * sizeof(int));
	}
	(void)sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
say_message(struct conn *c, uint32_t type, uint32_t id, const void *p, size_t n,
    const int *fd, size_t nfd)
{
	const uint8_t head[] = { 0, MSG_VERSION, (uint8_t)(type >> 8),
		(uint8_t)type, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
		(uint8_t)(id >> 8), (uint8_t)id };

	say(c, head, sizeof(head), p, n, fd, nfd);
}

void
proc_send(size_t door, uint32_t type, uint32_t id, const struct buf *body,
    const int *fd, size_t nfd)
{
	struct conn *c = conn_find(door, 0);

	if (c != NULL)
		say_message(c, type, id, body == NULL ? NULL : buf_ptr(body),
		    body == NULL ? 0 : buf_len(body), fd, nfd);
}

void
proc_send_end(size_t door, uint32_t type, uint32_t id, size_t end,
    const uint8_t *p, size_t n)
{
	struct buf body;
	int fd = proc_pair(end);

	buf_view(&body, p, n);
	proc_send(door, type, id, &body, &fd, 1);
	(void)close(fd);
}

static size_t
door_control(void)
{
	for (size_t i = 0; i < proc.ndoor; i++) {
		if (proc.door[i].kind == DOOR_CONTROL)
			return i;
	}
	return 0;
}

void
proc_name(uint32_t type, const char *name, int fd)
{
	struct buf b;

	buf_init(&b, 64);
	if (buf_put_cstr(&b, name) == 0)
		proc_send(door_control(), type, 0, &b, &fd, 1);
	buf_clear(&b);
	(void)close(fd);
}

void
proc_link(size_t door)
{
	proc_name(MSG_LINK, proc.door[door].name, proc_pair(door));
}

void
proc_go(const char *settings)
{
	struct buf b;

	buf_init(&b, 4096);
	if (buf_put_cstr(&b, settings) == 0 &&
	    buf_put_cstr(&b, "10.91.0.1/32") == 0)
		proc_send(door_control(), MSG_GO, 0, &b, NULL, 0);
	buf_clear(&b);
}

/* -- hearing -----------------------------------------------------------------
 */

static void
hear_fds(const struct msg *m)
{
	for (size_t i = 0; i < proc.ndoor; i++) {
		if (proc.door[i].kind == DOOR_GIVEN && m->nfd > 0 &&
		    proc.door[i].given == m->type)
			(void)conn_add(i, dup(m->fd[0]), 0);
	}
}

static void
hear_depth(size_t door, uint32_t type)
{
	for (size_t i = 0; i < proc.ndepth && !proc_preparing(); i++) {
		if (proc.depth[i].door == door && proc.depth[i].type == type)
			fuzz_reached((unsigned int)i);
	}
}

/* What one connection has for us. */
static void
hear_one(struct conn *c)
{
	struct msg m;
	int r;

	do {
		r = msg_recv(c->fd, &m);
		if (r == 0) {
			c->before = c->id;
			c->id = m.id;
			if (m.type < HEARD_MAX)
				env.heard[c->door][m.type] = 1;
			hear_depth(c->door, m.type);
			hear_fds(&m);
		}
		msg_clear(&m);
	} while (r == 0);
	/* What it sends keeps to the table: msg_send looks, and we look again.
	 */
	if (r == ERR_PROTO)
		proc_fail("it says what the table does not know");
}

void
proc_hear(void)
{
	for (size_t i = 0; i < env.n; i++) {
		if (!env.conn[i].listens)
			hear_one(&env.conn[i]);
	}
}

uint32_t
proc_last_id(size_t door)
{
	const struct conn *c = conn_find(door, 0);

	return c == NULL ? 0 : c->id;
}

bool
proc_heard(size_t door, uint32_t type)
{
	return env.heard[door][type] != 0;
}

/* -- scripts
 * ------------------------------------------------------------------- */

void
proc_script(const uint8_t *p, size_t n)
{
	env.fresh = n > 0 && (p[0] & PROC_FRESH) != 0;
	env.p = n > 0 ? p + 1 : p;
	env.left = n > 0 ? n - 1 : 0;
	env.steps = 0;
	env.last = 0;
}

bool
proc_preparing(void)
{
	return !env.prepared && !env.fresh;
}

bool
proc_stranger(void)
{
	return env.stranger;
}

static void
step_message(const uint8_t *s, const uint8_t *p, size_t n)
{
	size_t door = (s[1] & 15) % proc.ndoor, nfd = s[4] & 15;
	struct conn *c = conn_find(door, s[1] >> 4);
	uint32_t id;
	int fd[15];

	env.stranger = proc.door[door].stranger;
	if (c == NULL) {
		door_open(door);
		if ((c = conn_find(door, 0)) == NULL)
			return;
	}
	/* The parent is root: it gives a listening socket where it says so. */
	for (size_t i = 0; i < nfd; i++)
		fd[i] = s[2] == MSG_LISTEN
			    ? listener()
			    : proc_fd((enum proc_fd)((s[4] >> 4) % FD_KINDS));
	id = s[3] == PROC_ID_LAST     ? c->id
	     : s[3] == PROC_ID_BEFORE ? c->before
				      : s[3];
	if (s[0] % PROC_OPS == PROC_RAW)
		say(c, p, n, NULL, 0, fd, nfd);
	else
		say_message(c, s[2], id, p, n, fd, nfd);
	for (size_t i = 0; i < nfd; i++)
		(void)close(fd[i]);
}

static void
step_other(const uint8_t *s, const uint8_t *p, size_t n)
{
	size_t door = (s[1] & 15) % proc.ndoor;
	struct conn *c;

	env.stranger = false;
	switch (s[0] % PROC_OPS) {
	case PROC_OPEN:
		env.stranger = proc.door[door].stranger;
		door_open(door);
		break;
	case PROC_CLOSE:
		env.stranger = proc.door[door].stranger;
		if ((c = conn_find(door, s[1] >> 4)) != NULL)
			conn_drop(c);
		break;
	case PROC_TIME:
		proc_pass(
		    times_ms[s[3] % (sizeof(times_ms) / sizeof(times_ms[0]))]);
		break;
	case PROC_ACT:
		if (proc.act != NULL)
			proc.act(s[2], p, n);
		break;
	}
}

static bool
step_script(void)
{
	const uint8_t *s = env.p;
	size_t n;

	if (env.left < PROC_STEP_LEN || env.steps++ == PROC_STEPS_MAX)
		return false;
	n = (size_t)s[5] << 8 | s[6];
	if (n > PROC_BODY_MAX)
		n = PROC_BODY_MAX;
	if (n > env.left - PROC_STEP_LEN)
		n = env.left - PROC_STEP_LEN;
	env.p += PROC_STEP_LEN + n;
	env.left -= PROC_STEP_LEN + n;
	if (s[0] % PROC_OPS <= PROC_RAW)
		step_message(s, s + PROC_STEP_LEN, n);
	else
		step_other(s, s + PROC_STEP_LEN, n);
	return true;
}

bool
proc_step(void)
{
	if (proc_preparing()) {
		if (proc.prepare != NULL && proc.prepare(env.turn++))
			return true;
		env.prepared = true;
		if (!proc.each)
			proc_serve(); /* each input goes on from here */
	}
	if (step_script())
		return true;
	env.stranger = false;
	if (env.last++ == LAST_TURNS)
		proc_over(0);
	proc_pass(LAST_MS);
	return true;
}

/* -- the beginning
 * --------------------------------------------------------------- */

static void
renew_pair(struct conn *c)
{
	int fd, sv[2];

	if (c->listens) {
		sv[1] = listener();
		sv[0] = dup(sv[1]);
	} else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) ==
		   -1) {
		err(1, "socketpair");
	}
	for (fd = 3; fd < GIVEN_TO; fd++) {
		if (fd != sv[0] && fd != sv[1] && inode(fd) == c->theirs) {
			(void)fcntl(sv[1], F_SETFL, fcntl(fd, F_GETFL));
			(void)dup3(sv[1], fd, O_CLOEXEC);
			c->theirs = 0;
			break;
		}
	}
	(void)fcntl(sv[0], F_SETFL, O_NONBLOCK);
	(void)dup3(sv[0], c->fd, O_CLOEXEC);
	(void)close(sv[0]);
	(void)close(sv[1]);
}

void
proc_renew(void)
{
	for (size_t i = 0; i < env.n; i++) {
		if (env.conn[i].theirs != 0)
			renew_pair(&env.conn[i]);
	}
}

void
proc_begin(void)
{
	int fd;

	for (size_t i = 0; i < proc.ndoor; i++) {
		if (proc.door[i].kind != DOOR_CONTROL)
			continue;
		fd = proc_pair(i);
		if (fd != 3 && (dup2(fd, 3) == -1 || close(fd) == -1))
			err(1, "control socket");
	}
}

/* -- what it is given ---------------------------------------------------------
 */

int
proc_policy(void)
{
	static const char text[] =
	    "policy 1\n"
	    "issuer github { preset github; audience \"bastion\" }\n"
	    "identity shop from github { claim repository_id = \"7712345\" }\n"
	    "target web-1 { ssh \"deploy@10.91.0.2:2022\"; hostkey ssh-ed25519 "
	    "\"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\"; "
	    "login root }\n"
	    "program systemctl = /usr/bin/systemctl\n"
	    "allow deploy for shop on web-1 {\n"
	    "    run systemctl restart web\n"
	    "    write under /srv/<claim repository_id> by sftp scp-legacy\n"
	    "    read under /srv by sftp\n"
	    "    run /usr/bin/cat with stdin max 5KiB\n"
	    "    run /usr/bin/top with pty\n"
	    "    limit concurrent 3\n"
	    "}\n"
	    "deny never for * on * { run systemctl stop <any>...; "
	    "because \"use the runbook\" }\n";
	int dir = proc_folder();
	int fd = openat(
	    dir, "a.postern", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 ||
	    write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		err(1, "policy");
	(void)close(fd);
	return dir;
}
