/*
 * Texts for the error codes.  Used by every process; distrusts nothing.
 */
#include "config.h"

#include "lib/err.h"

#include <errno.h>
#include <string.h>

const char *
err_text(int r)
{
	switch (r) {
	case 0:
		return "success";
	case ERR_NOMEM:
		return "out of memory";
	case ERR_SYS:
		return strerror(errno);
	case ERR_FORMAT:
		return "malformed";
	case ERR_TOOBIG:
		return "too large";
	case ERR_DENIED:
		return "refused";
	case ERR_NOTFOUND:
		return "not found";
	case ERR_TIMEOUT:
		return "timed out";
	case ERR_PROTO:
		return "protocol violation";
	case ERR_CRYPTO:
		return "cryptographic failure";
	case ERR_AGAIN:
		return "try again";
	case ERR_EXISTS:
		return "already exists";
	case ERR_CONFIG:
		return "configuration error";
	case ERR_INTERNAL:
	default:
		return "internal error";
	}
}
