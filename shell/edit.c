/*
 * libedit, tamed.  Runs in postern-shell, confined, on what somebody types:
 * bytes, of which a line is made that policy will take apart.
 *
 * libedit can do more than edit: a key reads commands of its own language,
 * which bind others, and one of its functions starts vi.  MUST NOT be reached:
 * those keys are taken off, no ~/.editrc is read, no history file is named.
 * What would start a program all the same is killed by the confinement.
 */
#include "config.h"

#include "shell/edit.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "lib/err.h"
#include "lib/proto.h"

#define EDIT_LIST_MAX 100 /* words shown at once */
#define WORDS_INSERT_MAX 4096
#define REPLACEMENT 0xfffd
#define CHARACTER_MAX 0x10ffff /* of Unicode */

struct edit {
	const struct edit_hooks *hooks;
	EditLine *el;
	History *history;
	char prompt[PROTO_PROMPT_MAX];
	mbstate_t state; /* of the character that is being read */
	bool dropped, left;
	FILE *out; /* borrowed */
};

/* Keys that are not libedit's own for them, and those that MUST be nothing:
 * M-x reads a command of its language; digits repeat what follows a million
 * times. */
static const char *const edit_keys[][2] = {
	{ "\\ex", "ed-unassigned" },
	{ "\\e0", "ed-unassigned" },
	{ "\\e1", "ed-unassigned" },
	{ "\\e2", "ed-unassigned" },
	{ "\\e3", "ed-unassigned" },
	{ "\\e4", "ed-unassigned" },
	{ "\\e5", "ed-unassigned" },
	{ "\\e6", "ed-unassigned" },
	{ "\\e7", "ed-unassigned" },
	{ "\\e8", "ed-unassigned" },
	{ "\\e9", "ed-unassigned" },
	{ "^I", "postern-complete" },
	{ "^R", "em-inc-search-prev" },
	{ "^W", "ed-delete-prev-word" },
	{ "\\e[3~", "ed-delete-next-char" },
	{ "\\e[1;5C", "em-next-word" },
	{ "\\e[1;5D", "ed-prev-word" },
};

static struct edit *
edit_of(EditLine *el)
{
	void *e = NULL;

	(void)el_get(el, EL_CLIENTDATA, &e);
	return e;
}

static char *
edit_prompt(EditLine *el)
{
	return edit_of(el)->prompt;
}

/* -- reading ----------------------------------------------------------------
 */

/* The line is as long as a command may be: what would make it longer is not
 * read. */
static bool
is_full(EditLine *el)
{
	const LineInfoW *li = el_wline(el);

	return (size_t)(li->lastchar - li->buffer) >= PROTO_COMMAND_MAX;
}

static bool
makes_shorter(wchar_t c)
{
	static const wchar_t fine[] = { L'\n', L'\r', L'\b', 0x7f, 0x03, 0x0b,
		0x15, 0x17, 0x01, 0x05, L'\0' };

	return c != L'\0' && wcschr(fine, c) != NULL;
}

/* One more byte of a character: 1 when that is whole, 0 when not, -1 at the
 * end of the input. */
static int
read_byte(struct edit *e, wchar_t *c)
{
	size_t k;
	char b;
	ssize_t n = read(STDIN_FILENO, &b, 1);

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return -1;
	k = mbrtowc(c, &b, 1, &e->state);
	if (k == (size_t)-2)
		return 0;
	if (k == (size_t)-1)
		e->state = (mbstate_t){ 0 };
	/* libedit ends the process over what has no form in UTF-8; the C
	 * library reads such from six bytes. */
	if (k == (size_t)-1 || (uint32_t)*c > CHARACTER_MAX ||
	    (*c >= 0xd800 && *c <= 0xdfff))
		*c = REPLACEMENT;
	return 1;
}

/* libedit's input: 1, or 0 at the end. */
static int
edit_getc(EditLine *el, wchar_t *c)
{
	struct edit *e = edit_of(el);
	int r = 0;

	while (!e->dropped && !e->left && r == 0) {
		switch (e->hooks->wait(e->hooks->arg)) {
		case EDIT_BYTE:
			r = read_byte(e, c);
			if (r == 1 && is_full(el) && !makes_shorter(*c))
				r = 0;
			break;
		case EDIT_RESIZED:
			el_resize(el);
			break;
		case EDIT_INTERRUPT:
			e->dropped = true;
			break;
		case EDIT_OVER:
			e->left = true;
			break;
		}
	}
	if (e->left || r == -1)
		return 0;
	if (e->dropped) /* whatever asks: up to the end of the line */
		*c = L'\n';
	return 1;
}

/* -- completion -------------------------------------------------------------
 */

/* How many bytes all words begin with. */
static size_t
common_length(const char *words, size_t n)
{
	const char *w = words;
	size_t len = strlen(words), k;

	for (size_t i = 0; i < n; i++, w += strlen(w) + 1) {
		for (k = 0; k < len && w[k] == words[k];)
			k++;
		len = k;
	}
	return len;
}

static void
list_words(FILE *out, const char *words, size_t n)
{
	size_t shown = n > EDIT_LIST_MAX ? EDIT_LIST_MAX : n;

	(void)fputc('\n', out);
	for (size_t i = 0; i < shown; i++, words += strlen(words) + 1)
		(void)fprintf(out, "%s%s", words, i + 1 < shown ? "  " : "");
	if (shown < n)
		(void)fputs("  and more: type on, then Tab again", out);
	(void)fputc('\n', out);
}

/* Behind these something follows in the same word. */
static bool
goes_on(char last)
{
	return last == '/' || last == '=' || last == ':';
}

static unsigned char
edit_complete(EditLine *el, int ch)
{
	struct edit *e = edit_of(el);
	const LineInfo *li = el_line(el);
	char more[WORDS_INSERT_MAX + 2];
	const char *words = NULL;
	size_t partial = 0, n, len;

	(void)ch;
	n = e->hooks->complete(e->hooks->arg, li->buffer,
	    (size_t)(li->cursor - li->buffer), &words, &partial);
	if (n == 0 || is_full(el))
		return CC_REFRESH_BEEP;
	len = common_length(words, n);
	if (len < partial || len - partial > WORDS_INSERT_MAX)
		return CC_REFRESH_BEEP;
	memcpy(more, words + partial, len - partial);
	more[len - partial] = '\0';
	if (n == 1 && (len == 0 || !goes_on(words[len - 1]))) {
		more[len - partial] = ' ';
		more[len - partial + 1] = '\0';
	}
	if (more[0] != '\0')
		return el_insertstr(el, more) == 0 ? CC_REFRESH : CC_ERROR;
	if (n == 1)
		return CC_REFRESH_BEEP;
	list_words(e->out, words, n);
	return CC_REDISPLAY;
}

/* -- its life ---------------------------------------------------------------
 */

static int
bind_keys(EditLine *el)
{
	for (size_t i = 0; i < sizeof(edit_keys) / sizeof(edit_keys[0]); i++) {
		if (el_set(el, EL_BIND, edit_keys[i][0], edit_keys[i][1],
			NULL) != 0)
			return ERR_SYS;
	}
	return 0;
}

static int
edit_history(struct edit *e)
{
	HistEvent ev;

	if ((e->history = history_init()) == NULL)
		return ERR_NOMEM;
	if (history(e->history, &ev, H_SETSIZE, EDIT_HISTORY_MAX) == -1 ||
	    history(e->history, &ev, H_SETUNIQUE, 1) == -1 ||
	    el_set(e->el, EL_HIST, history, e->history) != 0)
		return ERR_SYS;
	return 0;
}

/* libedit asks the environment for the terminal's name. */
static EditLine *
edit_init(const char *term, FILE *out)
{
	EditLine *el;

	if (setenv("TERM", term, 1) == -1)
		return NULL;
	el = el_init_fd("postern-shell", stdin, out, out, STDIN_FILENO,
	    STDOUT_FILENO, STDERR_FILENO);
	(void)clearenv();
	return el;
}

int
edit_new(const char *term, FILE *out, const struct edit_hooks *hooks,
    struct edit **ep)
{
	struct edit *e = calloc(1, sizeof(*e));
	int r = ERR_NOMEM;

	if (e == NULL)
		goto out;
	e->hooks = hooks;
	e->out = out;
	/* without it what is not ASCII is not shown, and no worse */
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		(void)setlocale(LC_CTYPE, "en_US.UTF-8");
	if ((e->el = edit_init(term, out)) == NULL)
		goto out;
	r = ERR_SYS;
	if (el_set(e->el, EL_CLIENTDATA, e) != 0 ||
	    el_set(e->el, EL_EDITOR, "emacs") != 0 ||
	    el_set(e->el, EL_SIGNAL, 0) != 0 ||
	    /* what is typed while a command runs, nobody would record; and it
	     * is for who comes next, a Ctrl-D of it as well */
	    el_set(e->el, EL_SETTY, "-x", "-echo", "-icanon", NULL) != 0 ||
	    el_set(e->el, EL_PROMPT, edit_prompt) != 0 ||
	    el_set(e->el, EL_GETCFN, edit_getc) != 0 ||
	    /* el_set would copy the names and lose the copies */
	    el_wset(e->el, EL_ADDFN, L"postern-complete", L"complete a word",
		edit_complete) != 0 ||
	    (r = bind_keys(e->el)) != 0 || (r = edit_history(e)) != 0)
		goto out;
	*ep = e;
	e = NULL;
	r = 0;
out:
	edit_free(e);
	return r;
}

void
edit_free(struct edit *e)
{
	if (e == NULL)
		return;
	if (e->history != NULL)
		history_end(e->history);
	if (e->el != NULL)
		el_end(e->el);
	(void)fflush(e->out);
	free(e);
}

static void
edit_remember(struct edit *e, const char *line, size_t n)
{
	HistEvent ev;

	if (n > 0 && n <= EDIT_REMEMBER_MAX)
		(void)history(e->history, &ev, H_ENTER, line);
}

/* libedit follows a NULL where a prompt has no form in the locale. */
static void
edit_prompt_take(struct edit *e, const char *prompt)
{
	(void)snprintf(e->prompt, sizeof(e->prompt), "%s", prompt);
	if (mbstowcs(NULL, e->prompt, 0) != (size_t)-1)
		return;
	for (char *p = e->prompt; *p != '\0'; p++) {
		if ((*p & 0x80) != 0)
			*p = '?';
	}
}

enum edit_got
edit_line(struct edit *e, const char *prompt, const char **line, size_t *n)
{
	const char *got;
	int count = 0;

	edit_prompt_take(e, prompt);
	e->dropped = e->left = false;
	e->state = (mbstate_t){ 0 };
	el_resize(e->el);
	got = el_gets(e->el, &count);
	(void)fflush(e->out);
	if (e->left)
		return EDIT_LEFT;
	if (e->dropped)
		return EDIT_DROPPED;
	if (got == NULL || count <= 0)
		return EDIT_END;
	*n = strcspn(got, "\n");
	*line = got;
	edit_remember(e, got, *n);
	return EDIT_LINE;
}
