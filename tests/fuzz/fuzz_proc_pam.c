/*
 * pam_postern: what oidc and policy answer.  A login from its first prompt to
 * the session's end, in a PAM that is played.
 */
#include "config.h"

#include "lib/proto.h"
#include "tests/fuzz/depth.h"
#include "tests/fuzz/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <security/pam_modules.h>

#include <security/pam_ext.h>

enum { PAM, SESSION };

static const struct proc_door doors[] = {
	{ .name = "pam", .kind = DOOR_CONNECT, .stranger = true },
	{ .name = "session", .kind = DOOR_CONNECT, .stranger = true },
};

static struct {
	char handle[128];
} env;

int
pam_get_item(const pam_handle_t *ph, int item, const void **p)
{
	(void)ph;
	*p = item == PAM_USER ? "web-1" : "10.0.3.4";
	return PAM_SUCCESS;
}

const char *
pam_getenv(pam_handle_t *ph, const char *name)
{
	(void)ph;
	if (strcmp(name, "POSTERN_SESSION") != 0 || env.handle[0] == '\0')
		return NULL;
	return env.handle;
}

int
pam_putenv(pam_handle_t *ph, const char *text)
{
	(void)ph;
	(void)snprintf(
	    env.handle, sizeof(env.handle), "%s", strchr(text, '=') + 1);
	return PAM_SUCCESS;
}

int
pam_prompt(pam_handle_t *ph, int style, char **answer, const char *fmt, ...)
{
	(void)ph;
	(void)style;
	(void)fmt;
	if (answer != NULL)
		*answer = strdup("e30.e30.c2ln");
	return PAM_SUCCESS;
}

void
pam_syslog(const pam_handle_t *ph, int level, const char *fmt, ...)
{
	(void)ph;
	(void)level;
	(void)fmt;
}

static void
run(void)
{
	/* Of a handle the module knows no more than that it is one. */
	pam_handle_t *ph = (pam_handle_t *)(void *)&env;
	int r;

	if ((r = pam_sm_authenticate(ph, 0, 0, NULL)) == PAM_SUCCESS &&
	    (r = pam_sm_acct_mgmt(ph, 0, 0, NULL)) == PAM_SUCCESS &&
	    (r = pam_sm_open_session(ph, 0, 0, NULL)) == PAM_SUCCESS)
		r = pam_sm_close_session(ph, 0, 0, NULL);
	if (r == PAM_SUCCESS && strlen(env.handle) != 32)
		proc_fail("a login without a handle");
	exit(r == PAM_SUCCESS ? 0 : 1);
}

static const struct proc_depth depths[] = {
	{ SESSION, MSG_SESSION_OPEN },
	{ SESSION, MSG_SESSION_CLOSE },
};
const char *const fuzz_depths[] = { "a session is opened", "and closed", NULL };

const struct proc proc = { doors, sizeof(doors) / sizeof(doors[0]), run, NULL,
	false, NULL, true, depths, sizeof(depths) / sizeof(depths[0]) };
