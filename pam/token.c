/*
 * Putting a token together from its parts.  Runs in sshd's PAM child, as
 * root; the parts are a stranger's bytes.  They are counted, compared and
 * copied here, never parsed: that is oidc's work, in a process without root.
 */
#include "config.h"

#include "pam/token.h"

#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"

int
token_init(struct token *t)
{
	*t = (struct token){ 0 };
	return secret_init(&t->text, PROTO_TOKEN_MAX);
}

void
token_clear(struct token *t)
{
	secret_clear(&t->text);
	*t = (struct token){ 0 };
}

/* What sshd passes instead of an answer when it has already made up its mind
 * about the name: this text, repeated and cut to the answer's length. */
static bool
part_is_junk(const char *part, size_t n)
{
	static const char junk[] = "\b\n\r\177INCORRECT";

	for (size_t i = 0; i < n; i++) {
		if (part[i] != junk[i % (sizeof(junk) - 1)])
			return false;
	}
	return n > 0;
}

/* An askpass that prints the same whatever part it is asked for. */
static bool
part_repeats(const struct token *t, const char *part, size_t n)
{
	return t->parts > 0 && n >= TOKEN_PART_MIN && n == t->last &&
	       mem_equal(t->text.d + t->text.len - n, part, n);
}

static const char *
part_trouble(const struct token *t, const char *part, size_t n)
{
	if (part_is_junk(part, n))
		return "sshd refuses this user name";
	if (t->parts == 0 && n == 0)
		return "the first part is empty";
	if (n == TOKEN_PART_MAX)
		return "a part has 1023 bytes: the ssh client cut it, askpass "
		       "must print 1000 bytes of the token for each part";
	if (part_repeats(t, part, n))
		return "a part is the same as the one before: askpass must "
		       "print the part whose number it is asked for";
	if (n > PROTO_TOKEN_MAX - t->text.len)
		return "the token is longer than 16 KiB";
	return NULL;
}

void
token_add(struct token *t, const char *part, size_t n, bool *more)
{
	bool full = n >= TOKEN_PART_MIN && n <= TOKEN_PART_MAX;

	if (t->trouble == NULL)
		t->trouble = part_trouble(t, part, n);
	if (t->trouble == NULL && secret_append(&t->text, part, n) != 0)
		t->trouble = "no memory for the token";
	t->parts++;
	t->last = n;
	if (t->trouble == NULL && full && t->parts == TOKEN_PARTS_MAX)
		t->trouble = "the token has more than 16 parts";
	if (t->trouble != NULL)
		secret_clear(&t->text);
	*more = full && t->parts < TOKEN_PARTS_MAX;
}
