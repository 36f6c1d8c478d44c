/*
 * The broker shell's end at the terminal: one line after the other is sent to
 * policy and followed to its end.
 */
#ifndef POSTERN_SHELL_INTERACTIVE_H
#define POSTERN_SHELL_INTERACTIVE_H

struct ending;
struct interactive;
struct request;

/* Keeps the terminal's settings and reads its description: before this process
 * is confined. */
int interactive_new(const struct request *q, struct interactive **out);
/* Follows the connection, on which RUN was sent, to the end of the shell. */
void interactive_run(
    struct interactive *in, int conn, int sigfd, struct ending *e);
void interactive_free(struct interactive *in);

#endif
