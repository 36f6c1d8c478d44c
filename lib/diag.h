/*
 * Messages about a file's text: file:line:col, what is wrong and what was
 * expected, the line, a caret.  Collected, so that one run reports them all.
 */
#ifndef POSTERN_LIB_DIAG_H
#define POSTERN_LIB_DIAG_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

#define DIAGS_MAX 100 /* more are counted, not kept */

/* A place in a source text. */
struct pos {
	unsigned int file;	/* index of the source */
	unsigned int line, col;	/* from 1; col counts characters */
	size_t off;		/* byte offset of the place */
};

struct diags; /* opaque; holds copies of what it shows */

struct diags *diags_new(void);
void diags_free(struct diags *d);
size_t diags_count(const struct diags *d);    /* errors */
/* Adds an error at line/col of a source whose text is given (for the line). */
void diags_add(struct diags *d, const char *file, const char *text, size_t len,
    const struct pos *at, size_t width, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
/* An error about a whole file ("cannot be opened"). */
void diags_add_file(struct diags *d, const char *file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* All of them as text, in order of file, line, column. */
int diags_print(const struct diags *d, struct buf *out);
/* The same as a JSON array: file, line, column, message. */
int diags_print_json(const struct diags *d, struct buf *out);

/* The line of text around off, cut to fit, and under it a caret and tildes
 * below [off, off + width); prefix begins both lines.  Whatever could steer a
 * terminal is escaped. */
int diag_excerpt(struct buf *out, const char *prefix, const char *text,
    size_t len, size_t off, size_t width);

/* Did-you-mean: offer candidates, then read `best`: NULL when none is near.
 *	near = diag_near("trget"); diag_near_try(&near, "target"); ... */
struct diag_near {
	const char *word, *best;
	size_t distance;
};
struct diag_near diag_near(const char *word);
void diag_near_try(struct diag_near *n, const char *candidate);

#endif
