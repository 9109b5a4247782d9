/* The store's face: loads, puts, removals, uses, counters, listings, eviction, faults of the disk. */
#include "store_fixture.h"

#include <sqlite3.h>
#include <stdatomic.h>

#include "tests/support/unit_sys.h"

static void setup(void)
{
	options = (struct ntc_store_options){ 0 };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	ntc_test_hook_sys(NULL);
	remove_dir();
}

START_TEST(put_is_visible_at_once_and_durable_later)
{
	struct answer a = { 0 }, b = { 0 }, c = { 0 };
	struct ntc_store_stats stats;

	load(1, &a);
	ck_assert_int_eq(a.loaded, 1);
	ck_assert_int_eq(a.load_st, NTC_ST_NOT_FOUND);
	put(1, 'x', 1000, &a);
	ck_assert_int_eq(a.decided, 1);
	ck_assert_int_eq(a.stored, NTC_STORED_NEW);
	ck_assert_int_eq(a.durable, 0);
	load(1, &b);
	ck_assert_int_eq(b.loaded, 1);
	ck_assert_int_eq(b.load_st, NTC_ST_OK);
	ck_assert(!b.had_fd);
	ck_assert_uint_eq(stats_now().queued_bytes, b.image->len);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_OK);
	ck_assert(exists(blob_file(1)));
	load(1, &c);
	ck_assert_int_eq(c.loaded, 0);
	wait_for(&c.loaded);
	ck_assert_int_eq(c.load_st, NTC_ST_OK);
	ck_assert(c.had_fd);
	ck_assert(ntc_view_equal(view_of(b.image), view_of(c.image)));
	ck_assert_uint_eq(c.row.kind, NTC_KIND_KERNEL);
	ck_assert_uint_eq(c.row.cost_ns, 77);
	ck_assert_uint_eq(c.row.uid, 5);
	ck_assert_uint_eq(c.row.size, c.image->len);
	stats = stats_now();
	ck_assert_uint_eq(stats.entries, 1);
	ck_assert_uint_eq(stats.bytes, c.image->len);
	ck_assert_uint_eq(stats.entries_by_kind[NTC_KIND_KERNEL], 1);
	ck_assert_uint_eq(stats.queued_bytes, 0);
	ck_assert_uint_eq(stats.puts_durable, 1);
	ck_assert_uint_eq(stats.groups, 1);
	ntc_buffer_unref(b.image);
	ntc_buffer_unref(c.image);
	reopen_store();
	ck_assert_int_eq(load_now(1, 'x', 1000), NTC_ST_OK);
}
END_TEST

START_TEST(second_put_is_known_or_differs)
{
	struct answer a = { 0 }, b = { 0 }, c = { 0 };

	/* In memory: decided at once. */
	put(1, 'x', 100, &a);
	put(1, 'x', 100, &b);
	ck_assert_int_eq(b.stored, NTC_STORED_KNOWN);
	put(1, 'y', 100, &c);
	ck_assert_int_eq(c.stored, NTC_STORED_DIFFERS);
	wait_for(&a.durable);
	/* On disk. */
	ck_assert_int_eq(put_now(1, 'x', 100), NTC_STORED_KNOWN);
	ck_assert_int_eq(put_now(1, 'y', 100), NTC_STORED_DIFFERS);
	ck_assert_int_eq(b.durable + c.durable, 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
}
END_TEST

START_TEST(calls_behind_a_compare_keep_their_order)
{
	struct answer a[7] = { 0 };

	put_now(1, 'x', 100);
	put(1, 'y', 100, &a[0]);        /* starts the compare */
	load(1, &a[1]);
	remove_key(1, &a[2]);
	load(1, &a[3]);
	put(1, 'z', 100, &a[4]);
	put(1, 'z', 100, &a[5]);
	load(1, &a[6]);
	ck_assert_int_eq(a[0].decided + a[1].loaded + a[2].removed + a[3].loaded + a[4].decided + a[6].loaded, 0);
	wait_for(&a[6].loaded);
	ck_assert_int_eq(a[0].stored, NTC_STORED_DIFFERS);
	ck_assert_int_eq(a[1].load_st, NTC_ST_OK);
	ck_assert_int_eq(a[3].load_st, NTC_ST_NOT_FOUND);
	ck_assert_int_eq(a[4].stored, NTC_STORED_NEW);
	ck_assert_int_eq(a[5].stored, NTC_STORED_KNOWN);
	ck_assert_int_eq(a[6].load_st, NTC_ST_OK);
	wait_for(&a[4].durable);
	ck_assert_int_eq(a[2].removed, 1);
	ck_assert_uint_eq(a[2].remove_count, 1);
	ntc_buffer_unref(a[1].image);
	ntc_buffer_unref(a[6].image);
	ck_assert_int_eq(load_now(1, 'z', 100), NTC_ST_OK);
	reopen_store();
	ck_assert_int_eq(load_now(1, 'z', 100), NTC_ST_OK);
}
END_TEST

START_TEST(remove_is_gone_at_once_and_for_good)
{
	struct answer put_answer = { 0 }, removal = { 0 }, again = { 0 };
	struct ntc_digest digest = digest_of(2);

	/* Not on disk yet; behind the put in the writer. */
	put(1, 'x', 100, &put_answer);
	remove_key(1, &removal);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(removal.removed, 0);
	/* One that comes while the removal is under way stays. */
	put(1, 'y', 100, &again);
	ck_assert_int_eq(again.stored, NTC_STORED_NEW);
	wait_for(&again.durable);
	ck_assert_int_eq(put_answer.durable, 1);
	ck_assert_int_eq(removal.removed, 1);
	ck_assert_uint_eq(removal.remove_count, 1);
	ck_assert_int_eq(load_now(1, 'y', 100), NTC_ST_OK);
	/* On disk, by key and by digest. */
	ck_assert_uint_eq(remove_now(1), 1);
	ck_assert(!exists(blob_file(1)));
	ck_assert_uint_eq(remove_now(1), 0);
	put_now(2, 'x', 100);
	removal = (struct answer){ 0 };
	ntc_store_remove_digest(store, &digest, on_remove, &removal);
	ck_assert_int_eq(load_now(2, 'x', 100), NTC_ST_NOT_FOUND);
	wait_for(&removal.removed);
	ck_assert_uint_eq(removal.remove_count, 1);
	ck_assert_uint_eq(stats_now().entries, 0);
	ck_assert_uint_eq(stats_now().bytes, 0);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 0);
	ck_assert_uint_eq(stats_now().dropped_rows + stats_now().adopted, 0);
}
END_TEST

START_TEST(a_load_under_way_does_not_bring_back_what_was_removed)
{
	struct answer a = { 0 }, b = { 0 }, c = { 0 };
	struct ntc_digest digest = digest_of(1);

	put_now(1, 'x', 100);
	load(1, &a);
	ntc_store_remove_digest(store, &digest, on_remove, &b);
	wait_for(&a.loaded);
	ck_assert_int_eq(a.load_st, NTC_ST_NOT_FOUND);
	wait_for(&b.removed);
	/* Replaced while it is read: the new one is the answer. */
	put_now(1, 'x', 100);
	a = (struct answer){ 0 };
	load(1, &a);
	ntc_store_remove_digest(store, &digest, on_remove, &b);
	put(1, 'y', 100, &c);
	wait_for(&a.loaded);
	ck_assert_int_eq(a.load_st, NTC_ST_OK);
	ck_assert(memchr(a.image->bytes, 'y', a.image->len) != NULL);
	wait_for(&c.durable);
	ntc_buffer_unref(a.image);
}
END_TEST

START_TEST(queued_bytes_are_bounded)
{
	struct answer a[3] = { 0 };

	close_store();
	options.max_queued_bytes = 4096;
	options.group_wait_ns = 300 * NTC_NS_PER_MS;
	open_store();
	put(1, 'x', 10000, &a[0]);      /* one is always taken */
	put(2, 'x', 100, &a[1]);
	ck_assert_int_eq(a[0].stored, NTC_STORED_NEW);
	ck_assert_int_eq(a[1].decided_st, NTC_ST_BUSY);
	ck_assert_int_eq(load_now(2, 'x', 100), NTC_ST_NOT_FOUND);
	wait_for(&a[0].durable);
	ck_assert_int_eq(put_now(2, 'x', 100), NTC_STORED_NEW);
}
END_TEST

START_TEST(puts_share_a_group)
{
	struct answer a[40] = { 0 };

	close_store();
	options.group_wait_ns = 500 * NTC_NS_PER_MS;
	open_store();
	for (unsigned i = 0; i < 40; i++)
		put(i, 'x', 100, &a[i]);
	for (unsigned i = 0; i < 40; i++)
		wait_for(&a[i].durable);
	ck_assert_uint_eq(stats_now().groups, 1);
	ck_assert_uint_ge(stats_now().group_wait_max_ns, 500 * NTC_NS_PER_MS);
}
END_TEST

START_TEST(a_group_has_a_digest_once)
{
	struct answer first = { 0 }, removal = { 0 }, second = { 0 };

	close_store();
	options.group_wait_ns = 200 * NTC_NS_PER_MS;
	open_store();
	put(1, 'x', 100, &first);
	remove_key(1, &removal);
	put(1, 'y', 100, &second);
	wait_for(&second.durable);
	ck_assert_uint_eq(stats_now().groups, 3);
	ck_assert_int_eq(first.durable_st, NTC_ST_OK);
	ck_assert_uint_eq(removal.remove_count, 1);
	ck_assert_int_eq(load_now(1, 'y', 100), NTC_ST_OK);
}
END_TEST

START_TEST(damaged_blob_is_a_miss_and_set_aside)
{
	struct answer a = { 0 };
	struct ntc_digest digest = digest_of(2);
	int fd;

	put_now(1, 'x', 100);
	put_now(2, 'x', 100);
	put_now(3, 'x', 100);
	put_now(4, 'x', 100);
	fd = open(blob_file(1), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "!", 1, 200), 1);
	close(fd);
	ck_assert_int_eq(truncate(blob_file(2), 100), 0);
	ck_assert_int_eq(unlink(blob_file(3)), 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_NOT_FOUND);
	/* Put again: the compare meets the damage, then it is new. */
	ck_assert_int_eq(put_now(1, 'y', 100), NTC_STORED_NEW);
	ck_assert_int_eq(put_now(2, 'y', 100), NTC_STORED_NEW);
	ck_assert_int_eq(load_now(2, 'y', 100), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().quarantined, 2);
	ck_assert_int_eq(count_names(file("default/quarantine"), ""), 2);
	/* A suspicion is looked into: nothing happens to a good file. */
	digest = digest_of(4);
	ntc_store_suspect(store, &digest);
	ck_assert_int_eq(load_now(4, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(truncate(blob_file(4), 100), 0);
	ntc_store_suspect(store, &digest);
	reopen_store();
	ck_assert_int_eq(count_names(file("default/quarantine"), ""), 3);
	ck_assert_uint_eq(stats_now().entries, 2);
	load(4, &a);
	ck_assert_int_eq(a.load_st, NTC_ST_NOT_FOUND);
}
END_TEST

START_TEST(hits_and_counters_survive)
{
	struct ntc_digest one = digest_of(1), none = digest_of(9);
	uint8_t value[9], bytes[64];
	struct ntc_field field = { .name = ntc_view("hits", 4), .type = NTC_TYPE_INT };
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));
	struct answer a = { 0 };
	uint64_t used;

	ck_assert_uint_eq(ntc_store_saved_counters(store).len, 0);
	put_now(1, 'x', 100);
	ck_assert_uint_eq(ntc_store_hit(store, &one, 3), 77);
	ck_assert_uint_eq(ntc_store_hit(store, &one, 4), 77);
	ck_assert_uint_eq(ntc_store_hit(store, &none, 1), 0);
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.hits, 7);
	used = a.row.used;
	field.value = ntc_view(value, ntc_value_int(123, value));
	ck_assert_int_eq(ntc_key_write(&w, 0, &field, 1, NULL), NTC_ST_OK);
	for (int i = 0; i < 5; i++)
		ntc_store_save_counters(store, ntc_view(bytes, w.len));
	reopen_store();
	ck_assert(ntc_view_equal(ntc_store_saved_counters(store), ntc_view(bytes, w.len)));
	a.loaded = 0;
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.hits, 7);
	ck_assert_uint_eq(a.row.used, used);
	ntc_store_hit(store, &one, 1);
	a.loaded = 0;
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_uint_gt(a.row.used, used);
	ntc_buffer_unref(a.image);
}
END_TEST

START_TEST(hits_reach_the_index_by_themselves)
{
	struct ntc_digest one = digest_of(1);
	struct ntc_store_stats before;
	uint64_t until = ntc_clock_mono_ns() + 30 * NTC_NS_PER_S;

	put_now(1, 'x', 100);
	before = stats_now();
	ntc_store_hit(store, &one, 3);
	/* A second later, by its own timer, as a group. */
	while (stats_now().groups == before.groups) {
		struct pollfd ready = { .fd = ntc_store_event_fd(store), .events = POLLIN };

		ck_assert(ntc_clock_mono_ns() < until);
		(void)poll(&ready, 1, 1000);
		ntc_store_dispatch(store);
	}
}
END_TEST

START_TEST(list_pages)
{
	struct answer *a = calloc(1, sizeof(*a)), all[25] = { 0 };
	struct ntc_digest after = { { 0 } };
	unsigned pages = 0, rows = 0;

	for (unsigned i = 0; i < 25; i++)
		put(i, 'x', 100, &all[i]);
	for (unsigned i = 0; i < 25; i++)
		wait_for(&all[i].durable);
	do {
		a->listed = 0;
		ntc_store_list(store, &after, 0, 10, on_list, a);
		wait_for(&a->listed);
		ck_assert_int_eq(a->list_st, NTC_ST_OK);
		for (size_t i = 0; i < a->row_count; i++) {
			ck_assert_int_lt(memcmp(after.bytes, a->rows[i].digest.bytes, 16), 0);
			after = a->rows[i].digest;
			rows++;
		}
		pages++;
		ck_assert_int_eq(a->more, pages < 3);
	} while (a->more);
	ck_assert_uint_eq(rows, 25);
	memset(&after, 0, sizeof(after));
	a->listed = 0;
	ntc_store_list(store, &after, NTC_KIND_SOURCE, 10, on_list, a);
	wait_for(&a->listed);
	ck_assert_uint_eq(a->row_count, 0);
	/* What is being removed is left out. */
	a->listed = 0;
	remove_key(3, &all[0]);
	remove_key(4, &all[0]);
	ntc_store_list(store, &after, 0, 100, on_list, a);
	all[0].removed = 0;
	wait_for(&all[0].removed);
	wait_for(&a->listed);
	a->listed = 0;
	ntc_store_list(store, &after, 0, 100, on_list, a);
	wait_for(&a->listed);
	ck_assert_uint_le(a->row_count, 24);
	free(a);
}
END_TEST

START_TEST(worth_least_go)
{
	struct ntc_digest one = digest_of(0);
	struct ntc_store_stats stats;
	unsigned gone = 0;
	size_t size;

	put_now(0, 'x', 10000);
	size = stats_now().bytes;
	close_store();
	options.max_bytes = 20 * size;
	open_store();
	for (unsigned i = 1; i < 20; i++)
		put_now(i, 'x', 10000);
	ck_assert_uint_eq(stats_now().entries, 20);
	ck_assert_uint_eq(stats_now().evicted, 0);
	ntc_store_hit(store, &one, 1);
	put_now(20, 'x', 10000);
	close_store();
	open_store();
	stats = stats_now();
	/* Over by one: down to 99 % is 19 entries. What was used again stays. */
	ck_assert_uint_eq(stats.entries, 19);
	ck_assert_int_eq(load_now(0, 'x', 10000), NTC_ST_OK);
	for (unsigned i = 1; i <= 20; i++) {
		ck_assert_int_eq(exists(blob_file(i)), load_now(i, 'x', 10000) == NTC_ST_OK);
		gone += !exists(blob_file(i));
	}
	ck_assert_uint_eq(gone, 2);
	/* A smaller cap evicts at start. */
	close_store();
	options.max_bytes = 5 * size;
	open_store();
	close_store();
	open_store();
	ck_assert_uint_eq(stats_now().entries, 4);
	/* What can never fit is refused. */
	{
		struct answer a = { 0 };

		put(50, 'x', 6 * size, &a);
		ck_assert_int_eq(a.decided_st, NTC_ST_NO_SPACE);
	}
}
END_TEST

START_TEST(entries_are_capped)
{
	options.max_entries = 10;
	close_store();
	open_store();
	for (unsigned i = 0; i < 30; i++)
		put_now(i, 'x', i % 3 ? 100 : 20000);
	reopen_store();
	ck_assert_uint_le(stats_now().entries, 10);
	ck_assert_uint_ge(stats_now().entries, 9);
	/* Fewer are allowed than there are. */
	options.max_entries = 3;
	reopen_store();
	reopen_store();
	ck_assert_uint_le(stats_now().entries, 3);
}
END_TEST

static void run_sql(const char *text)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* What nobody uses goes, but for what is pinned; in more slices than one. */
START_TEST(old_ones_go)
{
	enum { MANY = 600 };
	static struct answer answers[MANY];
	struct ntc_digest used = digest_of(7);

	for (unsigned i = 0; i < MANY; i++)
		put(i, 'x', 100, &answers[i]);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, MANY);
	close_store();
	/* As if they had been used an hour ago: the clock says 3600, and goes on from now. */
	run_sql("INSERT OR REPLACE INTO value VALUES ('age', x'100e0000000000000000000000000000');"
		"UPDATE entry SET used_age = 0;"
		"UPDATE entry SET pinned = 1 WHERE used = 4");
	options.max_age_ns = 30 * NTC_NS_PER_S;
	open_store();
	ntc_store_hit(store, &used, 1);
	while (stats_now().expired < MANY - 2)
		wait_turn();
	ck_assert_int_eq(load_now(7, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().entries, 2);
	ck_assert_uint_gt(stats_now().expired_bytes, 100 * (MANY - 2));
	ck_assert_uint_eq(stats_now().evicted, 0);
	ck_assert_int_eq(load_now(7, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(load_now(8, 'x', 100), NTC_ST_NOT_FOUND);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 2);
}
END_TEST

/* --- faults ------------------------------------------------------------------------------- */

static atomic_int fault_call, fault_errno, fault_after;

static int inject(enum ntc_test_call call, const char *name, int flags)
{
	(void)name;
	(void)flags;
	if ((int)call != atomic_load(&fault_call))
		return 0;
	return atomic_fetch_sub(&fault_after, 1) == 0 ? atomic_load(&fault_errno) : 0;
}

static void fail_call(enum ntc_test_call call, int err, int after)
{
	atomic_store(&fault_after, after);
	atomic_store(&fault_errno, err);
	atomic_store(&fault_call, (int)call);
}

static const struct { enum ntc_test_call call; int err; enum ntc_status st; } put_faults[] = {
	{ NTC_CALL_OPEN, ENOSPC, NTC_ST_NO_SPACE },
	{ NTC_CALL_WRITE, ENOSPC, NTC_ST_NO_SPACE },
	{ NTC_CALL_WRITE, EDQUOT, NTC_ST_QUOTA },
	{ NTC_CALL_WRITE, EROFS, NTC_ST_DISK_READ_ONLY },
	{ NTC_CALL_CHMOD, EIO, NTC_ST_IO },
	{ NTC_CALL_FSYNC, EIO, NTC_ST_IO },
	{ NTC_CALL_MKDIR, ENOSPC, NTC_ST_NO_SPACE },
	{ NTC_CALL_RENAME, EIO, NTC_ST_IO },
};

START_TEST(failed_put_is_gone_and_hits_go_on)
{
	struct answer a = { 0 };

	close_store();
	ntc_test_hook_sys(inject);
	open_store();
	put_now(1, 'x', 100);
	fail_call(put_faults[_i].call, put_faults[_i].err, 0);
	put(2, 'x', 100, &a);
	ck_assert_int_eq(a.stored, NTC_STORED_NEW);
	wait_for(&a.durable);
	fail_call(0, 0, 0);
	ck_assert_int_eq(a.durable_st, put_faults[_i].st);
	ck_assert_int_eq(load_now(2, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert(!exists(blob_file(2)));
	ck_assert_int_eq(count_names(file("default/tmp"), ""), 0);
	ck_assert_uint_eq(stats_now().entries, 1);
	ck_assert_uint_eq(stats_now().puts_lost, 1);
	ck_assert_uint_eq(stats_now().queued_bytes, 0);
	ck_assert_int_eq(put_now(2, 'y', 100), NTC_STORED_NEW);
	reopen_store();
	ck_assert_int_eq(load_now(2, 'y', 100), NTC_ST_OK);
}
END_TEST

/* The third sync of a put (file, domain, shard) is the one that makes the name durable. */
START_TEST(failed_directory_sync_takes_the_name_back)
{
	struct answer a = { 0 };

	close_store();
	ntc_test_hook_sys(inject);
	open_store();
	fail_call(NTC_CALL_FSYNC, EIO, 2);
	put(2, 'x', 100, &a);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_IO);
	ck_assert(!exists(blob_file(2)));
	ck_assert_int_eq(put_now(2, 'y', 100), NTC_STORED_NEW);
}
END_TEST

START_TEST(failed_removal_leaves_the_entry)
{
	struct ntc_digest digest = digest_of(1);
	struct answer a = { 0 };

	close_store();
	ntc_test_hook_sys(inject);
	open_store();
	put_now(1, 'x', 100);
	fail_call(NTC_CALL_UNLINK, EIO, 0);
	ntc_store_remove_digest(store, &digest, on_remove, &a);
	wait_for(&a.removed);
	ck_assert_int_eq(a.remove_st, NTC_ST_IO);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert_uint_eq(remove_now(1), 1);
	ck_assert_uint_eq(stats_now().entries, 0);
}
END_TEST

START_TEST(unreadable_is_not_damaged)
{
	struct answer a = { 0 };

	close_store();
	ntc_test_hook_sys(inject);
	options.loaders = 1;
	open_store();
	put_now(1, 'x', 100);
	/* From now on the loader's connection has in memory what it needs of the index: reads are the file's. */
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	fail_call(NTC_CALL_READ, EIO, 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_IO);
	fail_call(NTC_CALL_OPEN, EMFILE, 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NO_FILES);
	fail_call(NTC_CALL_READ, EIO, 0);
	put(1, 'y', 100, &a);
	wait_for(&a.decided);
	ck_assert_int_eq(a.decided_st, NTC_ST_IO);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().quarantined, 0);
}
END_TEST

/* --- callbacks that call -------------------------------------------------------------------- */

static struct answer nested;

static void load_then_remove(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct ntc_digest digest = digest_of(1);

	ck_assert_int_eq(st, NTC_ST_OK);
	ntc_store_remove_digest(store, &digest, on_remove, &nested);
	put(1, 'z', 100, &nested);
	/* Still the one that was found. */
	ck_assert(memchr(loaded->image->bytes, 'x', loaded->image->len) != NULL);
	++*(int *)ctx;
}

START_TEST(callbacks_may_call)
{
	int count = 0;
	struct ntc_buffer *key = make_key(1);
	struct answer a = { 0 };

	memset(&nested, 0, sizeof(nested));
	put(1, 'x', 100, &a);
	ntc_store_load(store, view_of(key), load_then_remove, &count);
	ck_assert_int_eq(count, 1);
	wait_for(&nested.durable);
	ck_assert_int_eq(nested.stored, NTC_STORED_NEW);
	ck_assert_int_eq(nested.removed, 1);
	ck_assert_int_eq(a.durable, 1);
	ntc_buffer_unref(key);
	ck_assert_int_eq(load_now(1, 'z', 100), NTC_ST_OK);
}
END_TEST

START_TEST(close_answers_everything)
{
	struct answer a[30] = { 0 };

	close_store();
	options.group_wait_ns = 200 * NTC_NS_PER_MS;
	open_store();
	for (unsigned i = 0; i < 30; i++) {
		put(i, 'x', 5000, &a[i]);
		if (i % 3 == 0)
			remove_key(i, &a[i]);
	}
	close_store();
	for (unsigned i = 0; i < 30; i++) {
		ck_assert_int_eq(a[i].durable, 1);
		ck_assert_int_eq(a[i].durable_st, NTC_ST_OK);
		ck_assert_int_eq(a[i].removed, i % 3 == 0);
	}
	open_store();
	ck_assert_uint_eq(stats_now().entries, 20);
}
END_TEST

START_TEST(files_have_our_modes)
{
	struct stat st;
	mode_t before = umask(0);

	put_now(1, 'x', 100);
	ck_assert_int_eq(stat(blob_file(1), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(file("default"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(file("index.sqlite3"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	close_store();
	options.group_readable = true;
	umask(077);
	open_store();
	put_now(2, 'x', 100);
	ck_assert_int_eq(stat(blob_file(2), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(file("default"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0750);
	*strrchr((char *)blob_file(2), '/') = '\0';
	umask(before);
	ck_assert_int_eq(faccessat(ntc_store_blob_dir(store), ".", F_OK, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, put_is_visible_at_once_and_durable_later);
	tcase_add_test(tc, second_put_is_known_or_differs);
	tcase_add_test(tc, calls_behind_a_compare_keep_their_order);
	tcase_add_test(tc, remove_is_gone_at_once_and_for_good);
	tcase_add_test(tc, a_load_under_way_does_not_bring_back_what_was_removed);
	tcase_add_test(tc, queued_bytes_are_bounded);
	tcase_add_test(tc, puts_share_a_group);
	tcase_add_test(tc, a_group_has_a_digest_once);
	tcase_add_test(tc, damaged_blob_is_a_miss_and_set_aside);
	tcase_add_test(tc, hits_and_counters_survive);
	tcase_add_test(tc, hits_reach_the_index_by_themselves);
	tcase_add_test(tc, list_pages);
	tcase_add_test(tc, worth_least_go);
	tcase_add_test(tc, entries_are_capped);
	tcase_add_test(tc, old_ones_go);
	tcase_add_loop_test(tc, failed_put_is_gone_and_hits_go_on, 0, (int)(sizeof(put_faults) / sizeof(*put_faults)));
	tcase_add_test(tc, failed_directory_sync_takes_the_name_back);
	tcase_add_test(tc, failed_removal_leaves_the_entry);
	tcase_add_test(tc, unreadable_is_not_damaged);
	tcase_add_test(tc, callbacks_may_call);
	tcase_add_test(tc, close_answers_everything);
	tcase_add_test(tc, files_have_our_modes);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
