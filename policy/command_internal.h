/*
 * What the command parser and the printer both know about words.
 */
#ifndef POSTERN_POLICY_COMMAND_INTERNAL_H
#define POSTERN_POLICY_COMMAND_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/command.h"

/* Words that a shell would not run as a program. */
bool word_reserved(const char *w);
/* NAME=... or NAME+=... : an assignment when it comes first. */
bool word_assigns(const char *s, size_t n);
/* Bytes of the whole list in its canonical spelling. */
size_t list_printed_len(const struct list *l);

#endif
