/*
 * Confinement: which system calls a process of ours keeps, and which
 * files.  Called once by each, by a hop twice, when all it works with is open
 * and before it reads a byte of somebody it distrusts.
 */
#ifndef POSTERN_LIB_SANDBOX_H
#define POSTERN_LIB_SANDBOX_H

#include <stdbool.h>

/* given: what the tables call GIVEN_0 and so on; -1 for what is not there. */
enum sandbox_process {
	SANDBOX_REACH,  /* a hop on its way: recording, sidecar, TCP port */
	SANDBOX_HOP,    /* connected: its socket, connection to the shell */
	SANDBOX_SIGNER, /* policy folder */
	SANDBOX_OIDC,   /* nothing */
	SANDBOX_AUDIT,  /* recordings, ledger, store */
	SANDBOX_POLICY, /* policy folder */
	SANDBOX_SHELL,  /* postern-shell, once it has asked: nothing */
};

#define SANDBOX_GIVEN_MAX 3

/*
 * Gives up everything but what the process needs, for good: no new privileges,
 * Landlock where the kernel has it (else it is left out), seccomp.
 * MUST be called while there is one thread.
 *
 * 0, or an error: then the process MUST end, for it is half confined.
 * In a build with sanitizers, which need more than this leaves, it does
 * nothing.
 */
int sandbox_enter(enum sandbox_process who, const int given[SANDBOX_GIVEN_MAX]);

/* For the log: without it files are guarded by seccomp and permissions alone.
 * Before sandbox_enter. */
bool sandbox_has_landlock(void);

#endif
