/*
 * postern status, sessions, show, replay: what the broker runs and what its
 * records say.  Rows are audit's JSON; what they hold was sent by jobs and
 * targets, so a terminal sees it escaped, and a recording only filtered.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <langinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/replay.h"
#include "cli/cli.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/proto.h"
#include "lib/str.h"

#define IDLE_DEFAULT_MS 2000

/* -- rows ---------------------------------------------------------------------- */

static const char *
member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

/* One value, in one line. */
static void
print_value(const json_t *v)
{
	if (json_is_string(v))
		cli_print_safe(json_string_value(v));
	else if (json_is_integer(v))
		(void)printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		(void)fputs(json_is_true(v) ? "yes" : "no", stdout);
}

static void
print_tied(const json_t *o)
{
	static const char *const tie[] = { "commit", "pull_request", "actor",
		"run" };

	for (size_t i = 0; i < sizeof(tie) / sizeof(tie[0]); i++) {
		const char *s = member(o, tie[i]);

		if (*s == '\0')
			continue;
		(void)printf("  %s ", tie[i]);
		cli_print_safe(s);
	}
}

static void
list_session(const json_t *o)
{
	if (cli_colour())
		(void)fputs("\033[1m", stdout);
	cli_print_safe(member(o, "session"));
	(void)fputs("  ", stdout);
	cli_print_safe(member(o, "opened"));
	(void)fputs("  ", stdout);
	cli_print_safe(member(o, "identity"));
	if (cli_colour())
		(void)fputs("\033[0m", stdout);
	print_tied(o);
	(void)fputs("  from ", stdout);
	cli_print_safe(member(o, "source"));
	(void)putchar('\n');
}

static void
print_outcome(const json_t *o)
{
	const char *state = member(o, "state");
	const json_t *code = json_object_get(o, "exit");
	const json_t *sig = json_object_get(o, "signal");
	bool bad = strcmp(state, "complete") != 0 ||
	    (code != NULL && json_integer_value(code) != 0);

	if (cli_colour())
		(void)fputs(bad ? "\033[31m" : "\033[32m", stdout);
	if (strcmp(state, "complete") == 0 && code != NULL)
		(void)printf("exit %-4" JSON_INTEGER_FORMAT,
		    json_integer_value(code));
	else if (strcmp(state, "complete") == 0 && sig != NULL)
		(void)printf("signal %-2" JSON_INTEGER_FORMAT,
		    json_integer_value(sig));
	else
		(void)printf("%-9.20s", state);
	if (cli_colour())
		(void)fputs("\033[0m", stdout);
}

/* "2/3 && " of a command of a list. */
static void
print_place(const json_t *o)
{
	const char *joined = member(o, "joined");

	if (json_object_get(o, "positions") == NULL)
		return;
	print_value(json_object_get(o, "position"));
	(void)putchar('/');
	print_value(json_object_get(o, "positions"));
	(void)putchar(' ');
	if (*joined != '\0' && strcmp(joined, "newline") != 0) {
		cli_print_safe(joined);
		(void)putchar(' ');
	}
}

static void
list_operation(const json_t *o)
{
	const char *login = member(o, "login");

	(void)fputs("  ", stdout);
	cli_print_safe(member(o, "operation"));
	(void)fputs("  ", stdout);
	print_outcome(o);
	(void)fputs("  ", stdout);
	if (*login != '\0') {
		cli_print_safe(login);
		(void)putchar('@');
	}
	cli_print_safe(member(o, "target"));
	if (strcmp(member(o, "verdict"), "would-deny") == 0)
		(void)fputs("  (would-deny)", stdout);
	(void)fputs("  ", stdout);
	print_place(o);
	if (*member(o, "env") != '\0' &&
	    strcmp(member(o, "verdict"), "deny") != 0) {
		cli_print_safe(member(o, "env"));
		(void)putchar(' ');
	}
	/* what it ran are operations of their own */
	if (strcmp(member(o, "by"), "shell") == 0)
		(void)fputs("(broker shell)", stdout);
	cli_print_safe(member(o, "command"));
	(void)putchar('\n');
}

/* What is missing, and why, before what the ledger calls it. */
static void
show_deleted(const json_t *o)
{
	const char *deleted = member(o, "deleted");

	if (*deleted == '\0')
		return;
	(void)fputs("                  the recording was deleted by retention "
		    "on ",
	    stdout);
	cli_print_safe(deleted);
	(void)puts("; its hash stands");
}

static void
show_row(const json_t *o)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		if (strcmp(key, "kind") == 0)
			continue;
		(void)printf("%-17s ", key);
		print_value(v);
		(void)putchar('\n');
	}
	show_deleted(o);
}

enum row_style { ROW_JSON, ROW_LIST, ROW_SHOW };

struct rows {
	enum row_style style;
	size_t n;
	bool files; /* some operation has a manifest */
	int recording;
	char session[PROTO_ID_LEN + 1]; /* the last row's */
	char after[PROTO_ID_LEN + 1];   /* "": those were all */
};

/* The last row of an answer that has not all: what it ends with. */
static void
row_more(struct rows *rows, const json_t *o)
{
	rows->n--;
	if (str_copy(rows->after, sizeof(rows->after), member(o, "after")) != 0)
		(void)str_copy(rows->after, sizeof(rows->after), "OPERATION");
}

static int
row_print(void *arg, const char *json, size_t n, int fd)
{
	struct rows *rows = arg;
	json_t *o;

	if (fd >= 0) {
		if (rows->recording >= 0)
			(void)close(rows->recording);
		rows->recording = fd;
		return 0;
	}
	rows->n++;
	if (rows->style == ROW_JSON) {
		(void)fwrite(json, 1, n, stdout);
		(void)putchar('\n');
	}
	if ((o = json_loadb(json, n, 0, NULL)) == NULL) {
		cli_error("a row of the answer is not JSON");
		return CLI_EX_FAILED;
	}
	rows->files |= json_object_get(o, "files") != NULL ||
		       json_object_get(o, "refs") != NULL;
	if (strcmp(member(o, "kind"), "more") == 0)
		row_more(rows, o);
	else
		(void)str_copy(
		    rows->session, sizeof(rows->session), member(o, "session"));
	if (rows->style == ROW_JSON || rows->after[0] != '\0') {
		/* as it is */
	} else if (rows->style == ROW_SHOW) {
		if (rows->n > 1)
			(void)putchar('\n');
		show_row(o);
	} else if (strcmp(member(o, "kind"), "session") == 0) {
		list_session(o);
	} else {
		list_operation(o);
	}
	json_decref(o);
	return 0;
}

int
cli_sessions(int argc, char **argv)
{
	/* The long options are the query's keys. */
	static const struct option options[] = {
		{ "commit", required_argument, NULL, 'q' },
		{ "identity", required_argument, NULL, 'q' },
		{ "target", required_argument, NULL, 'q' },
		{ "session", required_argument, NULL, 'q' },
		{ "since", required_argument, NULL, 'q' },
		{ "before", required_argument, NULL, 'q' },
		{ "limit", required_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct rows rows = { .style = ROW_LIST, .recording = -1 };
	struct cli_param param[8];
	size_t n = 0;
	int c, at = 0, r;

	while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
		if (c == 'j') {
			rows.style = ROW_JSON;
		} else if (c == 'q' && n < sizeof(param) / sizeof(param[0])) {
			param[n].key = options[at].name;
			param[n++].value = optarg;
		} else {
			return cli_usage();
		}
	}
	if (optind != argc)
		return cli_usage();
	r = cli_query("sessions", param, n, row_print, &rows);
	if (r == 0 && rows.after[0] != '\0')
		cli_error("this is not all: an answer has %zu rows at most; "
			  "`postern show --after %s %s` has the rest of the "
			  "last session, the same with `--before %s` the "
			  "sessions before it",
		    rows.n, log_safe(rows.after), log_safe(rows.session),
		    log_safe(rows.session));
	if (r == 0 && rows.n == 0 && rows.style == ROW_LIST)
		cli_error("no session is recorded that fits");
	return r;
}

static int
take_show(int argc, char **argv, struct rows *rows, struct cli_param *after)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "after", required_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			rows->style = ROW_JSON;
		else if (c == 'a')
			after->value = optarg;
		else
			return cli_usage();
	}
	return optind + 1 != argc ? cli_usage() : 0;
}

int
cli_show(int argc, char **argv)
{
	struct rows rows = { .style = ROW_SHOW, .recording = -1 };
	struct cli_param param[] = { { "id", NULL }, { "after", NULL } };
	int r;

	if ((r = take_show(argc, argv, &rows, &param[1])) != 0)
		return r;
	param[0].value = argv[optind];
	r = cli_query(
	    "show", param, param[1].value == NULL ? 1 : 2, row_print, &rows);
	if (r == 0 && rows.after[0] != '\0')
		cli_error("this is not all: an answer has %zu rows at most; "
			  "what follows: `postern show --after %s %s`",
		    rows.n, log_safe(rows.after), param[0].value);
	if (r != 0 || !rows.files || rows.n != 1)
		return r; /* of a session's operations each is shown alone */
	r = cli_query("manifest", param, 1, row_print, &rows);
	return r != 0 || rows.recording == -1
		   ? r
		   : cli_manifest_print(rows.recording, rows.style == ROW_JSON);
}

/* -- replay ---------------------------------------------------------------------- */

static volatile sig_atomic_t replay_stop;

static void
replay_signal(int sig)
{
	(void)sig;
	replay_stop = 1;
}

/* "1", "2.5": thousandths, up to 1000. */
static int
parse_milli(const char *s, uint64_t *n)
{
	char whole[8], part[4] = "000";
	const char *dot = strchr(s, '.');
	size_t len = dot == NULL ? strlen(s) : (size_t)(dot - s);
	uint64_t a, b = 0;

	if (len == 0 || len >= sizeof(whole))
		return ERR_FORMAT;
	memcpy(whole, s, len);
	whole[len] = '\0';
	if (num_parse(whole, 0, 100000, &a) != 0)
		return ERR_FORMAT;
	if (dot != NULL) {
		for (size_t i = 0; dot[1 + i] != '\0'; i++) {
			if (i == 3 || dot[1 + i] < '0' || dot[1 + i] > '9')
				return ERR_FORMAT;
			part[i] = dot[1 + i];
		}
		b = (uint64_t)(part[0] - '0') * 100 +
		    (uint64_t)(part[1] - '0') * 10 + (uint64_t)(part[2] - '0');
	}
	*n = a * 1000 + b;
	return 0;
}

int
cli_replay_fd(int fd, struct splice *s, const struct replay_options *o)
{
	struct sigaction sa = { .sa_handler = replay_signal };
	int r;

	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)fflush(stdout);
	r = s != NULL ? replay_play_splice(s, STDOUT_FILENO, o)
		      : replay_play(fd, STDOUT_FILENO, o);
	if (r == 0)
		return 0;
	cli_error("the recording cannot be played: %s", err_text(r));
	return CLI_EX_FAILED;
}

/* Into a file or a program, never to a terminal. */
static int
replay_copy_fd(int fd)
{
	struct replay_bytes found;
	int r;

	(void)fflush(stdout);
	if ((r = replay_bytes(fd, STDOUT_FILENO, &found)) != 0) {
		cli_error("the recording cannot be copied: %s", err_text(r));
		return CLI_EX_FAILED;
	}
	if (found.left_out)
		cli_error("the recording does not hold all that was shown: "
			  "its markers (postern replay) say what was left out");
	if (found.damaged > 0)
		cli_error("%" PRIu64 " lines of the recording are damaged: "
			  "their bytes are not as they were shown",
		    found.damaged);
	if (found.cut)
		cli_error("the recording ends in the middle of a line");
	return found.damaged > 0 || found.cut ? CLI_EX_FAILED : 0;
}

struct replay_ask {
	bool raw, shell, cast;
};

/* The options of replay; where the id stands is in optind. */
static int
take_replay(
    int argc, char **argv, struct replay_options *o, struct replay_ask *ask)
{
	static const struct option options[] = {
		{ "speed", required_argument, NULL, 's' },
		{ "idle", required_argument, NULL, 'i' },
		{ "raw", no_argument, NULL, 'r' },
		{ "cast", no_argument, NULL, 'c' },
		{ "shell", no_argument, NULL, 'S' },
		{ "line", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r' || c == 'S' || c == 'c') {
			*(c == 'r'     ? &ask->raw
			    : c == 'S' ? &ask->shell
				       : &ask->cast) = true;
			continue;
		}
		if (c == 'l') {
			if (num_parse(optarg, 1, UINT32_MAX, &o->line) != 0)
				return cli_usage();
			continue;
		}
		if ((c != 's' && c != 'i') || parse_milli(optarg, &n) != 0)
			return cli_usage();
		if (c == 's')
			o->speed_milli = (uint32_t)n;
		else
			o->idle_ms = n;
	}
	if (optind + 1 != argc || (ask->raw && (ask->shell || ask->cast)) ||
	    (o->line != 0 && (!ask->shell || ask->cast)))
		return cli_usage();
	o->terminal = isatty(STDOUT_FILENO) == 1;
	if ((!ask->raw && !ask->cast) || !o->terminal)
		return 0;
	cli_error("what a target sent could drive this terminal: send --%s "
		  "to a file or a program",
	    ask->raw ? "raw" : "cast");
	return POSTERN_EX_USAGE;
}

static int
replay_recording(const char *id, const struct replay_ask *ask,
    const struct replay_options *o)
{
	bool shell;
	int fd, r;

	if ((r = cli_recording(id, &fd, &shell)) != 0)
		return r;
	if (!ask->raw && shell)
		return cli_replay_shell(id, fd, ask->cast, o);
	if (ask->raw)
		r = replay_copy_fd(fd);
	else if (ask->cast)
		r = cli_replay_cast(fd, NULL, o);
	else
		r = cli_replay_fd(fd, NULL, o);
	(void)close(fd);
	return r;
}

int
cli_replay(int argc, char **argv)
{
	struct replay_options o = { .speed_milli = 1000,
		.idle_ms = IDLE_DEFAULT_MS,
		.stop = &replay_stop };
	struct replay_ask ask = { 0 };
	int r;

	if ((r = take_replay(argc, argv, &o, &ask)) != 0)
		return r;
	(void)setlocale(LC_CTYPE, "");
	o.ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	return ask.shell ? cli_replay_shell(argv[optind], -1, ask.cast, &o)
			 : replay_recording(argv[optind], &ask, &o);
}
