/*
 * Growing lists for specifications, and what their names may be. Not shared between threads while they grow.
 */
#ifndef NTC_KERNELS_LIST_H
#define NTC_KERNELS_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define NTC_SPEC_LIST_MAX 4096          /* items: config fields, headers, options, names, words, inputs */
#define NTC_SPEC_NAME_MAX 200           /* characters of the names of programs, config fields, headers, inputs, outputs */

/* A list of strings, its own copies. All zero is empty. */
struct ntc_spec_list {
	char **items;
	size_t count, room;
};

/* Grow an array of `size`-byte items for one more: false without memory or over NTC_SPEC_LIST_MAX. */
bool ntc_spec_grow(void **items, size_t count, size_t *room, size_t size);

/* Append a copy of `text`. False as ntc_spec_grow(). */
bool ntc_spec_list_add(struct ntc_spec_list *list, const char *text);
void ntc_spec_list_release(struct ntc_spec_list *list);

/* 1 to `max` printable ASCII characters without space and '='; NULL is none. */
bool ntc_spec_name_valid(const char *name, size_t max);

#endif
