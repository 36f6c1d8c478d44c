/*
 * The command parser.  Runs in policy on what jobs send, and at policy load on
 * the strings of tests.  Every byte is distrusted; what is not known to mean
 * the same in every shell is refused.
 *
 *	list     = pipeline { ( "&&" | "||" | ";" | newline ) pipeline }
 *	pipeline = stage { "|" stage }
 *	stage    = { NAME=value } word { word | redirection }
 *
 * `cd DIR &&` is no command of its own: it gives a folder to what follows, as
 * far as every shell would agree that it does.
 */
#include "config.h"

#include "policy/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/lex.h"
#include "policy/command_internal.h"

#define CD_WORDS 3 /* cd -- DIR: they are no command's words */
#define CD_HINT                                                                \
	"write `cd DIR && COMMAND`, and again in front of each command that "  \
	"is not joined by &&"

/* Texts being taken apart.  Each word's text takes at most its source's bytes
 * and what parts it from the next, so text never grows. */
struct builder {
	struct list *list;
	struct command *c;   /* the one being filled */
	struct stage *s;     /* its last stage */
	struct stage *stage; /* where the next one goes */
	char **word;         /* where the next word goes */
	size_t nword;        /* of all commands */
	char *text;          /* where its text goes */
	enum list_form form;
	char *dir;            /* in force, NULL: the login's own */
	bool cd;              /* the command before was a cd */
	enum connect connect; /* of the next command */
	struct lex lex;
	struct lex_token t; /* the one that is looked at */
	size_t last;        /* end of the one before */
	struct command_error *err;
};

bool
word_reserved(const char *w)
{
	static const char *const reserved[] = { "if", "then", "else", "elif",
		"fi", "for", "while", "until", "do", "done", "case", "esac",
		"select", "function", "time", "coproc" };

	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (strcmp(w, reserved[i]) == 0)
			return true;
	}
	return false;
}

bool
word_assigns(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && ((s[i] >= 'a' && s[i] <= 'z') ||
	    (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' ||
	    (i > 0 && s[i] >= '0' && s[i] <= '9')))
		i++;
	if (i == 0)
		return false;
	if (i < n && s[i] == '+')
		i++;
	return i < n && s[i] == '=';
}

static int __attribute__((format(printf, 6, 7)))
fail(struct builder *b, int r, size_t pos, size_t len, const char *hint,
    const char *fmt, ...)
{
	va_list ap;

	b->err->pos = pos;
	b->err->len = len;
	va_start(ap, fmt);
	(void)vsnprintf(b->err->what, sizeof(b->err->what), fmt, ap);
	va_end(ap);
	(void)snprintf(b->err->hint, sizeof(b->err->hint), "%s", hint);
	return r;
}

/* The token that is looked at is wrong. */
#define fail_here(b, hint, ...)                                                \
	fail(b, ERR_FORMAT, (b)->t.pos.off, (b)->t.width, hint, __VA_ARGS__)

/* -- tokens -----------------------------------------------------------------
 */

static void
advance(struct builder *b)
{
	if (b->t.kind != LEX_NEWLINE)
		b->last = b->t.pos.off + b->t.width;
	lex_next(&b->lex, LEX_COMMAND, &b->t);
}

/* Steps over newlines; was there one? */
static bool
skip_newlines(struct builder *b)
{
	bool any = false;

	for (; b->t.kind == LEX_NEWLINE; any = true)
		advance(b);
	return any;
}

static bool
is_op(const struct builder *b, enum lex_op op)
{
	return b->t.kind == LEX_OPERATOR && b->t.op == op;
}

static const char *
op_text(const struct builder *b)
{
	static const char *const text[] = { [LEX_AND] = "&&",
		[LEX_OR] = "||",
		[LEX_SEMICOLON] = ";",
		[LEX_PIPE] = "|" };

	return b->t.kind == LEX_OPERATOR ? text[b->t.op] : "the newline";
}

/* -- one stage --------------------------------------------------------------
 */

static int
add_assign(struct builder *b, bool *was)
{
	const struct lex_token *t = &b->t;
	const char *raw = b->lex.s + t->pos.off;

	*was = b->s->argc == 0 && word_assigns(raw, t->width);
	if (!*was)
		return 0;
	if (raw[strcspn(raw, "+=")] == '+')
		return fail_here(b, "write the whole value: NAME=VALUE",
		    "`+=` adds to a variable that is not known here");
	if (b->s->nassign == COMMAND_ASSIGN_MAX)
		return fail(b, ERR_TOOBIG, t->pos.off, t->width, "",
		    "more than %d variables in front of a command",
		    COMMAND_ASSIGN_MAX);
	b->s->nassign++;
	b->s->argv++; /* the words begin behind */
	return 0;
}

static int
check_first(struct builder *b)
{
	const struct lex_token *t = &b->t;

	if (!t->quoted && word_reserved(t->text))
		return fail_here(b,
		    "one line of plain commands, joined by && "
		    "|| ; is accepted; quote it if it is the program's name",
		    "`%s` begins a compound command", t->text);
	if (t->len == 0)
		return fail_here(
		    b, "name the program first", "the program's name is empty");
	/* env would take it for a variable, too */
	if (b->s->nassign > 0 && strchr(t->text, '=') != NULL)
		return fail_here(b, "name a program without `=`",
		    "behind variables, this is no program's name");
	return 0;
}

static size_t
words_max(const struct builder *b)
{
	const char *first = b->s->argc > 0 ? b->s->argv[0] : b->t.text;

	return COMMAND_WORDS_MAX + (strcmp(first, "cd") == 0 ? CD_WORDS : 0);
}

static int
add_word(struct builder *b)
{
	const struct lex_token *t = &b->t;
	bool assign;
	int r;

	if (b->nword >= words_max(b))
		return fail(b, ERR_TOOBIG, t->pos.off, t->width, "",
		    "more than %d words", COMMAND_WORDS_MAX);
	if ((r = add_assign(b, &assign)) != 0 ||
	    (!assign && b->s->argc == 0 && (r = check_first(b)) != 0))
		return r;
	memcpy(b->text, t->text, t->len + 1);
	*b->word++ = b->text;
	*b->word = NULL;
	b->text += t->len + 1;
	b->nword++;
	b->s->argc += !assign;
	return 0;
}

static void
redirect(struct command *c, enum lex_redirect what)
{
	switch (what) {
	case LEX_OUT_NULL:
		c->out_null = true;
		break;
	case LEX_ERR_NULL:
		c->err_null = true;
		c->err_to_out = false;
		break;
	case LEX_ERR_TO_OUT:
		c->err_null = c->out_null;
		c->err_to_out = !c->out_null;
		break;
	}
}

static int
no_command(struct builder *b)
{
	if (b->s->nassign > 0)
		return fail(b, ERR_FORMAT, b->c->pos, b->last - b->c->pos,
		    "write it in front of the command that needs it: "
		    "NAME=VALUE COMMAND",
		    "a variable that is set alone is "
		    "forgotten at once");
	if (b->t.kind == LEX_OPERATOR)
		return fail_here(b,
		    b->t.op == LEX_SEMICOLON
			? "leave it out; a `;` meant as text needs quotes: ';'"
			: "",
		    "there is no command before `%s`", op_text(b));
	if (b->last <= b->c->pos) { /* nothing but blanks */
		b->c->pos = 0;
		b->last = b->lex.n;
	}
	return fail(b, ERR_FORMAT, b->c->pos, b->last - b->c->pos,
	    "write it behind the target: "
	    "ssh web-1@bastion systemctl is-active web",
	    "there is no command");
}

/* Takes words and redirections; what ends them stays in b->t. */
static int
take_stage(struct builder *b)
{
	int r;

	b->s = b->stage++;
	b->c->nstage++;
	*b->s = (struct stage){ .argv = b->word, .assign = b->word };
	for (;; advance(b)) {
		switch (b->t.kind) {
		case LEX_WORD:
			if ((r = add_word(b)) != 0)
				return r;
			break;
		case LEX_REDIRECT:
			redirect(b->c, b->t.redirect);
			break;
		case LEX_END:
		case LEX_NEWLINE:
		case LEX_OPERATOR:
			b->word++; /* behind the NULL */
			*b->word = NULL;
			return b->s->argc == 0 ? no_command(b) : 0;
		case LEX_ERROR:
		case LEX_STRING: /* these three in policies alone */
		case LEX_RAW:
		case LEX_PUNCT:
			return fail(b,
			    b->t.nomem  ? ERR_NOMEM
			    : b->t.over ? ERR_TOOBIG
					: ERR_FORMAT,
			    b->t.pos.off, b->t.width, b->t.hint, "%s",
			    b->t.what);
		}
	}
}

/* -- one command --------------------------------------------------------------
 */

/* The hop redirects what a whole pipeline shows; a shell, what one stage
 * does.  So neither is done. */
static int
check_pipeline(struct builder *b)
{
	const struct command *c = b->c;

	if (c->nstage > 1 && (c->err_to_out || c->out_null || c->err_null))
		return fail(b, ERR_FORMAT, c->pos, b->last - c->pos,
		    "redirect the whole on your own side: "
		    "ssh web-1@bastion '...' 2>&1",
		    "a redirection in a pipeline is not accepted");
	return 0;
}

static int
take_pipeline(struct builder *b)
{
	int r;

	b->c = &b->list->command[b->list->n];
	*b->c = (struct command){ .pos = b->t.pos.off, .stage = b->stage };
	for (;;) {
		if ((r = take_stage(b)) != 0)
			return r;
		if (!is_op(b, LEX_PIPE))
			break;
		if (b->c->nstage == COMMAND_STAGES_MAX)
			return fail(b, ERR_TOOBIG, b->t.pos.off, b->t.width, "",
			    "more than %d commands in a pipeline",
			    COMMAND_STAGES_MAX);
		advance(b);
		(void)skip_newlines(b);
		if (b->t.kind == LEX_END)
			return fail(b, ERR_FORMAT, b->last - 1, 1, "",
			    "nothing follows the `|`");
	}
	b->c->len = b->last - b->c->pos;
	return check_pipeline(b);
}

/* -- cd
 * ------------------------------------------------------------------------ */

static bool
is_cd(const struct command *c)
{
	for (size_t i = 0; i < c->nstage; i++) {
		if (strcmp(c->stage[i].argv[0], "cd") == 0)
			return true;
	}
	return false;
}

/* Absolute, and without a component that a shell might read otherwise. */
static bool
dir_plain(const char *p)
{
	size_t n;

	if (strcmp(p, "/") == 0)
		return true;
	if (*p != '/')
		return false;
	while (*p == '/') {
		n = strcspn(++p, "/");
		if (n == 0 || (n <= 2 && strspn(p, ".") >= n))
			return false;
		p += n;
	}
	return *p == '\0';
}

static int
fail_cd(struct builder *b, const char *hint, const char *what)
{
	return fail(b, ERR_FORMAT, b->c->pos, b->c->len, hint, "%s", what);
}

/* The command was a `cd`: a folder for those that follow. */
static int
take_cd(struct builder *b)
{
	const struct stage *s = b->c->stage;
	const size_t i = s->argc > 1 && strcmp(s->argv[1], "--") == 0 ? 2 : 1;

	if (b->c->nstage > 1)
		return fail_cd(b, CD_HINT,
		    "`cd` in a pipeline changes "
		    "nothing");
	if (s->nassign > 0 || b->c->err_to_out || b->c->out_null ||
	    b->c->err_null)
		return fail_cd(b, CD_HINT,
		    "`cd` takes a folder and nothing "
		    "else");
	if (s->argc != i + 1 || !dir_plain(s->argv[i]))
		return fail_cd(b,
		    "write the whole path, beginning with /, "
		    "without . and .. and without a / at its end: "
		    "cd /srv/app && COMMAND",
		    "`cd` takes one absolute path");
	if (b->cd)
		return fail_cd(b, "leave the first one out",
		    "a `cd` right behind another");
	if (b->connect == CONNECT_OR)
		return fail_cd(b, CD_HINT,
		    "behind `||` it is not known where "
		    "the commands after this `cd` would run");
	if (!is_op(b, LEX_AND) &&
	    !(b->t.kind == LEX_NEWLINE && b->form == LIST_SCRIPT)) {
		if (b->t.kind == LEX_END)
			return fail_cd(b, CD_HINT,
			    "nothing follows the `cd`, "
			    "and the next ssh begins in the login's home "
			    "again");
		return fail_here(b, CD_HINT,
		    "behind a `cd` only && will do: "
		    "a shell goes on even when the folder is missing");
	}
	b->dir = s->argv[i];
	b->cd = true;
	/* gives its words' places back, but not their text */
	b->nword -= s->argc;
	b->word = s->assign;
	b->stage = b->c->stage;
	return 0;
}

/* May the folder in force be in force here, too? */
static int
check_dir(struct builder *b)
{
	if (b->dir == NULL || b->cd || b->connect == CONNECT_AND ||
	    b->connect == CONNECT_LINE)
		return 0;
	return fail_cd(b, CD_HINT,
	    "it is not known in which folder this would "
	    "run: the `cd` before it is not joined by &&");
}

/* -- the list
 * ------------------------------------------------------------------- */

/* Everything that is printed must be short enough to be read again. */
static int
check_printed(struct builder *b, size_t n)
{
	if (list_printed_len(b->list) > COMMAND_LEN_MAX)
		return fail(b, ERR_TOOBIG, 0, n, "", "once quoted, the command "
		    "is longer than %d bytes", COMMAND_LEN_MAX);
	return 0;
}

static int
take_command(struct builder *b)
{
	struct list *l = b->list;
	int r;

	if (l->n == COMMAND_LIST_MAX)
		return fail(b, ERR_TOOBIG, b->t.pos.off, b->t.width, "",
		    "more than %d commands", COMMAND_LIST_MAX);
	if ((r = take_pipeline(b)) != 0)
		return r;
	if (is_cd(b->c))
		return take_cd(b);
	if ((r = check_dir(b)) != 0)
		return r;
	b->c->dir = b->dir;
	l->connect[l->n++] = b->connect;
	b->cd = false;
	return 0;
}

/* What stands between two commands; at the end of the text, nothing does. */
static int
take_connect(struct builder *b)
{
	const bool and = is_op(b, LEX_AND), or = is_op(b, LEX_OR);
	const size_t pos = b->t.pos.off, width = b->t.width;
	enum connect c = and? CONNECT_AND : or ? CONNECT_OR : CONNECT_THEN;
	bool newline;

	if (b->t.kind == LEX_OPERATOR)
		advance(b);
	newline = skip_newlines(b);
	if ((and || or) && b->t.kind == LEX_END)
		return fail(b, ERR_FORMAT, pos, width, "leave it out",
		    "nothing follows the `%s`", and? "&&" : "||");
	if (newline && c == CONNECT_THEN && b->form == LIST_SCRIPT)
		c = CONNECT_LINE;
	/* What follows a cd runs when the cd would have. */
	if (!b->cd)
		b->connect = c;
	return 0;
}

static int
take_list(struct builder *b)
{
	int r;

	advance(b);
	(void)skip_newlines(b);
	do {
		if ((r = take_command(b)) != 0 || (r = take_connect(b)) != 0)
			return r;
	} while (b->t.kind != LEX_END);
	if (b->cd)
		return fail_cd(b, CD_HINT, "nothing follows the `cd`");
	return 0;
}

/* One block: commands, connects, stages, the words' places, their text.  Each
 * takes up at least a byte of source and one that parts it from the next. */
static int
list_alloc(struct builder *b, size_t n)
{
	const size_t most = n / 2 + 1;
	const size_t words = most < COMMAND_WORDS_MAX + CD_WORDS
				 ? most
				 : COMMAND_WORDS_MAX + CD_WORDS;
	/* one more than there can be: the one that proves to be too many */
	const size_t commands =
	    1 + (most < COMMAND_LIST_MAX ? most : COMMAND_LIST_MAX);
	struct list *l = b->list;

	l->command = malloc(
	    commands * sizeof(*l->command) + (words + 1) * sizeof(*b->stage) +
	    (2 * words + 2) * sizeof(*b->word) + /* and a NULL a stage */
	    commands * sizeof(*l->connect) + n + 2);
	if (l->command == NULL)
		return fail(b, ERR_NOMEM, 0, 0, "", "out of memory");
	b->stage = (struct stage *)(l->command + commands);
	b->word = (char **)(b->stage + words + 1);
	l->connect = (enum connect *)(b->word + 2 * words + 2);
	b->text = (char *)(l->connect + commands);
	return 0;
}

int
list_parse(const char *s, size_t n, enum list_form form, struct list *out,
    struct command_error *err)
{
	struct list list = { 0 };
	struct builder b = { .list = &list, .form = form, .err = err };
	int r = ERR_INTERNAL;

	*err = (struct command_error){ 0 };
	if (n > COMMAND_LEN_MAX)
		return fail(&b, ERR_TOOBIG, COMMAND_LEN_MAX, 1, "send long "
		    "input on standard input instead",
		    "the command is longer than %d bytes", COMMAND_LEN_MAX);
	if ((r = list_alloc(&b, n)) != 0)
		return r;
	lex_init(&b.lex, 0, s, n, COMMAND_WORD_MAX);
	if ((r = take_list(&b)) != 0 || (r = check_printed(&b, n)) != 0)
		goto out;
	*out = list;
	list = (struct list){ 0 };
out:
	lex_clear(&b.lex);
	list_clear(&list);
	return r;
}

int
list_enter(struct list *l, char *dir, struct command_error *err)
{
	struct builder b = { .list = l, .err = err };

	*err = (struct command_error){ 0 };
	for (size_t i = 0; i < l->n; i++) {
		if (l->command[i].dir == NULL)
			l->command[i].dir = dir;
	}
	return check_printed(&b, 0);
}

void
list_clear(struct list *l)
{
	free(l->command); /* the head of its one block */
	*l = (struct list){ 0 };
}

int
command_parse(
    const char *s, size_t n, struct command **out, struct command_error *err)
{
	struct builder b = { .err = err };
	struct list l;
	size_t pos;
	int r;

	if ((r = list_parse(s, n, LIST_LINE, &l, err)) != 0)
		return r;
	if (l.n > 1) {
		pos = l.command[1].pos;
		r = fail(&b, ERR_FORMAT, pos, l.command[1].len,
		    "give them one by one", "a second command");
		list_clear(&l);
		return r;
	}
	*out = l.command;
	return 0;
}

void
command_free(struct command *c)
{
	free(c); /* the head of its one block */
}
