/*
 * postern status: what the broker says of itself, and what its files say of it,
 * for people, as JSON, and as text for Prometheus.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/status.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define METRICS_MAX (64 * 1024)

static json_int_t
num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool
is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* -- what the files say ---------------------------------------------------- */

static void
add_age(json_t *o, const char *key, const char *name)
{
	char path[512];
	struct stat st;
	time_t now = time(NULL);

	(void)snprintf(
	    path, sizeof(path), "%s/%s", cli_conf()->ca_folder, name);
	if (stat(path, &st) == 0 && now >= st.st_mtime)
		(void)json_object_set_new(
		    o, key, json_integer(now - st.st_mtime));
}

static void
add_files(json_t *o)
{
	struct statvfs v;

	add_age(o, "target_ca_age_s", "target.pub");
	add_age(o, "job_ca_age_s", "job.pub");
	cli_status_alarms(o);
	if (statvfs(cli_conf()->state_folder, &v) == 0)
		(void)json_object_set_new(o, "disk_free_bytes",
		    json_integer(
			(json_int_t)v.f_bavail * (json_int_t)v.f_frsize));
	(void)json_object_set_new(o, "disk_reserve_bytes",
	    json_integer((json_int_t)cli_conf()->disk_reserve));
}

/* -- for people ------------------------------------------------------------ */

static void
print_policy(const json_t *o)
{
	const char *policy = json_string_value(json_object_get(o, "policy"));
	const char *load = json_string_value(json_object_get(o, "policy_load"));
	time_t since = (time_t)num(o, "policy_since");
	long long targets = (long long)num(o, "targets");
	long long identities = (long long)num(o, "identities");
	char when[32] = "";
	struct tm tm;

	(void)fputs("policy      ", stdout);
	if (policy == NULL || *policy == '\0') {
		(void)puts("none loads: everything is denied; see `postern "
			   "policy check`");
		return;
	}
	if (gmtime_r(&since, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)printf("%.12s, %lld target%s, %lld identit%s, since %s\n", policy,
	    targets, targets == 1 ? "" : "s", identities,
	    identities == 1 ? "y" : "ies", when);
	if (load != NULL && strcmp(load, "loaded") != 0)
		(void)puts("            the last one was not accepted: see "
			   "`postern reload`, which says why");
}

/* Where the key is, how old it is, and which it is. */
static void
print_ca(const json_t *o, const char *which)
{
	char key[32], name[16];
	const char *where, *fingerprint;

	(void)snprintf(name, sizeof(name), "%s CA", which);
	(void)snprintf(key, sizeof(key), "%s_ca_key", which);
	where = json_string_value(json_object_get(o, key));
	(void)snprintf(key, sizeof(key), "%s_ca", which);
	fingerprint = json_string_value(json_object_get(o, key));
	(void)snprintf(key, sizeof(key), "%s_ca_age_s", which);
	if (where == NULL && json_object_get(o, key) == NULL)
		return;
	(void)printf("%-11s %s", name,
	    where == NULL                 ? "not known"
	    : strcmp(where, "file") == 0  ? "in a file"
	    : strcmp(where, "agent") == 0 ? "in an ssh-agent"
	    : strcmp(where, "none") == 0
		? "NO KEY: nothing is signed; `postern ca init'"
		: "THE SSH-AGENT DOES NOT SIGN; the log says why");
	if (json_object_get(o, key) != NULL)
		(void)printf(", %lld days old", (long long)num(o, key) / 86400);
	if (fingerprint != NULL && *fingerprint != '\0') {
		(void)fputs(", ", stdout);
		cli_print_safe(fingerprint);
	}
	(void)putchar('\n');
}

static void
print_alarms(const json_t *o)
{
	const char *process =
	    json_string_value(json_object_get(o, "alarm_process"));
	const char *reason =
	    json_string_value(json_object_get(o, "alarm_reason"));
	const char *when = json_string_value(json_object_get(o, "alarm_time"));

	if (json_object_get(o, "alarms_day") == NULL)
		return;
	(void)printf("alarms      %lld in the last 24 h\n",
	    (long long)num(o, "alarms_day"));
	if (num(o, "alarms_day") == 0 || when == NULL)
		return;
	(void)fputs("            the last: ", stdout);
	cli_print_safe(when);
	(void)putchar(' ');
	cli_print_safe(process == NULL ? "" : process);
	(void)fputs(": ", stdout);
	cli_print_safe(reason == NULL ? "" : reason);
	(void)putchar('\n');
}

static void
print_text(const json_t *o)
{
	const char *lock = json_string_value(json_object_get(o, "lock_reason"));

	if (is(o, "locked")) {
		(void)fputs("LOCKED      nothing new begins until `postern "
			    "unlock': ",
		    stdout);
		cli_print_safe(
		    lock == NULL || *lock == '\0' ? "(no reason given)" : lock);
		(void)putchar('\n');
	}
	(void)printf("sessions    %lld of %lld\n",
	    (long long)num(o, "sessions"), (long long)num(o, "sessions_max"));
	(void)printf("operations  %lld of %lld\n",
	    (long long)num(o, "operations"),
	    (long long)num(o, "operations_max"));
	print_policy(o);
	(void)printf("audit       %s\n",
	    is(o, "audit") ? "running" : "NOT RUNNING: no operation starts");
	if (num(o, "audit_queue") > 0)
		(void)printf(
		    "            %lld messages wait to be read by it\n",
		    (long long)num(o, "audit_queue"));
	(void)printf("signer      %s\n",
	    is(o, "signer") ? "running" : "NOT RUNNING: no operation starts");
	(void)printf("oidc        %s\n",
	    is(o, "oidc") ? "running" : "NOT RUNNING: no token logs in");
	status_anchor_print(o);
	print_ca(o, "target");
	print_ca(o, "job");
	print_alarms(o);
	(void)printf("disk        %lld MiB free, %lld MiB kept in reserve\n",
	    (long long)num(o, "disk_free_bytes") >> 20,
	    (long long)num(o, "disk_reserve_bytes") >> 20);
}

/* -- for Prometheus -------------------------------------------------------- */

static const struct metric {
	const char *name, *key, *help;
} metrics[] = {
	{ "sessions", "sessions", "Live sessions." },
	{ "sessions_max", "sessions_max", "sessions-max of postern.conf." },
	{ "operations", "operations",
	    "Operations that run or wait for their start." },
	{ "operations_max", "operations_max",
	    "operations-max of postern.conf." },
	{ "targets", "targets", "Targets of the policy in force." },
	{ "identities", "identities", "Identities of the policy in force." },
	{ "policy_loaded_timestamp_seconds", "policy_since",
	    "When the policy in force was loaded; 0: none is." },
	{ "policy_tried_timestamp_seconds", "policy_tried",
	    "When a policy was last tried to be loaded." },
	{ "locked", "locked", "1: an admin has locked the bastion." },
	{ "audit_up", "audit", "1: postern-audit runs." },
	{ "signer_up", "signer", "1: postern-signer runs." },
	{ "oidc_up", "oidc", "1: postern-oidc runs." },
	{ "audit_queue_messages", "audit_queue",
	    "Messages that postern-audit has not read yet." },
	{ "audit_unanswered_messages", "audit_unanswered",
	    "Messages that postern-audit has not answered yet." },
	{ "audit_room_messages", "audit_room",
	    "Messages of new work that are still taken." },
	{ "denial_room_messages", "denial_room",
	    "Denials that are still taken." },
	{ "ledger_lines", "ledger_lines", "Lines of the ledger." },
	{ "ledger_signing", "ledger_signing",
	    "0: the ledger is not signed any more." },
	{ "ledger_signed_lines", "ledger_signed_lines",
	    "Lines of the ledger that are signed." },
	{ "anchor_failing", "anchor_failing",
	    "1: anchor-command does not get through." },
	{ "anchor_age_seconds", "anchor_age_s",
	    "Since anchor-command last got through." },
	{ "anchor_behind_lines", "anchor_behind_lines",
	    "Signed lines since then." },
	{ "target_ca_age_seconds", "target_ca_age_s",
	    "Age of the CA key that targets trust." },
	{ "job_ca_age_seconds", "job_ca_age_s",
	    "Age of the CA key for jobs' certificates." },
	{ "alarms_day", "alarms_day",
	    "Alarms of the last 24 h in the ledger." },
	{ "disk_free_bytes", "disk_free_bytes",
	    "Free space where recordings go." },
	{ "disk_reserve_bytes", "disk_reserve_bytes",
	    "disk-reserve of postern.conf." },
};

static int
put_metric(struct buf *b, const char *name, const char *help, long long value)
{
	return buf_putf(b,
	    "# HELP postern_%s %s\n# TYPE postern_%s gauge\npostern_%s %lld\n",
	    name, help, name, name, value);
}

/* Nothing where it is not known. */
static int
put_signs(struct buf *b, const json_t *o, const char *ca)
{
	char key[32], name[32];
	const char *where;

	(void)snprintf(key, sizeof(key), "%s_key", ca);
	(void)snprintf(name, sizeof(name), "%s_signs", ca);
	where = json_string_value(json_object_get(o, key));
	if (where == NULL)
		return 0;
	return put_metric(b, name, "1: that CA key is there, and signs.",
	    strcmp(where, "file") == 0 || strcmp(where, "agent") == 0);
}

static int
put_metrics(struct buf *b, const json_t *o, bool up)
{
	const char *load = json_string_value(json_object_get(o, "policy_load"));
	const json_t *v;
	int r;

	if ((r = put_metric(b, "up", "1: the broker answers.", up)) != 0)
		return r;
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		v = json_object_get(o, metrics[i].key);
		if (v == NULL)
			continue;
		if ((r = put_metric(b, metrics[i].name, metrics[i].help,
			 json_is_boolean(v) ? json_is_true(v)
					    : json_integer_value(v))) != 0)
			return r;
	}
	if ((r = put_signs(b, o, "target_ca")) != 0 ||
	    (r = put_signs(b, o, "job_ca")) != 0)
		return r;
	if (load == NULL)
		return 0;
	return put_metric(b, "policy_accepted",
	    "1: the last policy that was tried is in force.",
	    strcmp(load, "loaded") == 0);
}

/* Whole, or not at all: the collector may read at any moment. */
static int
write_file(const char *path, const struct buf *b)
{
	char new[512];
	int fd, n, r;

	n = snprintf(new, sizeof(new), "%s.%ld.new", path, (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(new))
		return ERR_TOOBIG;
	fd = open(
	    new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd == -1)
		return ERR_SYS;
	r = write_all(fd, buf_ptr(b), buf_len(b));
	if (r == 0 && (fchmod(fd, 0644) == -1 || fsync(fd) == -1))
		r = ERR_SYS;
	(void)close(fd);
	if (r == 0 && rename(new, path) == -1)
		r = ERR_SYS;
	if (r != 0)
		(void)unlink(new);
	return r;
}

static int
prometheus(const json_t *o, bool up, const char *path)
{
	struct buf b;
	int r;

	buf_init(&b, METRICS_MAX);
	if ((r = put_metrics(&b, o, up)) != 0)
		goto out;
	if (path != NULL)
		r = write_file(path, &b);
	else
		(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stdout);
	if (r != 0)
		cli_error("%s: %s", path,
		    r == ERR_SYS ? strerror(errno) : err_text(r));
out:
	buf_clear(&b);
	return r == 0 ? 0 : POSTERN_EX_IOERR;
}

/* -- the command ----------------------------------------------------------- */

static void
print_json(const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text != NULL)
		(void)puts(text);
	free(text);
}

int
cli_status_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'p' },
		{ "output", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false, prom = false;
	const char *path = NULL;
	char *text = NULL;
	json_t *o = NULL;
	int c, asked, r = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'p':
			prom = true;
			break;
		case 'o':
			path = optarg;
			break;
		default:
			return cli_usage();
		}
	}
	if (optind != argc || (json && prom) || (path != NULL && !prom))
		return cli_usage();
	asked = cli_status(&text);
	if (asked != 0 && !prom)
		return asked;
	o = asked == 0 ? json_loads(text, 0, NULL) : json_object();
	free(text);
	if (o == NULL)
		return cli_ask_failed(ERR_PROTO);
	add_files(o);
	if (asked == 0)
		status_anchor_add(o);
	if (prom)
		r = prometheus(o, asked == 0, path);
	else if (json)
		print_json(o);
	else
		print_text(o);
	json_decref(o);
	return r != 0 ? r : asked;
}
