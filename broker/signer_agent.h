/*
 * One ssh-agent that holds a CA key, as postern-signer uses it: one question
 * at a time, each with a deadline, and a pause after whatever went wrong.
 */
#ifndef POSTERN_BROKER_SIGNER_AGENT_H
#define POSTERN_BROKER_SIGNER_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "broker/signer_ca.h"
#include "lib/proto.h"

struct agent;

#define AGENT_ANSWER_MS 5000 /* for one signature; a TPM takes one second */
#define AGENT_PAUSE_FIRST_MS 200
#define AGENT_PAUSE_LAST_MS 30000
#define AGENT_CALM_MS 60000 /* a connection this old ends the back-off */

/* The agent of that CA, which stays the caller's; it is asked for at once. */
struct agent *agent_new(
    enum ca_which which, const struct cert_ca *ca, void (*changed)(void));
/* The parent's answer: a connection, or -1.  Takes fd; an answer to a question
 * that is over is closed. */
void agent_given(struct agent *a, uint32_t id, int fd);
/* Signs the body of a certificate; it waits for its turn in *out.  An error:
 * why says it, and fn is not called. */
int agent_sign(struct agent *a, const struct buf *body, signing_cb fn,
    void *arg, struct signing **out, const char **why);
/* What is wrong with it now. */
enum agent_trouble agent_trouble(const struct agent *a);

#endif
