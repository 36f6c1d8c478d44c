/*
 * postern reconcile: what targets' own logs say of logins, held against the
 * ledger.  Runs as whoever may read the files, on the bastion or elsewhere.
 * Logs were written by targets and may hold anything: what is printed of them
 * is escaped.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/authlog.h"
#include "audit/reconcile.h"
#include "audit/record.h"
#include "audit/utc.h"
#include "cli/cli.h"
#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "ssh/cert.h"

#define KEY_FILE_MAX 8192
#define TOLD_MAX 100 /* findings of one kind that are printed for people */
#define JSON_MAX (32 * 1024)

struct job {
	struct reconcile_want want;
	struct cli_ledger ledger;
	const char *ledger_path, *recordings_path;
	char ca[RECONCILE_CAS_MAX][AUTHLOG_KEY_MAX];
	char *paths; /* the two, where they were not named */
	int recordings;
	bool json;
	char *const *log;
	size_t nlog;
	struct reconcile *rc;
	uint64_t unread; /* lines of logs that are too long */
	uint64_t told[RECONCILE_KINDS];
	char why[128];
};

/* -- which CA ------------------------------------------------------------- */

/* The second word of a public key's line: its blob. */
static int
read_key(const char *path, char *dst, size_t size)
{
	struct buf text, blob;
	const char *s;
	int fd, r;

	buf_init(&text, KEY_FILE_MAX);
	buf_init(&blob, KEY_FILE_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	r = fd == -1 ? ERR_SYS : slurp_fd(fd, &text);
	if (fd != -1)
		(void)close(fd);
	if (r == 0 &&
	    ((s = buf_cstr(&text)) == NULL || (s = strchr(s, ' ')) == NULL))
		r = ERR_FORMAT;
	if (r == 0)
		r = b64_decode(B64_STD, s + 1, strcspn(s + 1, " \n"), &blob);
	if (r == 0)
		r = cert_fingerprint(buf_ptr(&blob), buf_len(&blob), dst, size);
	if (r != 0)
		cli_error("%s: %s%s", path, err_text(r),
		    r == ERR_FORMAT ? ": this is no public key" : "");
	buf_clear(&text);
	buf_clear(&blob);
	return r == 0 ? 0 : POSTERN_EX_IOERR;
}

static int
add_ca(struct job *j, const char *text)
{
	char *to = j->ca[j->want.nca];
	int r = 0;

	if (j->want.nca == RECONCILE_CAS_MAX)
		return cli_usage();
	if (strncmp(text, "SHA256:", 7) != 0)
		r = read_key(text, to, AUTHLOG_KEY_MAX);
	else if (str_copy(to, AUTHLOG_KEY_MAX, text) != 0)
		return cli_usage();
	if (r == 0)
		j->want.ca[j->want.nca++] = to;
	return r;
}

/* The bastion's own, where none is named. */
static int
own_ca(struct job *j)
{
	char path[512];
	int n;

	if (j->want.nca > 0)
		return 0;
	n = snprintf(
	    path, sizeof(path), "%s/target.pub", cli_conf()->ca_folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return POSTERN_EX_IOERR;
	return add_ca(j, path);
}

/* -- logs ----------------------------------------------------------------- */

/* A stamp without a zone is of this process's (TZ). */
static void
put_right(struct authlog_entry *e)
{
	time_t t = (time_t)(e->time_ms / 1000);
	struct tm tm;

	if (!e->has_time || !e->local || gmtime_r(&t, &tm) == NULL)
		return;
	tm.tm_isdst = -1;
	if ((t = mktime(&tm)) >= 0)
		e->time_ms = (uint64_t)t * 1000 + e->time_ms % 1000;
}

static int
read_entries(struct job *j, FILE *f, uint64_t ref_ms, size_t log)
{
	struct authlog *a;
	struct authlog_entry e;
	int r;

	if ((r = authlog_new(f, ref_ms, &a)) != 0)
		return r;
	while ((r = authlog_next(a, &e)) != ERR_NOTFOUND) {
		if (r == ERR_TOOBIG) {
			j->unread++;
			continue;
		}
		if (r != 0)
			break;
		put_right(&e);
		if ((r = reconcile_entry(j->rc, log, &e)) != 0)
			break;
	}
	authlog_free(a);
	return r == ERR_NOTFOUND ? 0 : r;
}

static int
read_log(struct job *j, const char *path)
{
	bool in = strcmp(path, "-") == 0;
	FILE *f = in ? stdin : fopen(path, "re");
	uint64_t ref_ms = utc_now_ms();
	struct stat st;
	size_t log;
	int r = ERR_SYS;

	if (f == NULL || fstat(fileno(f), &st) == -1)
		goto out;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		goto out;
	}
	if (S_ISREG(st.st_mode) && st.st_mtim.tv_sec > 0)
		ref_ms = (uint64_t)st.st_mtim.tv_sec * 1000;
	if ((r = reconcile_log(j->rc, &log)) == 0)
		r = read_entries(j, f, ref_ms, log);
out:
	if (r != 0)
		cli_error("%s: %s", path, err_text(r));
	if (f != NULL && !in)
		(void)fclose(f);
	return r == 0 ? 0 : POSTERN_EX_IOERR;
}

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
	[RECONCILE_FOREIGN] = { "a line about a certificate that sshd did not "
				"write",
	    "some process of the target writes lines in sshd's name" },
};

static const char *
look(void *arg, const char *recording)
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

static int
tell(void *arg, const struct reconcile_finding *f)
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
		(void)printf("            %" PRIu64 " by certificates of others"
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
static int
say(const struct job *j, const struct reconcile_sum *s)
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

/* -- the command ---------------------------------------------------------- */

static int
take_event(void *arg, uint64_t number, uint64_t ms, const struct buf *event)
{
	struct job *j = arg;
	int r = reconcile_event(j->rc, number, ms, event);

	if (r != ERR_FORMAT)
		return r;
	cli_ledger_damage(&j->ledger, "this operation has no id or target");
	return 0;
}

static int
take_option(struct job *j, int c)
{
	uint64_t now = utc_now_ms();

	switch (c) {
	case 't':
		j->want.target = optarg;
		return name_valid(optarg) ? 0 : cli_usage();
	case 'c':
		return add_ca(j, optarg);
	case 'l':
		j->ledger_path = optarg;
		return 0;
	case 'r':
		j->recordings_path = optarg;
		return 0;
	case 's':
		return utc_since(optarg, now, &j->want.since_ms) == 0
			   ? 0
			   : cli_usage();
	case 'u':
		return utc_since(optarg, now, &j->want.until_ms) == 0
			   ? 0
			   : cli_usage();
	case 'j':
		j->json = true;
		return 0;
	default:
		return cli_usage();
	}
}

/* What was not named is the bastion's own; but of a ledger that was, the
 * recordings may be anywhere. */
static int
open_paths(struct job *j)
{
	bool named = j->recordings_path != NULL;
	const char *state;
	size_t n;

	if (j->ledger_path == NULL) {
		state = cli_conf()->state_folder;
		n = strlen(state) + 32;
		if ((j->paths = malloc(2 * n)) == NULL)
			return cli_no_memory();
		(void)snprintf(j->paths, n, "%s/ledger/ledger.jsonl", state);
		(void)snprintf(j->paths + n, n, "%s/recordings", state);
		if (!named)
			j->recordings_path = j->paths + n;
		j->ledger_path = j->paths;
	}
	if (j->recordings_path == NULL)
		return 0;
	j->recordings =
	    open(j->recordings_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->recordings != -1 || !named)
		return 0;
	cli_error("%s: %s", j->recordings_path, strerror(errno));
	return POSTERN_EX_IOERR;
}

static int
reconcile(struct job *j)
{
	struct reconcile_sum sum;
	int r;

	if ((r = own_ca(j)) != 0 || (r = open_paths(j)) != 0)
		return r;
	if (reconcile_new(&j->want, &j->rc) != 0)
		return cli_no_memory();
	for (size_t i = 0; i < j->nlog; i++) {
		if ((r = read_log(j, j->log[i])) != 0)
			return r;
	}
	j->ledger.path = j->ledger_path;
	if (reconcile_logs_end(j->rc) != 0)
		return cli_no_memory();
	if (cli_ledger_read(&j->ledger) != 0)
		return POSTERN_EX_IOERR;
	if (reconcile_end(j->rc, look, tell, j, &sum) != 0)
		return cli_no_memory();
	return say(j, &sum);
}

int
cli_reconcile(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "ca", required_argument, NULL, 'c' },
		{ "ledger", required_argument, NULL, 'l' },
		{ "recordings", required_argument, NULL, 'r' },
		{ "since", required_argument, NULL, 's' },
		{ "until", required_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct job j = { .recordings = -1,
		.ledger = { .doing = "reading the ledger",
		    .fn = take_event,
		    .arg = &j } };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((r = take_option(&j, c)) != 0)
			return r;
	}
	if (optind == argc || argc - optind > RECONCILE_LOGS_MAX)
		return cli_usage();
	j.log = argv + optind;
	j.nlog = (size_t)(argc - optind);
	r = reconcile(&j);
	reconcile_free(j.rc);
	if (j.recordings != -1)
		(void)close(j.recordings);
	free(j.paths);
	return r;
}
