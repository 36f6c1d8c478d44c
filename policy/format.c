/*
 * The formatter.  It knows quotes, comments and braces, and nothing else of the
 * language: what is between quotes stays, and so does whether two words touch.
 * Its caller sees to it that the meaning did not change.
 */
#include "config.h"

#include "policy/format.h"

#include <stdbool.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"

#define INDENT 4

struct format {
	struct buf *out;
	size_t depth;
	bool empty;  /* an empty line is due */
	bool opened; /* the line before opened a block, or there is none */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Bytes of the quoted text at s, its quotes with it. */
static size_t
quoted(const char *s, size_t n)
{
	size_t i = 1;

	while (i < n && s[i] != s[0])
		i += s[0] == '"' && s[i] == '\\' && i + 1 < n ? 2 : 1;
	return i < n ? i + 1 : n;
}

static bool
begins_comment(const char *s, size_t i)
{
	return s[i] == '#' && (i == 0 || is_blank(s[i - 1]) ||
				  strchr("{};", s[i - 1]) != NULL);
}

/* One line without the blanks around it. */
static int
put_line(struct format *f, const char *s, size_t n)
{
	size_t i = 0, k;
	int r = 0;

	while (i < n && r == 0) {
		if (begins_comment(s, i)) {
			r = i == 0 ? 0 : buf_put(f->out, "  ", 2);
			return r != 0 ? r : buf_put(f->out, s + i, n - i);
		}
		if (is_blank(s[i])) {
			while (i < n && is_blank(s[i]))
				i++;
			if (!begins_comment(s, i))
				r = buf_put(f->out, " ", 1);
			continue;
		}
		k = s[i] == '"' || s[i] == '\'' ? quoted(s + i, n - i)
		    : s[i] == '\\' && i + 1 < n ? 2
						: 1;
		f->depth += s[i] == '{';
		f->depth -= s[i] == '}' && f->depth > 0;
		r = buf_put(f->out, s + i, k);
		i += k;
	}
	return r;
}

static int
format_line(struct format *f, const char *s, size_t n)
{
	size_t depth = f->depth;
	int r = 0;

	while (n > 0 && is_blank(*s)) {
		s++;
		n--;
	}
	while (n > 0 && is_blank(s[n - 1]))
		n--;
	if (n == 0) {
		f->empty = true;
		return 0;
	}
	if (f->empty && !f->opened && *s != '}')
		r = buf_put(f->out, "\n", 1);
	f->empty = false;
	depth -= *s == '}' && depth > 0;
	for (size_t i = 0; i < depth * INDENT && r == 0; i++)
		r = buf_put(f->out, " ", 1);
	depth = f->depth;
	if (r == 0 && (r = put_line(f, s, n)) == 0)
		r = buf_put(f->out, "\n", 1);
	f->opened = f->depth > depth;
	return r;
}

int
policy_format(const char *text, size_t n, struct buf *out)
{
	struct format f = { .out = out, .opened = true };
	const char *end;
	size_t k;
	int r = 0;

	while (n > 0 && r == 0) {
		end = memchr(text, '\n', n);
		k = end == NULL ? n : (size_t)(end - text);
		r = format_line(&f, text, k);
		k += end != NULL;
		text += k;
		n -= k;
	}
	return r;
}
