/*
 * postern-policy: its siblings, the PAM module, shells, people, and hops.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

#include <openssl/evp.h>

int process_main(void);
#define main process_main
#include "broker/policy.c"
#undef main

#include "broker/proc.h"

#define BETWEEN 4711 /* the process between a monitor and its shell */

enum { CONTROL, AUDIT, SIGNER, OIDC, SESSION, SHELL, CTL, HOP, AUDITOR };

static const struct proc_door doors[] = {
	{ .name = "parent", .kind = DOOR_CONTROL },
	{ .name = "audit", .kind = DOOR_LINK },
	{ .name = "signer", .kind = DOOR_LINK },
	{ .name = "oidc", .kind = DOOR_LINK },
	{ .name = "session", .kind = DOOR_LISTEN, .stranger = true },
	{ .name = "shell", .kind = DOOR_LISTEN, .stranger = true },
	{ .name = "ctl", .kind = DOOR_LISTEN, .stranger = true },
	{ .name = "hop",
	    .kind = DOOR_GIVEN,
	    .stranger = true,
	    .given = MSG_HOP_START },
	{ .name = "auditor", .kind = DOOR_LISTEN, .stranger = true },
};

int __wrap_proc_stat(pid_t pid, struct proc_stat *out);
bool __wrap_proc_alive(int pidfd);
int __wrap_proc_open(pid_t pid, uint64_t start, int *pidfdp);
unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int nkey,
    const unsigned char *d, size_t n, unsigned char *mac, unsigned int *len);

/* Everybody is this process: a shell, and the monitor above it. */
int
__wrap_proc_stat(pid_t pid, struct proc_stat *out)
{
	*out =
	    (struct proc_stat){ .parent = pid == BETWEEN ? getpid() : BETWEEN,
		    .start = 1 };
	return 0;
}

bool
__wrap_proc_alive(int pidfd)
{
	return pidfd >= 0;
}

int
__wrap_proc_open(pid_t pid, uint64_t start, int *pidfdp)
{
	if (pid <= 0 || start == 0)
		return ERR_NOTFOUND;
	*pidfdp = proc_fd(FD_PIDFD);
	return *pidfdp == -1 ? ERR_SYS : 0;
}

/* So that rows can be made up: all zeros. */
unsigned char *
__wrap_HMAC(const EVP_MD *md, const void *key, int nkey, const unsigned char *d,
    size_t n, unsigned char *mac, unsigned int *len)
{
	(void)md;
	(void)key;
	(void)nkey;
	(void)d;
	(void)n;
	memset(mac, 0, 32);
	*len = 32;
	return mac;
}

static bool
prepare(unsigned int turn)
{
	const uint8_t key[32] = { 0 };
	struct buf b;

	if (turn > 1)
		return false;
	if (turn == 1) { /* nothing was kept */
		buf_init(&b, 16);
		if (buf_put_u32(&b, 0) == 0 && buf_put_u8(&b, 0) == 0 &&
		    buf_put_u32(&b, 0) == 0)
			proc_send(AUDIT, MSG_RECALLED, proc_last_id(AUDIT), &b,
			    NULL, 0);
		buf_clear(&b);
		return true;
	}
	proc_name(MSG_LISTEN, "session", proc_listen(SESSION));
	proc_name(MSG_LISTEN, "shell", proc_listen(SHELL));
	proc_name(MSG_LISTEN, "ctl", proc_listen(CTL));
	proc_name(MSG_LISTEN, "audit", proc_listen(AUDITOR));
	proc_name(MSG_FOLDER, "policy", proc_policy());
	proc_name(MSG_FOLDER, "session-key", proc_file(key, sizeof(key)));
	proc_link(AUDIT);
	proc_link(SIGNER);
	proc_link(OIDC);
	proc_go("sessions-max 4\noperations-max 4\n");
	return true;
}

static void
run(void)
{
	exit(process_main());
}

static const struct proc_depth depths[] = {
	{ OIDC, MSG_SESSION_MADE },
	{ SESSION, MSG_SESSION_OPENED },
	{ SESSION, MSG_SESSION_CLOSED },
	{ SHELL, MSG_ANSWER },
	{ SHELL, MSG_ACCEPTED },
	{ SHELL, MSG_SHELL_RECORD },
	{ SHELL, MSG_PROMPT },
	{ SHELL, MSG_WORDS_ARE },
	{ AUDIT, MSG_OP_OPEN },
	{ AUDIT, MSG_OP_STARTED },
	{ AUDIT, MSG_OP_ABORT },
	{ AUDIT, MSG_FORGET },
	{ AUDIT, MSG_AUDIT_QUERY },
	{ CONTROL, MSG_HOP_START },
	{ HOP, MSG_HOP_RUN },
	{ CONTROL, MSG_HOP_STOP },
	{ SIGNER, MSG_GRANT },
	{ SIGNER, MSG_JOB_CERT },
	{ CONTROL, MSG_RELOADED },
	{ CTL, MSG_STATUS_IS },
	{ CTL, MSG_ROWS_END },
	{ CTL, MSG_KILLED },
	{ CTL, MSG_LOCKED },
};
const char *const fuzz_depths[] = { "a session is made", "a session is open",
	"and closed", "a command is answered", "a command is let through",
	"a broker shell is recorded", "a broker shell has a prompt",
	"words of a line are completed", "an operation is opened",
	"it has begun", "it has not", "it is over", "an auditor asks",
	"a hop is wanted", "a hop is told what to run", "a hop is stopped",
	"a certificate is granted", "a job has a certificate",
	"the policy is loaded again", "a person asks for the status",
	"for rows", "ends sessions", "and locks", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run,
	prepare, false, NULL, false, depths,
	sizeof(depths) / sizeof(depths[0]) };
