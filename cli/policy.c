/*
 * postern policy: the offline tools of the policy language.  No daemon needed.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "policy/export.h"
#include "policy/lint.h"
#include "policy/policy.h"

static void
check_report(const struct diags *d, bool json, FILE *f)
{
	struct buf out;

	buf_init(&out, 1024 * 1024);
	if ((json ? diags_print_json(d, &out) : diags_print(d, &out)) == 0)
		(void)fwrite(buf_ptr(&out), 1, buf_len(&out), f);
	if (json)
		(void)fputc('\n', f);
	buf_clear(&out);
}

static void
check_ok(const struct policy *p)
{
	size_t t = policy_ntargets(p), id = policy_nidentities(p),
	       is = policy_nissuers(p);

	(void)printf("ok: %zu target%s, %zu identit%s, %zu issuer%s; its tests "
		     "pass\n",
	    t, t == 1 ? "" : "s", id, id == 1 ? "y" : "ies", is,
	    is == 1 ? "" : "s");
}

int
cli_policy_check(int argc, char **argv)
{
	const char *file[POLICY_FILES_MAX];
	struct policy *p = NULL;
	struct diags *d;
	bool fails = false;
	struct ask a;
	size_t n = 0;
	int r;

	if ((r = ask_parse(&a, argc, argv, "j")) != 0)
		return r;
	for (; optind < argc; optind++) {
		if (n == POLICY_FILES_MAX) {
			cli_error("at most %d files", POLICY_FILES_MAX);
			return POSTERN_EX_USAGE;
		}
		file[n++] = argv[optind];
	}
	if ((d = diags_new()) == NULL)
		return cli_no_memory();
	r = policy_load_from(file, n, d, &p);
	if (r == 0 && policy_lint(p, d, &fails) != 0)
		r = ERR_NOMEM;
	if (a.json || diags_count(d) > 0)
		check_report(d, a.json, a.json ? stdout : stderr);
	if (r == 0 && fails)
		r = ERR_CONFIG;
	if (r == 0 && !a.json)
		check_ok(p);
	else if (r != 0 && diags_count(d) == 0)
		cli_error("the policy cannot be read: %s", err_text(r));
	policy_free(p);
	diags_free(d);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

int
cli_policy_export(int argc, char **argv)
{
	struct policy *p = NULL;
	struct ask a;
	struct buf b;
	int r;

	if ((r = ask_parse(&a, argc, argv, "j")) != 0)
		return r;
	r = policy_of(
	    (const char *const *)argv + optind, (size_t)(argc - optind), &p);
	if (r == 0) {
		buf_init(&b, EXPORT_MAX);
		r = policy_say(&b, policy_export(p, &b));
		(void)putchar('\n');
	}
	policy_free(p);
	return r;
}
