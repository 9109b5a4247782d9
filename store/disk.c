/* Whether the disk takes what is put; see disk.h. */
#include "store/disk.h"

#include <string.h>

#include "base/clock.h"
#include "store/vfs.h"

bool ntc_disk_blamed(enum ntc_status st)
{
	return ntc_status_unwritable(st) || st == NTC_ST_IO || st == NTC_ST_NO_FILES;
}

/* --- the writer's ------------------------------------------------------------------------- */

struct ntc_disk_state ntc_disk_try(struct ntc_blobs *blobs, struct ntc_index *index)
{
	uint64_t now = ntc_clock_wall_ns();
	enum ntc_status st;
	int err = ntc_blobs_try(blobs);

	if (err)
		return (struct ntc_disk_state){ .st = ntc_status_from_errno(-err), .err = -err };
	/* Being rebuilt: what is wrong with it is said elsewhere. */
	if (!index)
		return (struct ntc_disk_state){ .st = NTC_ST_OK };
	ntc_vfs_clear_errno();
	st = ntc_index_read_only(index) ? ntc_index_reopen(index) : NTC_ST_OK;
	if (!st)
		st = ntc_index_durable(index, true);
	if (!st)
		st = ntc_index_begin(index);
	if (!st)
		st = ntc_index_set(index, "tried", &now, sizeof(now));
	if (!st)
		st = ntc_index_commit(index);
	if (!st)
		return (struct ntc_disk_state){ .st = NTC_ST_OK };
	ntc_index_rollback(index);
	/* A damaged index is not the disk's state, nor is a want of memory. */
	if (!ntc_disk_blamed(st))
		return (struct ntc_disk_state){ .st = NTC_ST_OK };
	return (struct ntc_disk_state){ .st = st, .err = ntc_vfs_errno() };
}

/* --- the owner's -------------------------------------------------------------------------- */

/* When it goes bad again soon after it was well, it is tried less soon: the log has two lines each time. */
static void set_wait(struct ntc_disk *disk, uint64_t now_ns)
{
	bool again = disk->changed_ns && now_ns - disk->changed_ns < NTC_DISK_WELL_NS;

	disk->first_ns = again ? disk->first_ns * 2 : NTC_DISK_WAIT_MIN_NS;
	if (disk->first_ns > NTC_DISK_WAIT_MAX_NS)
		disk->first_ns = NTC_DISK_WAIT_MAX_NS;
	disk->wait_ns = disk->first_ns;
	disk->next_ns = now_ns + disk->wait_ns;
}

void ntc_disk_found(struct ntc_disk *disk, const struct ntc_disk_state *state, uint64_t now_ns,
		    const struct ntc_store_log *log)
{
	if (disk->is.st == state->st)
		return;
	if (!state->st)
		ntc_store_log(log, NTC_LOG_NOTICE, "the disk takes puts again, after %.0f s",
			      (double)(now_ns - disk->changed_ns) / (double)NTC_NS_PER_S);
	else
		ntc_store_log(log, NTC_LOG_ERROR, "puts are refused until the disk is well, hits go on: %s%s%s%s",
			      ntc_status_text(state->st), state->err ? " (" : "", state->err ? strerror(state->err) : "",
			      state->err ? ")" : "");
	if (!disk->is.st)
		set_wait(disk, now_ns);
	disk->is = *state;
	disk->changed_ns = now_ns;
	disk->since_wall_ns = ntc_clock_wall_ns();
}

bool ntc_disk_due(const struct ntc_disk *disk, uint64_t now_ns)
{
	return disk->is.st && !disk->trying && now_ns >= disk->next_ns;
}

void ntc_disk_tried(struct ntc_disk *disk, uint64_t now_ns)
{
	uint64_t most = disk->first_ns > NTC_DISK_WAIT_NS ? disk->first_ns : NTC_DISK_WAIT_NS;

	disk->trying = false;
	disk->wait_ns = disk->wait_ns * 2 < most ? disk->wait_ns * 2 : most;
	disk->next_ns = now_ns + disk->wait_ns;
}
