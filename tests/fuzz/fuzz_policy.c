/*
 * A policy, and behind its first NUL byte a command that it judges: never a
 * crash, and what does not load says why.
 */
#include "config.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/policy.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a policy", "a command for it",
	"one that it denies", "one that it allows", NULL };

static void
judge(const struct policy *p, const struct command *c, bool *set)
{
	struct claims cs = { 0 };
	struct request q = { .policy = p, .identity = set, .claims = &cs,
		.command = c };
	struct decision d;
	struct buf b;

	for (size_t i = 0; i <= policy_ntargets(p); i++) {
		q.target = policy_target(p, i); /* the last is NULL */
		q.pty = i % 2 == 1;
		q.now = i % 3 == 0 ? 0 : 1795510800;
		q.enforces = i % 2 == 1 ? ~0u : 0;
		if (q.target != NULL)
			assert(target_login(q.target, "", &q.login) == 0);
		decide(&q, &d);
		fuzz_reached(d.meant == VERDICT_DENY ? 2 : 3);
		assert(d.rule_name != NULL);
		assert(d.verdict == VERDICT_DENY || d.rule != NULL);
		assert(d.verdict == VERDICT_DENY || d.verdict == d.meant);
		buf_init(&b, 1 << 20);
		assert(decide_explain(&q, &d, &b) == 0);
		buf_clear(&b);
	}
}

static void
use(const struct policy *p, const char *command, size_t len)
{
	bool *set = malloc(policy_nidentities(p) + 1);
	struct command *c = NULL;
	struct command_error e;

	assert(set != NULL);
	memset(set, 1, policy_nidentities(p) + 1);
	if (command_parse(command, len, &c, &e) == 0) {
		fuzz_reached(1);
		judge(p, c, set);
	}
	command_free(c);
	free(set);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const name[] = { "fuzz.postern" };
	const char *text = (const char *)data;
	const uint8_t *nul = size == 0 ? NULL : memchr(data, '\0', size);
	size_t len = nul == NULL ? size : (size_t)(nul - data);
	struct diags *d = diags_new();
	struct policy *p = NULL;
	struct buf b;

	assert(d != NULL);
	buf_init(&b, 1 << 20);
	if (policy_load_text(name, &text, &len, 1, d, &p) == 0) {
		fuzz_reached(0);
		use(p, nul == NULL ? "id" : (const char *)nul + 1,
		    nul == NULL ? 2 : size - len - 1);
	} else {
		assert(diags_count(d) > 0);
	}
	assert(diags_print(d, &b) == 0);
	buf_clear(&b);
	policy_free(p);
	diags_free(d);
	return 0;
}
