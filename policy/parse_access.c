/*
 * The lines of a rule that are no commands: files, repositories, variables,
 * and what is kept of a session.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/glob.h"
#include "policy/parse.h"
#include "policy/slot.h"

/* -- paths -------------------------------------------------------------------
 */

static int
path_text(struct parser *ps, struct piece *out)
{
	if (strchr(ps->t.text, '*') != NULL && ps->t.kind == LEX_WORD)
		return parse_error(ps, "a path has no wildcards here: what is "
				       "beneath it belongs to it");
	out->len = ps->t.len;
	out->text = parse_text(ps);
	return out->text == NULL ? ERR_NOMEM : 0;
}

/* Whatever a slot may stand for, the path around it must be a plain one. */
static bool
path_plain(const struct item *it)
{
	char s[PATH_LEN_MAX];
	size_t n = 0, len;

	for (size_t i = 0; i < it->npiece; i++) {
		len = it->piece[i].text == NULL ? 1 : it->piece[i].len;
		if (len > sizeof(s) - n)
			return false;
		memcpy(s + n,
		    it->piece[i].text == NULL ? "x" : it->piece[i].text, len);
		n += len;
	}
	return path_is_plain(s, n);
}

/* /path/<claim repository_id>, or the same with parts in "quotes". */
static int
parse_path(struct parser *ps, bool deny, struct item *it)
{
	struct piece piece[RUN_PIECES_MAX] = { 0 };
	int r;

	*it = (struct item){ .deny = deny, .at = parse_place(ps) };
	if (ps->t.kind != LEX_WORD && ps->t.kind != LEX_STRING)
		return parse_expected(ps, "a path that begins with /");
	do {
		if (it->npiece >= RUN_PIECES_MAX)
			return parse_error(
			    ps, "a path of more than %d parts", RUN_PIECES_MAX);
		r = parse_is_punct(ps, '<')
			? parse_slot_piece(ps, &piece[it->npiece])
			: path_text(ps, &piece[it->npiece]);
		if (r != 0)
			return r;
		it->npiece++;
		it->at.width = ps->l.off - it->at.pos.off;
		parse_next(ps, LEX_POLICY);
	} while (ps->t.glued &&
		 (ps->t.kind == LEX_WORD || ps->t.kind == LEX_STRING ||
		     parse_is_punct(ps, '<')));
	it->piece = arena_get(ps->p->arena, it->npiece * sizeof(*it->piece));
	if (it->piece == NULL)
		return ERR_NOMEM;
	memcpy(it->piece, piece, it->npiece * sizeof(*it->piece));
	if (!path_plain(it))
		return parse_error_at(ps, &it->at,
		    "expected an absolute path "
		    "without empty, `.` or `..` parts, and without a / at its "
		    "end");
	return 0;
}

/* -- files -------------------------------------------------------------------
 */

int
parse_by_way(struct parser *ps, unsigned int *by)
{
	static const struct {
		const char *word;
		unsigned int bit;
	} ways[] = { { "sftp", BY_SFTP }, { "scp-legacy", BY_SCP_LEGACY },
		{ "rsync", BY_RSYNC } };
	struct diag_near near;
	char text[NEAR_TEXT_MAX];

	if (ps->t.kind != LEX_WORD)
		return parse_expected(ps, "`sftp`, `scp-legacy` or `rsync`");
	near = diag_near(ps->t.text);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (parse_is_word(ps, ways[i].word)) {
			*by = ways[i].bit;
			parse_next(ps, LEX_POLICY);
			return 0;
		}
		diag_near_try(&near, ways[i].word);
	}
	if (parse_is_word(ps, "scp"))
		return parse_error(ps, "today's scp speaks sftp: write `sftp`; "
				       "for scp -O write `scp-legacy`");
	return parse_error(ps,
	    "expected `sftp`, `scp-legacy` or `rsync`, "
	    "found `%.80s`%s",
	    ps->t.text, near_text(&near, text, sizeof(text)));
}

static bool
is_option(const struct parser *ps)
{
	return parse_is_word(ps, "max") || parse_is_word(ps, "no-delete") ||
	       parse_is_word(ps, "no-symlinks");
}

static int
transfer_ways(struct parser *ps, struct transfer *t)
{
	struct place at;
	unsigned int by = 0;
	int r;

	if (!parse_is_word(ps, "by"))
		return parse_expected(ps, "`by` and `sftp`, `scp-legacy` or "
					  "`rsync`");
	parse_next(ps, LEX_POLICY);
	do {
		at = parse_place(ps);
		if ((r = parse_by_way(ps, &by)) != 0)
			return r;
		if ((t->by & by) != 0)
			return parse_error_at(ps, &at,
			    "this way is written "
			    "twice");
		t->by |= by;
	} while (!parse_at_line_end(ps) && !is_option(ps));
	return 0;
}

static int
transfer_option(struct parser *ps, struct transfer *t)
{
	bool *flag =
	    parse_is_word(ps, "no-delete") ? &t->no_delete : &t->no_symlinks;

	if (t->rule->effect == EFFECT_DENY)
		return parse_error(ps,
		    "a deny rule denies whatever is asked: "
		    "leave `%s` out",
		    ps->t.text);
	if (parse_is_word(ps, "max")) {
		if (t->max != 0)
			return parse_error(ps, "`max` is written twice");
		parse_next(ps, LEX_POLICY);
		return parse_size(ps, &t->max);
	}
	if (!is_option(ps))
		return parse_expected(ps,
		    "`max`, `no-delete`, `no-symlinks` or "
		    "the end of the line");
	if (*flag)
		return parse_error(ps, "`%s` is written twice", ps->t.text);
	if (flag == &t->no_delete && !t->write)
		return parse_error(ps, "reading deletes nothing: leave "
				       "`no-delete` out");
	if (flag == &t->no_symlinks && (t->by & BY_RSYNC) != 0 && !t->write)
		return parse_error(ps,
		    "`no-symlinks` cannot be kept of what rsync reads, "
		    "whose sender looks for the files itself: leave out one of "
		    "the two");
	*flag = true;
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* From its first word to what ends the line. */
static struct place
whole_line(const struct parser *ps, const struct place *at)
{
	const char *s = ps->l.s + at->pos.off;
	struct place all = *at;

	all.width = ps->t.pos.off - at->pos.off;
	while (all.width > 1 &&
	       (s[all.width - 1] == ' ' || s[all.width - 1] == '\t'))
		all.width--;
	return all;
}

/* under PATH by WAY... [max SIZE] [no-delete] [no-symlinks] */
int
parse_transfer(struct parser *ps, struct rule *rule, bool write)
{
	struct transfer t = { .rule = rule,
		.at = parse_place(ps),
		.write = write,
		.order = rule->ntransfer },
			*v;
	int r;

	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "under"))
		return parse_expected(ps, "`under` and a path");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_path(ps, rule->effect == EFFECT_DENY, &t.under)) != 0 ||
	    (r = transfer_ways(ps, &t)) != 0)
		return r;
	while (!parse_at_line_end(ps)) {
		if ((r = transfer_option(ps, &t)) != 0)
			return r;
	}
	t.whole = whole_line(ps, &t.at);
	if (rule->ntransfer >= POLICY_LINES_MAX)
		return parse_error_at(
		    ps, &t.at, "more than %d such lines", POLICY_LINES_MAX);
	v = arena_extend(ps->p->arena, rule->transfer, rule->ntransfer,
	    &rule->captransfer, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->transfer = v;
	rule->transfer[rule->ntransfer++] = t;
	return 0;
}

/* -- git ---------------------------------------------------------------------
 */

static int
git_ref(struct parser *ps, struct repository *repo)
{
	struct git_ref ref = { .glob = NULL }, *v;
	const char *wrong;
	int r = 0;

	if (ps->t.kind != LEX_STRING)
		return parse_expected(ps,
		    "refs as strings, as "
		    "\"refs/heads/main\" or \"refs/tags/v*\"");
	if (strncmp(ps->t.text, "refs/", 5) != 0)
		return parse_error(ps, "a ref is written whole: it begins with "
				       "refs/");
	if (strchr(ps->t.text, '<') != NULL) {
		ref.slot = arena_get(ps->p->arena, sizeof(*ref.slot));
		if (ref.slot == NULL)
			return ERR_NOMEM;
		if ((r = parse_git_ref(ps, ref.slot)) != 0)
			return r;
	} else {
		if ((wrong = glob_wrong(ps->t.text)) != NULL)
			return parse_error(ps, "%s", wrong);
		if ((ref.glob = parse_text(ps)) == NULL)
			return ERR_NOMEM;
		parse_next(ps, LEX_POLICY);
	}
	if (repo->nref >= POLICY_LIST_MAX)
		return parse_error(ps, "more than %d refs", POLICY_LIST_MAX);
	v = arena_extend(
	    ps->p->arena, repo->ref, repo->nref, &repo->capref, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	repo->ref = v;
	repo->ref[repo->nref++] = ref;
	return r;
}

/* git (read | write) PATH [refs STRING...] */
int
parse_git(struct parser *ps, struct rule *rule)
{
	struct repository repo = { .rule = rule,
		.at = parse_place(ps),
		.order = rule->nrepository },
			  *v;
	int r;

	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "read") && !parse_is_word(ps, "write"))
		return parse_expected(ps, "`read` or `write`");
	repo.write = parse_is_word(ps, "write");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_path(ps, rule->effect == EFFECT_DENY, &repo.path)) != 0)
		return r;
	if (parse_is_word(ps, "refs")) {
		parse_next(ps, LEX_POLICY);
		do {
			if ((r = git_ref(ps, &repo)) != 0)
				return r;
		} while (ps->t.kind == LEX_STRING);
	}
	repo.whole = whole_line(ps, &repo.at);
	if (rule->nrepository >= POLICY_LINES_MAX)
		return parse_error_at(
		    ps, &repo.at, "more than %d such lines", POLICY_LINES_MAX);
	v = arena_extend(ps->p->arena, rule->repository, rule->nrepository,
	    &rule->caprepository, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->repository = v;
	rule->repository[rule->nrepository++] = repo;
	return 0;
}

/* -- variables, what is kept -------------------------------------------------
 */

/* env NAME <slot> */
int
parse_env(struct parser *ps, struct rule *rule)
{
	struct env_var e = { 0 }, *v;
	bool repeat = false;
	char with[ENV_NAME_MAX + 2];
	struct ref ref;
	size_t len = 0;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_word(ps, "a variable's name, as DEPLOY_STAGE", &ref)) !=
	    0)
		return r;
	(void)snprintf(with, sizeof(with), "%s=", ref.name);
	if (!parse_is_assign(with, &len) || len != strlen(ref.name))
		return parse_error_at(ps, &ref.at,
		    "`%.80s` is no variable's "
		    "name: A-Z, a-z, 0-9 and _, at most %d of them",
		    ref.name, ENV_NAME_MAX);
	e.name = ref.name;
	e.at = ref.at;
	for (size_t i = 0; i < rule->nenv; i++) {
		if (strcmp(rule->env[i].name, e.name) == 0)
			return parse_error_at(ps, &e.at,
			    "`%s` is written "
			    "twice in this rule",
			    e.name);
	}
	if (!parse_is_punct(ps, '<'))
		return parse_expected(ps, "its value as a slot, as "
					  "<enum blue green>");
	if ((r = parse_item(ps, false, &e.value, &repeat)) != 0)
		return r;
	if (repeat || e.value.npiece != 1)
		return parse_error_at(ps, &e.value.at,
		    "a variable's value is "
		    "one slot");
	if (rule->nenv >= POLICY_LIST_MAX)
		return parse_error_at(
		    ps, &e.at, "more than %d variables", POLICY_LIST_MAX);
	v = arena_extend(
	    ps->p->arena, rule->env, rule->nenv, &rule->capenv, sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	rule->env = v;
	rule->env[rule->nenv++] = e;
	return 0;
}

/* record (input | full) */
int
parse_record(struct parser *ps, struct rule *rule)
{
	bool *flag;

	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "input") && !parse_is_word(ps, "full"))
		return parse_expected(ps, "`input` or `full`");
	flag = parse_is_word(ps, "full") ? &rule->record_full
					 : &rule->record_input;
	if (*flag)
		return parse_error(ps, "this is written twice in this rule");
	*flag = true;
	parse_next(ps, LEX_POLICY);
	return 0;
}
