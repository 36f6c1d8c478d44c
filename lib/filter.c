/*
 * Seccomp filters in the kernel's own form: classic BPF over struct
 * seccomp_data (seccomp(2)).  Runs in every confined process, once; its input
 * are the tables of lib/sandbox.c.  Calls that are allowed whatever their
 * arguments cost nothing later: the kernel remembers them in a bitmap.
 */
#include "config.h"

#include "lib/filter.h"

#include <sys/syscall.h>

#include <endian.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "lib/err.h"

#if defined(__x86_64__) && defined(__LP64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__LP64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#else
#error "lib/sandbox.c was not thought through for this architecture"
#endif
#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "the lower half of an argument is elsewhere"
#endif

#define AT_NUMBER offsetof(struct seccomp_data, nr)
#define AT_ARCH offsetof(struct seccomp_data, arch)
#define AT_ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))

static void
filter_op(struct filter *f, unsigned int code, uint32_t k)
{
	if (f->n == FILTER_MAX) {
		f->full = true;
		return;
	}
	f->code[f->n++] =
	    (struct sock_filter){ .code = (uint16_t)code, .k = k };
}

/* Goes on if the accumulator is `value`, else to where filter_land says. */
static size_t
filter_equal(struct filter *f, uint32_t value)
{
	filter_op(f, BPF_JMP | BPF_JEQ | BPF_K, value);
	return f->n - 1;
}

static void
filter_land(struct filter *f, size_t jump)
{
	f->code[jump].jf = (uint8_t)(f->n - jump - 1);
}

void
filter_init(struct filter *f)
{
	size_t ours;

	f->n = 0;
	f->full = false;
	filter_op(f, BPF_LD | BPF_W | BPF_ABS, AT_ARCH);
	ours = filter_equal(f, FILTER_ARCH);
	filter_op(f, BPF_JMP | BPF_JA, 1);
	filter_land(f, ours);
	filter_op(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter_op(f, BPF_LD | BPF_W | BPF_ABS, AT_NUMBER);
}

static uint32_t
filter_action(int answer)
{
	return answer == FILTER_ALLOW ? SECCOMP_RET_ALLOW
	       : answer == FILTER_KILL
		   ? SECCOMP_RET_KILL_PROCESS
		   : SECCOMP_RET_ERRNO | ((uint32_t)answer & SECCOMP_RET_DATA);
}

void
filter_add(struct filter *f, int number, int answer,
    const struct filter_if when[FILTER_IFS])
{
	size_t call, jump[FILTER_IFS], njump = 0;

	if (number < 0)
		return;
	call = filter_equal(f, (uint32_t)number);
	for (size_t i = 0; i < FILTER_IFS; i++) {
		if (when[i].mask == 0)
			continue;
		filter_op(f, BPF_LD | BPF_W | BPF_ABS, AT_ARG(when[i].arg));
		filter_op(f, BPF_ALU | BPF_AND | BPF_K, when[i].mask);
		jump[njump++] = filter_equal(f, when[i].value);
	}
	filter_op(f, BPF_RET | BPF_K, filter_action(answer));
	for (size_t i = 0; i < njump; i++)
		filter_land(f, jump[i]);
	if (njump > 0) /* the next row asks for the number again */
		filter_op(f, BPF_LD | BPF_W | BPF_ABS, AT_NUMBER);
	filter_land(f, call);
}

int
filter_load(struct filter *f)
{
	struct sock_fprog prog = { .filter = f->code };

	filter_op(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (f->full)
		return ERR_TOOBIG;
	prog.len = (unsigned short)f->n;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0
		   ? 0
		   : ERR_SYS;
}
