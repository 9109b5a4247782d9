/*
 * What the store is doing while something fails: putting, removing, evicting, starting ... Each scenario has a
 * directory that is prepared once and copied for each trial.
 */
#ifndef NTC_TESTS_FAULT_SCENARIOS_H
#define NTC_TESTS_FAULT_SCENARIOS_H

#include "tests/fault/trial.h"

struct ntc_scenario {
	const char *name;
	/* On an open store in an empty directory, nothing failing; may leave it closed. */
	void (*prepare)(struct ntc_trial *t);
	/* On a closed store; arms and disarms; leaves it open. */
	void (*run)(struct ntc_trial *t);
	/* What the ledger may expect when nothing fails any more; may be NULL. */
	void (*settled)(struct ntc_ledger *ledger);
	uint64_t max_bytes;
	bool damaged, rebuilt;                  /* as in struct ntc_trial */
	bool in_files;                          /* what is prepared has files of its own, whatever its size */
	bool relaxed;                           /* durability: what only dies by a signal loses nothing */
};

extern const struct ntc_scenario ntc_scenarios[];
extern const unsigned ntc_scenario_count;

/* Make the scenario's directory, and what its ledger says then. */
void ntc_scenario_prepare(const struct ntc_scenario *s, struct ntc_ledger *prepared);

/* A fresh copy of it, for a trial, with everything of *t set but what fails. `ledger` is the trial's. */
void ntc_scenario_setup(const struct ntc_scenario *s, const struct ntc_ledger *prepared, struct ntc_trial *t,
			struct ntc_ledger *ledger);

/* In a child: run it, disarm, see that calls work again, close. */
void ntc_scenario_run(const struct ntc_scenario *s, struct ntc_trial *t);

/* In a child, after whatever became of the one before. */
void ntc_scenario_judge(const struct ntc_scenario *s, struct ntc_trial *t);

#endif
