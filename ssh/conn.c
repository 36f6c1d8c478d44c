/*
 * A command's life on its connection: bytes both ways, signals, its end.  Runs
 * in the hop, confined.  Distrusts the target: whatever it sends is counted,
 * bounded by libssh's window, and handed on as bytes.
 */
#include "config.h"

#include "ssh/conn.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/conn_internal.h"

#define CONN_ROUNDS 64	/* reads in a row before the owner polls again */
#define CONN_STOP_MS 200

/* The names of RFC 4254 section 6.9 and a few that servers use beside them.
 * Our own numbers: a target of another system has others. */
static const struct {
	const char *name;
	uint32_t number;
} conn_signals[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "FPE", SIGFPE },
	{ "HUP", SIGHUP }, { "ILL", SIGILL }, { "INT", SIGINT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "QUIT", SIGQUIT },
	{ "SEGV", SIGSEGV }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 }, { "BUS", SIGBUS }, { "TRAP", SIGTRAP },
	{ "SYS", SIGSYS }, { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF },
};
#define CONN_NSIGNALS (sizeof(conn_signals) / sizeof(conn_signals[0]))

uint32_t
conn_signal_number(const char *name)
{
	for (size_t i = 0; i < CONN_NSIGNALS; i++) {
		if (strcmp(conn_signals[i].name, name) == 0)
			return conn_signals[i].number;
	}
	return 0;
}

static int
conn_on_data(ssh_session session, ssh_channel channel, void *data,
    uint32_t len, int is_stderr, void *arg)
{
	struct conn *c = arg;
	enum conn_stream s = is_stderr != 0 ? CONN_ERR : CONN_OUT;
	size_t took = 0;

	(void)session;
	(void)channel;
	c->got = true;
	if (!c->reading && c->drawn[s].n == 0)
		took = c->want->data(c->want->arg, s, data, len);
	/* libssh shows all it holds each time, so this is the whole of it. */
	c->held[s] = len - took;
	return (int)took;
}

static void
conn_on_exit_status(ssh_session session, ssh_channel channel, int status,
    void *arg)
{
	struct conn *c = arg;

	(void)session;
	(void)channel;
	c->exit.has_code = true;
	c->exit.code = (uint32_t)status;
}

static void
conn_on_exit_signal(ssh_session session, ssh_channel channel,
    const char *name, int core, const char *message, const char *language,
    void *arg)
{
	struct conn *c = arg;

	(void)session;
	(void)channel;
	(void)core;
	(void)message;
	(void)language;
	c->exit.has_signal = true;
	if (name == NULL ||
	    str_copy(c->exit.signal, sizeof(c->exit.signal), name) != 0)
		c->exit.signal[0] = '\0';
}

static void
conn_on_close(ssh_session session, ssh_channel channel, void *arg)
{
	struct conn *c = arg;

	(void)session;
	(void)channel;
	c->closed = true;
}

int
conn_callbacks(struct conn *c)
{
	c->cb = (struct ssh_channel_callbacks_struct){
		.userdata = c,
		.channel_data_function = conn_on_data,
		.channel_exit_status_function = conn_on_exit_status,
		.channel_exit_signal_function = conn_on_exit_signal,
		.channel_close_function = conn_on_close,
	};
	ssh_callbacks_init(&c->cb);
	return ssh_set_channel_callbacks(c->channel, &c->cb) == SSH_OK ? 0 :
	    ERR_INTERNAL;
}

/* What a server may ask of a client, channels and requests of its own.  libssh
 * would keep each of them until somebody asks for it, and nobody does. */
static int
conn_on_message(ssh_session session, ssh_message message, void *arg)
{
	(void)session;
	(void)message;
	(void)arg;
	return 0; /* forgotten, without an answer that could pile up */
}

int
conn_new(int fd, const struct conn_want *w, struct conn **out)
{
	struct conn *c = NULL;
	int r = ERR_NOMEM;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		goto out;
	*c = (struct conn){ .want = w, .fd = fd };
	if ((c->session = ssh_new()) == NULL)
		goto out;
	if ((r = conn_options(c)) != 0)
		goto out;
	ssh_set_counters(c->session, NULL, &c->raw);
	ssh_set_message_callback(c->session, conn_on_message, NULL);
	*out = c;
	c = NULL;
	fd = -1;
out:
	/* Never started: libssh does not own the socket yet. */
	if (c != NULL) {
		ssh_free(c->session);
		free(c);
	}
	if (fd != -1)
		(void)close(fd);
	return r;
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	ssh_key_free(c->key);
	if (c->event != NULL) {
		(void)ssh_event_remove_session(c->event, c->session);
		ssh_event_free(c->event);
	}
	if (c->channel != NULL)
		(void)ssh_remove_channel_callbacks(c->channel, &c->cb);
	ssh_silent_disconnect(c->session);
	ssh_free(c->session);
	free(c->drawn[CONN_OUT].bytes);
	free(c->drawn[CONN_ERR].bytes);
	free(c);
}

/* Bytes wait for the owner. */
static bool
conn_full(const struct conn *c)
{
	return conn_held(c, CONN_OUT) + conn_held(c, CONN_ERR) > 0;
}

/* Until the owner has taken what waits the socket is left alone, and TCP holds
 * the target back.  But input that waits for the target's window needs to hear
 * of it: a command that reads on while nobody reads what it wrote must not
 * stand still.  Then the channel's window is the bound. */
static bool
conn_listens(const struct conn *c)
{
	return !conn_full(c) || (c->state == CONN_RUNNING && !c->eof_sent &&
	    ssh_channel_window_size(c->channel) < CONN_CHUNK);
}

/* libssh calls itself connected still when a packet of the target's was wrong;
 * it reads no further then, and nobody would ever say so. */
static bool
conn_broken(const struct conn *c)
{
	return !ssh_is_connected(c->session) ||
	       (ssh_get_status(c->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) !=
		   0;
}

/* As long as bytes keep coming, a few rounds: the owner's poll over all its
 * descriptors would cost more than libssh's over one. */
static int
conn_pump(struct conn *c)
{
	int r;

	if (conn_events(c) == 0)
		return 0;
	for (int i = 0; i < CONN_ROUNDS && !conn_ended(c); i++) {
		c->got = false;
		r = ssh_event_dopoll(c->event, 0);
		c->lost = (r != SSH_OK && r != SSH_AGAIN) || conn_broken(c);
		if (r != SSH_OK || conn_full(c))
			break;
	}
	return 0;
}

int
conn_step(struct conn *c)
{
	int r;

	if (c->lost)
		return ERR_PROTO;
	if (c->state < CONN_RUNNING && (r = conn_open(c)) != 0)
		return r;
	return conn_pump(c);
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

short
conn_events(const struct conn *c)
{
	short events = POLLIN;

	/* libssh wants POLLOUT also to learn that it could write; but it does
	 * not write without reading 4 KiB, so that is no reason here. */
	if (!conn_listens(c))
		return (ssh_get_status(c->session) & SSH_WRITE_PENDING) != 0 ?
		    POLLOUT : 0;
	if ((ssh_get_poll_flags(c->session) & SSH_WRITE_PENDING) != 0)
		events |= POLLOUT;
	return events;
}

enum conn_state
conn_state(const struct conn *c)
{
	return c->state;
}

const char *
conn_error(const struct conn *c)
{
	const char *text = ssh_get_error(c->session);

	if (text != NULL && text[0] != '\0')
		return text;
	return conn_broken(c) ? "the target closed the connection"
			      : "the target gave no reason";
}

const char *
conn_hostkey(const struct conn *c)
{
	return c->hostkey;
}

const char *
conn_hostkey_type(const struct conn *c)
{
	return c->hostkey_type;
}

bool
conn_ended(const struct conn *c)
{
	return c->closed || c->lost;
}

const struct conn_exit *
conn_exit(const struct conn *c)
{
	return &c->exit;
}

size_t
conn_held(const struct conn *c, enum conn_stream s)
{
	return c->held[s] + c->drawn[s].n;
}

/* Reads from libssh; its buffer holds n bytes or more. */
static size_t
conn_draw(struct conn *c, enum conn_stream s, void *dst, size_t n)
{
	int got;

	/* It may handle packets first, and so call conn_on_data: what comes
	 * then stays behind what is held. */
	c->reading = true;
	got = ssh_channel_read_nonblocking(c->channel, dst, (uint32_t)n,
	    s == CONN_ERR);
	c->reading = false;
	if (got <= 0) { /* cannot be while bytes are held, unless it broke */
		c->held[s] = 0;
		c->lost = true;
		return 0;
	}
	c->held[s] -= (size_t)got;
	return (size_t)got;
}

/*
 * With each read libssh opens the channel's window again, whatever it still
 * holds: read bit by bit it would take in forty times what is taken out.  So
 * everything is drawn at once; then both sides together hold two windows, some
 * 2.5 MB, at the very most.
 */
static int
conn_draw_all(struct conn *c, enum conn_stream s)
{
	struct conn_drawn *d = &c->drawn[s];

	if ((d->bytes = malloc(c->held[s])) == NULL) {
		c->lost = true;
		return ERR_NOMEM;
	}
	d->at = 0;
	d->n = conn_draw(c, s, d->bytes, c->held[s]);
	return d->n > 0 ? 0 : ERR_PROTO;
}

static void
conn_drawn_clear(struct conn_drawn *d)
{
	free(d->bytes);
	*d = (struct conn_drawn){ 0 };
}

size_t
conn_read(struct conn *c, enum conn_stream s, void *dst, size_t max)
{
	struct conn_drawn *d = &c->drawn[s];
	size_t n;

	if (d->n == 0 && c->held[s] <= max)
		return c->held[s] == 0 ? 0 : conn_draw(c, s, dst, c->held[s]);
	if (d->n == 0 && conn_draw_all(c, s) != 0) {
		conn_drawn_clear(d);
		return 0;
	}
	n = max < d->n ? max : d->n;
	memcpy(dst, d->bytes + d->at, n);
	d->at += n;
	d->n -= n;
	if (d->n == 0)
		conn_drawn_clear(d);
	return n;
}

size_t
conn_room(const struct conn *c)
{
	uint32_t window;

	if (c->state != CONN_RUNNING || conn_ended(c) || c->eof_sent ||
	    (ssh_get_status(c->session) & SSH_WRITE_PENDING) != 0)
		return 0;
	window = ssh_channel_window_size(c->channel);
	return window > CONN_CHUNK ? CONN_CHUNK : window;
}

int
conn_write(struct conn *c, const void *p, size_t n)
{
	const char *d = p;
	int k;

	while (n > 0) {
		k = ssh_channel_write(c->channel, d, (uint32_t)n);
		if (k <= 0) {
			c->lost = true;
			return ERR_PROTO;
		}
		d += k;
		n -= (size_t)k;
	}
	return 0;
}

int
conn_eof(struct conn *c)
{
	if (c->eof_sent || conn_ended(c))
		return 0;
	c->eof_sent = true;
	return ssh_channel_send_eof(c->channel) == SSH_ERROR ? ERR_PROTO : 0;
}

int
conn_resize(struct conn *c, uint32_t columns, uint32_t rows)
{
	if (c->state != CONN_RUNNING || conn_ended(c))
		return 0;
	return ssh_channel_change_pty_size(c->channel, (int)columns,
	    (int)rows) == SSH_ERROR ? ERR_PROTO : 0;
}

int
conn_signal(struct conn *c, uint32_t number)
{
	if (c->state != CONN_RUNNING || conn_ended(c))
		return 0;
	for (size_t i = 0; i < CONN_NSIGNALS; i++) {
		if (conn_signals[i].number == number)
			return ssh_channel_request_send_signal(c->channel,
			    conn_signals[i].name) == SSH_ERROR ? ERR_PROTO : 0;
	}
	return ERR_NOTFOUND;
}

uint64_t
conn_heard(const struct conn *c)
{
	return c->raw.in_packets;
}

/* libssh remembers the last answer (a refusal, from most servers) until it is
 * asked again, and sends nothing then; so it is called twice. */
int
conn_keepalive(struct conn *c)
{
	if (c->state != CONN_RUNNING || conn_ended(c))
		return 0;
	if (ssh_send_keepalive(c->session) != SSH_OK ||
	    ssh_send_keepalive(c->session) != SSH_OK)
		return ERR_PROTO;
	return 0;
}

void
conn_stop(struct conn *c)
{
	if (c->lost || !ssh_is_connected(c->session))
		return;
	if (c->state == CONN_RUNNING && !c->closed) {
		(void)ssh_channel_request_send_signal(c->channel, "HUP");
		(void)ssh_channel_close(c->channel);
	}
	(void)ssh_blocking_flush(c->session, CONN_STOP_MS);
	if (c->channel != NULL)
		(void)ssh_remove_channel_callbacks(c->channel, &c->cb);
	ssh_disconnect(c->session);
	c->channel = NULL; /* libssh freed it with the connection */
	c->held[CONN_OUT] = c->held[CONN_ERR] = 0;
	conn_drawn_clear(&c->drawn[CONN_OUT]);
	conn_drawn_clear(&c->drawn[CONN_ERR]);
	c->lost = true;
}
