/*
 * A line of whoever sends: C, D, E, T or a complaint.  Taken apart, judged by
 * where its name is on the target, and written anew for the receiver; or
 * refused, as the receiver would.  Runs in the hop.  Distrusts the sender.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/scp_internal.h"

#define MODE_MAX 0777 /* neither setuid nor setgid nor sticky */

/* -- names and paths ---------------------------------------------------------
 */

static bool
name_ok(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t n = strlen(name), k;
	uint32_t cp;

	if (n == 0 || n > 255 || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0 || strchr(name, '/') != NULL)
		return false;
	for (; n > 0; p += k, n -= k) {
		if ((k = utf8_next(p, n, &cp)) == 0 || utf8_is_control(cp))
			return false;
	}
	return true;
}

static int
join(char dst[SCP_PATH_MAX + 1], const char *folder, const char *name)
{
	int n = snprintf(dst, SCP_PATH_MAX + 1, "%s/%s", folder, name);

	return n > 0 && n <= SCP_PATH_MAX ? 0 : ERR_TOOBIG;
}

/* Where a name of the sender's is on the target. */
static int
locate(const struct scp *s, const char *name, struct scp_place *p)
{
	const struct scp_place *in = &s->at[s->depth];
	bool top = s->depth == 0;
	int r;

	*p = (struct scp_place){ .alt = "" };
	if (top && !s->want.write) /* the name that was asked for */
		return str_copy(p->path, sizeof(p->path), s->want.path);
	if (top && s->want.into)
		return join(p->path, s->want.path, name);
	if (top) {
		if ((r = join(p->alt, s->want.path, name)) != 0)
			return r;
		return str_copy(p->path, sizeof(p->path), s->want.path);
	}
	if (in->alt[0] != '\0' && (r = join(p->alt, in->alt, name)) != 0)
		return r;
	return join(p->path, in->path, name);
}

/* NULL: it may be. */
static const char *
judge(struct scp *s, const struct scp_place *p, uint64_t bytes)
{
	const char *why = NULL;

	s->rule = NULL;
	if (p->alt[0] != '\0' &&
	    s->want.judge(s->want.arg, p->alt, 0, &why) == NULL)
		return why;
	s->rule = s->want.judge(s->want.arg, p->path, bytes, &why);
	return s->rule == NULL ? why : NULL;
}

/* The sender is told, as if by the receiver; whoever sends nothing of it. */
static int
refuse(struct scp *s, const struct scp_place *p, bool folder, const char *why)
{
	char text[512];
	int n = snprintf(
	    text, sizeof(text), "\001postern: %.300s: %.100s\n", p->path, why);
	int r;

	if (n <= 0 || (size_t)n >= sizeof(text))
		return ERR_INTERNAL;
	s->passed = 0;
	if ((r = scp_report(s, p, folder, SCP_REFUSED, NULL)) != 0)
		return r;
	scp_put(s, scp_sender(s), text, (size_t)n);
	if (!s->want.write) /* and the job hears why something is missing */
		scp_put(s, SCP_JOB, text, (size_t)n);
	s->turn = SCP_TURN_LINE;
	return 0;
}

/* -- the sender's lines ------------------------------------------------------
 */

/* "C0644 123 name", taken apart: mode, size, name. */
static bool
split(char *line, uint64_t *mode, uint64_t *size, char **name)
{
	char *sp = strchr(line + 1, ' '), *sp2;

	if (sp == NULL || (sp2 = strchr(sp + 1, ' ')) == NULL ||
	    sp - line != 5) /* four digits */
		return false;
	*sp = *sp2 = '\0';
	*mode = 0;
	for (const char *c = line + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '7')
			return false;
		*mode = *mode * 8 + (uint64_t)(*c - '0');
	}
	*name = sp2 + 1;
	return num_parse(sp + 1, 0, INT64_MAX, size) == 0;
}

static void
pass_line(struct scp *s, char kind, const char *text)
{
	scp_put(s, scp_receiver(s), text, strlen(text));
	scp_put(s, scp_receiver(s), "\n", 1);
	s->kind = kind;
	s->turn = SCP_TURN_ANSWER;
}

/* At the top of what is read there is one thing: what was asked for. */
static bool
top_ok(const struct scp *s, const char *name)
{
	const char *want = strrchr(s->want.path, '/') + 1;

	return s->depth > 0 || s->want.write ||
	       (s->tops == 0 && strcmp(name, want) == 0);
}

static int
on_item(struct scp *s, bool folder)
{
	char again[SCP_LINE_MAX + 1], *name;
	uint64_t mode, size;
	const char *why;
	struct scp_place p;

	if (!split(s->line, &mode, &size, &name) || !name_ok(name) ||
	    (folder && size != 0))
		return scp_broke(s, scp_sender(s), "a line that is none");
	if (!top_ok(s, name))
		return scp_broke(
		    s, scp_sender(s), "another name than the one asked for");
	if (folder && !s->want.recurse)
		return scp_broke(
		    s, scp_sender(s), "a folder that was not asked for");
	if (folder && s->depth == SCP_DEPTH_MAX)
		return scp_broke(
		    s, scp_sender(s), "too many folders in folders");
	if (locate(s, name, &p) != 0)
		return scp_broke(s, scp_sender(s), "a path that is too long");
	s->tops += s->depth == 0;
	if (mode > MODE_MAX)
		return refuse(s, &p, folder,
		    "setuid, setgid and sticky are "
		    "not passed on");
	if ((why = judge(s, &p, folder ? 0 : size)) != NULL)
		return refuse(s, &p, folder, why);
	s->file = p;
	s->left = size;
	s->passed = 0;
	if (!folder)
		scp_begin(s, &p);
	(void)snprintf(again, sizeof(again), "%c%04o %llu %s",
	    folder ? 'D' : 'C', (unsigned int)mode, (unsigned long long)size,
	    name);
	pass_line(s, folder ? 'D' : 'C', again);
	return 0;
}

/* "T1700000000 0 1700000000 0" */
static int
on_times(struct scp *s)
{
	char again[SCP_LINE_MAX], *p = s->line + 1, *end;
	uint64_t n[4];

	for (size_t i = 0; i < 4; i++) {
		end = i < 3 ? strchr(p, ' ') : p + strlen(p);
		if (end == NULL)
			return scp_broke(
			    s, scp_sender(s), "times that are none");
		if (*end == ' ')
			*end++ = '\0';
		if (num_parse(p, 0, i % 2 == 0 ? INT64_MAX : 999999, &n[i]) !=
		    0)
			return scp_broke(
			    s, scp_sender(s), "times that are none");
		p = end;
	}
	(void)snprintf(again, sizeof(again), "T%llu %llu %llu %llu",
	    (unsigned long long)n[0], (unsigned long long)n[1],
	    (unsigned long long)n[2], (unsigned long long)n[3]);
	pass_line(s, 'T', again);
	return 0;
}

/* Its text, for people, without control characters. */
void
scp_pass_text(struct scp *s, enum scp_side to, const char *line)
{
	char text[SCP_LINE_MAX + 1];
	size_t n = 0;

	text[n++] = line[0];
	for (const char *c = line + 1; *c != '\0'; c++)
		text[n++] = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
	text[n++] = '\n';
	scp_put(s, to, text, n);
}

int
scp_line(struct scp *s)
{
	switch (s->line[0]) {
	case 'C':
		return on_item(s, false);
	case 'D':
		return on_item(s, true);
	case 'E':
		if (s->line[1] != '\0' || s->depth == 0)
			return scp_broke(
			    s, scp_sender(s), "a line that is none");
		pass_line(s, 'E', "E");
		return 0;
	case 'T':
		return on_times(s);
	case 1: /* something could not be read there: no answer */
	case 2:
		scp_pass_text(s, scp_receiver(s), s->line);
		return 0;
	default:
		return scp_broke(s, scp_sender(s), "a line that is none");
	}
}
