/*
 * postern-audit: policy, oidc, and askers whose connection policy hands on.
 */
#include "config.h"

#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

#include <stdlib.h>

int process_main(void);
#define main process_main
#include "broker/audit.c"
#undef main

enum { CONTROL, POLICY, OIDC, CLI };

static const struct proc_door doors[] = {
	{ .name = "parent", .kind = DOOR_CONTROL },
	{ .name = "policy", .kind = DOOR_LINK },
	{ .name = "oidc", .kind = DOOR_LINK },
	{ .name = "cli", .kind = DOOR_GIVEN, .stranger = true },
};

static bool
prepare(unsigned int turn)
{
	if (turn > 0)
		return false;
	proc_name(MSG_FOLDER, "recordings", proc_folder());
	proc_name(MSG_FOLDER, "ledger", proc_folder());
	proc_name(MSG_FOLDER, "store", proc_folder());
	proc_link(POLICY);
	proc_link(OIDC);
	proc_go("disk-reserve 1MiB\nanchor-command /bin/x\n"
		"anchor-interval 1s\n");
	return true;
}

/* AUDIT_QUERY, with a connection that we have the other end of. */
static void
act(uint8_t which, const uint8_t *p, size_t n)
{
	(void)which;
	proc_send_end(POLICY, MSG_AUDIT_QUERY, 9, CLI, p, n);
}

static void
run(void)
{
	exit(process_main());
}

static const struct proc_depth depths[] = {
	{ POLICY, MSG_EVENT_DONE },
	{ POLICY, MSG_OP_OPENED },
	{ POLICY, MSG_KEPT },
	{ POLICY, MSG_RECALLED },
	{ OIDC, MSG_RECALLED },
	{ CLI, MSG_ROWS_END },
	{ CONTROL, MSG_ALARM_DONE },
	{ CONTROL, MSG_ANCHOR },
};
const char *const fuzz_depths[] = { "an event is in the ledger",
	"an operation has its recording", "something is kept",
	"what was kept is given back", "and to oidc", "an auditor is answered",
	"an alarm is in the ledger", "a head is to be anchored", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run,
	prepare, true, act, false, depths, sizeof(depths) / sizeof(depths[0]) };
