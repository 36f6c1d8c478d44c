/*
 * Saying no to a client of SFTP.  sshd keeps a subsystem's stderr to itself, so
 * the only words that such a client shows are those of a STATUS.
 */
#ifndef POSTERN_LIB_SFTPREFUSE_H
#define POSTERN_LIB_SFTPREFUSE_H

#include <stddef.h>
#include <stdint.h>

#define SFTPREFUSE_TEXT_MAX 900 /* bytes: OpenSSH's client cuts at 1023 */
#define SFTPREFUSE_TIMES 32     /* requests that are answered */
#define SFTPREFUSE_PACKET_MAX (256 * 1024)

/*
 * Answers whatever the client asks with "permission denied" and the text, whose
 * last lines are kept if it is too long.  Until the client leaves, has been
 * answered often enough, breaks the protocol, or ms are over.  Descriptors may
 * be non-blocking; nothing is said about how it went.
 */
void sftprefuse(int in, int out, const char *text, size_t n, int64_t ms);

#endif
