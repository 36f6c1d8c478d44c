/*
 * postern ca rotate: another CA key, with both trusted in between.  Runs as
 * root, in the folder of the keys alone: the signer reads them when it starts,
 * targets are the admin's.
 *
 *	NAME.pem .pub		signs
 *	NAME.next.pem .pub	will; who trusts NAME is to trust it, too
 *	NAME.old.pem .pub	did; what it signed is still good
 *	retired/NAME-TIME.pub	did; revoked by the KRL
 *
 * Of a key that an ssh-agent holds there is the .pub alone.
 */
#include "config.h"

#include <sys/stat.h>

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
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define NAME_SIZE 64
#define KEY_TEXT_MAX 4096

enum step { STEP_NEXT, STEP_SWITCH, STEP_RETIRE };

static bool
is_there(int dir, const char *name, const char *suffix)
{
	char file[NAME_SIZE];

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	return faccessat(dir, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
move(int dir, const char *name, const char *from, const char *to,
    unsigned int flags)
{
	char a[NAME_SIZE], b[NAME_SIZE];

	(void)snprintf(a, sizeof(a), "%s%s", name, from);
	(void)snprintf(b, sizeof(b), "%s%s", name, to);
	if (renameat2(dir, a, dir, b, flags) == 0)
		return 0;
	cli_error("%s/%s: %s", cli_conf()->ca_folder, a, strerror(errno));
	return ERR_SYS;
}

/* The socket of the agent that holds the key; NULL: a file does. */
static const char *
agent_of(const char *name)
{
	return strcmp(name, "job") == 0 ? cli_conf()->job_ca_agent
					: cli_conf()->target_ca_agent;
}

static const char *
job_option(const char *name)
{
	return strcmp(name, "job") == 0 ? " --job" : "";
}

/* -- the next key ---------------------------------------------------------- */

/* The line of a public key whose private half an agent holds. */
static int
public_line(const char *path, const char *name, struct buf *line)
{
	const struct safeopen_want want = {
		.owner = 0, .forbid = 022, .max = KEY_TEXT_MAX
	};
	char comment[NAME_SIZE];
	const char *why = "";
	struct cert_ca *ca = NULL;
	struct buf text, blob;
	int r;

	buf_init(&text, KEY_TEXT_MAX);
	buf_init(&blob, PUBKEY_BLOB_MAX);
	(void)snprintf(comment, sizeof(comment), "postern-%s-ca", name);
	if ((r = safeopen_slurp(AT_FDCWD, path, &want, &text, &why)) != 0)
		cli_error("%s %s: %s", path, why, err_text(r));
	else if ((r = pubkey_read(
		      buf_ptr(&text), buf_len(&text), &blob, &why)) != 0)
		cli_error("%s: %s", path, why);
	else if ((r = cert_ca_from_public(
		      buf_ptr(&blob), buf_len(&blob), &ca)) != 0)
		cli_error("%s: a CA key of RSA has %d bits at most", path,
		    CERT_CA_RSA_MAX);
	else if ((r = cert_ca_public_line(ca, comment, line)) == 0)
		r = buf_put(line, "\n", 1);
	cert_ca_free(ca);
	buf_clear(&text);
	buf_clear(&blob);
	return r;
}

static int
next_of_agent(int dir, const char *name, const char *path)
{
	char file[NAME_SIZE];
	struct buf line;
	int r;

	buf_init(&line, KEY_TEXT_MAX);
	(void)snprintf(file, sizeof(file), "%s.next.pub", name);
	if ((r = public_line(path, name, &line)) == 0 &&
	    (r = cli_write_new(
		 dir, file, 0644, buf_ptr(&line), buf_len(&line))) != 0)
		cli_error(
		    "%s/%s: %s", cli_conf()->ca_folder, file, err_text(r));
	buf_clear(&line);
	return r;
}

static int
rotate_next(int dir, const char *name, const char *path)
{
	char next[NAME_SIZE];

	if (is_there(dir, name, ".old.pub")) {
		cli_error("the key before is not retired yet: `postern ca "
			  "rotate%s --retire' first",
		    job_option(name));
		return CLI_EX_FAILED;
	}
	if (is_there(dir, name, ".next.pub")) {
		cli_error("there is a next key already; `postern ca rotate%s "
			  "--switch' begins to use it",
		    job_option(name));
		return CLI_EX_FAILED;
	}
	if (path == NULL && agent_of(name) != NULL) {
		cli_error("an ssh-agent holds this key: make the next one "
			  "where that finds it, and name its public half with "
			  "--key FILE");
		return CLI_EX_FAILED;
	}
	(void)snprintf(next, sizeof(next), "%s.next", name);
	if ((path == NULL ? cli_ca_make_pair(dir, next)
			  : next_of_agent(dir, name, path)) != 0)
		return CLI_EX_FAILED;
	(void)printf("Made %s.%s in %s; nothing is signed with it yet.\n", next,
	    path == NULL ? "pem" : "pub", cli_conf()->ca_folder);
	(void)puts(strcmp(name, "target") == 0
		       ? "Next: put both lines of `postern ca show' on every "
			 "target, then\n`postern ca rotate --switch`."
		       : "Next: restart postern-sshd, which then trusts both, "
			 "then\n`postern ca rotate --job --switch`.");
	return 0;
}

/* -- the switch ------------------------------------------------------------ */

/* Is postern.conf of one mind with the next key about who holds it? */
static int
switch_agrees(int dir, const char *name)
{
	bool file = is_there(dir, name, ".next.pem");

	if (!is_there(dir, name, ".next.pub")) {
		cli_error("there is no next key; `postern ca rotate%s' makes "
			  "one",
		    job_option(name));
		return CLI_EX_FAILED;
	}
	if (file == (agent_of(name) == NULL))
		return 0;
	if (file)
		cli_error("the next key is a file's, but %s-ca-agent in "
			  "postern.conf says that an ssh-agent holds it: take "
			  "that line out, then switch",
		    name);
	else
		cli_error("the next key is an ssh-agent's: name its socket in "
			  "postern.conf (%s-ca-agent PATH), then switch",
		    name);
	return CLI_EX_FAILED;
}

/* The key that signs is there at every moment: two files change places. */
static int
switch_keys(int dir, const char *name)
{
	bool old = is_there(dir, name, ".pem");
	bool new = is_there(dir, name, ".next.pem");
	int r = 0;

	if (old && new &&
	    ((r = move(dir, name, ".pem", ".next.pem", RENAME_EXCHANGE)) != 0 ||
		(r = move(dir, name, ".next.pem", ".old.pem",
		     RENAME_NOREPLACE)) != 0))
		return r;
	if (old && !new)
		return move(dir, name, ".pem", ".old.pem", RENAME_NOREPLACE);
	if (!old && new)
		return move(dir, name, ".next.pem", ".pem", RENAME_NOREPLACE);
	return r;
}

static int
rotate_switch(int dir, const char *name)
{
	if (switch_agrees(dir, name) != 0 || switch_keys(dir, name) != 0 ||
	    move(dir, name, ".pub", ".next.pub", RENAME_EXCHANGE) != 0 ||
	    move(dir, name, ".next.pub", ".old.pub", RENAME_NOREPLACE) != 0)
		return CLI_EX_FAILED;
	(void)printf("%s.pub is the new key's; the one before is %s.old.pub.\n"
		     "Next: restart postern, so that the signer takes it.  "
		     "When all is well,\n`postern ca rotate%s --retire`.\n",
	    name, name, job_option(name));
	return 0;
}

/* -- the end of the old one ------------------------------------------------ */

/* Its key is the one that NAME.pub is. */
static int
fingerprint_of(const char *name, char *dst, size_t size)
{
	const struct safeopen_want want = {
		.owner = 0, .forbid = 022, .max = KEY_TEXT_MAX
	};
	char path[512];
	const char *why = "";
	struct buf text, blob;
	int n, r = ERR_TOOBIG;

	buf_init(&text, KEY_TEXT_MAX);
	buf_init(&blob, PUBKEY_BLOB_MAX);
	n = snprintf(
	    path, sizeof(path), "%s/%s.pub", cli_conf()->ca_folder, name);
	if (n > 0 && (size_t)n < sizeof(path) &&
	    (r = safeopen_slurp(AT_FDCWD, path, &want, &text, &why)) == 0 &&
	    (r = pubkey_read(buf_ptr(&text), buf_len(&text), &blob, &why)) == 0)
		r = cert_fingerprint(buf_ptr(&blob), buf_len(&blob), dst, size);
	if (r != 0)
		cli_error("%s %s: %s", path, why, err_text(r));
	buf_clear(&text);
	buf_clear(&blob);
	return r;
}

/* The signer reads keys when it starts.  One that still signs with the old key
 * would sign on with it, revoked or not. */
static int
signer_has_taken(const char *name)
{
	char field[NAME_SIZE], want[64];
	const char *have;
	char *text = NULL;
	json_t *o = NULL;
	int r = CLI_EX_FAILED;

	(void)snprintf(field, sizeof(field), "%s_ca", name);
	if (fingerprint_of(name, want, sizeof(want)) != 0)
		return r;
	if (cli_status(&text) != 0) {
		cli_error("so whether the signer has taken the new key is not "
			  "known: start postern, and retire the old key then; "
			  "or say --offline");
		return r;
	}
	o = json_loads(text, 0, NULL);
	have = json_string_value(json_object_get(o, field));
	if (have != NULL && strcmp(have, want) == 0)
		r = 0;
	else
		cli_error("the signer has not taken the new key: it signs with "
			  "%s, and %s.pub is %s; restart postern, see that "
			  "jobs work, and retire the old key then",
		    have == NULL || *have == '\0' ? "none" : have, name, want);
	free(text);
	json_decref(o);
	return r;
}

static int
rotate_retire(int dir, const char *name, bool offline)
{
	char pem[NAME_SIZE], pub[NAME_SIZE], to[2 * NAME_SIZE], when[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (!is_there(dir, name, ".old.pub")) {
		cli_error("there is no old key to retire");
		return CLI_EX_FAILED;
	}
	if (!offline && signer_has_taken(name) != 0)
		return CLI_EX_FAILED;
	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm) == 0)
		return CLI_EX_FAILED;
	(void)snprintf(pem, sizeof(pem), "%s.old.pem", name);
	(void)snprintf(pub, sizeof(pub), "%s.old.pub", name);
	(void)snprintf(to, sizeof(to), "retired/%s-%s.pub", name, when);
	if ((mkdirat(dir, "retired", 0755) == -1 && errno != EEXIST) ||
	    (unlinkat(dir, pem, 0) == -1 && errno != ENOENT) ||
	    renameat2(dir, pub, dir, to, RENAME_NOREPLACE) == -1) {
		cli_error(
		    "%s/%s: %s", cli_conf()->ca_folder, pub, strerror(errno));
		return CLI_EX_FAILED;
	}
	(void)printf("The old key is gone; %s is what it was.\n", to);
	(void)puts(strcmp(name, "target") == 0
		       ? "Next: take its line from every target, and give them "
			 "`postern ca krl` where\nit may have leaked."
		       : "Next: restart postern-sshd, which then trusts the "
			 "new one alone.");
	return 0;
}

int
cli_ca_rotate(int argc, char **argv)
{
	static const struct option options[] = {
		{ "job", no_argument, NULL, 'j' },
		{ "switch", no_argument, NULL, 's' },
		{ "retire", no_argument, NULL, 'r' },
		{ "key", required_argument, NULL, 'k' },
		{ "offline", no_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	enum step step = STEP_NEXT;
	const char *name = "target", *key = NULL;
	bool offline = false;
	int c, dir, n = 0, r = CLI_EX_FAILED;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			name = "job";
			break;
		case 's':
			step = STEP_SWITCH;
			n++;
			break;
		case 'r':
			step = STEP_RETIRE;
			n++;
			break;
		case 'k':
			key = optarg;
			break;
		case 'o':
			offline = true;
			break;
		default:
			return cli_usage();
		}
	}
	if (optind != argc || n > 1 || (key != NULL && step != STEP_NEXT) ||
	    (offline && step != STEP_RETIRE))
		return cli_usage();
	dir = open(cli_conf()->ca_folder,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir == -1 || !is_there(dir, name, ".pub")) {
		cli_error("%s/%s.pub: %s; `postern ca init' makes it",
		    cli_conf()->ca_folder, name, strerror(errno));
		goto out;
	}
	switch (step) {
	case STEP_NEXT:
		r = rotate_next(dir, name, key);
		break;
	case STEP_SWITCH:
		r = rotate_switch(dir, name);
		break;
	case STEP_RETIRE:
		r = rotate_retire(dir, name, offline);
		break;
	}
out:
	if (dir != -1)
		(void)close(dir);
	return r;
}
