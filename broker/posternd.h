/*
 * What the files of posternd share: its settings, its loop, and what the
 * service manager is told.
 */
#ifndef POSTERN_BROKER_POSTERND_H
#define POSTERN_BROKER_POSTERND_H

#include <stdbool.h>

#define POSTERND_STOP_MS 10000 /* between STOP and SIGKILL */
#define POSTERND_STOP_LAST_MS 14000 /* for those who wait for the others */

struct buf;
struct conf;
struct loop;

const struct conf *posternd_conf(void);
/* The text it came from, for the children. */
const struct buf *posternd_conf_text(void);
struct loop *posternd_loop(void);
/* As it was started, with an absolute path: the next posternd's, too. */
char **posternd_argv(void);
bool posternd_stopping(void);

/* Something is being changed: the service manager waits for READY... */
void posternd_changing(void);
/* ...which it is told when every child serves and no change is under way. */
void posternd_settled(void);
/* It was told, and nothing has changed since. */
bool posternd_calm(void);

/* A child is dead, and all stop. */
void posternd_stop_last(void);

#endif
