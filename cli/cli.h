/*
 * What the files of `postern` share.  Each family of subcommands is a file and
 * a row of the table in postern.c.
 */
#ifndef POSTERN_CLI_CLI_H
#define POSTERN_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct buf;
struct conf;
struct msg;

/* Exit codes: 0, 1 (what was checked is not right), and those of
 * lib/proto.h: 64 usage, 69 the broker does not answer, 77 not allowed. */
#define CLI_EX_FAILED 1

typedef int (*cli_fn)(int argc, char **argv);

struct cli_command {
	const char *words;	/* "ca init" */
	cli_fn fn;		/* argv[0] is the last word */
	const char *synopsis;	/* what follows the words */
	const char *help;	/* one line */
};

/* "postern: " and the text on stderr. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The usage line of the running command; returns 64. */
int cli_usage(void);
/* Says that memory ran out; returns CLI_EX_FAILED. */
int cli_no_memory(void);

/* Prints text of somebody else's: control characters, bidi controls and what
 * is not UTF-8 are shown escaped. */
void cli_print_safe(const char *s);
/* The same to f, its line ends and tabs kept, and one at the end. */
void cli_print_lines_safe(FILE *f, const char *s);
/* Standard output is a terminal and NO_COLOR is not set. */
bool cli_colour(void);

/* The bastion's settings (defaults when there is no file); exits on an error. */
const struct conf *cli_conf(void);
/* The same for who goes on with the defaults: why gets what is wrong. */
const struct conf *cli_conf_or_default(struct buf *why);

/* -- questions to the broker (ask.c) -- */

struct cli_param {
	const char *key, *value;
};
/* Called per row with its JSON text; fd is -1 or a descriptor the callback
 * owns.  Non-zero stops and is returned. */
typedef int (*cli_row_fn)(void *arg, const char *json, size_t n, int fd);

/* Sends QUERY, calls fn for each row.  Returns an exit code; says itself what
 * went wrong. */
int cli_query(const char *what, const struct cli_param *param, size_t nparam,
    cli_row_fn fn, void *arg);
/* One question without fields, on a connection of its own; its answer, which
 * the caller clears, within ms.  Returns an exit code and says what went wrong;
 * cli_ask_failed does for whoever cannot read the answer. */
int cli_ask(uint32_t question, uint32_t answer, int64_t ms, struct msg *a);
int cli_ask_failed(int r);
/* The same with a body, which stays the caller's. */
int cli_ask_with(uint32_t question, const struct buf *body, uint32_t answer,
    int64_t ms, struct msg *a);
/* STATUS as JSON text, which the caller frees. */
int cli_status(char **json);

/* Prints the manifest in a sidecar (manifest.c): each file a line, or as JSON.
 * Returns an exit code. */
int cli_manifest_print(int take_fd, bool json);

/* -- a ledger's file (ledger.c) -- */

/* Each event whose kind is known; an enum err other than 0 stops. */
typedef int (*cli_event_fn)(
    void *arg, uint64_t number, uint64_t ms, const struct buf *event);

struct cli_ledger {
	const char *path, *doing; /* doing: what the progress says */
	cli_event_fn fn;
	void *arg;
	uint64_t max;     /* bytes that are looked at, 0: all */
	uint64_t damaged; /* lines that could not be read, and gaps */
	/* its own */
	uint64_t size, line, last_number; /* 0: not known */
	bool shows;                       /* progress */
	unsigned int shown;               /* percent */
};

/* Returns an exit code, and says what went wrong. */
int cli_ledger_read(struct cli_ledger *l);
/* Something about the line at hand is wrong: says so, and counts. */
void cli_ledger_damage(struct cli_ledger *l, const char *what);

/* Makes the CA keys that are not there; *made: which, of these. */
enum { CLI_CA_TARGET = 1 << 0, CLI_CA_JOB = 1 << 1 };
int cli_ca_make(unsigned int *made);
/* One key pair NAME.pem, NAME.pub; says what went wrong. */
int cli_ca_make_pair(int dir, const char *name);
/* What `ca show --target` prints. */
int cli_ca_show_target(const char *target);
/* Writes a file that must not exist yet, whole or not at all. */
int cli_write_new(
    int dir, const char *name, mode_t mode, const void *p, size_t n);
/* How many files of policy a folder has. */
int cli_policy_files(const char *folder, size_t *n);

/* -- the commands -- */
int cli_backup(int argc, char **argv);
int cli_ca_init(int argc, char **argv);
int cli_ca_krl(int argc, char **argv);
int cli_ca_rotate(int argc, char **argv);
int cli_ca_show(int argc, char **argv);
int cli_hold_add(int argc, char **argv);
int cli_hold_list(int argc, char **argv);
int cli_hold_remove(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_setup(int argc, char **argv);
int cli_kill(int argc, char **argv);
int cli_lock(int argc, char **argv);
int cli_unlock(int argc, char **argv);
int cli_ledger_key(int argc, char **argv);
int cli_policy_can(int argc, char **argv);
int cli_policy_check(int argc, char **argv);
int cli_policy_diff(int argc, char **argv);
int cli_policy_explain(int argc, char **argv);
int cli_policy_export(int argc, char **argv);
int cli_policy_fmt(int argc, char **argv);
int cli_policy_prove(int argc, char **argv);
int cli_policy_rehearse(int argc, char **argv);
int cli_policy_who_can(int argc, char **argv);
int cli_reconcile(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_status_show(int argc, char **argv);
int cli_token_explain(int argc, char **argv);
int cli_token_lint(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_sessions(int argc, char **argv);
int cli_show(int argc, char **argv);
int cli_replay(int argc, char **argv);

/* Plays it. */
struct replay_options;
struct splice;
int cli_replay_fd(int fd, struct splice *s, const struct replay_options *o);
/* replay_cast.c */
/* As an asciicast for other players; one of fd and s. */
int cli_replay_cast(int fd, struct splice *s, const struct replay_options *o);
/* replay_shell.c */
/* The recording of an operation; shell: a broker shell's own, as the ledger has
 * it.  Says itself what went wrong. */
int cli_recording(const char *id, int *fdp, bool *shell);
/* Plays a broker shell with its lines' operations as one, or writes that as an
 * asciicast.  take_fd: its own recording, or -1: not fetched yet. */
int cli_replay_shell(
    const char *id, int take_fd, bool cast, const struct replay_options *o);

#endif
