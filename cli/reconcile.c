/*
 * postern reconcile: what targets' own logs say of logins, held against the
 * ledger.  Runs as whoever may read the files, on the bastion or elsewhere.
 * Logs were written by targets and may hold anything: what is printed of them
 * is escaped.
 */
#include "config.h"

#include "cli/reconcile.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/authlog.h"
#include "audit/reconcile.h"
#include "audit/utc.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

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

/* What a rotated log was put into reads as lines that say nothing. */
static bool
is_packed(FILE *f)
{
	static const struct {
		const char *magic;
		size_t n;
	} packed[] = { { "\x1f\x8b", 2 },
		{ "\xfd"
		  "7zXZ",
		    5 },
		{ "BZh", 3 }, { "\x28\xb5\x2f\xfd", 4 }, { "LPKSHHRH", 8 } };
	char head[8];
	size_t n = fread(head, 1, sizeof(head), f);
	bool is = false;

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
		is |= n >= packed[i].n &&
		      memcmp(head, packed[i].magic, packed[i].n) == 0;
	clearerr(f);
	return fseek(f, -(long)n, SEEK_CUR) == 0 && is;
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
	if (S_ISREG(st.st_mode) && is_packed(f)) {
		cli_error("%s is compressed, or a journal's own file: give "
			  "what zcat, xzcat, zstdcat or `journalctl --file %s "
			  "-o export' makes of it, as a file or by -",
		    path, path);
		if (!in)
			(void)fclose(f);
		return POSTERN_EX_IOERR;
	}
	if (S_ISREG(st.st_mode) && st.st_mtim.tv_sec > 0)
		ref_ms = (uint64_t)st.st_mtim.tv_sec * 1000;
	if ((r = reconcile_log(j->rc, &log)) == 0)
		r = read_entries(j, f, ref_ms, log);
out:
	if (r == ERR_FORMAT)
		cli_error("%s: this journal's export is cut off within an "
			  "entry: copy it again, whole",
		    path);
	else if (r != 0)
		cli_error("%s: %s", path, err_text(r));
	if (f != NULL && !in)
		(void)fclose(f);
	return r == 0 ? 0 : POSTERN_EX_IOERR;
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
take_time(const char *option, uint64_t *ms)
{
	if (utc_since(optarg, utc_now_ms(), ms) == 0)
		return 0;
	cli_error("%s: `%s' is no time: 2026-11-01, 2026-11-01T12:00:00Z, or "
		  "an age, 7d or 24h",
	    option, optarg);
	return cli_usage();
}

static int
take_target(struct job *j)
{
	j->want.target = optarg;
	if (name_valid(optarg))
		return 0;
	cli_error("--target: `%s' is no target's name", optarg);
	return cli_usage();
}

static int
take_option(struct job *j, int c)
{

	switch (c) {
	case 't':
		return take_target(j);
	case 'c':
		return ca_add(j, optarg);
	case 'o':
		return ca_add_other(j, optarg);
	case 'l':
		j->ledger_path = optarg;
		return 0;
	case 'r':
		j->recordings_path = optarg;
		return 0;
	case 's':
		return take_time("--since", &j->want.since_ms);
	case 'u':
		return take_time("--until", &j->want.until_ms);
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

	if ((r = ca_own(j)) != 0 || (r = open_paths(j)) != 0)
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
	if (reconcile_end(j->rc, found_look, found_tell, j, &sum) != 0)
		return cli_no_memory();
	return found_say(j, &sum);
}

int
cli_reconcile(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "ca", required_argument, NULL, 'c' },
		{ "other-ca", required_argument, NULL, 'o' },
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
