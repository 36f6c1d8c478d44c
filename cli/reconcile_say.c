/*
 * postern reconcile: what was found, for people and as JSON, and the sum of it.
 * What comes from a target's log is escaped.
 */
#include "config.h"

#include "cli/reconcile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/reconcile.h"
#include "audit/record.h"
#include "audit/utc.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/json.h"

#define TOLD_MAX 100 /* findings of one kind that are printed for people */
#define JSON_MAX (32 * 1024)

/* -- findings ------------------------------------------------------------- */

static const struct {
	const char *text;
	const char *means; /* what to make of it */
} words[RECONCILE_KINDS] = {
	[RECONCILE_UNKNOWN] = { "a certificate that the ledger does not know",
	    "somebody else can sign with the bastion's CA key, or the ledger "
	    "is not whole" },
	[RECONCILE_DIFFERS] = { "a certificate whose serial the ledger gave to "
				"another login or key id",
	    "somebody else can sign with the bastion's CA key" },
	[RECONCILE_ELSEWHERE] = { "a certificate for an operation on another "
				  "target",
	    "does this target check principals? `postern ca show --target`" },
	[RECONCILE_TWICE] = { "a certificate that was accepted before",
	    "somebody has the key of its hop" },
	[RECONCILE_TIME] = { "a certificate outside the time of its operation",
	    "one of the two clocks is wrong, or TZ is not the target's" },
	[RECONCILE_NOT_RUN] = { "a certificate of an operation that never "
				"began",
	    "somebody has the key of its hop" },
	[RECONCILE_UNRECORDED] = { "its operation has no recording", NULL },
	[RECONCILE_MISSING] = { "reached the target, and its log has no login",
	    "lines were taken out of the log, or a file of it is not among "
	    "those named" },
	[RECONCILE_UNREADABLE] = { "a certificate's line that cannot be read",
	    "its serial or its CA is cut off, or it is of a form that is not "
	    "known" },
	[RECONCILE_OTHER_CA] = { "a certificate by a CA that was not named",
	    "if it belongs there, name it with --other-ca; who has the "
	    "bastion's CA key can make a line look so" },
	[RECONCILE_FOREIGN] = { "a line about a certificate that sshd did not "
				"write",
	    "some process of the target writes lines in sshd's name" },
};

const char *
found_look(void *arg, const char *recording)
{
	struct job *j = arg;

	if (j->recordings == -1 || !record_path_valid(recording))
		return j->recordings == -1 ? "" : "its name is none";
	if (faccessat(j->recordings, recording, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return "";
	(void)snprintf(j->why, sizeof(j->why), "%s", strerror(errno));
	return j->why;
}

static void
print_field(const char *before, const char *text)
{
	if (*text == '\0')
		return;
	(void)fputs(before, stdout);
	cli_print_safe(text);
}

static void
print_finding(const struct job *j, const struct reconcile_finding *f)
{
	char utc[UTC_LEN + 1] = "";

	if (f->log < j->nlog) {
		cli_print_safe(j->log[f->log]);
		(void)printf(":%" PRIu64, f->line);
	} else {
		(void)printf("ledger line %" PRIu64, f->number);
	}
	if (f->log_ms != 0 || f->decided_ms != 0)
		utc_format(f->log_ms != 0 ? f->log_ms : f->decided_ms, utc);
	print_field(": ", utc);
	(void)printf(": %s\n   ", words[f->kind].text);
	print_field(" login ", f->login);
	print_field(" from ", f->address);
	if (f->serial != 0)
		(void)printf(" serial %" PRIu64, f->serial);
	print_field(" operation ", f->operation);
	print_field(" target ", f->target);
	print_field("\n    key id ", f->key_id);
	print_field("\n    recording ", f->recording);
	(void)putchar('\n');
}

static int
print_json(const struct job *j, const struct reconcile_finding *f)
{
	const struct {
		const char *name, *text;
	} texts[] = { { "login", f->login }, { "address", f->address },
		{ "key_id", f->key_id }, { "operation", f->operation },
		{ "target", f->target }, { "recording", f->recording } };
	char utc[UTC_LEN + 1], serial[24];
	struct buf b;
	struct json o;
	int r;

	buf_init(&b, JSON_MAX);
	json_init(&o, &b);
	json_open(&o, '{');
	json_kv_str(&o, "finding", reconcile_name(f->kind));
	if (f->log < j->nlog) {
		json_kv_str(&o, "log", j->log[f->log]);
		json_kv_num(&o, "line", f->line);
	}
	if (f->log_ms != 0) {
		utc_format(f->log_ms, utc);
		json_kv_str(&o, "time", utc);
	}
	(void)snprintf(serial, sizeof(serial), "%" PRIu64, f->serial);
	if (f->serial != 0) /* as a text: it may be beyond 2^53 */
		json_kv_str(&o, "serial", serial);
	if (f->number != 0) {
		utc_format(f->decided_ms, utc);
		json_kv_num(&o, "number", f->number);
		json_kv_str(&o, "decided", utc);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (*texts[i].text != '\0')
			json_kv_str(&o, texts[i].name, texts[i].text);
	}
	json_close(&o, '}');
	if ((r = json_end(&o)) == 0)
		(void)printf("%s\n", buf_cstr(&b));
	buf_clear(&b);
	return r;
}

int
found_tell(void *arg, const struct reconcile_finding *f)
{
	struct job *j = arg;

	if (j->json)
		return print_json(j, f);
	if (j->told[f->kind]++ < TOLD_MAX)
		print_finding(j, f);
	return 0;
}

/* -- the sum -------------------------------------------------------------- */

static uint64_t
found_all(const struct reconcile_sum *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < RECONCILE_KINDS; i++)
		n += s->found[i];
	return n;
}

static int
sum_json(const struct job *j, const struct reconcile_sum *s)
{
	struct json o;
	struct buf b;
	int r;

	buf_init(&b, JSON_MAX);
	json_init(&o, &b);
	json_open(&o, '{');
	json_kv_bool(&o, "sum", true);
	json_kv_num(&o, "logins", s->logins);
	json_kv_num(&o, "matched", s->matched);
	json_kv_num(&o, "again", s->again);
	json_kv_num(&o, "other_ca", s->other_ca);
	json_kv_num(&o, "other_login", s->other_login);
	json_kv_num(&o, "operations", s->operations);
	json_kv_num(&o, "maybe", s->maybe);
	json_kv_num(&o, "outside", s->outside);
	json_kv_num(&o, "unread_lines", j->unread);
	json_kv_num(&o, "damaged", j->ledger.damaged);
	json_kv_num(&o, "findings", found_all(s));
	json_kv_bool(&o, "recordings_looked_at", j->recordings != -1);
	json_close(&o, '}');
	if ((r = json_end(&o)) == 0)
		(void)printf("%s\n", buf_cstr(&b));
	buf_clear(&b);
	return r;
}

static void
sum_print(const struct job *j, const struct reconcile_sum *s)
{
	(void)printf("logins      %" PRIu64
		     " by certificates of this CA, %" PRIu64
		     " agree with the ledger\n",
	    s->logins, s->matched);
	if (s->again > 0)
		(void)printf("            %" PRIu64
			     " of the lines stand in two logs\n",
		    s->again);
	if (s->other_ca + s->other_login > 0)
		(void)printf("            %" PRIu64
			     " by the other CAs' certificates"
			     ", %" PRIu64 " by other means: not Postern's\n",
		    s->other_ca, s->other_login);
	(void)printf(
	    "operations  %" PRIu64 " within the logs' time\n", s->operations);
	if (s->maybe > 0)
		(void)printf("            %" PRIu64 " of them may not have "
			     "reached the target, and are not in its log\n",
		    s->maybe);
	if (s->outside > 0)
		(void)printf("            %" PRIu64 " beyond it: nothing is "
			     "said of them (--since, --until)\n",
		    s->outside);
	if (j->recordings == -1)
		(void)puts("recordings  not looked at (--recordings)");
	if (j->unread > 0)
		(void)printf("logs        %" PRIu64
			     " lines are too long and were not read\n",
		    j->unread);
	for (size_t i = 0; i < RECONCILE_KINDS; i++) {
		if (s->found[i] == 0)
			continue;
		(void)printf("%-11s %" PRIu64 ": %s\n",
		    reconcile_name((enum reconcile_kind)i), s->found[i],
		    words[i].text);
		if (words[i].means != NULL)
			(void)printf("            %s\n", words[i].means);
	}
}

/* An exit code. */
int
found_say(const struct job *j, const struct reconcile_sum *s)
{
	bool nothing = s->logins == 0 && s->operations == 0;

	if (j->json) {
		if (sum_json(j, s) != 0)
			return cli_no_memory();
	} else {
		sum_print(j, s);
	}
	if (nothing)
		cli_error("nothing was compared: the logs have no login by a "
			  "certificate of this CA (--ca), and no operation is "
			  "within their time (--target, --since, --until)");
	if (nothing || found_all(s) > 0 || j->ledger.damaged > 0 ||
	    j->unread > 0)
		return CLI_EX_FAILED;
	if (!j->json)
		(void)puts("logs and ledger agree");
	return 0;
}
