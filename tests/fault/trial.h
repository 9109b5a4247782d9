/*
 * A store on trial: calls are made one after the other while something is made to fail, and a ledger, shared with
 * other processes, keeps what was acknowledged. So after any end of this process another one can say whether the
 * store kept its word:
 *
 *     there    a put said durable, no removal was asked for: it loads, byte for byte
 *     gone     a removal was answered: it is a miss, until it is put again
 *     unsure   a call on it failed or was not answered: whole, or a miss
 *
 * An entry is a number; everything about it follows from that. Whatever is wrong leaves the (child) process with
 * ntc_fault_expect(). Calls belong to the owner's thread.
 */
#ifndef NTC_TESTS_FAULT_TRIAL_H
#define NTC_TESTS_FAULT_TRIAL_H

#include <stdbool.h>

#include "proto/digest.h"
#include "proto/status.h"
#include "store/store.h"

#define NTC_TRIAL_ENTRIES 512u

enum ntc_trial_state { NTC_TRIAL_NEVER, NTC_TRIAL_UNSURE, NTC_TRIAL_THERE, NTC_TRIAL_GONE };

/* What survives the process that is tried; from ntc_fault_shared(). */
struct ntc_ledger {
	volatile uint8_t state[NTC_TRIAL_ENTRIES];      /* enum ntc_trial_state */
	volatile bool told;                             /* the child came to its end */
};

struct ntc_trial {
	struct ntc_ledger *ledger;
	struct ntc_store_options options;
	struct ntc_store *store;                /* NULL: closed */
	/* What fails: `arm` begins and ends it (may be NULL: nothing does), `fired` says whether it has. */
	void (*arm)(void *ctx, bool on);
	bool (*fired)(void *ctx);
	void *ctx;
	enum ntc_status named;                  /* what a call that it hits is answered */
	bool lasting;                           /* it hits until it is disarmed; else once */
	bool armed;
	bool was_fired;                         /* before the call under way */
	bool evicts;                            /* what is there may also be evicted */
	bool removes;                           /* and so much else removed that what evictions left says nothing */
	bool damaged;                           /* files were damaged: some are set aside */
	bool rebuilt;                           /* so was the index */
	/* What is on disk was damaged behind the store's back: entries may be lost, or back, but whole; calls may fail. */
	bool tolerant;
	unsigned lost, back;                    /* then: how many loads found so */
	/* Told whenever the ledger changes; may be NULL. */
	void (*note)(uint32_t n, uint32_t state);
};

/* For options.log: to standard error, with $NTC_TEST_LOG. */
void ntc_trial_log(void *ctx, enum ntc_log_level level, const char *text);

/* --- entries ------------------------------------------------------------------------------ */

/* The image of an entry; sizes from 200 bytes to 40 KB. One reference, given. */
struct ntc_buffer *ntc_trial_image(unsigned n);
struct ntc_digest ntc_trial_digest(unsigned n);
/* Of its image. */
size_t ntc_trial_size(unsigned n);
/* Reckon both once, so that children of this process know them. */
void ntc_trial_know(unsigned n);
/* Where it is: entries 0 and 1 modulo 4 fit into the index, 2 and 3 have files of their own. */
static inline bool ntc_trial_is_small(unsigned n)
{
	return n % 4 < 2;
}

/* --- calls: each waits for its answer ----------------------------------------------------- */

/* From here on something fails, or nothing any more. */
void ntc_trial_arm(struct ntc_trial *t, bool on);

/* OK, or the status that names the fault. LOCKED and the like are failures of the trial. */
enum ntc_status ntc_trial_open(struct ntc_trial *t);
void ntc_trial_close(struct ntc_trial *t);

/*
 * Wait for what goes on behind a start (opening does); where something fails, only until then. While it goes on, what is there
 * may not be found: the store is still looking.
 */
void ntc_trial_settle(struct ntc_trial *t);


enum ntc_status ntc_trial_put(struct ntc_trial *t, unsigned n);
/* Entries n .. n + count - 1 at once, so that they share groups; count at most 16. */
void ntc_trial_put_all(struct ntc_trial *t, unsigned n, unsigned count);
/* Another body under the same key: the first one stays. */
void ntc_trial_put_other(struct ntc_trial *t, unsigned n);
enum ntc_status ntc_trial_load(struct ntc_trial *t, unsigned n);
enum ntc_status ntc_trial_remove(struct ntc_trial *t, unsigned n, bool by_digest);
/* All rows; each row's entry is there. */
void ntc_trial_list(struct ntc_trial *t);

/* --- judgement ---------------------------------------------------------------------------- */

/*
 * Open with nothing failing, compare everything with the ledger, see that all kinds of calls work, close and open once
 * more: then there is nothing left to mend.
 */
void ntc_trial_judge(struct ntc_trial *t);

#endif
