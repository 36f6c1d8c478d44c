/*
 * Connections to the ssh-agents that hold CA keys, in posternd.  An agent
 * answers root and its own user, so root connects; what is said on the
 * connection is the signer's, and no byte of it is read here.  Nothing waits:
 * an agent that takes no connection now is none.
 */
#include "config.h"

#include "broker/agents.h"

#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "broker/agent_trouble.h"
#include "broker/alarm.h"
#include "broker/children.h"
#include "broker/peer.h"
#include "broker/posternd.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/str.h"

static struct {
	struct alarm alarm[NCA];
	int said[NCA]; /* the errno that the log has already; 0: none */
} env = {
	.alarm = { [CA_TARGET] = { .what = "target CA" },
	    [CA_JOB] = { .what = "job CA" } },
};

const char *
agents_path(enum ca_which which)
{
	return which == CA_TARGET ? posternd_conf()->target_ca_agent
				  : posternd_conf()->job_ca_agent;
}

/* An agent of another account has its socket in a folder that this account
 * alone may enter.  Where root has no right over others' files, it comes as the
 * folder's owner; to the agent it is root. */
static int
agent_reach(int fd, const struct sockaddr_un *a)
{
	char folder[sizeof(a->sun_path)];
	struct stat st;
	char *end;
	int err, n = connect(fd, (const struct sockaddr *)a, sizeof(*a));

	if (n == 0 || errno != EACCES)
		return n;
	memcpy(folder, a->sun_path, sizeof(folder));
	if ((end = strrchr(folder, '/')) == NULL || end == folder)
		return -1;
	*end = '\0';
	if (stat(folder, &st) == -1)
		return -1;
	(void)setfsuid(st.st_uid);
	n = connect(fd, (const struct sockaddr *)a, sizeof(*a));
	err = errno;
	(void)setfsuid(geteuid());
	errno = err;
	return n;
}

static int
agent_connect(const char *path, int *out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, r;

	if ((r = str_copy(a.sun_path, sizeof(a.sun_path), path)) != 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return ERR_SYS;
	if (agent_reach(fd, &a) == -1) {
		(void)close(fd);
		return ERR_SYS;
	}
	*out = fd;
	return 0;
}

/* The signer asks again and again: what is wrong is said once, and when it is
 * something else. */
static void
agent_say(enum ca_which which, int r)
{
	int why = r == 0 ? 0 : r == ERR_SYS ? errno : -r;

	if (why == env.said[which])
		return;
	env.said[which] = why;
	if (r == 0)
		log_info("the ssh-agent of the %s CA, %s, can be connected to "
			 "again",
		    ca_name(which), agents_path(which));
	else
		log_err(r, "the ssh-agent of the %s CA, %s", ca_name(which),
		    agents_path(which));
}

int
agents_wanted(struct peer *signer, struct msg *m)
{
	uint8_t which;
	struct msg a;
	int fd = -1, r;

	if ((r = buf_get_u8(&m->body, &which)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (which >= NCA || agents_path(which) == NULL)
		return ERR_PROTO;
	agent_say((enum ca_which)which, agent_connect(agents_path(which), &fd));
	msg_init(&a, MSG_AGENT);
	a.id = m->id;
	if ((r = buf_put_u8(&a.body, which)) == 0 &&
	    (fd == -1 || (r = msg_add_fd(&a, fd)) == 0))
		r = peer_send(signer, &a);
	msg_clear(&a);
	if (fd != -1)
		(void)close(fd);
	return r;
}

int
agents_lost(struct msg *m)
{
	uint8_t which, trouble;
	int r;

	if ((r = buf_get_u8(&m->body, &which)) != 0 ||
	    (r = buf_get_u8(&m->body, &trouble)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (which >= NCA || agents_path(which) == NULL ||
	    trouble == AGENT_WELL || trouble >= NAGENT_TROUBLE)
		return ERR_PROTO;
	alarm_note(&env.alarm[which], trouble);
	children_alarm();
	return 0;
}

void
agents_alarm(struct peer *audit)
{
	int r;

	for (size_t i = 0; i < NCA; i++) {
		if ((r = alarm_tell(&env.alarm[i], "signer", audit)) != 0)
			log_err(r, "an alarm of an ssh-agent");
	}
}

struct alarm *
agents_alarm_of(enum ca_which which)
{
	return &env.alarm[which];
}

void
agents_told(uint32_t id, uint32_t result)
{
	for (size_t i = 0; i < NCA; i++)
		alarm_told(&env.alarm[i], id, result);
}

void
agents_untold(void)
{
	for (size_t i = 0; i < NCA; i++)
		alarm_untold(&env.alarm[i]);
}
