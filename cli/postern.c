/*
 * postern: the people's tool.  One table of commands; each has a file of its
 * family.  Runs as whoever calls it and reads what that person may read.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define USAGE_COLUMNS 79 /* of a terminal */

/* What a policy is asked about. */
#define ASKED                                                                  \
	"([--] COMMAND... | --read PATH --by WAY | --write PATH --by WAY | "   \
	"--git-read PATH [--ref REF] | --git-write PATH [--ref REF] | "        \
	"--interactive)"

static const struct cli_command commands[] = {
	{ "status", cli_status_show, "[--json | --prometheus [--output FILE]]",
	    "is the broker well, what does it run" },
	{ "reload", cli_reload, "[--json]", "load the policy again" },
	{ "kill", cli_kill, "[--json] SESSION | --identity NAME | --all",
	    "end sessions, and what they run" },
	{ "lock", cli_lock, "[--reason TEXT] [--json]",
	    "let nothing new begin, until `postern unlock'" },
	{ "unlock", cli_unlock, "[--json]", "let operations begin again" },
	{ "doctor", cli_doctor, "[--offline] [--json]",
	    "what is wrong with this bastion, and how to mend it" },
	{ "setup", cli_setup,
	    "--target NAME --address LOGIN@HOST[:PORT] [--hostkey FINGERPRINT] "
	    "--issuer PRESET [--url URL] --audience TEXT --identity NAME "
	    "--claim NAME=VALUE... --run COMMAND...",
	    "the CA keys, a first target and a first policy" },
	{ "ca init", cli_ca_init, "", "make the bastion's CA keys" },
	{ "ca show", cli_ca_show, "[--target NAME | --job]",
	    "the lines that make a target trust this bastion" },
	{ "ca rotate", cli_ca_rotate,
	    "[--job] [--key FILE | --switch | --retire [--offline]]",
	    "another CA key, with both trusted in between" },
	{ "ca krl", cli_ca_krl,
	    "[--operation ID | --session ID | [--job] --serial N]... FILE",
	    "what revokes retired CA keys, and single certificates" },
	{ "policy check", cli_policy_check, "[--json] [FILE...]",
	    "does the policy load, do its tests pass" },
	{ "policy explain", cli_policy_explain,
	    "[--policy PATH] --as IDENTITY "
	    "[--claim NAME=VALUE]... --on TARGET [--pty] [--stdin] "
	    "[--at TIME] [--env NAME=VALUE]... [--json] " ASKED,
	    "what is decided, by which rule, why" },
	{ "policy can", cli_policy_can,
	    "[--policy PATH] --as IDENTITY "
	    "[--claim NAME=VALUE]... [--on TARGET] [--json]",
	    "what an identity may do" },
	{ "policy who-can", cli_policy_who_can,
	    "[--policy PATH] [--claim NAME=VALUE]... [--on TARGET] "
	    "[--pty] [--at TIME] [--env NAME=VALUE]... [--json] " ASKED,
	    "who may do this" },
	{ "policy diff", cli_policy_diff, "[--budget SECONDS] [--json] OLD NEW",
	    "what another policy changes, with examples" },
	{ "policy prove", cli_policy_prove,
	    "[--budget SECONDS] [--json] OLD NEW",
	    "does NEW allow nothing that OLD did not" },
	{ "policy rehearse", cli_policy_rehearse,
	    "[--old PATH] [--ledger FILE] [--since WHEN] [--json] NEW",
	    "what it would decide differently of what was asked" },
	{ "policy fmt", cli_policy_fmt, "[--check] [--json] FILE...",
	    "policy files in their one layout" },
	{ "policy export", cli_policy_export, "[--json] [PATH...]",
	    "the policy as JSON" },
	{ "hold add", cli_hold_add,
	    "(--session ID | --commit C) [--reason TEXT]",
	    "keep these recordings, whatever retention says" },
	{ "hold remove", cli_hold_remove,
	    "(--session ID | --commit C) [--reason TEXT]",
	    "leave them to retention again" },
	{ "hold list", cli_hold_list, "[--json]", "what is held, by whom" },
	{ "reconcile", cli_reconcile,
	    "[--target NAME] [--ca FILE|SHA256:...] "
	    "[--other-ca FILE|SHA256:...] [--ledger FILE] "
	    "[--recordings FOLDER] [--since TIME] [--until TIME] [--json] "
	    "LOG...",
	    "do targets' own logs and the ledger agree" },
	{ "backup", cli_backup, "[--with-keys] (FOLDER | -)",
	    "a copy of ledger and recordings while the bastion runs" },
	{ "restore", cli_restore, "FOLDER",
	    "a new bastion's ledger and recordings, from a backup" },
	{ "token explain", cli_token_explain, "[--policy PATH] [--json] [FILE]",
	    "what a token says, and who its job would be" },
	{ "token lint", cli_token_lint, "[--policy PATH] [--json] [FILE]",
	    "identities by ids instead of names" },
	{ "sessions", cli_sessions,
	    "[--commit C] [--identity I] "
	    "[--target T] [--session ID] [--since TIME] [--before ID] [--limit "
	    "N] "
	    "[--json]",
	    "who was here and ran what" },
	{ "show", cli_show, "[--after ID] [--json] ID",
	    "everything about an operation or a session" },
	{ "replay", cli_replay,
	    "[--raw | --cast [--shell] [--idle SECONDS] | "
	    "[--shell [--line N]] [--speed N] [--idle SECONDS]] ID",
	    "play a recording on this terminal, safely" },
	{ "export", cli_export, "[--manifest] OPERATION [FILE]",
	    "a recording as a file" },
	{ "verify", cli_verify,
	    "[--session ID | --operation ID] [--key KEY] "
	    "[--anchor FILE]... [--json] [FOLDER]",
	    "is all that was kept complete and unchanged" },
	{ "ledger key", cli_ledger_key, "[FOLDER]",
	    "the public key that signs the ledger" },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct cli_command *running;
static struct conf settings;

void
cli_error(const char *fmt, ...)
{
	va_list ap;

	(void)fflush(stdout);
	(void)fputs("postern: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int
cli_no_memory(void)
{
	cli_error("%s", err_text(ERR_NOMEM));
	return CLI_EX_FAILED;
}

/* One line for programs (the completions read it), folded for a terminal. */
static void
usage_one(FILE *f, const struct cli_command *c)
{
	int at = fprintf(f, "usage: postern %s", c->words);
	int room = isatty(fileno(f)) ? USAGE_COLUMNS : INT_MAX;

	for (const char *w = c->synopsis; *w != '\0'; w += *w == ' ') {
		/* What is in brackets stays together. */
		size_t in = *w == '[' ? strcspn(w, "]") : 0;
		int len = (int)(in + strcspn(w + in, " "));
		bool fold = at + 1 + len > room;

		(void)fprintf(f, "%s%.*s", fold ? "\n    " : " ", len, w);
		at = (fold ? 4 : at + 1) + len;
		w += len;
	}
	(void)fputc('\n', f);
}

int
cli_usage(void)
{
	usage_one(stderr, running);
	return POSTERN_EX_USAGE;
}

/* Do c's words begin with these, whole words each?  The completions of shells
 * read what is said here, and so need no list of their own. */
static bool
command_begins(const struct cli_command *c, int n, char **words)
{
	const char *w = c->words;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		if (len == 0 || strncmp(w, words[i], len) != 0 ||
		    (w[len] != ' ' && w[len] != '\0'))
			return false;
		w += len;
		w += *w == ' ';
	}
	return true;
}

/* A line for each whose words begin with these. */
static void
list_commands(FILE *f, int n, char **words)
{
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if (command_begins(&commands[i], n, words))
			(void)fprintf(f, "  %-15s  %s\n", commands[i].words,
			    commands[i].help);
	}
}

static int
usage_all(FILE *f)
{
	(void)fputs("usage: postern COMMAND ...\n\n", f);
	list_commands(f, 0, NULL);
	(void)fputs("\n`postern help COMMAND' has the words of one; each is "
		    "explained in postern(1).\n",
	    f);
	return f == stdout ? 0 : POSTERN_EX_USAGE;
}

/* The command that is written almost like this, or NULL. */
static const char *
nearest_command(int n, char **words)
{
	char two[64] = "";
	struct diag_near one, both;

	if (n > 1)
		(void)snprintf(two, sizeof(two), "%s %s", words[0], words[1]);
	one = diag_near(words[0]);
	both = diag_near(two);
	for (size_t i = 0; i < NCOMMANDS; i++)
		diag_near_try(
		    strchr(commands[i].words, ' ') == NULL ? &one : &both,
		    commands[i].words);
	return both.best != NULL ? both.best : one.best;
}

/* None of ours: those that begin like it, or what may have been meant. */
static int
no_such_command(int n, char **words)
{
	bool family = false;
	const char *near = nearest_command(n, words);

	for (size_t i = 0; i < NCOMMANDS && !family; i++)
		family = command_begins(&commands[i], 1, words);
	if (family && n == 1)
		cli_error("`%s' wants another word:", words[0]);
	else
		cli_error("there is no command `%s%s%s'%s%s%s", words[0],
		    family ? " " : "", family ? words[1] : "",
		    near == NULL ? "" : "; did you mean `",
		    near == NULL ? "" : near, near == NULL ? "" : "'?");
	if (!family && near == NULL)
		return usage_all(stderr);
	if (family)
		list_commands(stderr, 1, words);
	return POSTERN_EX_USAGE;
}

static int
usage_some(int n, char **words)
{
	bool found = false;

	if (n == 0)
		return usage_all(stdout);
	for (size_t i = 0; i < NCOMMANDS; i++) {
		const struct cli_command *c = &commands[i];

		if (!command_begins(c, n, words))
			continue;
		usage_one(stdout, c);
		(void)printf("  %s\n", c->help);
		found = true;
	}
	if (found)
		return 0;
	return no_such_command(n, words);
}

static void
print_safe(FILE *f, const char *s, const char *kept)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s), k;
	uint32_t cp;

	while (n > 0) {
		k = utf8_next(p, n, &cp);
		if (k == 0 || ((utf8_is_control(cp) || utf8_is_hidden(cp)) &&
				  strchr(kept, *p) == NULL)) {
			k = k == 0 ? 1 : k;
			for (size_t i = 0; i < k; i++)
				(void)fprintf(f, "\\x%02x", p[i]);
		} else {
			(void)fwrite(p, 1, k, f);
		}
		p += k;
		n -= k;
	}
}

void
cli_print_safe(const char *s)
{
	print_safe(stdout, s, "");
}

void
cli_print_lines_safe(FILE *f, const char *s)
{
	print_safe(f, s, "\n\t");
	if (*s != '\0' && s[strlen(s) - 1] != '\n')
		(void)fputc('\n', f);
}

bool
cli_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && (no == NULL || *no == '\0');
}

/* Reads the settings; why (empty before) gets what is wrong with them. */
static int
conf_read(struct buf *why)
{
	const struct safeopen_want want = { .owner = 0, .forbid = 022,
		.max = CONF_MAX };
	static const char path[] = POSTERN_SYSCONFDIR "/postern.conf";
	const char *word = "";
	struct diags *d = diags_new();
	struct buf text;
	int r;

	buf_init(&text, CONF_MAX);
	r = safeopen_slurp(AT_FDCWD, path, &want, &text, &word);
	if (r != 0 && !(r == ERR_SYS && errno == ENOENT)) {
		(void)buf_putf(
		    why, "postern: %s %s: %s\n", path, word, err_text(r));
		goto out;
	}
	r = d == NULL ? ERR_NOMEM
		      : conf_parse(path, (const char *)buf_ptr(&text),
			    buf_len(&text), d, &settings);
	if (r != 0 && d != NULL)
		(void)diags_print(d, why);
out:
	diags_free(d);
	buf_clear(&text);
	return r;
}

const struct conf *
cli_conf_or_default(struct buf *why)
{
	struct diags *d;

	if (conf_read(why) == 0)
		return &settings;
	if ((d = diags_new()) == NULL ||
	    conf_parse("", NULL, 0, d, &settings) != 0)
		exit(cli_no_memory());
	diags_free(d);
	return &settings;
}

const struct conf *
cli_conf(void)
{
	struct buf why;
	int r;

	if (settings.run_folder != NULL)
		return &settings;
	buf_init(&why, 256 * 1024);
	if ((r = conf_read(&why)) == 0) {
		buf_clear(&why);
		return &settings;
	}
	if (buf_len(&why) == 0)
		exit(cli_no_memory());
	(void)write_all(STDERR_FILENO, buf_ptr(&why), buf_len(&why));
	exit(r == ERR_DENIED || r == ERR_SYS ? POSTERN_EX_UNAVAILABLE
					     : CLI_EX_FAILED);
}

/* How many of argv's words name this command; 0: another one. */
static int
command_match(const struct cli_command *c, int argc, char **argv)
{
	const char *w = c->words;
	int n = 0;

	while (*w != '\0') {
		size_t len = strcspn(w, " ");

		if (n + 1 >= argc || strlen(argv[n + 1]) != len ||
		    strncmp(argv[n + 1], w, len) != 0)
			return 0;
		n++;
		w += len;
		w += *w == ' ';
	}
	return n;
}

int
main(int argc, char **argv)
{
	int n, r;

	if (argc >= 2 && (strcmp(argv[1], "help") == 0 ||
	    strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return usage_some(argc - 2, argv + 2);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)puts(PACKAGE_STRING);
		return 0;
	}
	for (size_t i = 0; i < NCOMMANDS; i++) {
		if ((n = command_match(&commands[i], argc, argv)) == 0)
			continue;
		if (argc == n + 2 && strcmp(argv[n + 1], "--help") == 0)
			return usage_some(n, argv + 1);
		running = &commands[i];
		r = commands[i].fn(argc - n, argv + n);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			cli_error("cannot write: %s", strerror(errno));
			return r == 0 ? POSTERN_EX_IOERR : r;
		}
		return r;
	}
	return argc < 2 ? usage_all(stderr)
			: no_such_command(argc - 1, argv + 1);
}
