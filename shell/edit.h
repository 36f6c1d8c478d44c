/*
 * The line editor of the broker shell: libedit, with its history in memory and
 * without the commands of its own language.
 */
#ifndef POSTERN_SHELL_EDIT_H
#define POSTERN_SHELL_EDIT_H

#include <stddef.h>
#include <stdio.h>

#define EDIT_HISTORY_MAX 200   /* lines that are kept */
#define EDIT_REMEMBER_MAX 4096 /* bytes of the longest of them */

struct edit;

/* What ended the wait for the next byte. */
enum edit_wait {
	EDIT_BYTE,      /* descriptor 0 has one, or its end */
	EDIT_RESIZED,   /* the terminal's size has changed */
	EDIT_INTERRUPT, /* Ctrl-C */
	EDIT_OVER,      /* no line is wanted any more */
};

/* What a line became. */
enum edit_got {
	EDIT_LINE,
	EDIT_DROPPED, /* by Ctrl-C */
	EDIT_END,     /* Ctrl-D, or the end of descriptor 0 */
	EDIT_LEFT,    /* the wait said so */
};

struct edit_hooks {
	enum edit_wait (*wait)(void *arg);
	/* The words that complete text; fills words, a NULL-free list of
	 * NUL-terminated texts one behind the other, and how many bytes at the
	 * end of text each of them replaces.  The number of words. */
	size_t (*complete)(void *arg, const char *text, size_t n,
	    const char **words, size_t *partial);
	void *arg;
};

/* Reads the terminal's description: before this process is confined.  What is
 * shown goes to out.  The hooks stay the caller's, and so does out. */
int edit_new(const char *term, FILE *out, const struct edit_hooks *hooks,
    struct edit **ep);
void edit_free(struct edit *e);
/* One line without its newline, valid up to the next call.  prompt is shown. */
enum edit_got edit_line(
    struct edit *e, const char *prompt, const char **line, size_t *n);

#endif
