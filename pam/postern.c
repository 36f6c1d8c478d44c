/*
 * pam_postern: the PAM module of postern-sshd, and of nothing else.  Runs in
 * sshd as root, before and around a stranger's session; it distrusts the user
 * name, the answers to its prompts, and the broker's answers.
 *
 * It collects a token, has oidc judge it, and ties the session that oidc and
 * policy made of it to this connection.  It parses nothing.  What oidc refuses
 * it refuses with one text and after one time, whatever the reason; the reason
 * is in the ledger.  What oidc could not be asked has another text, which says
 * as little about the token and the name.
 *
 *	authenticate	in sshd's PAM child (token logins only)
 *	account		there too, or in the monitor (certificate logins)
 *	open, close	in the monitor, whose pidfd policy gets
 *
 * Data of pam_set_data is lost between child and monitor, the environment of
 * pam_putenv is not: so the handle travels there.  By itself it is worth
 * nothing.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include <security/pam_modules.h>

#include <security/pam_ext.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/str.h"
#include "pam/ask.h"
#include "pam/opts.h"
#include "pam/sock.h"
#include "pam/token.h"

#define ENV_HANDLE "POSTERN_SESSION"
#define ENV_AUTH_INFO "SSH_AUTH_INFO_0"
#define REFUSAL                                                                \
	"postern: this token opens no session here; check its audience, "      \
	"issuer and lifetime (the reason is in the bastion's ledger)"
/* Whatever the token is: nobody has looked at it. */
#define UNJUDGED                                                               \
	"postern: this bastion cannot judge tokens just now, so no session "   \
	"was opened; try again in a minute, and tell the bastion's admin if "  \
	"it stays so"
#define UNOPENED                                                               \
	"postern: nothing was run: this connection got no session here; log "  \
	"in again, and tell the bastion's admin if it stays so (the reason "   \
	"is in the bastion's log)"

/* A certificate that sshd has accepted, and policy has not. */
#define UNKNOWN                                                                \
	"postern: nothing was run: this certificate opens no session here; "   \
	"its session is over, or it is for another name or address; get a "    \
	"new one with a token: ssh postern@BASTION login < key.pub (the "      \
	"reason is in the bastion's ledger)"

static int
options(pam_handle_t *ph, int argc, const char **argv, struct opts *o)
{
	const char *bad = "";

	if (opts_parse(argc, argv, o, &bad) == 0)
		return PAM_SUCCESS;
	pam_syslog(ph, LOG_ERR, "bad option: %s", bad);
	return PAM_SERVICE_ERR;
}

static const char *
item_text(pam_handle_t *ph, int item)
{
	const void *p = NULL;

	if (pam_get_item(ph, item, &p) != PAM_SUCCESS || p == NULL)
		return "";
	return p;
}

static struct who
who(pam_handle_t *ph)
{
	return (struct who){ .user = item_text(ph, PAM_USER),
		.source = item_text(ph, PAM_RHOST) };
}

/* The user for a log line.  What is no name may hold anything. */
static const char *
who_log(const struct who *w)
{
	struct user_name un;

	return user_name_parse(w->user, &un) == 0 ? w->user : "(not a name)";
}

static int
handle_put(pam_handle_t *ph, const char *handle)
{
	char text[sizeof(ENV_HANDLE "=") + PROTO_HANDLE_LEN];
	int n = snprintf(text, sizeof(text), ENV_HANDLE "=%s", handle);

	if (n < 0 || (size_t)n >= sizeof(text) ||
	    pam_putenv(ph, text) != PAM_SUCCESS)
		return ERR_NOMEM;
	return 0;
}

/* "" when there is none, as for certificate logins; NULL when there is one
 * that is not ours. */
static const char *
handle_get(pam_handle_t *ph)
{
	const char *s = pam_getenv(ph, ENV_HANDLE);

	if (s == NULL)
		return "";
	return ask_handle_valid(s) ? s : NULL;
}

/* Asks for the parts of a token.  ERR_NOTFOUND: nobody answers. */
static int
converse(pam_handle_t *ph, struct token *t)
{
	bool more = true;
	char *part;
	size_t n;

	while (more) {
		part = NULL;
		if (pam_prompt(ph, PAM_PROMPT_ECHO_OFF, &part, "token part %u:",
			(unsigned int)t->parts + 1) != PAM_SUCCESS ||
		    part == NULL)
			return ERR_NOTFOUND;
		n = strlen(part);
		token_add(t, part, n, &more);
		explicit_bzero(part, n);
		free(part);
	}
	return 0;
}

static void
sleep_until(int64_t ms)
{
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	while (
	    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* One outward answer, at one time after the last part came in. */
static int
refuse(pam_handle_t *ph, const struct who *w, const struct token *t, int r,
    int64_t when)
{
	pam_syslog(ph, LOG_NOTICE, "no session for %s: %s%s%s", who_log(w),
	    err_text(r), t->trouble == NULL ? "" : ": ",
	    t->trouble == NULL ? "" : t->trouble);
	sleep_until(when);
	(void)pam_error(ph, "%s", r == ERR_DENIED ? REFUSAL : UNJUDGED);
	return PAM_AUTH_ERR;
}

int
pam_sm_authenticate(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	char handle[ASK_HANDLE_SIZE] = "";
	struct token t = { 0 };
	struct who w = who(ph);
	struct opts o;
	int64_t begin;
	int pr, r;

	(void)flags;
	if ((pr = options(ph, argc, argv, &o)) != PAM_SUCCESS)
		return pr;
	sock_nodelay();
	r = token_init(&t);
	if (r == 0)
		r = converse(ph, &t);
	begin = msg_now_ms();
	if (r == 0)
		r = ask_login(&o, &w, &t, handle);
	if (r == 0)
		r = handle_put(ph, handle);
	pr = r == 0 ? PAM_SUCCESS : refuse(ph, &w, &t, r, begin + o.floor_ms);
	token_clear(&t);
	return pr;
}

int
pam_sm_setcred(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	(void)ph;
	(void)flags;
	(void)argc;
	(void)argv;
	return PAM_SUCCESS;
}

/* A certificate login has no handle yet and sshd does not show its
 * certificate before open_session, so its absence refuses nobody here. */
int
pam_sm_acct_mgmt(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	struct opts o;
	int pr;

	(void)flags;
	if ((pr = options(ph, argc, argv, &o)) != PAM_SUCCESS)
		return pr;
	sock_nodelay();
	if (handle_get(ph) == NULL) {
		pam_syslog(ph, LOG_ERR, "a foreign " ENV_HANDLE);
		return PAM_PERM_DENIED;
	}
	return PAM_SUCCESS;
}

/* sshd prints what is said here on standard output, for want of another way.
 * There it stands alone: nothing is run, and the client ends with 254. */
int
pam_sm_open_session(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	const char *handle = handle_get(ph);
	const char *info = pam_getenv(ph, ENV_AUTH_INFO);
	char opened[ASK_HANDLE_SIZE];
	struct who w = who(ph);
	struct opts o;
	int pr, r = ERR_FORMAT;

	(void)flags;
	if ((pr = options(ph, argc, argv, &o)) != PAM_SUCCESS)
		return pr;
	if (handle != NULL)
		r = ask_open(&o, &w, handle, info == NULL ? "" : info, opened);
	if (r == 0)
		r = handle_put(ph, opened);
	if (r == 0)
		return PAM_SUCCESS;
	pam_syslog(ph, LOG_NOTICE, "session of %s is not opened: %s",
	    who_log(&w), err_text(r));
	(void)pam_error(ph, "%s",
	    r == ERR_DENIED && handle[0] == '\0' ? UNKNOWN : UNOPENED);
	return PAM_SESSION_ERR;
}

/* policy also watches the monitor's pidfd: when this is not heard, or never
 * called because sshd was killed, the session ends all the same. */
int
pam_sm_close_session(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	const char *handle = handle_get(ph);
	struct opts o;
	int pr, r = ERR_FORMAT;

	(void)flags;
	if ((pr = options(ph, argc, argv, &o)) != PAM_SUCCESS)
		return pr;
	if (handle != NULL)
		r = ask_close(&o, handle);
	if (r == 0)
		return PAM_SUCCESS;
	pam_syslog(ph, LOG_NOTICE, "session is not closed: %s", err_text(r));
	return PAM_SESSION_ERR;
}

/* There is nothing here that could be changed. */
int
pam_sm_chauthtok(pam_handle_t *ph, int flags, int argc, const char **argv)
{
	(void)ph;
	(void)flags;
	(void)argc;
	(void)argv;
	return PAM_PERM_DENIED;
}
