/*
 * The lines of a session of files.  Runs in policy, for a job that asks for one
 * and names no path yet.  Whatever decide() would answer for a path, with the
 * same request, the lines answer, or they deny: each is checked against the
 * function that decide() asks, and what cannot be said without slots, or asks
 * for something that is not there, is not granted.
 */
#include "config.h"

#include "policy/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/claims.h"
#include "policy/explain.h"
#include "policy/index.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"
#include "policy/slot.h"

#define FOUND_MAX 4096 /* lines of a policy that hold for one session */

/* -- paths without slots -----------------------------------------------------
 */

/* How many texts the slot stands for; 0: too many to be written out. */
static uint64_t
slot_count(const struct slot *s)
{
	uint64_t n;

	switch (s->kind) {
	case SLOT_ENUM:
		return s->nvalue;
	case SLOT_CLAIM:
		return 1;
	case SLOT_INT:
		n = s->max - s->min;
		return n < FILES_NUMBERS_MAX ? n + 1 : 0;
	case SLOT_ANY:
	case SLOT_TEXT:
	case SLOT_PATH:
	case SLOT_SEMVER:
	case SLOT_SHA:
	case SLOT_HOST:
	case SLOT_REF:
		break;
	}
	return 0;
}

/* How many paths the item stands for; 0: too many. */
static uint64_t
item_count(const struct item *it)
{
	uint64_t n = 1, k;

	for (size_t i = 0; i < it->npiece; i++) {
		k = it->piece[i].text != NULL ? 1
					      : slot_count(it->piece[i].slot);
		if (k == 0 || (n *= k) > FILES_LINES_MAX)
			return 0;
	}
	return n;
}

static int
slot_put(struct buf *b, const struct slot *s, const struct claims *cs,
    uint64_t which)
{
	const char *value;

	if (s->kind == SLOT_ENUM)
		value = s->value[which];
	else if (s->kind == SLOT_CLAIM)
		value = cs == NULL ? NULL : claims_get(cs, s->pattern);
	else
		return buf_putf(b, "%" PRIu64, s->min + which);
	if (value == NULL) /* and so the line speaks of no path */
		return ERR_NOTFOUND;
	return buf_put(b, value, strlen(value));
}

/* The which-th of the paths that the item stands for.  ERR_NOTFOUND: it stands
 * for none there. */
static int
item_put(struct buf *b, const struct item *it, const struct claims *cs,
    uint64_t which)
{
	const struct piece *p;
	uint64_t k;
	int r = 0;

	for (size_t i = 0; i < it->npiece && r == 0; i++) {
		p = &it->piece[i];
		if (p->text != NULL) {
			r = buf_put(b, p->text, p->len);
			continue;
		}
		k = slot_count(p->slot);
		r = slot_put(b, p->slot, cs, which % k);
		which /= k;
	}
	return r;
}

/* The folders in front of the first slot. */
static int
folder_put(struct buf *b, const struct item *it)
{
	size_t n = it->piece[0].text == NULL ? 0 : it->piece[0].len;

	while (n > 1 && it->piece[0].text[n - 1] != '/')
		n--;
	return n <= 1 ? buf_put(b, "/", 1)
		      : buf_put(b, it->piece[0].text, n - 1);
}

/* -- lines -------------------------------------------------------------------
 */

static int
lines_add(struct files *f, const struct file_line *line, struct buf *path)
{
	struct file_line *v;
	size_t cap;

	if (f->n == FILES_LINES_MAX)
		return ERR_TOOBIG;
	if (f->n == f->cap) {
		cap = f->cap == 0 ? 8 : 2 * f->cap;
		if ((v = realloc(f->line, cap * sizeof(*v))) == NULL)
			return ERR_NOMEM;
		f->line = v;
		f->cap = cap;
	}
	f->line[f->n] = *line;
	if (buf_cstr(path) == NULL ||
	    (f->line[f->n].path = strdup(buf_cstr(path))) == NULL)
		return ERR_NOMEM;
	f->n++;
	return 0;
}

/* All paths of one line. */
static int
lines_of(struct files *f, const struct request *q, const struct transfer *t,
    bool deny, size_t *added)
{
	const struct file_line line = { .rule = t->rule->name,
		.deny = deny,
		.write = t->write,
		.max = t->max,
		.no_delete = t->no_delete,
		.no_symlinks = t->no_symlinks };
	uint64_t n = item_count(&t->under);
	struct buf path;
	int r = 0;

	*added = 0;
	buf_init(&path, PATH_LEN_MAX + 1);
	if (n == 0 && !deny)
		f->slotted = t->rule;
	if (n == 0 && deny && (r = folder_put(&path, &t->under)) == 0)
		r = lines_add(f, &line, &path);
	for (uint64_t i = 0; i < n && r == 0; i++) {
		buf_reset(&path);
		r = item_put(&path, &t->under, q->claims, i);
		/* MUST be what decide() takes it for. */
		if (r == ERR_NOTFOUND || r == ERR_TOOBIG ||
		    (r == 0 &&
			!path_is_under(&t->under, q->claims,
			    (const char *)buf_ptr(&path), buf_len(&path)))) {
			r = 0;
			continue;
		}
		if (r == 0 && (r = lines_add(f, &line, &path)) == 0)
			(*added)++;
	}
	buf_clear(&path);
	return r;
}

/* -- which hold --------------------------------------------------------------
 */

struct gather {
	const struct request *q;
	const struct transfer **t;
	size_t n;
	bool full;
};

static void
gather(const void *line, void *ctx)
{
	const struct transfer *t = line;
	struct gather *g = ctx;

	if ((t->by & g->q->how) == 0 || !rule_applies(t->rule, g->q))
		return;
	if (g->n == FOUND_MAX)
		g->full = true;
	else
		g->t[g->n++] = t;
}

static int
compare_lines(const void *a, const void *b)
{
	const struct transfer *x = *(const struct transfer *const *)a;
	const struct transfer *y = *(const struct transfer *const *)b;
	const struct found p = {
		.rule = x->rule, .transfer = x, .order = x->order, .pty = true
	};
	const struct found q = {
		.rule = y->rule, .transfer = y, .order = y->order, .pty = true
	};

	return x == y ? 0 : found_is_better(&p, &q) ? -1 : 1;
}

static bool
is_observed(const struct request *q)
{
	return q->now > 0 && (int64_t)q->now < q->target->observe_until &&
	       (q->enforces & ENFORCE_OBSERVE) != 0;
}

/* Can what the line's rule demands be kept?  If not, f says why not. */
static bool
can_be_kept(struct files *f, const struct request *q, const struct transfer *t)
{
	struct decision one = { .limit = t->rule->limit,
		.text_only = t->rule->text_only,
		.record_input = t->rule->record_input,
		.record_full = t->rule->record_full };
	const char *missing;

	if (t->rule->approve > 0) { /* none can be asked for yet */
		f->asks = t->rule;
		return false;
	}
	missing = decision_missing(q, &one);
	if (missing == NULL && q->how == BY_SCP_LEGACY && t->no_symlinks)
		missing = "`no-symlinks`"; /* scp does not say what is one */
	if (missing == NULL)
		return true;
	f->lacks = t->rule;
	f->missing = missing;
	return false;
}

static void
names_add(struct files *f, const char *name)
{
	size_t n = strlen(f->names), k = strlen(name);

	for (const char *p = f->names; (p = strstr(p, name)) != NULL; p++) {
		if ((p == f->names || p[-1] == ' ') &&
		    (p[k] == '\0' || p[k] == ','))
			return; /* it is there */
	}
	if (n + 2 + k + sizeof(", ...") < sizeof(f->names))
		(void)snprintf(f->names + n, sizeof(f->names) - n, "%s%s",
		    n == 0 ? "" : ", ", name);
	else if (n > 3 && strcmp(f->names + n - 3, "...") != 0)
		(void)snprintf(f->names + n, sizeof(f->names) - n, ", ...");
}

static void
granted(struct files *f, const struct request *q, const struct rule *rule,
    bool write)
{
	const struct identity *id = rule_identity(rule, q);

	if (f->d.rule == NULL && id != NULL) {
		f->d.rule = rule;
		f->d.rule_name = rule->name;
		f->d.identity_name = id->name;
	}
	limits_join(&f->d.limit, &rule->limit);
	names_add(f, rule->name);
	f->writes |= write;
	f->reads |= !write;
}

/*
 * One line that holds.  A floor's demand is part of every path it covers, so a
 * floor that cannot be kept denies them; so does a line whose demand cannot be
 * kept where the next best one would be taken instead, but for approvals: what
 * asks for those comes last.
 */
static int
add_line(struct files *f, const struct request *q, const struct transfer *t)
{
	const struct rule *rule = t->rule;
	bool deny = rule->effect == EFFECT_DENY;
	size_t added;
	int r;

	if (!deny && !can_be_kept(f, q, t)) {
		if (rule->approve > 0 && !rule->floor && !is_observed(q))
			return 0;
		deny = true;
	}
	if ((r = lines_of(f, q, t, deny, &added)) != 0)
		return r;
	if (!deny && rule->floor)
		limits_join(&f->d.limit, &rule->limit);
	if (!deny && added > 0)
		granted(f, q, rule, t->write);
	return 0;
}

/* What no line covers is let through on a target that is observed. */
static int
add_observed(struct files *f, const struct request *q)
{
	const struct identity *id = request_identity(q);
	struct buf root;
	int r = 0;

	if (id == NULL || !is_observed(q))
		return 0;
	if (f->d.rule == NULL) {
		f->d.would_deny = true;
		f->d.identity_name = id->name;
	}
	limits_join(&f->d.limit, &q->policy->limit);
	buf_init(&root, 2);
	r = buf_put(&root, "/", 1);
	for (int write = 0; write <= 1 && r == 0; write++)
		r = lines_add(f,
		    &(struct file_line){
			.rule = "default", .write = write == 1 },
		    &root);
	buf_clear(&root);
	if (r == 0) {
		names_add(f, "default");
		f->reads = f->writes = true;
	}
	return r;
}

int
files_decide(const struct request *q, struct files *f)
{
	struct gather g = { .q = q };
	int r = 0;

	*f = (struct files){ .d = { .verdict = VERDICT_DENY,
				 .meant = VERDICT_DENY,
				 .rule_name = "default" } };
	if (q->policy == NULL || q->identity == NULL || q->target == NULL ||
	    q->login == NULL || q->login[0] == '\0' || q->pty ||
	    (q->kind != REQUEST_READ && q->kind != REQUEST_WRITE))
		return 0;
	if ((g.t = calloc(FOUND_MAX, sizeof(*g.t))) == NULL)
		return ERR_NOMEM;
	index_each_kind(q, INDEX_FILES, gather, &g);
	qsort(g.t, g.n, sizeof(*g.t), compare_lines);
	r = g.full ? ERR_TOOBIG : 0;
	for (size_t i = 0; i < g.n && r == 0; i++) {
		if (i == 0 || g.t[i] != g.t[i - 1])
			r = add_line(f, q, g.t[i]);
	}
	if (r == 0)
		r = add_observed(f, q);
	free(g.t);
	if (r != 0)
		return r;
	f->d.stdin_ok = true;
	f->d.missing = decision_missing(q, &f->d);
	/* MUST be last: what cannot be enforced is not granted. */
	if (f->d.missing == NULL && (f->reads || f->writes))
		f->d.verdict = f->d.meant = VERDICT_ALLOW;
	return 0;
}

void
files_clear(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->line[i].path);
	free(f->line);
	f->line = NULL;
	f->n = f->cap = 0;
}

const struct file_line *
files_judge(const struct files *f, bool write, const char *path)
{
	const struct file_line *best = NULL;

	if (!path_is_plain(path, strlen(path)))
		return NULL;
	for (size_t i = 0; i < f->n; i++) {
		if (f->line[i].write != write ||
		    !path_is_beneath(path, f->line[i].path))
			continue;
		if (f->line[i].deny)
			return NULL;
		if (best == NULL)
			best = &f->line[i];
	}
	return best;
}

/* -- why not -----------------------------------------------------------------
 */

static bool
speaks_of(const struct rule *rule, const struct request *q, bool other_way)
{
	if (rule->effect != EFFECT_ALLOW || rule_identity(rule, q) == NULL ||
	    !rule_is_here(rule, q))
		return false;
	for (size_t i = 0; i < rule->ntransfer; i++) {
		if (((rule->transfer[i].by & q->how) == 0) == other_way)
			return true;
	}
	return false;
}

/* The first rule of them, if there is one. */
static const struct rule *
find_rule(const struct request *q, bool other_way)
{
	for (size_t i = 0; i < q->policy->nrule; i++) {
		if (speaks_of(q->policy->rule[i], q, other_way))
			return q->policy->rule[i];
	}
	return NULL;
}

static int
explain_near(const struct request *q, const struct files *f, struct buf *out)
{
	const struct policy *p = q->policy;
	const struct rule *rule;

	if (f->lacks != NULL)
		return buf_putf(out,
		    "postern: rule `%s` or another one demands %s, which this "
		    "version cannot enforce yet for files\n",
		    f->lacks->name, f->missing);
	if (f->asks != NULL)
		return buf_putf(out,
		    "postern: rule `%s` asks for approvals, which cannot be "
		    "asked for files yet\n",
		    f->asks->name);
	if (f->slotted != NULL)
		return buf_putf(out,
		    "postern: the path of rule `%s` has a <...> that stands "
		    "for too many folders; a session of files needs it to be "
		    "a list or a claim\n",
		    f->slotted->name);
	if (p->explain != EXPLAIN_FULL)
		return 0;
	if ((rule = find_rule(q, false)) != NULL && rule->nwindow > 0 &&
	    !rule_is_now(rule, q))
		return explain_show_window(q, rule, out);
	if ((rule = find_rule(q, true)) != NULL)
		return explain_show_rule(p, rule,
		    "files may be moved, but in another way: rule",
		    &rule->transfer[0].whole, out);
	return explain_show_identities(q, out);
}

int
files_explain(const struct request *q, const struct files *f, struct buf *out)
{
	const char *way = q->how == BY_SFTP ? "sftp" : "scp -O";
	int r;

	if (q->target == NULL)
		return buf_putf(
		    out, "postern: denied: there is no such target\n");
	if (q->policy == NULL || q->policy->explain == EXPLAIN_NONE)
		return buf_putf(out, "postern: denied\n");
	if (f->d.missing != NULL && (f->reads || f->writes))
		return buf_putf(out,
		    "postern: denied: rule `%s` allows this, but it or another "
		    "rule demands %s, which this version cannot enforce yet\n",
		    f->d.rule_name, f->d.missing);
	if ((r = explain_near(q, f, out)) != 0)
		return r;
	return buf_putf(out,
	    "postern: denied: no rule lets you read or write files by %s as "
	    "%s on %s%s\n",
	    way, q->login, q->target->name,
	    find_rule(q, false) == NULL ? "" : " now");
}
