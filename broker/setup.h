/*
 * What posternd prepares as root before it starts anything: accounts, folders,
 * listening sockets, this host's addresses.  And how a program is started.
 */
#ifndef POSTERN_BROKER_SETUP_H
#define POSTERN_BROKER_SETUP_H

#include <sys/types.h>

struct buf;
struct conf;

struct account {
	uid_t uid;
	gid_t gid;
};

/* uid and gid of a local account; ERR_CONFIG when there is none. */
int setup_account(const char *name, struct account *a);
int setup_group(const char *name, gid_t *gid);

/* Makes the folder path if it is missing, gives it owner and mode, and opens it
 * (O_PATH would not do: the child lists it).  ERR_DENIED when it is a link or
 * no folder. */
int setup_folder(const char *path, struct account owner, mode_t mode,
    int *fdp);
/* A listening SOCK_SEQPACKET socket folder/name, replacing a stale one. */
int setup_socket(const char *folder, const char *name, gid_t gid, mode_t mode,
    int *fdp);
/* The key of this boot: KEY_LEN random bytes in folder/NAME, read by root
 * alone, and made anew when the host was booted since.  An opened file at its
 * beginning. */
#define SETUP_KEY_LEN 32
int setup_boot_key(const char *folder, const char *name, int *fdp);
/* Appends this host's unicast addresses, comma separated, each with /32 or
 * /128: what a target may see a connection come from.  None when b is too small
 * for all of them: then they have to be named (source-address). */
int setup_addresses(struct buf *b);

/* Starts libexec/postern-NAME as that account, with control as its descriptor
 * 3, more (if not -1) as its 4, no other descriptor above 2, an empty
 * environment and default signals.  The caller keeps both.  It ends with one of
 * these when it never began. */
enum { SETUP_NOT_PREPARED = 126, SETUP_NOT_EXECUTED = 127 };
int setup_spawn(
    const char *name, struct account a, int control, int more, pid_t *pid);

/* Starts a program of the administrator's as that account: in is its standard
 * input, the others are ours; a session of its own, and nothing else.  It may
 * have so many processes (all that run as this account), and so much of a
 * processor each.  Ends as above when it never began. */
#define SETUP_FOREIGN_PROCESSES 32
#define SETUP_FOREIGN_CPU_S 30
int setup_spawn_foreign(char *path, struct account a, int in, pid_t *pid);

#endif
