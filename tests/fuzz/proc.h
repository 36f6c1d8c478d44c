/*
 * Fuzzing of a whole process by the messages that it receives.  The process is
 * the real one, from its main on; only the world around it is played: each of
 * its neighbours, time, chance, and who is at the other end of a socket.
 *
 * An input is a script.  Whenever the process waits and nothing is ready, one
 * step of the script is taken: a message to one of its doors, a connection that
 * is opened or closed, time that passes.  So each run is the same every time,
 * and what the process does between two waits is the last step's doing.
 *
 *	proc.c		doors and scripts
 *	proc_world.c	what the process asks of its system
 *	proc_fork.c	a process for each input, and its coverage back
 *	proc_mutate.c	libFuzzer's changes, a step at a time
 *	fuzz_proc_*.c	one for each process: its doors, and what it is given
 */
#ifndef POSTERN_TESTS_FUZZ_PROC_H
#define POSTERN_TESTS_FUZZ_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/*
 * A script: one byte PROC_FRESH or 0, then steps of PROC_STEP_LEN bytes and a
 * body.  Changing this makes the corpus worthless; tests/fuzz/seeds.py writes
 * it.
 *
 *	u8 op, u8 door (low half: which; high half: 0 its newest connection, 1
 *	the one before), u8 type, u8 id, u8 descriptors (low half: how many;
 *high half: of which kind), u16 length of the body
 */
#define PROC_FRESH 1 /* without what the process is given first */
#define PROC_STEP_LEN 7
#define PROC_BODY_MAX 8192
#define PROC_SCRIPT_MAX (48 * 1024)
#define PROC_STEPS_MAX 200
#define PROC_ID_LAST 255   /* the id of what came last from there */
#define PROC_ID_BEFORE 254 /* and of what came before that */

enum proc_op {
	PROC_SAY,  /* a message */
	PROC_RAW,  /* a datagram, whatever it is */
	PROC_OPEN, /* one more connection at that door */
	PROC_CLOSE,
	PROC_TIME, /* id: how much, see proc.c */
	PROC_ACT,  /* what else that process knows: struct proc, act */
	PROC_OPS,
};

enum proc_fd {
	FD_NULL,
	FD_PIPE,
	FD_SOCKET, /* AF_UNIX, SOCK_SEQPACKET */
	FD_FILE,
	FD_FOLDER,
	FD_PIDFD,
	FD_TCP,
	FD_KINDS,
};

enum proc_door_kind {
	DOOR_CONTROL, /* descriptor 3 */
	DOOR_LINK,    /* comes by LINK, under the door's name */
	DOOR_LISTEN,  /* is connected to */
	DOOR_CONNECT, /* the process connects */
	DOOR_GIVEN,   /* the process sends its other end to somebody */
};

struct proc_door {
	const char *name;
	enum proc_door_kind kind;
	bool stranger;  /* what comes from there never ends the process */
	uint32_t given; /* DOOR_GIVEN: the message that it goes with */
};

/* What it says to whom, when seeds come as far as they should: in the order of
 * fuzz_depths (depth.h). */
struct proc_depth {
	size_t door;
	uint32_t type;
};

struct proc {
	const struct proc_door *door;
	size_t ndoor;
	void (*run)(void); /* the process; ends like one */
	/* What it is given before the script, turn by turn; false: no more. */
	bool (*prepare)(unsigned int turn);
	bool each; /* for each input anew: it works with files */
	void (*act)(uint8_t which, const uint8_t *p, size_t n);
	bool may_end; /* anybody may end it: it is for one thing */
	const struct proc_depth *depth;
	size_t ndepth;
};
/* fuzz_proc_NAME.c's */
extern const struct proc proc;

/* proc.c */
/* A pair: the process's end, ours is that door's newest connection. */
int proc_pair(size_t door);
/* A listening socket of that door. */
int proc_listen(size_t door);
/* What the process connected to, or gave away: our end of it. */
void proc_adopt(size_t door, int take_fd);
void proc_send(size_t door, uint32_t type, uint32_t id, const struct buf *body,
    const int *fd, size_t nfd);
/* A message with these bytes, and with the end of a pair whose other end is the
 * newest connection of door `end`. */
void proc_send_end(size_t door, uint32_t type, uint32_t id, size_t end,
    const uint8_t *p, size_t n);
/* LISTEN, LINK or FOLDER; takes fd. */
void proc_name(uint32_t type, const char *name, int take_fd);
void proc_link(size_t door);
void proc_go(const char *settings);
uint32_t proc_last_id(size_t door);
/* A descriptor of that kind. */
int proc_fd(enum proc_fd kind);
int proc_file(const void *p, size_t n);
/* A folder of its own, gone with the run. */
int proc_folder(void);
/* The folder with the policy of all these processes. */
int proc_policy(void);
/* A message of that type has come at that door. */
bool proc_heard(size_t door, uint32_t type);

/* The process waits, and nothing is ready: takes one step.  False: no time has
 * passed, look again. */
bool proc_step(void);
/* Reads what the process said. */
void proc_hear(void);
void proc_script(const uint8_t *p, size_t n);
/* Was the last step a stranger's? */
bool proc_stranger(void);
/* Sockets that other inputs' processes had, too, are replaced. */
void proc_renew(void);
void proc_begin(void);
bool proc_preparing(void);

/* proc_world.c */
extern bool proc_inside; /* the calls of the process, not of the fuzzer */
void proc_pass(int64_t ms);

/* proc_fork.c */
/* Serves one input after the other; returns in the process of each. */
void proc_serve(void);
_Noreturn void proc_over(int code);
void proc_fail(const char *what) __attribute__((noreturn));

#endif
