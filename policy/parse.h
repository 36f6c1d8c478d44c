/*
 * The parser's inside: one struct parser for each file, and what its files
 * (parse.c and the parse_*.c) share.
 *
 * A function that parses something is called with the token that begins it in
 * ps->t and leaves the first token that is not its own there.  It returns 0,
 * ERR_FORMAT when an error was reported and the caller should recover, or
 * ERR_NOMEM.
 */
#ifndef POSTERN_POLICY_PARSE_H
#define POSTERN_POLICY_PARSE_H

#include "lib/lex.h"
#include "policy/model.h"

#define PARSE_TOKEN_MAX (64 * 1024)
#define PARSE_NEAR_MAX 1000 /* names looked at for a did-you-mean */

struct parser {
	struct policy *p;
	struct diags *d;
	const struct source *src;
	struct lex l;
	struct lex_token t;
};

/* A closed vocabulary. */
typedef int (*parse_fn)(struct parser *ps, void *ctx);
struct parse_row {
	const char *word;
	parse_fn fn;
};
#define ROWS(t) (t), sizeof(t) / sizeof((t)[0])

/* Parses one source into p. */
int parse_source(struct policy *p, struct diags *d, unsigned int file);

/* Reports an error at a place of any source. */
void policy_error(const struct policy *p, struct diags *d,
    const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* `; did you mean "x"?` or "" into dst. */
const char *near_text(const struct diag_near *n, char *dst, size_t dstsize);
#define NEAR_TEXT_MAX 96

/* -- tokens ------------------------------------------------------------- */
void parse_next(struct parser *ps, enum lex_mode mode);
struct place parse_place(const struct parser *ps);
/* Reports at the current token (nothing if the lexer reported it already);
 * always ERR_FORMAT. */
int parse_error(struct parser *ps, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int parse_error_at(struct parser *ps, const struct place *at, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* "expected WHAT, found ..." */
int parse_expected(struct parser *ps, const char *what);
bool parse_is_word(const struct parser *ps, const char *word);
bool parse_is_punct(const struct parser *ps, char c);
bool parse_at_line_end(const struct parser *ps);
/* A copy of the token's text. */
const char *parse_text(struct parser *ps);

/* A NAME; what is for the message ("a target's name").  Moves on. */
int parse_name(struct parser *ps, const char *what, struct ref *out);
/* A "string" without checks of its content; moves on. */
int parse_string(struct parser *ps, const char *what, struct ref *out);
int parse_word(struct parser *ps, const char *what, struct ref *out);

/* -- blocks -------------------------------------------------------------- */
/* `{` lines `}`; each line begins with a word of the table. */
int parse_block(struct parser *ps, const struct parse_row *rows, size_t n,
    const char *what, void *ctx);
/* After a faulty header: moves to its `{`, if the line has one. */
bool parse_to_block(struct parser *ps);
/* Moves to the end of a faulty line (over whole { } blocks). */
void parse_skip_line(struct parser *ps, enum lex_mode mode);
/* Enters a new thing in a dict; a second one of the name is an error that
 * shows both places. */
int parse_define(struct parser *ps, struct dict *d, const struct ref *name,
    const char *what, void *thing, const struct place *first);

/* A setting that may stand once in its block; ps->t is its word. */
int parse_once(struct parser *ps, bool *seen);

/* At most POLICY_LIST_MAX texts, each once. */
struct parse_list {
	const char **v;
	size_t n, cap;
};
int parse_list_add(struct parser *ps, struct parse_list *s,
    const struct ref *ref, const char *what);

/* -- statements ----------------------------------------------------------- */
int parse_issuer(struct parser *ps, void *ctx);
int parse_identity(struct parser *ps, void *ctx);
int parse_target(struct parser *ps, void *ctx);
int parse_program(struct parser *ps, void *ctx);
int parse_type(struct parser *ps, void *ctx);
int parse_allow(struct parser *ps, void *ctx);
int parse_deny(struct parser *ps, void *ctx);
int parse_test(struct parser *ps, void *ctx);
int parse_person(struct parser *ps, void *ctx);
int parse_people(struct parser *ps, void *ctx);
int parse_defaults(struct parser *ps, void *ctx);

/* -- parts ---------------------------------------------------------------- */
int parse_duration(struct parser *ps, uint64_t max, const char *max_text,
    uint64_t *out);
int parse_size(struct parser *ps, uint64_t *out);
/* Lines of a rule; ps->t is their first word. */
int parse_limit(struct parser *ps, struct limits *l);
int parse_window(struct parser *ps, struct rule *rule);
int parse_require(struct parser *ps, struct rule *rule);
int parse_mask(struct parser *ps, uint64_t *set);
/* "HH:MM", 24:00 at most; reads five bytes. */
bool parse_clock(const char *s, unsigned int *minute);
/* "YYYY-MM-DD"; reads ten bytes, and says nothing about months' days. */
struct zone_local;
bool parse_date(const char *s, struct zone_local *out);
/* The zone of that name, read once for each policy. */
int parse_zone(struct parser *ps, const char *name, const struct place *at,
    const struct zone **out);
/* claim NAME = ... | present | absent; ps->t is `claim`. */
int parse_condition(struct parser *ps, struct conditions *to);
int parse_where(struct parser *ps, struct where *out);
/* A slot without its < >; ref gets a name that is no slot word, if any. */
int parse_slot(struct parser *ps, struct slot *out, struct ref *type);
/* `<slot>` as a part of a word; leaves the lexer right behind the `>`, which
 * stays in ps->t. */
int parse_slot_piece(struct parser *ps, struct piece *out);
/* "refs/tags/v<int>" as a SLOT_REF; ps->t is the string. */
int parse_git_ref(struct parser *ps, struct slot *out);
/* The slots' own words; NULL ends them. */
extern const char *const slot_words[];
/* One more value of a SLOT_ENUM; text NULL is out of memory. */
int slot_add_value(struct parser *ps, struct slot *slot, const char *text);
/* After the last value. */
int slot_sort_values(struct parser *ps, struct slot *slot);
/* One word of a pattern: literals, slots, groups; *repeat for a `...` behind
 * it. */
int parse_item(struct parser *ps, bool deny, struct item *it, bool *repeat);
/* The words of one program, up to a `|`, `with` or the line's end, into what
 * run leaves open.  run->rule is set. */
int parse_pattern(struct parser *ps, struct run *run);
/* Does the text begin with NAME=?  *len gets NAME's length. */
bool parse_is_assign(const char *s, size_t *len);
/* Lines of a rule; ps->t is their first word. */
int parse_run(struct parser *ps, struct rule *rule);
int parse_transfer(struct parser *ps, struct rule *rule, bool write);
int parse_git(struct parser *ps, struct rule *rule);
int parse_env(struct parser *ps, struct rule *rule);
int parse_record(struct parser *ps, struct rule *rule);
/* `sftp`, `scp-legacy` or `rsync`: its bit. */
int parse_by_way(struct parser *ps, unsigned int *by);
int parse_with(struct parser *ps, bool *pty, bool *stdin_ok, uint64_t *max);

#endif
