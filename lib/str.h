/*
 * Strings, numbers and names.
 */
#ifndef POSTERN_LIB_STR_H
#define POSTERN_LIB_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN_MAX 31	 /* one name: [a-z0-9][a-z0-9._-]{0,30} */
#define USER_LEN_MAX 63	 /* LOGIN+TARGET */
#define ENV_NAME_MAX 64
#define PATH_LEN_MAX 4095 /* PATH_MAX without its NUL */

/* Copies src with its NUL; ERR_TOOBIG (dst is "") when it does not fit. */
int str_copy(char *dst, size_t dstsize, const char *src);
/* Decimal number of digits only (no sign, blank or leading zero but "0")
 * within min..max. */
int num_parse(const char *s, uint64_t min, uint64_t max, uint64_t *n);

/* [a-z0-9][a-z0-9._-]{0,30}: targets, logins, rules, identities. */
bool name_valid(const char *s);

/* The length of NAME when s begins with NAME=, as a variable of an environment
 * does: letters, digits (not first) and _, at most ENV_NAME_MAX of them; else
 * 0. */
size_t env_name_len(const char *s);

/* Absolute, at most PATH_LEN_MAX bytes, without empty, `.` or `..` parts, and
 * so without a / at its end. */
bool path_is_plain(const char *s, size_t n);
/* Is the path the folder or beneath it?  Both absolute and plain, or "/". */
bool path_is_beneath(const char *path, const char *folder);

/* An SSH user name, taken apart: TARGET or LOGIN+TARGET.  login is "" for
 * the login of the target's own address. */
struct user_name {
	char login[NAME_LEN_MAX + 1];
	char target[NAME_LEN_MAX + 1];
};
/* ERR_FORMAT when s is not of one of the two forms. */
int user_name_parse(const char *s, struct user_name *out);

/* Length of the UTF-8 sequence at p (n bytes left), 0 when it is not valid
 * (RFC 3629: no overlong forms, surrogates, or above U+10FFFF).  *cp gets the
 * code point. */
size_t utf8_next(const uint8_t *p, size_t n, uint32_t *cp);
bool utf8_valid(const void *p, size_t n);
/* C0, DEL, C1, U+2028/2029 and the bidi controls: what may not reach a
 * terminal, a log or a page as it is. */
bool utf8_is_control(uint32_t cp);
/* Not a control, but nothing of it is seen: two texts that differ by it look
 * the same.  The joiners are among them, which some scripts need. */
bool utf8_is_hidden(uint32_t cp);

/* Constant-time comparison of n bytes. */
bool mem_equal(const void *a, const void *b, size_t n);

/* n bytes as 2n lower-case hexadecimal digits and a NUL. */
void hex_encode(const void *p, size_t n, char *out);
/* Exactly n bytes from 2n lower-case digits; ERR_FORMAT otherwise. */
int hex_decode(const char *s, void *p, size_t n);

#endif
