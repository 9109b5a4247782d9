/* See list.h. */
#include "kernels/list.h"

#include <stdlib.h>
#include <string.h>

bool ntc_spec_grow(void **items, size_t count, size_t *room, size_t size)
{
	size_t more;
	void *grown;

	if (count < *room)
		return true;
	if (count >= NTC_SPEC_LIST_MAX)
		return false;
	more = *room ? 2 * *room : 16;
	grown = realloc(*items, more * size);
	if (!grown)
		return false;
	*items = grown;
	*room = more;
	return true;
}

bool ntc_spec_list_add(struct ntc_spec_list *list, const char *text)
{
	char *copy;

	if (!ntc_spec_grow((void **)&list->items, list->count, &list->room, sizeof(*list->items)))
		return false;
	copy = strdup(text);
	if (!copy)
		return false;
	list->items[list->count++] = copy;
	return true;
}

void ntc_spec_list_release(struct ntc_spec_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct ntc_spec_list){ 0 };
}

bool ntc_spec_name_valid(const char *name, size_t max)
{
	size_t len = name ? strnlen(name, max + 1) : 0;

	if (len < 1 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '=')
			return false;
	return true;
}
