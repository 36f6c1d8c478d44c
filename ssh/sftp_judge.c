/*
 * May this path be used so?  The rules against a path, twice: as it is
 * written, and, where a symbolic link could make a difference, as it really is
 * by the target's word.  Runs in the hop.  Distrusts the job; the target's word
 * on its own paths is taken, for it could do as it likes with them anyway.
 *
 * The lines of a rule were sorted by policy: of those that cover a path the
 * first decides, unless a deny line covers it, too.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/str.h"
#include "ssh/sftp_internal.h"

#define MODE_SETID 06000U

static const char *const access_words[] = {
	[ACCESS_STAT] = "looking at",
	[ACCESS_READ] = "reading",
	[ACCESS_WRITE] = "writing",
	[ACCESS_DELETE] = "deleting",
};

void
sftp_refuse(struct sftp *s, const char *rule, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
	s->rule = rule;
}

/* A deny line holds wherever one of the two paths is beneath one of its two. */
static const struct sftp_root *
judge_denied(
    const struct sftp *s, bool write, const char *path, const char *real)
{
	for (size_t i = 0; i < s->want.nrule; i++) {
		const struct sftp_root *t = &s->root[i];

		if (!t->rule->deny || t->rule->write != write)
			continue;
		if (path_is_beneath(path, t->rule->path) ||
		    path_is_beneath(path, t->real) ||
		    (real != NULL && (path_is_beneath(real, t->rule->path) ||
					 path_is_beneath(real, t->real))))
			return t;
	}
	return NULL;
}

/* The line that grants it, -1: none.  real: by where the folders really are. */
static int
judge_covers(const struct sftp *s, bool write, bool real, const char *path)
{
	for (size_t i = 0; i < s->want.nrule; i++) {
		const struct sftp_root *t = &s->root[i];

		if (!t->rule->deny && t->rule->write == write &&
		    path_is_beneath(path, real ? t->real : t->rule->path))
			return (int)i;
	}
	return -1;
}

static bool
judge_has_deny(const struct sftp *s, bool write)
{
	for (size_t i = 0; i < s->want.nrule; i++) {
		if (s->want.rule[i].deny && s->want.rule[i].write == write)
			return true;
	}
	return false;
}

/* No link on the way from the rule's folder to the path. */
static bool
judge_straight(const struct sftp_root *t, const char *path, const char *real)
{
	size_t n = strcmp(t->rule->path, "/") == 0 ? 0 : strlen(t->rule->path);
	size_t k = strcmp(t->real, "/") == 0 ? 0 : strlen(t->real);
	const char *rest = path + n;

	if (strcmp(path, "/") == 0)
		return strcmp(real, "/") == 0;
	if (k == 0 && rest[0] == '\0')
		return strcmp(real, "/") == 0;
	return strncmp(real, t->real, k) == 0 && strcmp(real + k, rest) == 0;
}

/* What a line says beyond where. */
static bool
judge_terms(struct sftp *s, enum sftp_access access, const char *path,
    const struct sftp_root *t, bool is_root)
{
	const struct sftp_rule *u = t->rule;

	if (access != ACCESS_DELETE)
		return true;
	if (u->no_delete) {
		sftp_refuse(s, u->name,
		    "deleting %s: rule %s grants writing with no-delete", path,
		    u->name);
		return false;
	}
	if (is_root) {
		sftp_refuse(s, u->name,
		    "deleting %s: rule %s grants what is beneath it, but not "
		    "to remove the folder itself",
		    path, u->name);
		return false;
	}
	return true;
}

/* Where it really is. */
static bool
judge_real(struct sftp *s, enum sftp_access access, const char *path,
    const char *real, int *root)
{
	bool write = access >= ACCESS_WRITE;
	const struct sftp_root *t = &s->root[*root];

	if (t->rule->no_symlinks && !judge_straight(t, path, real)) {
		sftp_refuse(s, t->rule->name,
		    "%s %s: there is a symbolic link on the way, and rule %s "
		    "says no-symlinks",
		    access_words[access], path, t->rule->name);
		return false;
	}
	if (!write) /* a granted folder may have links that lead out of it */
		return true;
	if ((*root = judge_covers(s, true, true, real)) == -1) {
		sftp_refuse(s, t->rule->name,
		    "%s %s: a symbolic link leads out of what rule %s grants",
		    access_words[access], path, t->rule->name);
		return false;
	}
	return judge_terms(s, access, path, &s->root[*root],
	    strcmp(real, s->root[*root].real) == 0);
}

static bool
judge_one(struct sftp *s, enum sftp_access access, const char *path,
    const char *real, int *root)
{
	bool write = access >= ACCESS_WRITE;
	const struct sftp_root *deny = judge_denied(s, write, path, real);

	if (deny != NULL) {
		sftp_refuse(s, deny->rule->name, "%s %s: rule %s denies it",
		    access_words[access], path, deny->rule->name);
		return false;
	}
	if ((*root = judge_covers(s, write, false, path)) == -1) {
		sftp_refuse(s, NULL, "%s %s: no rule grants it",
		    access_words[access], path);
		return false;
	}
	if (!judge_terms(s, access, path, &s->root[*root],
		strcmp(path, s->root[*root].rule->path) == 0))
		return false;
	return real == NULL || judge_real(s, access, path, real, root);
}

/* Who may write must be able to look what is there: any client does. */
static bool
judge_stat(struct sftp *s, const char *path, const char *real, int *root)
{
	return judge_one(s, ACCESS_READ, path, real, root) ||
	       judge_one(s, ACCESS_WRITE, path, real, root);
}

bool
sftp_judge(struct sftp *s, enum sftp_access access, const char *path,
    const char *real, int *root, bool *ask)
{
	bool write, granted;
	int found = -1;

	granted = access == ACCESS_STAT
		      ? judge_stat(s, path, real, &found)
		      : judge_one(s, access, path, real, &found);
	if (!granted)
		return false;
	write = s->root[found].rule->write;
	*root = found;
	*ask = access >= ACCESS_WRITE || s->root[found].rule->no_symlinks ||
	       judge_has_deny(s, write);
	return true;
}

/* Some line's folder is there, or beneath. */
static bool
judge_roots_beneath(const struct sftp *s, const char *path)
{
	for (size_t i = 0; i < s->want.nrule; i++) {
		if (path_is_beneath(s->want.rule[i].path, path) ||
		    path_is_beneath(s->root[i].real, path))
			return true;
	}
	return false;
}

static bool
judge_readable(const struct sftp *s, bool real, const char *path)
{
	return judge_denied(s, false, path, NULL) == NULL &&
	       judge_covers(s, false, real, path) != -1;
}

bool
sftp_judge_moves(struct sftp *s, bool real, const char *from, const char *to)
{
	int a = judge_covers(s, true, real, from);
	int b = judge_covers(s, true, real, to);

	/* What is beneath it would come under other rules than before. */
	if (judge_roots_beneath(s, from) || judge_roots_beneath(s, to)) {
		sftp_refuse(s, NULL,
		    "renaming or linking %s to %s: a rule speaks of what is "
		    "there, or beneath it",
		    from, to);
		return false;
	}
	if (judge_readable(s, real, to) && !judge_readable(s, real, from)) {
		sftp_refuse(s, NULL,
		    "renaming or linking %s to %s: it could be read there, and "
		    "no rule grants to read it",
		    from, to);
		return false;
	}
	/* It could be deleted there. */
	if (a != -1 && b != -1 && s->want.rule[a].no_delete &&
	    !s->want.rule[b].no_delete) {
		sftp_refuse(s, s->want.rule[a].name,
		    "renaming or linking %s to %s: rule %s grants writing with "
		    "no-delete",
		    from, to, s->want.rule[a].name);
		return false;
	}
	return true;
}

bool
sftp_judge_above(const struct sftp *s, const char *path)
{
	for (size_t i = 0; i < s->want.nrule; i++) {
		if (!s->want.rule[i].deny &&
		    path_is_beneath(s->want.rule[i].path, path))
			return true;
	}
	return false;
}

bool
sftp_judge_keeps(const struct sftp *s, const char *path)
{
	int i = judge_covers(s, true, false, path);

	return i != -1 && s->want.rule[i].no_delete;
}

bool
sftp_judge_charge(struct sftp *s, int root, uint64_t n)
{
	struct sftp_root *t = &s->root[root];
	uint64_t used;

	if (__builtin_add_overflow(t->used, n, &used) ||
	    (t->rule->max != 0 && used > t->rule->max)) {
		sftp_refuse(s, t->rule->name,
		    "rule %s grants %s %llu bytes in one transfer, and this is "
		    "more",
		    t->rule->name, t->rule->write ? "writing" : "reading",
		    (unsigned long long)t->rule->max);
		return false;
	}
	t->used = used;
	return true;
}

bool
sftp_judge_attrs(struct sftp *s, const struct sftp_attrs *a, const char *path)
{
	if ((a->flags & ATTR_UIDGID) != 0) {
		sftp_refuse(s, NULL,
		    "changing the owner of %s: granted by no rule", path);
		return false;
	}
	if ((a->flags & ATTR_PERM) != 0 && (a->perm & MODE_SETID) != 0) {
		sftp_refuse(s, NULL,
		    "making %s setuid or setgid: granted by no rule", path);
		return false;
	}
	return true;
}
