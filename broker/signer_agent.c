/*
 * An ssh-agent that holds a CA key.  Runs in the signer, on a connection that
 * posternd has opened: root is whom an agent answers, and opens nothing else
 * for us.  Distrusts the agent as far as one can: whatever it answers is
 * bounded, waited for no longer than a deadline, and is no signature before it
 * has been verified.  A fault ends the connection and refuses what waits; then
 * there is a pause, twice as long each time.
 */
#include "config.h"

#include "broker/signer_agent.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/agent_trouble.h"
#include "broker/child.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "ssh/agent.h"
#include "ssh/cert.h"
#include "ssh/sig.h"

/* Asked on each new connection: is the key there, and does it sign?  No SSH
 * signature of anything else begins like this. */
static const char agent_probe[] = "postern-signer: is the CA key here?";

/* One signature: of a certificate, or (fn never set) of the probe. */
struct signing {
	TAILQ_ENTRY(signing) link;
	struct agent *agent;
	struct buf body;
	bool probe;
	signing_cb fn; /* NULL: nobody waits for it */
	void *arg;
};

enum agent_state {
	AGENT_PAUSES,    /* the timer ends it */
	AGENT_ASKED_FOR, /* posternd connects */
	AGENT_CONNECTED,
};

struct agent {
	enum ca_which which;
	const struct cert_ca *ca;
	void (*changed)(void);
	enum agent_state state;
	enum agent_trouble trouble;
	uint32_t id; /* of AGENT_WANTED */
	int fd;
	struct watch *watch;
	struct timer *timer; /* to an answer, or to the end of a pause */
	int64_t pause_ms, born_ms;
	TAILQ_HEAD(signings, signing) queue;
	size_t n;
	bool asked; /* the first of the queue is the agent's to answer */
	struct buf out, in;
};

static void agent_want(struct agent *a);
static void agent_next(struct agent *a);

/* -- the queue ------------------------------------------------------------- */

static void
signing_drop(struct signing *s)
{
	TAILQ_REMOVE(&s->agent->queue, s, link);
	s->agent->n--;
	buf_clear(&s->body);
	free(s);
}

void
signing_free(struct signing *s)
{
	if (s == NULL)
		return;
	/* An agent owes the answer: it has to be read. */
	if (s->agent->asked && s == TAILQ_FIRST(&s->agent->queue))
		s->fn = NULL;
	else
		signing_drop(s);
}

static void
signing_end(struct signing *s, const struct buf *blob, const char *why)
{
	signing_cb fn = s->fn;
	void *arg = s->arg;
	struct buf none;

	signing_drop(s);
	buf_init(&none, 0);
	if (fn != NULL)
		fn(arg, why == NULL ? blob : &none, why);
}

static struct signing *
signing_new(struct agent *a, const void *p, size_t n)
{
	struct signing *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->agent = a;
	buf_init(&s->body, CERT_BLOB_MAX);
	if (buf_put(&s->body, p, n) != 0) {
		free(s);
		return NULL;
	}
	a->n++;
	return s;
}

/* -- what goes wrong ------------------------------------------------------- */

static void
agent_close(struct agent *a)
{
	watch_free(a->watch);
	timer_free(a->timer);
	a->watch = NULL;
	a->timer = NULL;
	if (a->fd != -1)
		(void)close(a->fd);
	a->fd = -1;
	a->asked = false;
	buf_clear(&a->out);
	buf_clear(&a->in);
}

static void
pause_over(void *arg)
{
	struct agent *a = arg;

	a->timer = NULL;
	agent_want(a);
}

static void
agent_pause(struct agent *a)
{
	if (a->born_ms != 0 && msg_now_ms() - a->born_ms > AGENT_CALM_MS)
		a->pause_ms = 0;
	a->born_ms = 0;
	a->pause_ms = a->pause_ms == 0 ? AGENT_PAUSE_FIRST_MS : 2 * a->pause_ms;
	if (a->pause_ms > AGENT_PAUSE_LAST_MS)
		a->pause_ms = AGENT_PAUSE_LAST_MS;
	a->state = AGENT_PAUSES;
	a->timer = loop_timer(child_loop(), a->pause_ms, pause_over, a);
	if (a->timer == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* The ledger hears of it by posternd; once, until it is well again. */
static void
agent_alarm(struct agent *a, enum agent_trouble t)
{
	struct msg m;
	int r;

	log_err(
	    0, "ALARM: %s CA: %s", ca_name(a->which), agent_trouble_text(t));
	msg_init(&m, MSG_AGENT_LOST);
	if ((r = buf_put_u8(&m.body, (uint8_t)a->which)) == 0 &&
	    (r = buf_put_u8(&m.body, (uint8_t)t)) == 0)
		r = peer_send(child_parent(), &m);
	msg_clear(&m);
	if (r != 0)
		log_err(r, "posternd is not told of the agent");
}

static void
agent_fail(struct agent *a, enum agent_trouble t)
{
	bool news =
	    a->trouble == AGENT_WELL || (t == AGENT_LIED && a->trouble != t);
	struct signing *s;

	agent_close(a);
	a->trouble = t;
	agent_pause(a);
	if (news)
		agent_alarm(a, t);
	a->changed();
	/* Nothing is added meanwhile: who asks now is refused. */
	while ((s = TAILQ_FIRST(&a->queue)) != NULL)
		signing_end(s, NULL, agent_trouble_text(t));
}

static void
answer_late(void *arg)
{
	struct agent *a = arg;

	a->timer = NULL;
	agent_fail(
	    a, a->state == AGENT_CONNECTED ? AGENT_STALLED : AGENT_ABSENT);
}

/* Starts anew the one wait that there is. */
static void
agent_deadline(struct agent *a)
{
	timer_free(a->timer);
	a->timer = loop_timer(child_loop(), AGENT_ANSWER_MS, answer_late, a);
	if (a->timer == NULL)
		fatal(ERR_NOMEM, "timer");
}

/* -- question and answer --------------------------------------------------- */

static void
agent_well(struct agent *a)
{
	if (a->trouble == AGENT_WELL)
		return;
	a->trouble = AGENT_WELL;
	log_info("%s CA: its ssh-agent signs", ca_name(a->which));
	a->changed();
}

/* The first of the queue has this signature. */
static int
agent_take(struct agent *a, const struct buf *sig)
{
	struct signing *s = TAILQ_FIRST(&a->queue);
	const uint8_t *key;
	struct buf blob;
	size_t n;
	int r;

	cert_ca_blob(a->ca, &key, &n);
	buf_init(&blob, CERT_BLOB_MAX);
	r = s->probe ? sig_verify(key, n, buf_ptr(sig), buf_len(sig),
			   buf_ptr(&s->body), buf_len(&s->body))
		     : cert_finish(
			   a->ca, &s->body, buf_ptr(sig), buf_len(sig), &blob);
	if (r == ERR_CRYPTO || r == ERR_FORMAT)
		goto out;
	if (r == 0 && !s->probe)
		a->pause_ms = 0;
	timer_free(a->timer);
	a->timer = NULL;
	a->asked = false;
	signing_end(s, &blob, r == 0 ? NULL : err_text(r));
	if (r == 0)
		agent_well(a);
	agent_next(a);
	r = 0;
out:
	buf_clear(&blob);
	return r;
}

static enum agent_trouble
agent_answer(struct agent *a)
{
	struct buf sig;
	int r;

	buf_init(&sig, SIG_BLOB_MAX);
	r = agent_get_signature(&a->in, &sig);
	if (r == ERR_AGAIN || r == ERR_NOMEM)
		goto out;
	/* It answers what it has not read, or nobody asked. */
	if (r == 0 && (!a->asked || buf_len(&a->out) > 0))
		r = ERR_PROTO;
	if (r == 0 && agent_take(a, &sig) != 0)
		r = ERR_CRYPTO;
out:
	buf_clear(&sig);
	return r == 0 || r == ERR_AGAIN ? AGENT_WELL
	       : r == ERR_DENIED        ? AGENT_REFUSED
	       : r == ERR_CRYPTO        ? AGENT_LIED
					: AGENT_BROKE;
}

static enum agent_trouble
agent_read(struct agent *a)
{
	uint8_t chunk[512];
	ssize_t n;

	n = recv(a->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return AGENT_WELL;
	if (n <= 0)
		return AGENT_VANISHED;
	if (!a->asked || buf_put(&a->in, chunk, (size_t)n) != 0)
		return AGENT_BROKE;
	return agent_answer(a);
}

static enum agent_trouble
agent_write(struct agent *a)
{
	ssize_t n;

	if (buf_len(&a->out) == 0)
		return AGENT_WELL;
	n = send(a->fd, buf_ptr(&a->out), buf_len(&a->out),
	    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return AGENT_WELL;
	if (n <= 0 || buf_skip(&a->out, (size_t)n) != 0)
		return AGENT_VANISHED;
	if (buf_len(&a->out) == 0)
		watch_set_events(a->watch, POLLIN);
	return AGENT_WELL;
}

static void
agent_event(void *arg, int fd, short revents)
{
	struct agent *a = arg;
	enum agent_trouble t = AGENT_WELL;

	(void)fd;
	if ((revents & POLLOUT) != 0)
		t = agent_write(a);
	if (t == AGENT_WELL && (revents & ~POLLOUT) != 0)
		t = agent_read(a);
	if (t != AGENT_WELL)
		agent_fail(a, t);
}

static int
agent_ask(struct agent *a, const struct signing *s)
{
	const uint8_t *key;
	size_t n;
	int r;

	cert_ca_blob(a->ca, &key, &n);
	buf_clear(&a->out);
	buf_clear(&a->in);
	buf_init(&a->out, AGENT_QUESTION_MAX + 4);
	buf_init(&a->in, AGENT_ANSWER_MAX);
	if ((r = agent_put_sign(
		 &a->out, key, n, buf_ptr(&s->body), buf_len(&s->body))) != 0)
		return r;
	a->asked = true;
	watch_set_events(a->watch, POLLIN | POLLOUT);
	agent_deadline(a);
	return 0;
}

/* Asks the first of the queue that can be asked; who cannot is told. */
static void
agent_next(struct agent *a)
{
	struct signing *s;

	while (a->state == AGENT_CONNECTED && !a->asked &&
	       (s = TAILQ_FIRST(&a->queue)) != NULL)
		if (agent_ask(a, s) != 0)
			signing_end(s, NULL, "the signer is out of memory");
}

/* -- the connection -------------------------------------------------------- */

/* Asks posternd for one. */
static void
agent_want(struct agent *a)
{
	struct msg m;
	int r;

	a->state = AGENT_ASKED_FOR;
	a->id = peer_next_id(child_parent());
	msg_init(&m, MSG_AGENT_WANTED);
	m.id = a->id;
	if ((r = buf_put_u8(&m.body, (uint8_t)a->which)) == 0)
		r = peer_send(child_parent(), &m);
	msg_clear(&m);
	if (r != 0)
		log_err(r, "posternd cannot be asked for an ssh-agent");
	agent_deadline(a);
}

static int
agent_connected(struct agent *a, int fd)
{
	struct signing *s;

	a->fd = fd;
	a->state = AGENT_CONNECTED;
	a->born_ms = msg_now_ms();
	a->watch = loop_watch(child_loop(), fd, POLLIN, agent_event, a);
	if (a->watch == NULL ||
	    (s = signing_new(a, agent_probe, sizeof(agent_probe) - 1)) == NULL)
		return ERR_NOMEM;
	s->probe = true;
	TAILQ_INSERT_HEAD(&a->queue, s, link);
	agent_next(a);
	return 0;
}

void
agent_given(struct agent *a, uint32_t id, int fd)
{
	if (a->state != AGENT_ASKED_FOR || id != a->id) {
		if (fd != -1)
			(void)close(fd);
		return;
	}
	timer_free(a->timer);
	a->timer = NULL;
	if (fd == -1 || agent_connected(a, fd) != 0)
		agent_fail(a, AGENT_ABSENT);
}

struct agent *
agent_new(enum ca_which which, const struct cert_ca *ca, void (*changed)(void))
{
	struct agent *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	*a = (struct agent){
		.which = which, .ca = ca, .changed = changed, .fd = -1
	};
	TAILQ_INIT(&a->queue);
	agent_want(a);
	return a;
}

int
agent_sign(struct agent *a, const struct buf *body, signing_cb fn, void *arg,
    struct signing **out, const char **why)
{
	struct signing *s;

	*why = agent_trouble_text(a->trouble);
	if (a->state == AGENT_PAUSES)
		return ERR_DENIED;
	*why = "too many certificates wait for the bastion's ssh-agent";
	if (a->n >= SIGNINGS_MAX)
		return ERR_TOOBIG;
	*why = "the signer is out of memory";
	if ((s = signing_new(a, buf_ptr(body), buf_len(body))) == NULL)
		return ERR_NOMEM;
	s->fn = fn;
	s->arg = arg;
	TAILQ_INSERT_TAIL(&a->queue, s, link);
	*out = s;
	agent_next(a);
	return 0;
}

enum agent_trouble
agent_trouble(const struct agent *a)
{
	return a->trouble;
}
