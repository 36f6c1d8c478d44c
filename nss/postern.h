/*
 * libnss_postern.so.2: what it exports.  glibc finds these by name.
 */
#ifndef POSTERN_NSS_POSTERN_H
#define POSTERN_NSS_POSTERN_H

#include <sys/types.h>

#include <nss.h>
#include <pwd.h>
#include <stddef.h>

/* Every well-formed SSH user name (lib/str.h: user_name_parse) is the account
 * of postern-shell.  NSS_STATUS_TRYAGAIN with *errnop = ERANGE: size is too
 * small; NSS_STATUS_NOTFOUND with ENOENT: not a name of ours, or not our
 * process.  Nothing but *errnop is written unless it succeeds. */
enum nss_status _nss_postern_getpwnam_r(
    const char *name, struct passwd *pw, char *buf, size_t size, int *errnop);
/* The same for the uid of that account, under the account's own name. */
enum nss_status _nss_postern_getpwuid_r(
    uid_t uid, struct passwd *pw, char *buf, size_t size, int *errnop);

#endif
