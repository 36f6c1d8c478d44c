/*
 * The one layout of policy files: `postern policy fmt`.  Lines and comments
 * stay; indentation, blanks between words and empty lines are set.
 */
#ifndef POSTERN_POLICY_FORMAT_H
#define POSTERN_POLICY_FORMAT_H

#include <stddef.h>

struct buf;

int policy_format(const char *text, size_t n, struct buf *out);

#endif
