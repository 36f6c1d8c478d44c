/*
 * The broker shell's own recording: what this process shows while no command
 * has the terminal is written there first.
 */
#ifndef POSTERN_SHELL_RECORD_H
#define POSTERN_SHELL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ending;
struct msg;
struct record;

/* Nothing is shown through it before record_take. */
int record_new(struct record **out);
void record_free(struct record *rec);
/* libedit's output: a stream onto descriptor 1.  Belongs to rec. */
FILE *record_stream(struct record *rec);

/* SHELL_RECORD: its descriptors, and the recording's first line.  ERR_PROTO: it
 * is malformed, or the second. */
int record_take(struct record *rec, struct msg *m);
bool record_taken(const struct record *rec);
/* Something could not be written: nothing is shown through rec any more. */
bool record_failed(const struct record *rec);

/* n bytes on descriptor fd, which is the terminal. */
void record_show(struct record *rec, int fd, const void *p, size_t n);
void record_say(struct record *rec, const char *text);
/* The terminal has another size. */
void record_resized(struct record *rec);
/* A marker: a line is about to be sent; they are counted from 1, as policy
 * does. */
void record_line(struct record *rec, const char *line, size_t n);
/* The last words.  why: what ended it that was not the one who typed; NULL:
 * nothing did. */
void record_end(struct record *rec, const struct ending *e, const char *why);

#endif
