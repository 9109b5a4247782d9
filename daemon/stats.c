/* Counters as field lists, and back; see stats.h. */
#include "daemon/stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/key.h"

size_t ntc_counter_add(struct ntc_counter *list, size_t n, const char *prefix, const char *name, uint64_t value)
{
	snprintf(list[n].name, sizeof(list[n].name), "%s%s", prefix, name);
	list[n].value = value;
	return n + 1;
}

size_t ntc_stats_list(const struct ntc_stats *stats, struct ntc_counter out[NTC_STATS_COUNT])
{
	size_t n = 0;

#define X(member, name) n = ntc_counter_add(out, n, "", name, stats->member);
	NTC_STATS_LIST(X)
#undef X
	for (unsigned kind = 1; ntc_kind_known(kind); kind++) {
		n = ntc_counter_add(out, n, "hits.kind.", ntc_kind_name(kind), stats->hits_by_kind[kind]);
		n = ntc_counter_add(out, n, "makes.", ntc_kind_name(kind), stats->makes_by_kind[kind]);
	}
	return n;
}

static void load_one(uint64_t *counter, struct ntc_view saved, const char *name)
{
	struct ntc_field field;
	int64_t value;

	if (ntc_key_find(saved, name, &field) && field.type == NTC_TYPE_INT &&
	    ntc_value_get_int(field.value, &value) && value > 0)
		*counter += (uint64_t)value;
}

void ntc_stats_load(struct ntc_stats *stats, struct ntc_view saved)
{
	char name[32];

	if (saved.len == 0 || ntc_key_check(saved, NULL))
		return;
#define X(member, text) load_one(&stats->member, saved, text);
	NTC_STATS_LIST(X)
#undef X
	for (unsigned kind = 1; ntc_kind_known(kind); kind++) {
		snprintf(name, sizeof(name), "hits.kind.%s", ntc_kind_name(kind));
		load_one(&stats->hits_by_kind[kind], saved, name);
		snprintf(name, sizeof(name), "makes.%s", ntc_kind_name(kind));
		load_one(&stats->makes_by_kind[kind], saved, name);
	}
}

void ntc_stats_saved_time(struct ntc_stats *stats, uint64_t cost_ns, uint64_t times)
{
	uint64_t sum;

	if (__builtin_mul_overflow(cost_ns, times, &sum) ||
	    __builtin_add_overflow(stats->saved_time_ns, sum, &sum) || sum > INT64_MAX)
		sum = INT64_MAX;
	stats->saved_time_ns = sum;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ntc_counter *)a)->name, ((const struct ntc_counter *)b)->name);
}

size_t ntc_counters_write(struct ntc_counter *list, size_t n, uint8_t *out, size_t cap)
{
	struct ntc_field fields[NTC_COUNTERS_MAX];
	uint8_t values[NTC_COUNTERS_MAX][9];
	struct ntc_writer w = ntc_writer(out, cap);

	if (n > NTC_COUNTERS_MAX)
		return 0;
	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++) {
		uint64_t value = list[i].value > INT64_MAX ? INT64_MAX : list[i].value;

		fields[i] = (struct ntc_field){
			.name = ntc_view(list[i].name, strlen(list[i].name)),
			.type = NTC_TYPE_INT,
			.value = ntc_view(values[i], ntc_value_uint(value, values[i])),
		};
	}
	return ntc_key_write(&w, 0, fields, n, NULL) ? 0 : w.len;
}
