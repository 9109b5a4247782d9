/*
 * Mending the index of a running store: whoever met the damage, the writer rebuilds it (rebuild.h) while nobody else
 * has a connection, and goes on. Loaders wait meanwhile; clients read files themselves.
 */
#ifndef NTC_STORE_MEND_H
#define NTC_STORE_MEND_H

#include "store/writer.h"

/*
 * While it cannot be rebuilt (no room for a second index, say), puts are refused with the reason, as on a bad disk (disk.h); the
 * owner's trials are what tries it again.
 */

/* How long after a rebuild that failed (a full disk, a sick one) the next is tried: doubled up to this. */
#define NTC_MEND_WAIT_MAX_NS (60 * NTC_NS_PER_S)

/* OK: writer->index is a whole one, and the owner is told (NTC_OP_REBUILT). Otherwise why it is not, or was not when it
 * was tried last. The writer's thread. */
enum ntc_status ntc_mend(struct ntc_writer_thread *writer);

#endif
