/*
 * postern ca rotate and krl: another CA key, with both trusted in between.
 * Runs as root, in the folder of the keys alone: the signer reads them when it
 * starts, targets are the admin's.
 *
 *	NAME.pem .pub		signs
 *	NAME.next.pem .pub	will; who trusts NAME is to trust it, too
 *	NAME.old.pem .pub	did; what it signed is still good
 *	retired/NAME-TIME.pub	did; revoked by the KRL
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"

#define NAME_SIZE 64
#define RETIRED_MAX 64
#define KRL_MS 20000

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

static int
rotate_next(int dir, const char *name)
{
	char next[NAME_SIZE];

	if (is_there(dir, name, ".old.pem")) {
		cli_error("the key before is not retired yet: `postern ca "
			  "rotate --retire' first");
		return CLI_EX_FAILED;
	}
	if (is_there(dir, name, ".next.pem")) {
		cli_error("there is a next key already; `postern ca rotate "
			  "--switch' begins to use it");
		return CLI_EX_FAILED;
	}
	(void)snprintf(next, sizeof(next), "%s.next", name);
	if (cli_ca_make_pair(dir, next) != 0)
		return CLI_EX_FAILED;
	(void)printf("Made %s.pem in %s; nothing is signed with it yet.\n",
	    next, cli_conf()->ca_folder);
	(void)puts(strcmp(name, "target") == 0
		       ? "Next: put both lines of `postern ca show' on every "
			 "target, then\n`postern ca rotate --switch`."
		       : "Next: restart postern-sshd, which then trusts both, "
			 "then\n`postern ca rotate --job --switch`.");
	return 0;
}

/* The key that signs is there at every moment: the two change places. */
static int
rotate_switch(int dir, const char *name)
{
	if (!is_there(dir, name, ".next.pem")) {
		cli_error("there is no next key; `postern ca rotate' makes "
			  "one");
		return CLI_EX_FAILED;
	}
	if (move(dir, name, ".pem", ".next.pem", RENAME_EXCHANGE) != 0 ||
	    move(dir, name, ".pub", ".next.pub", RENAME_EXCHANGE) != 0 ||
	    move(dir, name, ".next.pem", ".old.pem", RENAME_NOREPLACE) != 0 ||
	    move(dir, name, ".next.pub", ".old.pub", RENAME_NOREPLACE) != 0)
		return CLI_EX_FAILED;
	(void)printf("%s.pem is the new key; the one before is %s.old.pem.\n"
		     "Next: restart postern, so that the signer reads it.  "
		     "When all is well,\n`postern ca rotate%s --retire`.\n",
	    name, name, strcmp(name, "job") == 0 ? " --job" : "");
	return 0;
}

static int
rotate_retire(int dir, const char *name)
{
	char pem[NAME_SIZE], pub[NAME_SIZE], to[2 * NAME_SIZE], when[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (!is_there(dir, name, ".old.pub")) {
		cli_error("there is no old key to retire");
		return CLI_EX_FAILED;
	}
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
		{ NULL, 0, NULL, 0 },
	};
	enum step step = STEP_NEXT;
	const char *name = "target";
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
		default:
			return cli_usage();
		}
	}
	if (optind != argc || n > 1)
		return cli_usage();
	dir = open(cli_conf()->ca_folder,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir == -1 || !is_there(dir, name, ".pem")) {
		cli_error("%s/%s.pem: %s; `postern ca init' makes it",
		    cli_conf()->ca_folder, name, strerror(errno));
		goto out;
	}
	switch (step) {
	case STEP_NEXT:
		r = rotate_next(dir, name);
		break;
	case STEP_SWITCH:
		r = rotate_switch(dir, name);
		break;
	case STEP_RETIRE:
		r = rotate_retire(dir, name);
		break;
	}
out:
	if (dir != -1)
		(void)close(dir);
	return r;
}

/* -- krl ------------------------------------------------------------------- */

struct retired {
	char path[RETIRED_MAX][512];
	size_t n;
};

static int
list_retired(struct retired *t)
{
	char folder[400];
	const struct dirent *e;
	DIR *dir;
	int len, r = 0;

	(void)snprintf(
	    folder, sizeof(folder), "%s/retired", cli_conf()->ca_folder);
	if ((dir = opendir(folder)) == NULL)
		return errno == ENOENT ? 0 : ERR_SYS;
	while ((e = readdir(dir)) != NULL && r == 0) {
		if (strstr(e->d_name, ".pub") == NULL)
			continue;
		if (t->n == RETIRED_MAX) {
			r = ERR_TOOBIG;
			break;
		}
		len = snprintf(t->path[t->n], sizeof(t->path[0]), "%s/%s",
		    folder, e->d_name);
		if (len < 0 || (size_t)len >= sizeof(t->path[0]))
			r = ERR_TOOBIG;
		t->n++;
	}
	(void)closedir(dir);
	return r;
}

/* By the program whose format it is. */
static int
make_krl(const struct retired *t, const char *to)
{
	const char *argv[RETIRED_MAX + 6] = { "ssh-keygen", "-q", "-k", "-f",
		to };
	struct buf out;
	int code = 0, r;

	for (size_t i = 0; i < t->n; i++)
		argv[5 + i] = t->path[i];
	buf_init(&out, 64 * 1024);
	r = spawn_read(argv, SPAWN_BOTH, KRL_MS, &out, &code);
	if (r == 0 && code != 0) {
		cli_print_lines_safe(
		    stderr, buf_cstr(&out) == NULL ? "" : buf_cstr(&out));
		r = ERR_SYS;
	}
	buf_clear(&out);
	return r;
}

int
cli_ca_krl(int argc, char **argv)
{
	static struct retired t; /* too big for a stack */
	char new[512];
	int n, r;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage();
	n = snprintf(new, sizeof(new), "%s.%ld.new", argv[1], (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(new))
		return cli_usage();
	if ((r = list_retired(&t)) == 0 && (r = make_krl(&t, new)) == 0 &&
	    rename(new, argv[1]) == -1)
		r = ERR_SYS;
	if (r != 0) {
		(void)unlink(new);
		cli_error("%s cannot be made: %s", argv[1], err_text(r));
		return CLI_EX_FAILED;
	}
	(void)printf("%s revokes %zu retired CA key%s; on a target: "
		     "RevokedKeys %s\n",
	    argv[1], t.n, t.n == 1 ? "" : "s", argv[1]);
	return 0;
}
