/*
 * postern ca krl: what targets are to believe no more, by the program whose
 * format it is.  Runs as root.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"

#define RETIRED_MAX 64
#define KRL_MS 20000

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
