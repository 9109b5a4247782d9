/*
 * For every n, the n-th allocation of every scenario (scenarios.h) fails, once or with all after it: ours and SQLite's.
 * Calls are answered NO_MEMORY meanwhile and succeed afterwards, nothing leaks, and a start finds everything as the
 * ledger has it (trial.h).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fault/allocations.h"
#include "tests/fault/campaign.h"
#include "tests/fault/scenarios.h"

struct attempt {
	const struct ntc_scenario *scenario;
	struct ntc_trial trial;
	unsigned n;             /* 0: only count */
};

static struct ntc_allocations *allocations;
static struct ntc_ledger *prepared, *ledger;

static void arm(void *ctx, bool on)
{
	const struct attempt *a = ctx;

	/* A scenario that arms a second time goes on counting. */
	if (!on)
		ntc_allocations_disarm(allocations);
	else if (atomic_load(&allocations->count))
		atomic_store(&allocations->armed, true);
	else
		ntc_allocations_arm(allocations, a->n, a->trial.lasting);
}

static bool fired(void *ctx)
{
	(void)ctx;
	return atomic_load(&allocations->fired);
}

static int run(void *ctx)
{
	struct attempt *a = ctx;

	ntc_allocations_take(allocations);
	ntc_scenario_run(a->scenario, &a->trial);
	ntc_allocations_expect_none();
	return 0;
}

static int judge(void *ctx)
{
	struct attempt *a = ctx;

	ntc_scenario_judge(a->scenario, &a->trial);
	return 0;
}

static void attempt(const struct ntc_scenario *s, unsigned n, bool lasting)
{
	struct attempt a = { .scenario = s, .n = n };
	const char *way = n == 0 ? "none fails" : lasting ? "fails with all after it" : "fails";

	if (n && !ntc_fault_chosen("%s, allocation %u, %s", s->name, n, way))
		return;
	memset(allocations, 0, sizeof(*allocations));
	ntc_scenario_setup(s, prepared, &a.trial, ledger);
	a.trial.arm = arm;
	a.trial.fired = fired;
	a.trial.ctx = &a;
	a.trial.named = NTC_ST_NO_MEMORY;
	a.trial.lasting = lasting;
	if (!ntc_fault_try(run, &a, "%s, allocation %u, %s", s->name, n, way))
		return;
	a.trial.store = NULL;
	(void)ntc_fault_try(judge, &a, "%s, allocation %u, %s, afterwards", s->name, n, way); /* it counts */
}

static void sweep(const struct ntc_scenario *s)
{
	unsigned count, done = 0;
	uint32_t *order;

	memset(prepared, 0, sizeof(*prepared));
	ntc_scenario_prepare(s, prepared);
	attempt(s, 0, false);
	count = atomic_load(&allocations->count);
	order = ntc_fault_order(2 * count);
	for (uint32_t i = 0; i < 2 * count && ntc_fault_goes_on(); i++, done++)
		attempt(s, order[i] / 2 + 1, order[i] % 2);
	ntc_fault_say("%s: %u allocations, %u trials", s->name, count, done);
	free(order);
}

int main(void)
{
	ntc_fault_begin("sweep_allocs_store", true);
	allocations = ntc_fault_shared(sizeof(*allocations));
	prepared = ntc_fault_shared(sizeof(*prepared));
	ledger = ntc_fault_shared(sizeof(*ledger));
	for (unsigned i = 0; i < ntc_scenario_count; i++) {
		ntc_fault_share(100 / ntc_scenario_count);
		sweep(&ntc_scenarios[i]);
	}
	return ntc_fault_end();
}
