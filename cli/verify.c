/*
 * postern verify, postern ledger key: is what a bastion keeps complete and
 * unchanged?  Offline, from a state folder or a copy of one, as whoever may
 * read it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/verify.h"
#include "cli/cli.h"
#include "cli/verify_asked.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "lib/ulid.h"

#define FILES_MAX 64 /* of --anchor */
#define JSON_MAX (16 * 1024)

static void
show_progress(void *arg, uint64_t done, uint64_t all)
{
	unsigned int *shown = arg, percent;

	percent = all == 0 ? 100 : (unsigned int)(done * 100 / all);
	if (percent == *shown)
		return;
	*shown = percent;
	(void)fprintf(stderr, "\rverify ... %u%%", percent);
	(void)fflush(stderr);
}

/* The folder, or the bastion's own. */
static int
run(struct verify_ask *ask, const char *folder, struct verify_found *found)
{
	unsigned int shown = 101;
	bool shows = isatty(STDERR_FILENO) == 1, own = folder == NULL;
	struct verify_asked asked = { 0 };
	int r;

	*found = (struct verify_found){ 0 };
	if (folder == NULL)
		folder = cli_conf()->state_folder;
	ask->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ask->dir == -1) {
		(void)snprintf(found->file, sizeof(found->file), "%s", folder);
		(void)snprintf(
		    found->text, sizeof(found->text), "%s", strerror(errno));
		return ERR_SYS;
	}
	if (shows) {
		ask->progress = show_progress;
		ask->arg = &shown;
	}
	if (own &&
	    faccessat(ask->dir, "recordings", R_OK | X_OK, AT_EACCESS) == -1 &&
	    errno == EACCES) {
		ask->sha256 = verify_asked_sha256;
		ask->sha256_arg = &asked;
		asked.id = ask->id;
	}
	r = verify_store(ask, found);
	verify_asked_clear(&asked);
	if (shows && shown <= 100)
		(void)fputs("\r\033[K", stderr);
	(void)close(ask->dir);
	return r;
}

static int
exit_code(const struct verify_found *f)
{
	return f->verdict == VERIFY_OK        ? 0
	       : f->verdict == VERIFY_UNKNOWN ? POSTERN_EX_UNAVAILABLE
					      : CLI_EX_FAILED;
}

static int
print_json(const struct verify_found *f)
{
	struct buf b;
	struct json j;
	int code = exit_code(f);

	buf_init(&b, 8 * sizeof(f->file) + JSON_MAX);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_str(&j, "verdict", verify_name(f->verdict));
	if (f->verdict == VERIFY_OK) {
		json_kv_num(&j, "lines", f->lines);
		json_kv_num(&j, "signed", f->signed_lines);
		json_kv_num(&j, "recordings", f->recordings);
		json_kv_num(&j, "checkpoints", f->given);
		json_kv_str(&j, "key", f->key);
	} else {
		json_kv_str(&j, "file", f->file);
		json_kv_num(&j, "line", f->line);
		json_kv_str(&j, "text", f->text);
	}
	json_close(&j, '}');
	if (json_end(&j) != 0 || buf_cstr(&b) == NULL)
		code = cli_no_memory();
	else
		(void)puts(buf_cstr(&b));
	buf_clear(&b);
	return code;
}

/* Of what could not be looked at nothing is said. */
static void
print_unknown(const struct verify_found *f)
{
	(void)fputs("postern: this cannot be verified:\n  ", stderr);
	cli_print_lines_safe(stderr, f->file);
	(void)fputs("  ", stderr);
	cli_print_lines_safe(stderr, f->text);
	(void)fputs("Nothing is said about it, neither good nor bad. Name the "
		    "state folder of a bastion, or a copy of it, that you may "
		    "read.\n",
	    stderr);
}

/* What is wrong, where, and what it may mean. */
static void
print_wrong(const struct verify_found *f)
{
	if (f->verdict == VERIFY_UNKNOWN) {
		print_unknown(f);
		return;
	}
	(void)fputs("postern: ", stderr);
	cli_print_lines_safe(stderr, verify_name(f->verdict));
	(void)fputs("  ", stderr);
	cli_print_lines_safe(stderr, f->file);
	if (f->line != 0)
		(void)fprintf(
		    stderr, "  line %" PRIu64 " of the ledger\n", f->line);
	(void)fputs("  ", stderr);
	cli_print_lines_safe(stderr, f->text);
	if (f->verdict == VERIFY_RESTORED)
		(void)fprintf(stderr,
		    "All else is well. `postern restore' printed the key; if "
		    "you noted it then, and it is this one, give it with "
		    "--key:\n%s\n",
		    f->key);
	else
		(void)fputs("This is the first thing that is wrong; there may "
			    "be more. Keep this copy as it is, and compare it "
			    "with a backup.\n",
		    stderr);
}

static void
print_well(const struct verify_found *f, const struct verify_ask *ask)
{
	(void)printf("well: %" PRIu64 " lines, %" PRIu64
		     " of them signed, %" PRIu64 " recording%s%s%s\n",
	    f->lines, f->signed_lines, f->recordings,
	    f->recordings == 1 ? "" : "s", ask->id != NULL ? " of " : "",
	    ask->id != NULL ? ask->id : "");
	if (ask->key == NULL)
		(void)printf("key not compared: %s\n", f->key);
	if (f->given == 0)
		(void)puts("no checkpoint from elsewhere: what was rolled back "
			   "as a whole is not seen (--anchor)");
}

/* Why a value of an option is none. */
static int
no_value(int c, const char *value)
{
	if (c == 'i')
		cli_error("`%s' is no id: a session's or an operation's has "
			  "26 letters and digits, and one of them is verified "
			  "at a time (`postern sessions')",
		    value);
	if (c == 'k')
		cli_error("`%s' is no key of a ledger: `postern ledger key' "
			  "prints it, all of the line is the key",
		    value);
	if (c == 'c')
		cli_error("more than %d anchors", FILES_MAX);
	return cli_usage();
}

int
cli_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "session", required_argument, NULL, 'i' },
		{ "operation", required_argument, NULL, 'i' },
		{ "key", required_argument, NULL, 'k' },
		{ "anchor", required_argument, NULL, 'c' },
		{ "checkpoint", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file[FILES_MAX];
	struct verify_ask ask = { .file = file };
	struct verify_found found;
	struct note_key key;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'i' && ask.id == NULL && ulid_valid(optarg))
			ask.id = optarg;
		else if (c == 'k' && note_key_parse(optarg, &key) == 0)
			ask.key = optarg;
		else if (c == 'c' && ask.nfile < FILES_MAX)
			file[ask.nfile++] = optarg;
		else if (c == 'j')
			json = true;
		else
			return no_value(c, optarg);
	}
	if (argc - optind > 1)
		return cli_usage();
	(void)run(&ask, optind < argc ? argv[optind] : NULL, &found);
	if (json)
		return print_json(&found);
	if (found.verdict == VERIFY_OK)
		print_well(&found, &ask);
	else
		print_wrong(&found);
	return exit_code(&found);
}

/* Of a ledger that is whole: a key that signs anything else is nobody's. */
int
cli_ledger_key(int argc, char **argv)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	struct verify_ask ask = { 0 };
	struct verify_found found;

	if (getopt_long(argc, argv, "", none, NULL) != -1 || argc - optind > 1)
		return cli_usage();
	(void)run(&ask, optind < argc ? argv[optind] : NULL, &found);
	/* Whose key it is after a restoration is for who asks to know. */
	if (found.verdict == VERIFY_OK || found.verdict == VERIFY_RESTORED)
		(void)puts(found.key);
	if (found.verdict != VERIFY_OK)
		print_wrong(&found);
	return exit_code(&found);
}
