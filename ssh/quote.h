/*
 * Re-quoting for the wire: one string that the login shells of the field
 * (dash, bash, zsh, mksh, ksh93, yash, busybox sh, fish, tcsh, csh) all split
 * into the same argv.  Every word is quoted, always; a newline is refused.
 */
#ifndef POSTERN_SSH_QUOTE_H
#define POSTERN_SSH_QUOTE_H

#include <stddef.h>

struct buf;

/* Appends the string for argv.  ERR_FORMAT: a word holds NUL, newline or
 * invalid UTF-8.  Checks itself: the result is taken apart by quote_split and
 * compared; a difference is ERR_INTERNAL and nothing is appended. */
int quote_argv(const char *const *argv, size_t argc, struct buf *out);

/* The independent reader of exactly that form.  Any other spelling is
 * ERR_FORMAT.  *argvp is one NULL-terminated allocation; free() it. */
int quote_split(const char *s, size_t n, char ***argvp, size_t *argcp);

#endif
