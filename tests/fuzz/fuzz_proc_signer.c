/*
 * postern-signer: GRANT and JOB_CERT from policy, CERT_REQUEST from whoever has
 * a hop.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

int process_main(void);
#define main process_main
#include "broker/signer.c"
#undef main

enum { CONTROL, POLICY, HOP };

static const struct proc_door doors[] = {
	{ .name = "parent", .kind = DOOR_CONTROL },
	{ .name = "policy", .kind = DOOR_LINK },
	{ .name = "hop", .kind = DOOR_GIVEN, .stranger = true },
};

static bool
prepare(unsigned int turn)
{
	static const char pem[] =
	    "-----BEGIN PRIVATE KEY-----\n"
	    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	    "-----END PRIVATE KEY-----\n";

	if (turn > 0)
		return false;
	proc_name(MSG_FOLDER, "policy", proc_policy());
	proc_name(MSG_FOLDER, "target.pem", proc_file(pem, sizeof(pem) - 1));
	proc_name(MSG_FOLDER, "job.pem", proc_file(pem, sizeof(pem) - 1));
	proc_link(POLICY);
	proc_go("");
	return true;
}

/* GRANT, with a socket that we have the other end of. */
static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	(void)which;
	proc_send_end(POLICY, MSG_GRANT, 0, HOP, p, n);
}

static void
run(void)
{
	exit(process_main());
}

static const struct proc_depth depths[] = {
	{ HOP, MSG_CERT },
	{ POLICY, MSG_JOB_CERT_MADE },
	{ POLICY, MSG_CA_IS },
	{ CONTROL, MSG_RELOADED },
};
const char *const fuzz_depths[] = { "a hop has its certificate",
	"a job has one", "policy knows the key", "the policy is loaded again",
	NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run,
	prepare, false, act, false, depths,
	sizeof(depths) / sizeof(depths[0]) };
