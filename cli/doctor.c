/*
 * postern doctor: is this bastion set up so that it works, and so that it is
 * safe?  Runs as root, changes nothing, and tells of files who may read them,
 * never what is in them.  Before it speaks to anybody it is no longer root.
 */
#include "config.h"

#include "cli/doctor.h"

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "policy/policy.h"

#define REPORT_MAX (1024 * 1024)
#define TEXT_MAX 512
#define ISSUER_CA_MAX (4 * 1024 * 1024)

static const struct {
	const char *name;
	void (*fn)(struct doctor *d);
	bool network;
} checks[] = {
	{ "settings", doctor_settings, false },
	{ "policy", doctor_policy, false },
	{ "accounts", doctor_accounts, false },
	{ "names", doctor_names, false },
	{ "files", doctor_files, false },
	{ "ca", doctor_ca, false },
	{ "disk", doctor_disk, false },
	{ "unit", doctor_unit, false },
	{ "broker", doctor_broker, false },
	{ "sshd", doctor_sshd, false },
	{ "addresses", doctor_addresses, false },
	{ "issuers", doctor_issuers, true },
	{ "clock", doctor_clock, true },
	{ "targets", doctor_targets, true },
};

static const char *const levels[] = {
	[DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "bad"
};

void
doctor_find(struct doctor *d, enum doctor_level level, const char *where,
    const char *what, const char *fmt, ...)
{
	char fix[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(fix, sizeof(fix), fmt, ap);
	va_end(ap);
	*(level == DOCTOR_BAD ? &d->nbad : &d->nnote) += 1;
	if (d->json) {
		json_open(d->j, '{');
		json_kv_str(d->j, "check", d->check);
		json_kv_str(d->j, "level", levels[level]);
		json_kv_str(d->j, "where", where);
		json_kv_str(d->j, "what", what);
		json_kv_str(d->j, "fix", fix);
		json_close(d->j, '}');
		return;
	}
	(void)printf("%-4s %s: ", levels[level], d->check);
	cli_print_safe(where);
	(void)fputs(": ", stdout);
	cli_print_safe(what);
	(void)fputs("\n     ", stdout);
	cli_print_safe(fix);
	(void)putchar('\n');
}

/* What issuers and targets send is taken apart as nobody in particular: by the
 * account whose way out it is, too. */
static bool
drop_root(struct doctor *d)
{
	const struct passwd *pw = getpwnam("_postern-oidc");

	if (pw != NULL && pw->pw_uid != 0 && setgroups(0, NULL) == 0 &&
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == 0 &&
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == 0)
		return true;
	doctor_find(d, DOCTOR_BAD, "_postern-oidc",
	    "root cannot become this account, so issuers and targets were not "
	    "looked at",
	    "see what is said of accounts");
	return false;
}

static void
doctor_run(struct doctor *d)
{
	bool dropped = false;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (d->offline && checks[i].network)
			continue;
		d->check = checks[i].name;
		if (checks[i].network && !dropped && !drop_root(d))
			return;
		dropped |= checks[i].network;
		checks[i].fn(d);
	}
}

static void
load_policy(struct policy **p)
{
	struct diags *d = diags_new();

	if (d != NULL)
		(void)policy_load_from(NULL, 0, d, p);
	diags_free(d);
}

/* One that is not there is found later. */
static void
load_ca(struct doctor *d)
{
	const struct safeopen_want want = {
		.owner = 0, .forbid = 022, .max = ISSUER_CA_MAX
	};
	const char *why;

	if (d->conf->issuer_ca != NULL)
		(void)safeopen_slurp(
		    AT_FDCWD, d->conf->issuer_ca, &want, &d->issuer_ca, &why);
}

static int
report(struct doctor *d)
{
	struct buf text;
	struct json j;
	int r = 0;

	buf_init(&text, REPORT_MAX);
	json_init(&j, &text);
	json_open(&j, '{');
	json_kv_open(&j, "findings", '[');
	d->j = &j;
	doctor_run(d);
	json_close(&j, ']');
	json_kv_bool(&j, "ok", d->nbad == 0);
	json_close(&j, '}');
	if (d->json && ((r = json_end(&j)) != 0 || buf_cstr(&text) == NULL))
		cli_error("the report is too long: %s", err_text(r));
	else if (d->json)
		(void)puts(buf_cstr(&text));
	else if (d->nbad + d->nnote > 0)
		(void)printf("%zu to mend, %zu to know\n", d->nbad, d->nnote);
	buf_clear(&text);
	return r != 0 || d->nbad > 0 ? CLI_EX_FAILED : 0;
}

int
cli_doctor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "offline", no_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct doctor d = { 0 };
	struct policy *p = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j' && c != 'o')
			return cli_usage();
		*(c == 'j' ? &d.json : &d.offline) = true;
	}
	if (optind != argc)
		return cli_usage();
	if (geteuid() != 0) {
		cli_error("doctor looks at files that are root's alone: become "
			  "root");
		return POSTERN_EX_DENIED;
	}
	buf_init(&d.conf_fault, 256 * 1024);
	d.conf = cli_conf_or_default(&d.conf_fault);
	buf_init(&d.issuer_ca, ISSUER_CA_MAX);
	load_ca(&d);
	load_policy(&p);
	d.policy = p;
	r = report(&d);
	policy_free(p);
	buf_clear(&d.issuer_ca);
	buf_clear(&d.conf_fault);
	return r;
}
