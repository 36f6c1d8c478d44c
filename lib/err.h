/*
 * The one error convention of Postern: a function returns 0 or a negative
 * ERR_*.  The set is small on purpose: callers branch on few of them, and
 * whoever needs words puts them where they are known (a diag, a log line).
 */
#ifndef POSTERN_LIB_ERR_H
#define POSTERN_LIB_ERR_H

enum err {
	ERR_NOMEM = -1,
	ERR_SYS = -2,	   /* errno says which */
	ERR_FORMAT = -3,   /* bytes that are not what they claim to be */
	ERR_TOOBIG = -4,   /* a bound was reached */
	ERR_DENIED = -5,
	ERR_NOTFOUND = -6,
	ERR_TIMEOUT = -7,
	ERR_PROTO = -8,	   /* a peer broke the message protocol */
	ERR_CRYPTO = -9,
	ERR_AGAIN = -10,
	ERR_EXISTS = -11,
	ERR_CONFIG = -12,
	ERR_INTERNAL = -13, /* also the start value of every `r` */
};

/* A short lower-case text for r, never NULL.  ERR_SYS gives strerror(errno);
 * errno is left as it was. */
const char *err_text(int r);

#endif
