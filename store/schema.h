/*
 * The index's schema: its version, how a new one is made, how an older one becomes this one. Knows
 * SQLite, as index.c does, which alone includes this.
 */
#ifndef NTC_STORE_SCHEMA_H
#define NTC_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

#include "proto/status.h"

/* Make the tables in an empty database, in one transaction. An SQLite code. */
int ntc_schema_make(sqlite3 *db);

/* Whether a database is defined exactly as this version's are, whatever version it says it has. An SQLite code. */
int ntc_schema_compare(sqlite3 *db, bool *same);

/*
 * Bring an index of an older `version` to NTC_INDEX_VERSION in one transaction, after a copy of it was made in the
 * directory `dir` under a name with its version and the date. Whatever fails, the index is as it was.
 */
enum ntc_status ntc_schema_migrate(sqlite3 *db, const char *dir, long long version, struct ntc_reason *reason);

#endif
