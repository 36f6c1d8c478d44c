/*
 * Re-quoting for the wire: one string that the login shells of the field
 * (dash, bash, zsh, mksh, ksh93, yash, busybox sh, fish, tcsh, csh) all split
 * into the same argv.  Every word is quoted, always; a newline is refused.
 *
 * Two forms are for shells of the Bourne family alone: a folder in front,
 * 'cd' '--' '/DIR' && ..., and programs joined by |.
 */
#ifndef POSTERN_SSH_QUOTE_H
#define POSTERN_SSH_QUOTE_H

#include <stddef.h>

struct buf;

#define QUOTE_PROGRAMS_MAX 16

struct quote_program {
	const char *const *argv;
	size_t argc;
};

struct quote_line {
	const char *dir; /* absolute; or NULL */
	const struct quote_program *program;
	size_t n; /* more than one are a pipeline */
};

/* Appends the string.  ERR_FORMAT: a word holds NUL, newline or invalid UTF-8,
 * or there is none, or the folder is not absolute.  Checks itself: the result
 * is taken apart by quote_read and compared; a difference is ERR_INTERNAL and
 * nothing is appended. */
int quote_put(const struct quote_line *l, struct buf *out);
/* One program alone. */
int quote_argv(const char *const *argv, size_t argc, struct buf *out);

/* The independent reader of exactly that form.  Any other spelling is
 * ERR_FORMAT.  *out is one allocation, argv NULL-terminated; free() it. */
int quote_read(const char *s, size_t n, struct quote_line **out);

#endif
