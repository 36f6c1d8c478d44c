/*
 * Job certificates, in the signer.
 */
#ifndef POSTERN_BROKER_SIGNER_JOB_H
#define POSTERN_BROKER_SIGNER_JOB_H

struct cert_ca;
struct msg;
struct peer;
struct rules;

/* Answers policy's JOB_CERT, with a certificate or with the reason why there is
 * none; ca NULL: the bastion has no key for it.  An error: the message is not
 * what it should be, or could not be answered. */
int signer_job(const struct cert_ca *ca, const struct rules *rules,
    struct peer *policy, struct msg *m);

#endif
