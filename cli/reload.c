/*
 * postern reload: has the running bastion load its policy again, and says how
 * that went.  The errors it shows come from the policy's own files, which root
 * writes; they are printed harmless all the same.
 */
#include "config.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/msg.h"
#include "lib/proto.h"

/* posternd waits 60 s for its children, and a reload may be running already. */
#define RELOAD_MS 130000

struct reloaded {
	uint32_t outcome, targets, identities;
	char hash[PROTO_POLICY_HASH_LEN + 1];
	char *text;
};

/* In the order of the outcomes of POLICY_RELOADED (doc/PROTOCOL.md). */
static const struct {
	const char *name;
	int code;
	const char *words;
} outcomes[] = {
	{ "loaded", 0, "" },
	{ "refused", CLI_EX_FAILED, "the policy is refused" },
	{ "unread", POSTERN_EX_TEMPFAIL,
	    "the policy could not be read; the bastion tries again every "
	    "second" },
	{ "differ", POSTERN_EX_TEMPFAIL,
	    "the policy is loaded, but not everywhere" },
	{ "busy", POSTERN_EX_TEMPFAIL,
	    "nothing was loaded for you; reload again in a moment" },
	[RELOAD_DENIED] = { "denied", POSTERN_EX_DENIED, "nothing was loaded" },
};
#define NOUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

static int
reload_ask(struct reloaded *re)
{
	struct msg a;
	int r;

	if ((r = cli_ask(
		 MSG_RELOAD_POLICY, MSG_POLICY_RELOADED, RELOAD_MS, &a)) != 0)
		return r;
	if ((r = buf_get_u32(&a.body, &re->outcome)) != 0 ||
	    (r = buf_get_fixed(&a.body, re->hash, sizeof(re->hash))) != 0 ||
	    (r = buf_get_u32(&a.body, &re->targets)) != 0 ||
	    (r = buf_get_u32(&a.body, &re->identities)) != 0 ||
	    (r = buf_get_cstr(&a.body, PROTO_TEXT_MAX, &re->text)) != 0 ||
	    (r = msg_end(&a)) != 0 || re->outcome >= NOUTCOMES)
		r = cli_ask_failed(r == 0 ? ERR_PROTO : r);
	msg_clear(&a);
	return r;
}

static void
print_json(const struct reloaded *re)
{
	struct buf text;
	struct json j;

	buf_init(&text, 8 * PROTO_TEXT_MAX); /* all of it escaped */
	json_init(&j, &text);
	json_open(&j, '{');
	json_kv_str(&j, "outcome", outcomes[re->outcome].name);
	json_kv_str(&j, "policy", re->hash);
	json_kv_num(&j, "targets", re->targets);
	json_kv_num(&j, "identities", re->identities);
	json_kv_str(&j, "reason", re->text);
	json_close(&j, '}');
	if (json_end(&j) == 0 && buf_cstr(&text) != NULL)
		(void)puts(buf_cstr(&text));
	buf_clear(&text);
}

static void
print_text(const struct reloaded *re)
{
	if (re->outcome == 0) {
		(void)printf("policy %.12s is in force: %u target%s, %u "
			     "identit%s\n",
		    re->hash, re->targets, re->targets == 1 ? "" : "s",
		    re->identities, re->identities == 1 ? "y" : "ies");
		return;
	}
	cli_print_lines_safe(stderr, re->text);
	if (re->hash[0] == '\0')
		cli_error("%s; none is in force, everything is denied",
		    outcomes[re->outcome].words);
	else
		cli_error("%s; in force is %.12s", outcomes[re->outcome].words,
		    re->hash);
}

int
cli_reload(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct reloaded re = { 0 };
	bool json = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return cli_usage();
		json = true;
	}
	if (optind != argc)
		return cli_usage();
	if ((r = reload_ask(&re)) != 0)
		return r;
	if (json)
		print_json(&re);
	else
		print_text(&re);
	free(re.text);
	return outcomes[re.outcome].code;
}
