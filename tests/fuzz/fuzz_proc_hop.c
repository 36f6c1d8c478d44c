/*
 * postern-hop: HOP_RUN and HOP_STOP of policy, the signer's CERT, the shell's
 * messages.  The target is not spoken to: what ssh/conn.h would make of its
 * bytes is said by the script, in datagrams at the door "target".
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

#include <sys/mman.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

int process_main(void);
#define main process_main
#include "broker/hop.c"
#undef main

enum { CONTROL, SHELL, CERT, TARGET };

static const struct proc_door doors[] = {
	{ .name = "policy", .kind = DOOR_CONTROL },
	{ .name = "shell", .kind = DOOR_GIVEN, .stranger = true },
	{ .name = "cert", .kind = DOOR_GIVEN },
	{ .name = "target", .kind = DOOR_CONNECT, .stranger = true },
};

/* -- a connection that does what the script says
 * -------------------------------- */

#define HELD_MAX 4096

struct conn {
	int fd;
	const struct conn_want *want;
	enum conn_state state;
	bool ended;
	struct conn_exit end;
	enum conn_stream stream; /* of what is held */
	uint8_t held[HELD_MAX];
	size_t nheld;
};

int
conn_new(int fd, const struct conn_want *w, struct conn **out)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	c->fd = fd;
	c->want = w;
	*out = c;
	return 0;
}

void
conn_free(struct conn *c)
{
	if (c != NULL)
		(void)close(c->fd);
	free(c);
}

int
conn_credential(
    struct conn *c, const struct secret *key, const void *cert, size_t ncert)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < ncert; i++) /* all of it is there */
		sum ^= ((const uint8_t *)cert)[i];
	for (size_t i = 0; i < key->len; i++)
		sum ^= ((const uint8_t *)key->d)[i];
	if (ncert == 0 || sum == 0)
		return ERR_FORMAT;
	if (c->state == CONN_CREDENTIAL)
		c->state = CONN_AUTH;
	return 0;
}

static void
conn_data(struct conn *c, enum conn_stream s, const uint8_t *p, size_t n)
{
	size_t done;

	if (c->nheld > 0)
		return;
	fuzz_reached(3);
	done = c->want->data(c->want->arg, s, p, n);
	if (done > n)
		proc_fail("it took more than there was");
	c->nheld = n - done;
	c->stream = s;
	memcpy(c->held, p + done, c->nheld);
}

static int
conn_does(struct conn *c, const uint8_t *p, size_t n)
{
	switch (p[0] % 7) {
	case 0:
		c->state = (enum conn_state)(p[1] % (CONN_RUNNING + 1));
		break;
	case 1:
		if (c->state == CONN_RUNNING)
			conn_data(
			    c, (enum conn_stream)(p[1] & 1), p + 2, n - 2);
		break;
	case 2:
		c->ended = true;
		c->end = (struct conn_exit){ .has_code = true, .code = p[1] };
		break;
	case 3:
		c->ended = true;
		c->end = (struct conn_exit){ .has_signal = true };
		(void)str_copy(c->end.signal, sizeof(c->end.signal), "TERM");
		break;
	case 4:
		return ERR_DENIED;
	case 5:
		return ERR_PROTO;
	default:
		c->ended = true; /* lost */
	}
	return 0;
}

int
conn_step(struct conn *c)
{
	uint8_t p[HELD_MAX] = { 0 };
	ssize_t n = recv(c->fd, p, sizeof(p), MSG_DONTWAIT);
	int r = 0;

	if (n == 0)
		c->ended = true;
	if (n >= 2)
		r = conn_does(c, p, (size_t)n);
	if (r != 0)
		return r;
	if (c->ended && c->state < CONN_RUNNING)
		return ERR_PROTO;
	return c->state == CONN_RUNNING ? 0 : ERR_AGAIN;
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

short
conn_events(const struct conn *c)
{
	return c->ended || c->nheld > 0 ? 0 : POLLIN;
}

enum conn_state
conn_state(const struct conn *c)
{
	return c->state;
}

const char *
conn_error(const struct conn *c)
{
	(void)c;
	return "\033[2Jno";
}

const char *
conn_hostkey(const struct conn *c)
{
	(void)c;
	return "SHA256:x";
}

const char *
conn_hostkey_type(const struct conn *c)
{
	(void)c;
	return "ssh-ed25519";
}

bool
conn_ended(const struct conn *c)
{
	return c->ended;
}

const struct conn_exit *
conn_exit(const struct conn *c)
{
	return &c->end;
}

size_t
conn_held(const struct conn *c, enum conn_stream s)
{
	return c->stream == s ? c->nheld : 0;
}

size_t
conn_read(struct conn *c, enum conn_stream s, void *dst, size_t max)
{
	size_t n = conn_held(c, s) < max ? conn_held(c, s) : max;

	memcpy(dst, c->held, n);
	c->nheld -= n;
	memmove(c->held, c->held + n, c->nheld);
	return n;
}

size_t
conn_room(const struct conn *c)
{
	return c->state == CONN_RUNNING && !c->ended ? CONN_CHUNK : 0;
}

int
conn_write(struct conn *c, const void *p, size_t n)
{
	(void)c;
	(void)p;
	(void)n;
	return 0;
}

int
conn_eof(struct conn *c)
{
	(void)c;
	return 0;
}

int
conn_resize(struct conn *c, uint32_t columns, uint32_t rows)
{
	(void)c;
	(void)columns;
	(void)rows;
	return 0;
}

uint64_t
conn_heard(const struct conn *c)
{
	(void)c;
	return 0; /* a target that says nothing */
}

int
conn_keepalive(struct conn *c)
{
	(void)c;
	return 0;
}

int
conn_signal(struct conn *c, uint32_t signal)
{
	(void)c;
	return signal > 0 && signal < 32 ? 0 : ERR_NOTFOUND;
}

uint32_t
conn_signal_number(const char *name)
{
	return strcmp(name, "TERM") == 0 ? 15 : 0;
}

void
conn_stop(struct conn *c)
{
	(void)c;
}

int
key_generate(struct key *k)
{
	static const char text[] = "a key";

	*k = (struct key){ .pub = { 1 } };
	if (secret_init(&k->text, sizeof(text)) != 0)
		return ERR_NOMEM;
	return secret_append(&k->text, text, sizeof(text));
}

void
key_clear(struct key *k)
{
	secret_clear(&k->text);
}

/* -- names
 * ------------------------------------------------------------------------ */

int __wrap_getaddrinfo(const char *host, const char *port,
    const struct addrinfo *hints, struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *ai);

int
__wrap_getaddrinfo(const char *host, const char *port,
    const struct addrinfo *hints, struct addrinfo **out)
{
	static struct sockaddr_in in = { .sin_family = AF_INET };
	static struct addrinfo ai = { .ai_family = AF_INET,
		.ai_socktype = SOCK_STREAM,
		.ai_addrlen = sizeof(in) };

	(void)port;
	(void)hints;
	ai.ai_addr = (struct sockaddr *)(void *)&in;
	*out = &ai;
	return host[0] == 'n' ? EAI_NONAME : 0;
}

void
__wrap_freeaddrinfo(struct addrinfo *ai)
{
	(void)ai;
}

/* -- what it is given
 * --------------------------------------------------------------- */

/* HOP_RUN with streams, sockets of ours, and files. */
static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	struct buf body;
	int fd[7];

	buf_view(&body, p, n);
	fd[0] = proc_fd((which & 1) != 0 ? FD_FILE : FD_NULL);
	fd[1] = proc_fd((which & 2) != 0 ? FD_PIPE : FD_NULL);
	fd[2] = proc_fd(FD_NULL);
	fd[3] = proc_pair(SHELL);
	fd[4] = proc_file("", 0);
	fd[5] = proc_file("", 0);
	fd[6] = proc_pair(CERT);
	proc_send(CONTROL, MSG_HOP_RUN, 0, &body, fd, 7);
	for (size_t i = 0; i < 7; i++)
		(void)close(fd[i]);
}

static void
run(void)
{
	uint8_t page[4096] = { 0 };
	const int64_t until = msg_now_ms() + 600000;
	int fd;

	memcpy(page, &until, sizeof(until));
	memcpy(page + sizeof(until), &until, sizeof(until));
	fd = proc_file(page, sizeof(page));
	if (fd != HOP_LEASE_FD)
		(void)dup2(fd, HOP_LEASE_FD);
	exit(process_main());
}

static const struct proc_depth depths[] = {
	{ CERT, MSG_CERT_REQUEST },
	{ CONTROL, MSG_HOP_ENDED },
	{ SHELL, MSG_EXIT },
};
const char *const fuzz_depths[] = { "a certificate is asked for",
	"an operation has ended", "the job is told how",
	"what a target says is taken", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run, NULL,
	false, act, true, depths, sizeof(depths) / sizeof(depths[0]) };
