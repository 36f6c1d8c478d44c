/*
 * The state that one posternd leaves to the next.  It comes from root's own
 * memory; it is checked like anything else that is read, because another
 * version may have written it.
 */
#include "config.h"

#include "broker/upgrade_state.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "broker/agent_trouble.h"
#include "broker/agents.h"
#include "broker/children.h"
#include "broker/hops.h"
#include "broker/peer.h"
#include "broker/upgrade.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"

#define STATE_VERSION 3
#define STATE_NO_AGENTS 2 /* ends behind the children */

static int
state_put_child(struct buf *b, struct upgrade_fds *fds, const struct child *c)
{
	int r;

	if ((r = buf_put_cstr(b, c->name)) != 0 ||
	    (r = buf_put_u32(b, (uint32_t)c->pid)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)c->born_ms)) != 0 ||
	    (r = buf_put_u64(b, (uint64_t)c->backoff_ms)) != 0 ||
	    (r = alarm_put(b, &c->deaths)) != 0)
		return r;
	return upgrade_put_fd(b, fds, c->peer == NULL ? -1 : peer_fd(c->peer));
}

static int
state_put_given(struct buf *b, struct upgrade_fds *fds)
{
	uint32_t n = 0;
	int r;

	while (children_given(n) != NULL)
		n++;
	if ((r = buf_put_u32(b, n)) != 0)
		return r;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		const struct given *g = children_given(i);

		if ((r = buf_put_cstr(b, g->name)) == 0)
			r = upgrade_put_fd(b, fds, g->fd);
	}
	return r;
}

/* The name of the child at one end of a link. */
static const char *
link_end(const struct link *l, int side)
{
	return children_get((size_t)l->child[side])->name;
}

static int
state_put_links(struct buf *b, struct upgrade_fds *fds)
{
	uint32_t n = 0;
	int r;

	while (children_link(n) != NULL)
		n++;
	if ((r = buf_put_u32(b, n)) != 0)
		return r;
	for (uint32_t i = 0; i < 2 * n && r == 0; i++) {
		const struct link *l = children_link(i / 2);

		if ((r = buf_put_cstr(b, link_end(l, i % 2))) == 0)
			r = upgrade_put_fd(b, fds, l->held[i % 2]);
	}
	return r;
}

/* What the ledger has not heard yet of ssh-agents. */
static int
state_put_agents(struct buf *b)
{
	int r = buf_put_u32(b, NCA);

	for (uint32_t i = 0; i < NCA && r == 0; i++) {
		if ((r = buf_put_cstr(b, ca_name((enum ca_which)i))) == 0)
			r = alarm_put(b, agents_alarm_of((enum ca_which)i));
	}
	return r;
}

int
upgrade_state_put(struct buf *b, struct upgrade_fds *fds)
{
	int r;

	fds->n = 0;
	if ((r = buf_put_u32(b, STATE_VERSION)) != 0 ||
	    (r = buf_put_u32(b, MSG_VERSION)) != 0 ||
	    (r = buf_put_u64(b, hops_count())) != 0 ||
	    (r = state_put_given(b, fds)) != 0 ||
	    (r = state_put_links(b, fds)) != 0 ||
	    (r = buf_put_u32(b, NCHILD)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD && r == 0; i++)
		r = state_put_child(b, fds, children_get(i));
	return r != 0 ? r : state_put_agents(b);
}

static int
state_get_given(struct buf *b, bool trial)
{
	char name[32];
	uint32_t n;
	int fd, r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	for (; n > 0; n--) {
		if ((r = buf_get_fixed(b, name, sizeof(name))) != 0 ||
		    (r = upgrade_get_fd(b, trial, &fd)) != 0)
			return r;
		children_give(name, fd);
	}
	return 0;
}

static int
state_get_links(struct buf *b, bool trial)
{
	char name[2][32];
	struct link *l;
	uint32_t n;
	int fd[2], r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	for (; n > 0; n--) {
		for (int i = 0; i < 2; i++) {
			if ((r = buf_get_fixed(b, name[i], sizeof(name[i]))) !=
				0 ||
			    (r = upgrade_get_fd(b, trial, &fd[i])) != 0)
				return r;
		}
		for (size_t i = 0; (l = children_link(i)) != NULL; i++) {
			if (strcmp(link_end(l, 0), name[0]) != 0 ||
			    strcmp(link_end(l, 1), name[1]) != 0)
				continue;
			l->held[0] = fd[0];
			l->held[1] = fd[1];
		}
	}
	return 0;
}

static int
state_get_child(struct buf *b, bool trial, bool same)
{
	char name[32];
	uint64_t born, backoff;
	struct alarm deaths;
	uint32_t pid;
	int fd, r;

	if ((r = buf_get_fixed(b, name, sizeof(name))) != 0 ||
	    (r = buf_get_u32(b, &pid)) != 0 ||
	    (r = buf_get_u64(b, &born)) != 0 ||
	    (r = buf_get_u64(b, &backoff)) != 0 ||
	    (r = alarm_get(b, &deaths)) != 0 ||
	    (r = upgrade_get_fd(b, trial, &fd)) != 0)
		return r;
	for (size_t i = 0; i < NCHILD && !trial; i++) {
		struct child *c = children_get(i);

		if (strcmp(c->name, name) != 0)
			continue;
		c->pid = (pid_t)pid;
		c->born_ms = (int64_t)born;
		c->backoff_ms = (int64_t)backoff;
		c->deaths = deaths;
		if (fd != -1 && same)
			children_adopt(c, fd);
		else if (fd != -1)
			(void)close(fd);
		/* It speaks another language, or cannot be spoken to. */
		c->foreign = c->pid > 0 && !same;
		if (c->pid > 0 && c->peer == NULL)
			(void)kill(c->pid, SIGKILL);
	}
	return 0;
}

static int
state_get_agents(struct buf *b, bool trial)
{
	struct alarm a, *mine;
	char name[32];
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	for (; n > 0; n--) {
		if ((r = buf_get_fixed(b, name, sizeof(name))) != 0 ||
		    (r = alarm_get(b, &a)) != 0)
			return r;
		for (size_t i = 0; i < NCA && !trial; i++) {
			if (strcmp(ca_name((enum ca_which)i), name) != 0)
				continue;
			mine = agents_alarm_of((enum ca_which)i);
			a.what = mine->what;
			*mine = a;
		}
	}
	return 0;
}

int
upgrade_state_get(struct buf *b, bool trial)
{
	uint32_t version, messages, n;
	uint64_t hops;
	int r;

	if ((r = buf_get_u32(b, &version)) != 0)
		return r;
	if (version != STATE_VERSION && version != STATE_NO_AGENTS)
		return ERR_FORMAT;
	if ((r = buf_get_u32(b, &messages)) != 0 ||
	    (r = buf_get_u64(b, &hops)) != 0 ||
	    (r = state_get_given(b, trial)) != 0 ||
	    (r = state_get_links(b, trial)) != 0 ||
	    (r = buf_get_u32(b, &n)) != 0)
		return r;
	hops_adopt((size_t)hops);
	for (; n > 0 && r == 0; n--)
		r = state_get_child(b, trial, messages == MSG_VERSION);
	if (r == 0 && version == STATE_VERSION)
		r = state_get_agents(b, trial);
	return r != 0 ? r : buf_end(b);
}
