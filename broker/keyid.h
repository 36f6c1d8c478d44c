/*
 * How certificates are named, so that sshd's log ties a login to a session or
 * an operation: the key id, and the serial of a job's certificate.
 */
#ifndef POSTERN_BROKER_KEYID_H
#define POSTERN_BROKER_KEYID_H

#include <stdint.h>

#define KEY_ID_MAX 220 /* CERT_KEY_ID_MAX says why */

struct buf;

/* Appends " name=value", or nothing when the value is empty, longer than 100
 * bytes, holds anything but what names and digests are made of (sshd writes it
 * raw into its log), or has no room in what is left of KEY_ID_MAX. */
int keyid_put(struct buf *b, const char *name, const char *value);

/* The serial of a session's job certificates: the last 64 bits of its id.
 * ERR_FORMAT: it is no id, or its serial would be 0. */
int keyid_serial(const char *session, uint64_t *serial);

#endif
