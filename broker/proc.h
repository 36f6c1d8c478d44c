/*
 * Other processes, by the kernel's word: /proc/PID/stat and pidfds.  A pid
 * alone names nobody; pid and start time name one process of this boot.
 */
#ifndef POSTERN_BROKER_PROC_H
#define POSTERN_BROKER_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
	pid_t parent;
	uint64_t start; /* clock ticks since boot */
};

/* The pid a pidfd stands for. */
int proc_pid(int pidfd, pid_t *pid);
/* The real uid of a process. */
int proc_uid(pid_t pid, uid_t *uid);
int proc_stat(pid_t pid, struct proc_stat *out);
/* A pidfd of the process with that pid and start time.  ERR_NOTFOUND: it is
 * dead, or the pid is another's by now. */
int proc_open(pid_t pid, uint64_t start, int *pidfdp);
/* The process of a pidfd is no zombie and not gone. */
bool proc_alive(int pidfd);

#endif
