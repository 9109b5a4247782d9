/* Changes to the index; see transact.h. */
#include "store/transact.h"

enum ntc_status ntc_transact(struct ntc_writer_thread *writer, ntc_change_fn *change, void *ctx)
{
	enum ntc_status st = ntc_index_begin(writer->index);

	if (!st)
		st = change(writer, ctx);
	if (!st)
		st = ntc_index_commit(writer->index);
	if (st)
		ntc_index_rollback(writer->index);
	return st;
}

enum ntc_status ntc_transact_on_full(struct ntc_writer_thread *writer, enum ntc_status st, ntc_change_fn *change,
				     void *ctx)
{
	if (ntc_status_unwritable(st) && ntc_reserve_spend(&writer->reserve))
		st = ntc_transact(writer, change, ctx);
	if (ntc_status_unwritable(st) && !ntc_index_checkpoint(writer->index))
		st = ntc_transact(writer, change, ctx);
	return st;
}

void ntc_transact_say(const struct ntc_writer_thread *writer, const char *what, enum ntc_status st)
{
	if (!ntc_disk_blamed(st) || !writer->disk.st)
		ntc_store_log(writer->log, NTC_LOG_ERROR, "%s: %s (%s)", what, ntc_index_error(writer->index),
			      ntc_status_text(st));
}
