/*
 * postern ca: the bastion's CA keys.  Runs as root; the keys are written once
 * and never shown.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/secret.h"
#include "policy/policy.h"
#include "ssh/cert.h"

#define PUBLIC_LINE_MAX 2048 /* RSA of 4096 bits, in base64 */

int
cli_write_new(int dir, const char *name, mode_t mode, const void *p, size_t n)
{
	int fd, r;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW, mode);
	if (fd == -1)
		return errno == EEXIST ? ERR_EXISTS : ERR_SYS;
	if ((r = write_all(fd, p, n)) == 0 &&
	    (fchmod(fd, mode) == -1 || fsync(fd) == -1))
		r = ERR_SYS;
	(void)close(fd);
	if (r != 0)
		(void)unlinkat(dir, name, 0);
	return r;
}

int
cli_ca_make_pair(int dir, const char *name)
{
	char file[64], comment[64];
	struct secret pem = { 0 };
	struct cert_ca *ca = NULL;
	struct buf line;
	int r;

	buf_init(&line, PUBLIC_LINE_MAX);
	(void)snprintf(comment, sizeof(comment), "postern-%.*s-ca",
	    (int)strcspn(name, "."), name);
	(void)snprintf(file, sizeof(file), "%s.pem", name);
	if ((r = cert_ca_generate(&pem)) != 0 ||
	    (r = cert_ca_from_pem(pem.d, pem.len, &ca)) != 0 ||
	    (r = cert_ca_public_line(ca, comment, &line)) != 0 ||
	    (r = buf_put(&line, "\n", 1)) != 0 ||
	    (r = cli_write_new(dir, file, 0600, pem.d, pem.len)) != 0)
		goto out;
	(void)snprintf(file, sizeof(file), "%s.pub", name);
	r = cli_write_new(dir, file, 0644, buf_ptr(&line), buf_len(&line));
out:
	if (r != 0)
		cli_error("%s/%s: %s", cli_conf()->ca_folder, file,
		    err_text(r));
	secret_clear(&pem);
	cert_ca_free(ca);
	buf_clear(&line);
	return r;
}

/* The folder of the keys, made if it is not there. */
static int
open_folder(int *dir)
{
	const char *path = cli_conf()->ca_folder;

	if (mkdir(path, 0755) == -1 && errno != EEXIST) {
		cli_error("%s: %s", path, strerror(errno));
		return CLI_EX_FAILED;
	}
	*dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*dir != -1)
		return 0;
	cli_error("%s: %s", path, strerror(errno));
	return CLI_EX_FAILED;
}

/* Of a key that an ssh-agent holds there is the public half, put there by who
 * made it; which file else says that there is a key. */
static bool
has_key(int dir, const char *name, const char *agent)
{
	char file[32];

	(void)snprintf(
	    file, sizeof(file), "%s.%s", name, agent == NULL ? "pem" : "pub");
	return faccessat(dir, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
cli_ca_make(unsigned int *made)
{
	static const char *const names[] = { "target", "job" };
	const char *const agents[] = { cli_conf()->target_ca_agent,
		cli_conf()->job_ca_agent };
	int dir, r;

	*made = 0;
	if ((r = open_folder(&dir)) != 0)
		return r;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		if (has_key(dir, names[i], agents[i]))
			continue;
		if (agents[i] != NULL) {
			cli_error("the ssh-agent at %s holds the %s CA key: "
				  "put its public half, one line, into "
				  "%s/%s.pub",
			    agents[i], names[i], cli_conf()->ca_folder,
			    names[i]);
			r = CLI_EX_FAILED;
		} else if (cli_ca_make_pair(dir, names[i]) != 0) {
			r = CLI_EX_FAILED;
		} else {
			*made |= 1U << i;
		}
	}
	(void)close(dir);
	return r;
}

int
cli_ca_init(int argc, char **argv)
{
	const char *path = cli_conf()->ca_folder;
	unsigned int made = 0;
	int r;

	(void)argv;
	if (argc != 1)
		return cli_usage();
	if ((r = cli_ca_make(&made)) != 0)
		return r;
	if (made == 0) {
		cli_error("%s/target.pub is there already; targets trust it, "
			  "so it is left as it is",
		    path);
		return CLI_EX_FAILED;
	}
	(void)printf("Made in %s:\n", path);
	if ((made & CLI_CA_TARGET) != 0)
		(void)puts("  target.pem  signs the certificate of each "
			   "operation");
	if ((made & CLI_CA_JOB) != 0)
		(void)puts("  job.pem     signs the certificates of jobs");
	(void)puts(
	    "Next: restart posternd and postern-sshd, then `postern ca show "
	    "--target NAME` for each target.");
	return 0;
}

/* Of a key that is replaced, which is the ".next" or ".old" one: often none. */
static int
read_public(const char *name, const char *which, struct buf *line)
{
	const struct safeopen_want want = { .owner = 0, .forbid = 022,
		.max = PUBLIC_LINE_MAX };
	const char *why = "";
	char path[512];
	int n, r;

	n = snprintf(path, sizeof(path), "%s/%s%s.pub", cli_conf()->ca_folder,
	    name, which);
	if (n < 0 || (size_t)n >= sizeof(path))
		return CLI_EX_FAILED;
	r = safeopen_slurp(AT_FDCWD, path, &want, line, &why);
	if (r == 0 || (*which != '\0' && r == ERR_SYS && errno == ENOENT))
		return 0;
	cli_error("%s %s: %s; `postern ca init` makes it", path, why,
	    err_text(r));
	return CLI_EX_FAILED;
}

/* Does the policy know the target, and how does it name principals? */
static int
find_target(const char *name, bool *plain)
{
	const char *path = cli_conf()->policy_folder;
	struct diags *d = diags_new();
	struct policy *p = NULL;
	const struct target *t;
	int dir, r;

	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir == -1 || d == NULL ? ERR_SYS :
	    policy_load_folder(dir, path, d, &p);
	if (dir != -1)
		(void)close(dir);
	diags_free(d);
	if (r != 0) {
		cli_error("the policy in %s does not load; see `postern policy "
		    "check`", path);
		return CLI_EX_FAILED;
	}
	if ((t = policy_target_find(p, name)) == NULL)
		cli_error("the policy knows no target `%s'", name);
	else
		*plain = t->plain_principal;
	policy_free(p);
	return t == NULL ? CLI_EX_FAILED : 0;
}

/* What a target needs to know of us. */
static void
show_target(const char *target, bool plain, const char *line)
{
	(void)printf("# On %s, the file /etc/ssh/postern-ca.pub:\n%s\n"
		     "# and in its sshd_config:\n"
		     "TrustedUserCAKeys /etc/ssh/postern-ca.pub\n",
	    target, line);
	if (!plain)
		(void)printf("AuthorizedPrincipalsCommand /bin/echo %%u+%s\n"
			     "AuthorizedPrincipalsCommandUser nobody\n",
		    target);
	/* Older ones do not start with that word, so it is no plain line. */
	(void)puts("# From OpenSSH 9.8 on also this, with the address that this"
		   " bastion comes from:\n"
		   "# a few refused jobs would else shut out all of them for a "
		   "while.\n"
		   "# PerSourcePenaltyExemptList ADDRESS");
}

static int
show(const char *target, bool job)
{
	const char *name = job ? "job" : "target";
	bool plain = false;
	struct buf line;
	int r;

	buf_init(&line, 3 * PUBLIC_LINE_MAX);
	if ((r = read_public(name, "", &line)) != 0 ||
	    (r = read_public(name, ".next", &line)) != 0 ||
	    (r = read_public(name, ".old", &line)) != 0 ||
	    buf_cstr(&line) == NULL ||
	    (target != NULL && (r = find_target(target, &plain)) != 0))
		goto out;
	if (target == NULL)
		(void)fputs(buf_cstr(&line), stdout);
	else
		show_target(target, plain, buf_cstr(&line));
out:
	buf_clear(&line);
	return r;
}

int
cli_ca_show_target(const char *target)
{
	return show(target, false);
}

int
cli_ca_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "job", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *target = NULL;
	bool job = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 't' && c != 'j')
			return cli_usage();
		if (c == 't')
			target = optarg;
		else
			job = true;
	}
	if (optind != argc || (job && target != NULL))
		return cli_usage();
	return show(target, job);
}
