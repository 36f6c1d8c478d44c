/*
 * Signed notes and checkpoints: a published note, our own, and everything that
 * is nearly one.
 */
#include "config.h"

#include "audit/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* From Go's package note, whose format this is. */
#define PETER                                                                  \
	"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_SAYS                                                             \
	"If you think cryptography is the answer to your problem,\n"           \
	"then you don't know what your problem is.\n"                          \
	"\n"                                                                   \
	"\xe2\x80\x94 PeterNeumann "                                           \
	"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf" \
	"qdngotpRZb6KE6RyyBwJnAM=\n"

static void
t_published(void **state)
{
	char text[NOTE_KEY_MAX];
	struct note_key k;
	size_t n = 0;

	(void)state;
	assert_int_equal(note_key_parse(PETER, &k), 0);
	assert_string_equal(k.name, "PeterNeumann");
	note_key_text(&k, text);
	assert_string_equal(text, PETER);
	assert_int_equal(
	    note_verify(PETER_SAYS, strlen(PETER_SAYS), &k, &n), 0);
	assert_int_equal(n, strstr(PETER_SAYS, "\n\n") + 1 - PETER_SAYS);
}

/* Each bit of a note counts, and each byte less. */
static void
t_every_bit(void **state)
{
	char note[] = PETER_SAYS;
	const size_t len = sizeof(note) - 1;
	struct note_key k;
	size_t n;

	(void)state;
	assert_int_equal(note_key_parse(PETER, &k), 0);
	for (size_t i = 0; i < 8 * len; i++) {
		note[i / 8] = (char)(note[i / 8] ^ 1 << i % 8);
		assert_int_not_equal(note_verify(note, len, &k, &n), 0);
		note[i / 8] = (char)(note[i / 8] ^ 1 << i % 8);
	}
	for (size_t i = 0; i < len; i++)
		assert_int_not_equal(note_verify(note, i, &k, &n), 0);
	assert_int_equal(note_verify(note, len, &k, &n), 0);
}

static void
t_keys_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"+",
		"++",
		"a",
		"a+b",
		"PeterNeumann",
		"PeterNeumann+c74f20a3",
		"PeterNeumann+c74f20a3+",
		/* a name, an id, a case, a kind, a length that is another's */
		"PeterNeumanN+c74f20a3+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a4+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+"
		"Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
		"PeterNeumann+c74f20a3+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAAAA",
		"Peter Neumann+c74f20a3+"
		"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		PETER "\n",
		" " PETER,
	};
	char longest[NOTE_NAME_MAX + 2 + 64] = "";
	struct note_key k;

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_int_equal(note_key_parse(cases[i], &k), ERR_FORMAT);
	for (size_t i = 0; i <= NOTE_NAME_MAX; i++)
		longest[i] = 'a';
	memcpy(longest + NOTE_NAME_MAX + 1, PETER + 12, sizeof(PETER) - 12);
	assert_int_equal(note_key_parse(longest, &k), ERR_FORMAT);
}

static void
t_notes_refused(void **state)
{
	static const char *const cases[] = { "", "\n", "\n\n", "a\n", "a\n\n",
		"a\n\nb\n", "\n\n\xe2\x80\x94 a b\n",
		"a\n\n\xe2\x80\x94 PeterNeumann \n",
		"a\n\n\xe2\x80\x94 PeterNeumann x08go/Z=\n",
		"a\n\n\xe2\x80\x94 PeterNeumann x08go/Z", "a\r\n\nb\n",
		"a\t\n\n\xe2\x80\x94 a AAAA\n",
		"\xff\n\n\xe2\x80\x94 a AAAA\n" };
	char more[NOTE_MAX + 1];
	struct note_key k;
	struct buf b;
	size_t n;

	(void)state;
	assert_int_equal(note_key_parse(PETER, &k), 0);
	for (size_t i = 0; i < N(cases); i++)
		assert_int_equal(
		    note_verify(cases[i], strlen(cases[i]), &k, &n),
		    ERR_FORMAT);
	for (size_t i = 0; i < sizeof(more); i++)
		more[i] = '\n';
	assert_int_equal(note_verify(more, sizeof(more), &k, &n), ERR_FORMAT);
	/* as many signatures as may be, and one more */
	buf_init(&b, NOTE_MAX);
	assert_int_equal(buf_putf(&b, "%s", PETER_SAYS), 0);
	for (size_t i = 1; i <= NOTE_SIGNATURES_MAX; i++) {
		assert_int_equal(
		    note_verify(buf_ptr(&b), buf_len(&b), &k, &n), 0);
		assert_int_equal(
		    buf_putf(&b, "%s", strstr(PETER_SAYS, "\n\n") + 2), 0);
	}
	assert_int_equal(
	    note_verify(buf_ptr(&b), buf_len(&b), &k, &n), ERR_FORMAT);
	buf_clear(&b);
}

static void
t_sign(void **state)
{
	static const char text[] = "origin\n1\n";
	struct note_signer s, again;
	struct note_key other;
	struct secret file;
	struct buf note;
	size_t n = 0;

	(void)state;
	buf_init(&note, NOTE_MAX);
	assert_int_equal(note_signer_new(&s, "a b"), ERR_FORMAT);
	assert_int_equal(note_signer_new(&s, "postern/1"), 0);
	assert_int_equal(note_sign(&s, text, strlen(text), &note), 0);
	assert_int_equal(
	    note_verify(buf_ptr(&note), buf_len(&note), &s.key, &n), 0);
	assert_int_equal(n, strlen(text));
	assert_int_equal(note_key_parse(PETER, &other), 0);
	assert_int_equal(
	    note_verify(buf_ptr(&note), buf_len(&note), &other, &n),
	    ERR_NOTFOUND);
	/* the same key from its file; and files that are none */
	assert_int_equal(note_signer_text(&s, &file), 0);
	assert_int_equal(note_signer_parse(&again, &file), 0);
	assert_memory_equal(&again.key, &s.key, sizeof(s.key));
	note_signer_clear(&again);
	for (size_t i = 0; i < file.len - 1; i++) {
		file.d[i] ^= 0x10;
		assert_int_equal(note_signer_parse(&again, &file), ERR_FORMAT);
		file.d[i] ^= 0x10;
	}
	secret_clear(&file);
	note_signer_clear(&s);
	buf_clear(&note);
}

#define ROOT "4/5YmPZ5K3GFcNqQQ3jDPQDIoXsQfWbfDtqCFdR0PKE=" /* any 32 bytes */

static void
t_checkpoint(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t size;
		size_t more;
	} cases[] = {
		{ "o\n0\n" ROOT "\n", 0, 0, 0 },
		{ "o\n18446744073709551614\n" ROOT "\n", 0, UINT64_MAX - 1, 0 },
		{ "o\n7\n" ROOT "\nmore\n", 0, 7, 5 },
		{ "o\n7\n" ROOT "\n\n\xe2\x80\x94 a b\n", 0, 7, 0 },
		{ "o\n18446744073709551615\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n07\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n+7\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n-7\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n7 \n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n\n7\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "\n7\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n7\n" ROOT, ERR_FORMAT, 0, 0 },
		{ "o\n7\n" ROOT "=\n", ERR_FORMAT, 0, 0 },
		{ "o\n7\nAAAA\n", ERR_FORMAT, 0, 0 },
		{ "o o\n7\n" ROOT "\n", ERR_FORMAT, 0, 0 },
		{ "o\n7\n", ERR_FORMAT, 0, 0 },
		{ "o\n", ERR_FORMAT, 0, 0 },
		{ "", ERR_FORMAT, 0, 0 },
	};
	struct checkpoint c;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		const char *s = cases[i].text;

		assert_int_equal(
		    checkpoint_parse(s, strlen(s), &c), cases[i].r);
		if (cases[i].r != 0)
			continue;
		assert_string_equal(c.origin, "o");
		assert_int_equal(c.size, cases[i].size);
		assert_int_equal(c.more_len, cases[i].more);
		buf_init(&b, NOTE_MAX);
		assert_int_equal(
		    checkpoint_text(c.origin, c.size, &c.root, "", &b), 0);
		assert_memory_equal(buf_ptr(&b), s, buf_len(&b));
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_published),
		cmocka_unit_test(t_every_bit),
		cmocka_unit_test(t_keys_refused),
		cmocka_unit_test(t_notes_refused),
		cmocka_unit_test(t_sign),
		cmocka_unit_test(t_checkpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
