/*
 * The clock of `./dev bench policy`: loads one policy, then parses and decides
 * each command of a file again and again, and prints nanoseconds as JSON.  One
 * "decision" is what the broker does for an operation: bytes to argv, argv to
 * verdict.  A line `@read PATH` (by sftp), `@git PATH` (to fetch) or `@shell`
 * is a request of that kind.
 */
#include "config.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/model.h"
#include "policy/policy.h"

#define COMMANDS_MAX 4096
#define SAMPLES_MAX 1000000

static struct {
	char *text[COMMANDS_MAX];
	size_t len[COMMANDS_MAX];
	size_t n;
	size_t allowed; /* of all that were decided */
} env;

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
decide_command(
    struct request *q, const char *text, size_t len, struct decision *d)
{
	struct command_error e;
	struct command *c = NULL;

	if (command_parse(text, len, &c, &e) != 0)
		return;
	q->kind = REQUEST_RUN;
	q->command = c;
	decide(q, d);
	command_free(c);
}

/* Is the line of that kind?  Its path is behind the blank. */
static bool
is_kind(struct request *q, const char *text, const char *word,
    enum request_kind kind)
{
	size_t n = strlen(word);

	if (strncmp(text, word, n) != 0)
		return false;
	q->kind = kind;
	q->path = text + n;
	q->how = BY_SFTP;
	return true;
}

static uint64_t
decide_one(struct request *q, const char *text, size_t len)
{
	struct decision d = { 0 };
	uint64_t t0 = now_ns();

	if (is_kind(q, text, "@read ", REQUEST_READ) ||
	    is_kind(q, text, "@git ", REQUEST_GIT_READ) ||
	    is_kind(q, text, "@shell", REQUEST_INTERACTIVE))
		decide(q, &d);
	else
		decide_command(q, text, len, &d);
	t0 = now_ns() - t0;
	env.allowed += d.meant == VERDICT_ALLOW;
	return t0;
}

static struct policy *
load(const char *path, uint64_t *ns)
{
	struct diags *d = diags_new();
	struct policy *p = NULL;
	uint64_t t0 = now_ns();

	if (d == NULL || policy_load_files(&path, 1, d, &p) != 0) {
		fprintf(stderr, "decide: %s does not load\n", path);
		exit(1);
	}
	*ns = now_ns() - t0;
	diags_free(d);
	return p;
}

static void
read_commands(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t cap = 0;
	ssize_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while (env.n < COMMANDS_MAX &&
	       (n = getline(&env.text[env.n], &cap, f)) > 0) {
		env.len[env.n] = (size_t)n - 1; /* without its newline */
		env.text[env.n][n - 1] = '\0';
		env.n++;
		cap = 0;
	}
	(void)fclose(f);
}

int
main(int argc, char **argv)
{
	static uint64_t ns[SAMPLES_MAX];
	static bool identity[POLICY_IDENTITIES_MAX];
	uint64_t load_ns, samples;
	struct request q = { .identity = identity, .now = time(NULL) };

	if (argc != 6 || num_parse(argv[5], 100, SAMPLES_MAX, &samples) != 0) {
		fprintf(stderr, "usage: decide POLICY COMMANDS IDENTITY "
				"TARGET SAMPLES\n");
		return 64;
	}
	q.policy = load(argv[1], &load_ns);
	read_commands(argv[2]);
	for (size_t i = 0; i < policy_nidentities(q.policy); i++)
		identity[i] =
		    strcmp(policy_identity_name(q.policy, i), argv[3]) == 0;
	q.target = policy_target_find(q.policy, argv[4]);
	if (env.n == 0 || q.target == NULL ||
	    target_login(q.target, "", &q.login) != 0) {
		fprintf(stderr, "decide: no commands, or no such target\n");
		return 1;
	}
	for (size_t i = 0; i < samples / 10; i++) /* warm */
		(void)decide_one(&q, env.text[i % env.n], env.len[i % env.n]);
	env.allowed = 0;
	for (size_t i = 0; i < samples; i++)
		ns[i] = decide_one(&q, env.text[i % env.n], env.len[i % env.n]);
	qsort(ns, samples, sizeof(ns[0]), by_size);
	printf("{\"load_ns\": %" PRIu64 ", \"median_ns\": %" PRIu64
	       ", \"p99_ns\": %" PRIu64
	       ", \"allowed\": %zu, \"decided\": %" PRIu64 "}\n",
	    load_ns, ns[samples / 2], ns[samples * 99 / 100], env.allowed,
	    samples);
	return 0;
}
