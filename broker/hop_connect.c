/*
 * Reaching the target: a name or address from the policy becomes a connected
 * socket.  Runs in the hop, before it is confined; the last step that may open
 * anything.  Distrusts name servers as far as they can be: a wrong address
 * meets the pinned host key.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <resolv.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <sys/resource.h>
#include <sys/time.h>

#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"

#define CONNECT_ADDRESSES_MAX 8
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_EVERY_S 10
#define KEEPALIVE_COUNT 6
#define UNANSWERED_MS 120000 /* bytes sent, nothing acknowledged */

/*
 * getaddrinfo waits for as long as it likes: for each server, each try and each
 * domain of the search list.  When its time is over a signal wakes it up and
 * takes the limit of descriptors away until it is back.  Then the kernel
 * refuses every further wait (poll of more descriptors than the limit) and
 * every further socket, and it gives up.  No jump out of the middle of it.
 */
static struct {
	struct rlimit nofile;
	volatile sig_atomic_t late;
} lookup;

/* MUST make nothing but system calls. */
static void
lookup_late(int sig)
{
	const struct rlimit none = { 0, lookup.nofile.rlim_max };

	(void)sig;
	lookup.late = 1;
	(void)setrlimit(RLIMIT_NOFILE, &none);
}

static int
lookup_within(uint32_t seconds)
{
	const struct sigaction late = { .sa_handler = lookup_late };
	const struct itimerval timer = { .it_value.tv_sec = seconds };

	if (getrlimit(RLIMIT_NOFILE, &lookup.nofile) != 0 ||
	    sigaction(SIGALRM, &late, NULL) != 0 ||
	    setitimer(ITIMER_REAL, &timer, NULL) != 0)
		return ERR_SYS;
	return 0;
}

/* Whether it was late. */
static bool
lookup_over(void)
{
	const struct itimerval none = { 0 };

	(void)setitimer(ITIMER_REAL, &none, NULL);
	if (lookup.late)
		(void)setrlimit(RLIMIT_NOFILE, &lookup.nofile);
	return lookup.late;
}

/* Within the bound, a server that does not answer leaves time for another:
 * two, asked twice each. */
static void
connect_bound_resolver(uint32_t seconds)
{
	if (res_init() != 0)
		return;
	_res.retry = 2;
	_res.retrans = seconds / 4 > 1 ? (int)(seconds / 4) : 1;
}

static int
connect_look_up(struct hop *h, const char *port, bool *late)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG,
	};
	int e = EAI_SYSTEM;

	connect_bound_resolver(h->run.connect_s);
	if (lookup_within(h->run.connect_s) == 0)
		e = getaddrinfo(h->run.host, port, &hints, &h->addrs);
	*late = lookup_over() && e != 0;
	return e;
}

static int
connect_resolve(struct hop *h)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	bool late = false;
	char port[8];
	int e;

	(void)snprintf(port, sizeof(port), "%u", h->run.port);
	e = getaddrinfo(h->run.host, port, &hints, &h->addrs);
	if (e == EAI_NONAME)
		e = connect_look_up(h, port, &late);
	if (e == 0)
		return 0;
	h->addrs = NULL;
	if (late)
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: cannot resolve %s: no name server answered within "
		    "%u s",
		    h->run.target, log_safe(h->run.host), h->run.connect_s);
	else
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: cannot resolve %s: %s", h->run.target,
		    log_safe(h->run.host),
		    e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));
	return ERR_NOTFOUND;
}

/* NODELAY: small packets go at once, or each step of the handshake waits 40 ms
 * for a delayed acknowledgement.  The rest finds a target that vanished. */
static void
connect_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_QUICKACK, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNANSWERED_MS },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
		    &options[i].value, sizeof(options[i].value));
}

static size_t
connect_left(const struct hop *h)
{
	size_t n = 0;

	for (struct addrinfo *a = h->next; a != NULL; a = a->ai_next)
		n++;
	return n > CONNECT_ADDRESSES_MAX ? CONNECT_ADDRESSES_MAX : n;
}

static void
connect_refuse(struct hop *h)
{
	hop_fail(h, POSTERN_EX_UNAVAILABLE,
	    "%s: cannot connect to %s port %u: %s", h->run.target,
	    log_safe(h->run.host), h->run.port,
	    h->connect_errno == ETIMEDOUT ? "timed out" :
	    strerror(h->connect_errno));
}

/* Starts on the next address; when there is none left, the last error is what
 * the job is told. */
static void
connect_next(struct hop *h)
{
	int64_t now = msg_now_ms(), left = h->connect_end_ms - now;
	struct addrinfo *a;

	if (h->sock != -1)
		(void)close(h->sock);
	h->sock = -1;
	while ((a = h->next) != NULL && left > 0) {
		/* An address that does not answer leaves time for the rest. */
		h->deadline_ms = now + left / (int64_t)connect_left(h);
		h->next = a->ai_next;
		h->sock = socket(a->ai_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (h->sock == -1) {
			h->connect_errno = errno;
			continue;
		}
		connect_options(h->sock);
		if (connect(h->sock, a->ai_addr, a->ai_addrlen) == 0 ||
		    errno == EINPROGRESS)
			return;
		h->connect_errno = errno;
		(void)close(h->sock);
		h->sock = -1;
	}
	connect_refuse(h);
}

void
hop_connect_start(struct hop *h)
{
	h->phase = HOP_CONNECTING;
	h->connect_errno = ETIMEDOUT;
	h->connect_end_ms = msg_now_ms() + 1000 * (int64_t)h->run.connect_s;
	if (connect_resolve(h) != 0)
		return;
	h->next = h->addrs;
	connect_next(h);
}

void
hop_connect_step(struct hop *h)
{
	socklen_t n = sizeof(h->connect_errno);

	if (getsockopt(h->sock, SOL_SOCKET, SO_ERROR, &h->connect_errno,
	    &n) != 0)
		h->connect_errno = errno;
	if (h->connect_errno != 0) {
		connect_next(h);
		return;
	}
	freeaddrinfo(h->addrs);
	h->addrs = h->next = NULL;
	hop_open_start(h);
}

void
hop_connect_late(struct hop *h)
{
	h->connect_errno = ETIMEDOUT;
	connect_next(h);
}
