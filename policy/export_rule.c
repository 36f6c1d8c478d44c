/*
 * Rules in the export: who, where, when, which demands, and patterns as
 * trees.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/export.h"

#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "policy/command.h"
#include "policy/model.h"
#include "policy/regex.h"

/* -- patterns ----------------------------------------------------------------
 */

/* The pieces of a git-ref stand in the word as if they were its own. */
static void
put_slot(struct json *j, const struct slot *slot, bool deny)
{
	struct buf b;

	if (slot->kind == SLOT_REF) {
		for (size_t i = 0; i < slot->npiece; i++) {
			if (slot->piece[i].slot != NULL) {
				put_slot(j, slot->piece[i].slot, deny);
				continue;
			}
			json_open(j, '{');
			json_kv_str(j, "text", slot->piece[i].text);
			json_close(j, '}');
		}
		return;
	}
	json_open(j, '{');
	if (slot->kind == SLOT_CLAIM) {
		json_kv_str(j, "claim", slot->pattern);
	} else {
		buf_init(&b, EXPORT_MAX);
		if (j->r == 0)
			j->r = regex_slot(slot, deny, REGEX_CHARS, &b);
		json_key(j, "regex");
		json_strn(j, buf_ptr(&b), buf_len(&b));
		buf_clear(&b);
	}
	json_close(j, '}');
}

void
export_slot(struct json *j, const struct slot *slot)
{
	json_open(j, '[');
	put_slot(j, slot, false);
	json_close(j, ']');
}

static void
put_word(struct json *j, const struct item *it)
{
	json_kv_open(j, "word", '[');
	for (size_t i = 0; i < it->npiece; i++) {
		if (it->piece[i].text == NULL) {
			put_slot(j, it->piece[i].slot, it->deny);
			continue;
		}
		json_open(j, '{');
		json_kv_str(j, "text", it->piece[i].text);
		json_close(j, '}');
	}
	json_close(j, ']');
	if (it->no_dash) {
		json_kv_bool(j, "no_dash", true);
	}
}

static void
put_node(struct json *j, const struct run *run, const struct node *node)
{
	json_open(j, '{');
	switch (node->kind) {
	case NODE_WORD:
		put_word(j, &run->item[node->item]);
		break;
	case NODE_SEQ:
	case NODE_ALT:
		json_kv_open(j, node->kind == NODE_SEQ ? "seq" : "alt", '[');
		for (const struct node *c = node->child; c != NULL; c = c->next)
			put_node(j, run, c);
		json_close(j, ']');
		break;
	}
	if (node->repeat) {
		json_kv_bool(j, "repeat", true);
	}
	if (node->optional) {
		json_kv_bool(j, "optional", true);
	}
	json_close(j, '}');
}

/* One program of a line: its variables, each a word, and its pattern. */
static void
put_stage(struct json *j, const struct run *run)
{
	json_open(j, '{');
	json_kv_open(j, "variables", '[');
	for (size_t i = 0; i < run->nassign; i++) {
		json_open(j, '{');
		put_word(j, &run->assign[i]);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_key(j, "pattern");
	put_node(j, run, run->tree);
	json_close(j, '}');
}

void
export_pattern(struct json *j, const struct run *run)
{
	if (run->dir != NULL) {
		json_kv_open(j, "in", '{');
		put_word(j, run->dir);
		json_close(j, '}');
	}
	json_kv_open(j, "programs", '[');
	for (const struct run *s = run; s != NULL; s = s->next)
		put_stage(j, s);
	json_close(j, ']');
}

/* -- files, repositories, variables
 * ------------------------------------------------ */

void
export_item(struct json *j, const char *key, const struct item *it)
{
	json_kv_open(j, key, '{');
	put_word(j, it);
	json_close(j, '}');
}

static void
put_transfer(struct json *j, const struct transfer *t)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} ways[] = { { BY_SFTP, "sftp" }, { BY_SCP_LEGACY, "scp-legacy" },
		{ BY_RSYNC, "rsync" } };

	json_open(j, '{');
	json_kv_str(j, "access", t->write ? "write" : "read");
	export_item(j, "under", &t->under);
	json_kv_open(j, "by", '[');
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if ((t->by & ways[i].bit) != 0)
			json_str(j, ways[i].name);
	}
	json_close(j, ']');
	if (t->max != 0)
		json_kv_num(j, "max", t->max);
	json_kv_bool(j, "no_delete", t->no_delete);
	json_kv_bool(j, "no_symlinks", t->no_symlinks);
	json_close(j, '}');
}

void
export_repository(struct json *j, const struct repository *g)
{
	bool deny = g->rule->effect == EFFECT_DENY;

	export_item(j, "path", &g->path);
	json_kv_open(j, "refs", '[');
	for (size_t i = 0; i < g->nref; i++) {
		json_open(j, '{');
		if (g->ref[i].slot == NULL) {
			json_kv_str(j, "glob", g->ref[i].glob);
		} else {
			json_kv_open(j, "word", '[');
			put_slot(j, g->ref[i].slot, deny);
			json_close(j, ']');
		}
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
export_env(struct json *j, const struct env_var *e)
{
	json_open(j, '{');
	json_kv_str(j, "name", e->name);
	export_item(j, "value", &e->value);
	json_close(j, '}');
}

/* What holds for all that the rule allows. */
static void
put_env(struct json *j, const struct rule *rule)
{
	json_kv_open(j, "env", '[');
	for (size_t i = 0; i < rule->nenv; i++)
		export_env(j, &rule->env[i]);
	json_close(j, ']');
	json_kv_bool(j, "text_only", rule->text_only);
	json_kv_bool(j, "record_input", rule->record_input);
	json_kv_bool(j, "record_full", rule->record_full);
}

static void
put_repository(struct json *j, const struct repository *g)
{
	json_open(j, '{');
	json_kv_str(j, "access", g->write ? "write" : "read");
	export_repository(j, g);
	json_close(j, '}');
}

/* What a rule has beside its `run` lines. */
static void
put_others(struct json *j, const struct rule *rule)
{
	json_kv_open(j, "transfers", '[');
	for (size_t i = 0; i < rule->ntransfer; i++)
		put_transfer(j, &rule->transfer[i]);
	json_close(j, ']');
	json_kv_open(j, "repositories", '[');
	for (size_t i = 0; i < rule->nrepository; i++)
		put_repository(j, &rule->repository[i]);
	json_close(j, ']');
	json_kv_bool(j, "interactive", rule->interactive);
	put_env(j, rule);
}

/* -- who, where, when
 * ------------------------------------------------------------ */

static void
put_who(struct json *j, const struct policy *p, const struct rule *rule)
{
	json_kv_bool(j, "everyone", rule->everyone);
	json_kv_open(j, "identities", '[');
	for (size_t i = 0; i < rule->nwho; i++)
		json_str(j, p->identity[rule->id[i]]->name);
	json_close(j, ']');
}

void
export_where(struct json *j, const struct where *v, size_t n)
{
	static const char *const kind[] = { [WHERE_ALL] = "all",
		[WHERE_TARGET] = "target",
		[WHERE_GROUP] = "group" };

	json_open(j, '[');
	for (size_t i = 0; i < n; i++) {
		const struct where *w = &v[i];

		json_open(j, '{');
		json_kv_str(j, "kind", kind[w->kind]);
		if (w->kind != WHERE_ALL)
			json_kv_str(j, "name", w->ref.name);
		if (w->login != NULL)
			json_kv_str(j, "login", w->login);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
put_windows(struct json *j, const struct rule *rule)
{
	char text[16];

	json_kv_open(j, "windows", '[');
	for (size_t i = 0; i < rule->nwindow; i++) {
		const struct window *w = &rule->window[i];

		json_open(j, '{');
		json_kv_open(j, "days", '[');
		for (unsigned int d = 0; d < 7; d++) {
			if ((w->days >> d & 1) != 0)
				json_num(j, d);
		}
		json_close(j, ']');
		(void)snprintf(text, sizeof(text), "%02u:%02u", w->from / 60U,
		    w->from % 60U);
		json_kv_str(j, "from", text);
		(void)snprintf(
		    text, sizeof(text), "%02u:%02u", w->to / 60U, w->to % 60U);
		json_kv_str(j, "to", text);
		json_kv_str(j, "zone", w->zone_name);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* -- demands
 * ----------------------------------------------------------------------- */

void
export_limits(struct json *j, const struct limits *l)
{
	json_kv_open(j, "limits", '{');
	if (l->duration_s != 0)
		json_kv_num(j, "duration_s", l->duration_s);
	if (l->output != 0)
		json_kv_num(j, "output", l->output);
	if (l->concurrent != 0)
		json_kv_num(j, "concurrent", l->concurrent);
	if (l->rate != 0) {
		json_kv_num(j, "rate", l->rate);
		json_kv_num(j, "rate_per_s", l->rate_per_s);
	}
	json_close(j, '}');
}

void
export_masks(struct json *j, const struct policy *p, const uint64_t *set)
{
	static const char *const kind[] = { [MASK_CLASS] = "class",
		[MASK_PATTERN] = "pattern",
		[MASK_LITERAL] = "literal_from" };

	json_kv_open(j, "masks", '[');
	for (size_t i = 0; i < p->nmask; i++) {
		if (!bit_get(set, i))
			continue;
		json_open(j, '{');
		json_kv_str(j, kind[p->mask[i]->kind], p->mask[i]->text);
		if (p->mask[i]->name != NULL)
			json_kv_str(j, "as", p->mask[i]->name);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
put_approvals(struct json *j, const struct policy *p, const uint64_t *set)
{
	json_kv_open(j, "approvals", '[');
	for (size_t i = 0; i < p->napproval; i++) {
		const struct approval *a = &p->approval[i]->pub;

		if (!bit_get(set, i))
			continue;
		json_open(j, '{');
		json_kv_num(j, "people", a->n);
		json_kv_str(j, "from", a->people);
		json_kv_num(j, "within_s", a->within_s);
		json_kv_num(j, "valid_s", a->valid_s);
		json_kv_bool(j, "with_stdin", a->with_stdin);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* -- what a line means
 * ----------------------------------------------------------------- */

static void
put_people(struct json *j, const struct policy *p, const char *name)
{
	const struct people *people = dict_get(&p->peoples, name);

	json_open(j, '[');
	for (size_t i = 0; people != NULL && i < people->n; i++)
		json_str(j, people->member[i].name);
	json_close(j, ']');
}

static void
put_identities(struct json *j, const struct policy *p, const struct rule *rule)
{
	const struct identity *id;

	json_open(j, '[');
	for (size_t i = 0; i < rule->nwho; i++) {
		id = p->identity[rule->id[i]];
		json_str(j, id->issuer->pub.url);
		json_num(j, id->opened);
		export_conditions(j, &id->cond);
	}
	json_close(j, ']');
}

void
export_terms(struct json *j, const struct policy *p, const struct run *run)
{
	const struct rule *rule = run->rule;

	json_open(j, '{');
	json_kv_num(j, "effect", rule->effect);
	json_kv_bool(j, "everyone", rule->everyone);
	json_key(j, "who");
	put_identities(j, p, rule);
	json_key(j, "where");
	export_where(j, rule->where, rule->nwhere);
	put_windows(j, rule);
	json_kv_num(j, "pty", run->pty);
	json_kv_num(j, "stdin", run->stdin_ok);
	json_kv_num(j, "stdin_max", run->stdin_max);
	if (rule->effect == EFFECT_ALLOW) {
		export_limits(j, &rule->limit);
		export_masks(j, p, rule->masks);
		put_approvals(j, p, rule->approvals);
		for (size_t i = 0; i < p->napproval; i++) {
			if (!bit_get(rule->approvals, i))
				continue;
			json_key(j, "people");
			put_people(j, p, p->approval[i]->pub.people);
		}
		json_kv_num(j, "floor", rule->floor);
		put_env(j, rule);
	}
	json_close(j, '}');
}

static void
put_run(struct json *j, const struct run *run)
{
	json_open(j, '{');
	json_kv_num(j, "line", run->at.pos.line);
	export_pattern(j, run);
	json_kv_bool(j, "pty", run->pty);
	json_kv_bool(j, "stdin", run->stdin_ok);
	if (run->stdin_max != 0)
		json_kv_num(j, "stdin_max", run->stdin_max);
	json_close(j, '}');
}

void
export_rule(struct json *j, const struct policy *p, const struct rule *rule)
{
	json_open(j, '{');
	json_kv_str(j, "name", rule->name);
	json_kv_str(j, "file", p->source[rule->at.pos.file].name);
	json_kv_num(j, "line", rule->at.pos.line);
	json_kv_str(
	    j, "effect", rule->effect == EFFECT_ALLOW ? "allow" : "deny");
	put_who(j, p, rule);
	json_key(j, "where");
	export_where(j, rule->where, rule->nwhere);
	put_windows(j, rule);
	export_limits(j, &rule->limit);
	export_masks(j, p, rule->masks);
	put_approvals(j, p, rule->approvals);
	json_kv_bool(j, "floor", rule->floor);
	if (rule->because != NULL)
		json_kv_str(j, "because", rule->because);
	json_kv_open(j, "run", '[');
	for (size_t i = 0; i < rule->nrun; i++)
		put_run(j, rule->run[i]);
	json_close(j, ']');
	put_others(j, rule);
	json_close(j, '}');
}
