/*
 * Lists of a ledger: all of their commands run, or none.  Their lines stand
 * close together; how many are looked at at once is bounded.
 */
#include "config.h"

#include <string.h>

#include "cli/rehearse.h"
#include "lib/str.h"

static void
list_close(struct lists *l, struct open_list *o)
{
	bool whole = o->seen >= o->positions;

	if (o->positions == 0)
		return;
	/* A limit was not about the commands; what is denied denies all. */
	if (o->limited)
		;
	else if (o->denied)
		l->newly_denied += o->ran;
	else if (o->undecided || !whole)
		l->undecided++;
	else
		l->newly_run += !o->ran;
	*o = (struct open_list){ 0 };
}

static struct open_list *
list_find(struct lists *l, const struct list_line *one)
{
	struct open_list *o;

	for (size_t i = 0; i < LISTS_OPEN_MAX; i++) {
		if (l->open[i].positions != 0 &&
		    strcmp(l->open[i].id, one->id) == 0)
			return &l->open[i];
	}
	o = &l->open[l->next];
	l->next = (l->next + 1) % LISTS_OPEN_MAX;
	list_close(l, o);
	/* An id that is none of ours is still one of its own. */
	if (str_copy(o->id, sizeof(o->id), one->id) != 0)
		o->id[0] = '\0';
	o->positions = one->positions;
	return o;
}

void
lists_add(struct lists *l, const struct list_line *one)
{
	struct open_list *o;

	if (one->positions == 0)
		return;
	o = list_find(l, one);
	o->seen++;
	o->ran |= one->ran;
	o->limited |= one->limited;
	o->denied |= one->denied;
	o->undecided |= one->undecided;
	if (o->seen >= o->positions)
		list_close(l, o);
}

void
lists_end(struct lists *l)
{
	for (size_t i = 0; i < LISTS_OPEN_MAX; i++)
		list_close(l, &l->open[i]);
}
