/*
 * Job certificates, in the signer.
 */
#ifndef POSTERN_BROKER_SIGNER_JOB_H
#define POSTERN_BROKER_SIGNER_JOB_H

struct msg;
struct peer;
struct rules;

/* Answers policy's JOB_CERT, with a certificate or with the reason why there is
 * none, at once or when an agent has signed.  An error: the message is not what
 * it should be. */
int signer_job(const struct rules *rules, struct peer *policy, struct msg *m);
/* This link to policy is about to be freed: what waits goes to nobody. */
void signer_job_gone(const struct peer *policy);

#endif
