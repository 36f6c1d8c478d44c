/*
 * Rounds of reloading, in posternd.  What a child says of its round is an
 * outcome and a digest, handed on to policy, which asked.
 */
#include "config.h"

#include "broker/reload.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "broker/children.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/posternd.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"

#define RELOAD_MS 60000 /* a child that takes longer is not waited for */

static const int told[] = { SIGNER, POLICY };
#define NTOLD (sizeof(told) / sizeof(told[0]))

static struct {
	bool running;
	bool again;          /* another round was asked for meanwhile */
	uint32_t asked;      /* RELOAD_WANTED's id; 0: a signal */
	uint32_t asked_next; /* of the next round */
	uint32_t round;      /* RELOAD's id: an answer to an old one is late */
	bool waits[NCHILD];
	uint32_t signer_outcome;
	char signer_hash[PROTO_POLICY_HASH_LEN + 1]; /* "": not known */
	struct timer *timer;
} env;

bool
reload_running(void)
{
	return env.running;
}

/* Only policy asks, and a policy that died meanwhile does not hear. */
static void
tell_asker(void)
{
	struct child *c = children_get(POLICY);
	struct msg m;
	int r;

	if (env.asked == 0 || c->peer == NULL)
		return;
	msg_init(&m, MSG_RELOAD_OVER);
	m.id = env.asked;
	if ((r = buf_put_u32(&m.body, env.signer_outcome)) != 0 ||
	    (r = buf_put_cstr(&m.body, env.signer_hash)) != 0 ||
	    (r = peer_send(c->peer, &m)) != 0)
		log_err(r, "postern-policy is not told how the reload went");
	msg_clear(&m);
}

static void round_begin(void);

static void
round_end_if(void)
{
	for (size_t i = 0; i < NCHILD; i++) {
		if (env.waits[i])
			return;
	}
	timer_free(env.timer);
	env.timer = NULL;
	tell_asker();
	env.running = false;
	if (env.again)
		round_begin();
	else
		posternd_settled();
}

static void
round_late(void *arg)
{
	(void)arg;
	env.timer = NULL;
	for (size_t i = 0; i < NCHILD; i++) {
		if (env.waits[i])
			log_err(0,
			    "postern-%s has not said in %d s what it "
			    "makes of the policy",
			    children_get(i)->name, RELOAD_MS / 1000);
		env.waits[i] = false;
	}
	round_end_if();
}

/* The folder is opened anew: it may be another one by now. */
static int
round_tell(struct child *c)
{
	struct msg m;
	int r;

	r = children_send_opened(
	    c, "policy", posternd_conf()->policy_folder, O_DIRECTORY);
	if (r != 0)
		return r;
	msg_init(&m, MSG_RELOAD);
	m.id = env.round;
	if ((r = buf_put_u32(
		 &m.body, c == children_get(POLICY) ? env.asked : 0)) == 0)
		r = peer_send(c->peer, &m);
	msg_clear(&m);
	return r;
}

static void
round_begin(void)
{
	int r;

	env.running = true;
	env.again = false;
	env.asked = env.asked_next;
	env.asked_next = 0;
	env.round++;
	env.signer_hash[0] = '\0';
	env.signer_outcome = 0;
	env.timer = loop_timer(posternd_loop(), RELOAD_MS, round_late, NULL);
	if (env.timer == NULL)
		fatal(ERR_NOMEM, "timer");
	for (size_t i = 0; i < NTOLD; i++) {
		struct child *c = children_get((size_t)told[i]);

		if (c->peer == NULL) /* it reads the folder when it starts */
			continue;
		if ((r = round_tell(c)) == 0)
			env.waits[told[i]] = true;
		else
			log_err(r, "a reload of postern-%s", c->name);
	}
	round_end_if();
}

void
reload_begin(void)
{
	posternd_changing();
	if (env.running)
		env.again = true;
	else
		round_begin();
}

int
reload_wanted(struct msg *m)
{
	int r;

	if ((r = msg_end(m)) != 0)
		return r;
	/* One question at a time; 0 would be a signal. */
	if (m->id == 0 || env.asked_next != 0 ||
	    (env.running && env.asked != 0))
		return ERR_PROTO;
	env.asked_next = m->id;
	reload_begin();
	return 0;
}

int
reload_answered(struct child *c, struct msg *m)
{
	char hash[PROTO_POLICY_HASH_LEN + 1];
	uint32_t outcome;
	int r;

	if ((r = buf_get_u32(&m->body, &outcome)) != 0 ||
	    (r = buf_get_fixed(&m->body, hash, sizeof(hash))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD; i++) {
		if (children_get(i) != c || !env.waits[i] || m->id != env.round)
			continue;
		env.waits[i] = false;
		if (i == SIGNER) {
			env.signer_outcome = outcome;
			memcpy(env.signer_hash, hash, sizeof(hash));
		}
		round_end_if();
		return 0;
	}
	/* Too late: that round is over without it. */
	return m->id <= env.round ? 0 : ERR_PROTO;
}

void
reload_child_gone(struct child *c)
{
	if (!env.running)
		return;
	for (size_t i = 0; i < NCHILD; i++) {
		if (children_get(i) == c)
			env.waits[i] = false;
	}
	/* What it asked, nobody wants to hear any more. */
	if (c == children_get(POLICY))
		env.asked = env.asked_next = 0;
	round_end_if();
}
