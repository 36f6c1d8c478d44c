/*
 * The SFTP filter in front of a server of SFTP, for stock clients:
 *
 *	sftp -D 'sftpjudge RULE... -- /usr/lib/openssh/sftp-server'
 *
 * RULE is NAME:[deny,](read|write)[,no-delete][,no-symlinks][,max=N]:PATH.  The
 * manifest and the refusals go to descriptor 9, if it is open, otherwise to
 * standard error.  The tests' own; no part of the product.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "ssh/sftp.h"

static struct sftp_rule rules[SFTP_RULES_MAX];
static FILE *out;

static void
on_entry(void *arg, const struct sftp_entry *e)
{
	static const char *const verbs[] = { "get", "put", "mkdir", "remove",
		"rmdir", "rename", "link", "symlink", "attrs" };
	static const char *const results[] = { "failed", "refused", "cut",
		"done", "begun" };

	(void)arg;
	fprintf(out, "%s\t%s\t%s\t%llu\t%s\t%s\t%s\t", results[e->result],
	    verbs[e->verb], e->path, (unsigned long long)e->bytes,
	    e->whole ? e->sha256 : "-", e->to == NULL ? "-" : e->to,
	    e->rule == NULL ? "-" : e->rule);
	for (size_t i = 0; i < e->nrange; i++)
		fprintf(out, "%llu-%llu ", (unsigned long long)e->range[i].from,
		    (unsigned long long)e->range[i].to);
	fprintf(out, "\n");
	(void)fflush(out);
}

static void
on_refused(void *arg, const char *text)
{
	(void)arg;
	fprintf(out, "said\t%s\n", text);
	(void)fflush(out);
}

static void
parse(char *arg, struct sftp_rule *r)
{
	char *terms = strchr(arg, ':'), *path;

	if (terms == NULL || (path = strchr(terms + 1, ':')) == NULL)
		exit(2);
	*terms++ = *path++ = '\0';
	r->name = arg;
	r->path = path;
	for (char *t = terms, *end; t != NULL; t = end) {
		if ((end = strchr(t, ',')) != NULL)
			*end++ = '\0';
		r->deny |= strcmp(t, "deny") == 0;
		r->write |= strcmp(t, "write") == 0;
		r->no_delete |= strcmp(t, "no-delete") == 0;
		r->no_symlinks |= strcmp(t, "no-symlinks") == 0;
		if (strncmp(t, "max=", 4) == 0)
			r->max = strtoull(t + 4, NULL, 10);
	}
}

static void
spawn(char **argv, int fd[2])
{
	int a[2], b[2];

	if (pipe(a) != 0 || pipe(b) != 0)
		exit(2);
	if (fork() == 0) {
		(void)dup2(a[0], 0);
		(void)dup2(b[1], 1);
		(void)close(a[1]);
		(void)close(b[0]);
		execv(argv[0], argv);
		_exit(127);
	}
	(void)close(a[0]);
	(void)close(b[1]);
	fd[0] = b[0];
	fd[1] = a[1];
}

struct end {
	int in, out;
	char buf[32768];
	size_t n, at;
	int gone;
};

static int
step_in(struct sftp *s, struct end *e, enum sftp_side side)
{
	size_t took;
	ssize_t k;
	int r;

	if (e->n == 0) {
		k = read(e->in, e->buf, sizeof(e->buf));
		if (k <= 0) {
			e->gone = 1;
			return 0;
		}
		e->n = (size_t)k;
		e->at = 0;
	}
	r = side == SFTP_JOB ? sftp_from_job(s, e->buf + e->at, e->n, &took)
			     : sftp_from_target(s, e->buf + e->at, e->n, &took);
	e->at += took;
	e->n -= took;
	return r;
}

static int
step_out(struct sftp *s, struct end *e, enum sftp_side side)
{
	size_t n;
	const uint8_t *p = sftp_out(s, side, &n);
	ssize_t k;

	if (n == 0)
		return 0;
	if ((k = write(e->out, p, n)) == -1)
		return ERR_SYS;
	return sftp_sent(s, side, (size_t)k);
}

int
main(int argc, char **argv)
{
	struct sftp_want w = {
		.rule = rules, .entry = on_entry, .refused = on_refused
	};
	static struct end end[2];
	struct sftp *s = NULL;
	int fd[2], i = 1, r = 0;

	if ((out = fdopen(9, "w")) == NULL)
		out = stderr;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		parse(argv[i], &rules[w.nrule++]);
	if (i + 1 >= argc || sftp_new(&w, &s) != 0)
		return 2;
	spawn(argv + i + 1, fd);
	end[SFTP_JOB] = (struct end){ .in = 0, .out = 1 };
	end[SFTP_TARGET] = (struct end){ .in = fd[0], .out = fd[1] };
	while (r == 0) {
		struct pollfd p[2];

		for (int k = 0; k < 2; k++) {
			struct end *e = &end[k];

			p[k] = (struct pollfd){ .fd = -1, .events = POLLIN };
			while (r == 0 && e->n > 0 &&
			       sftp_wants(s, (enum sftp_side)k)) {
				r = step_in(s, e, (enum sftp_side)k);
			}
			if (!e->gone && sftp_wants(s, (enum sftp_side)k))
				p[k].fd = e->in;
		}
		if (r == 0)
			r = step_out(s, &end[SFTP_TARGET], SFTP_TARGET);
		if (r == 0)
			r = step_out(s, &end[SFTP_JOB], SFTP_JOB);
		if (r != 0 || end[SFTP_TARGET].gone)
			break;
		if (end[SFTP_JOB].gone && sftp_idle(s) &&
		    end[SFTP_TARGET].out != -1) {
			(void)close(end[SFTP_TARGET].out);
			end[SFTP_TARGET].out = -1;
		}
		if (poll(p, 2, -1) == -1 && errno != EINTR)
			break;
		for (int k = 0; k < 2 && r == 0; k++) {
			if (p[k].revents != 0)
				r = step_in(s, &end[k], (enum sftp_side)k);
		}
	}
	sftp_end(s);
	if (sftp_error(s)[0] != '\0')
		fprintf(out, "broke\t%s\n", sftp_error(s));
	sftp_free(s);
	return r == 0 ? 0 : 1;
}
