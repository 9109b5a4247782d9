/*
 * For every n, the n-th file-system call of every scenario (scenarios.h) fails, with each of EIO, ENOSPC and EMFILE,
 * once or from then on; and the process is killed there, before the call and, where it writes, in the middle of it. Meanwhile calls
 * are answered with the status that names what failed; when it is over they succeed; and a start with nothing failing finds
 * everything as the ledger has it (trial.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/calls.h"
#include "tests/fault/campaign.h"
#include "tests/fault/scenarios.h"

static const struct way {
	const char *name;
	enum ntc_calls_how how;
	int err;
} ways[] = {
	{ "EIO", NTC_CALLS_ONCE, EIO },
	{ "ENOSPC", NTC_CALLS_ONCE, ENOSPC },
	{ "EMFILE", NTC_CALLS_ONCE, EMFILE },
	{ "EIO from then on", NTC_CALLS_LASTING, EIO },
	{ "ENOSPC from then on", NTC_CALLS_LASTING, ENOSPC },
	{ "EMFILE from then on", NTC_CALLS_LASTING, EMFILE },
	{ "killed before it", NTC_CALLS_KILL, 0 },
	{ "killed in the middle of it", NTC_CALLS_TORN, 0 },
};

struct attempt {
	const struct ntc_scenario *scenario;
	struct ntc_trial trial;
};

static struct ntc_calls *calls;
static struct ntc_ledger *prepared, *ledger;

static void arm(void *ctx, bool on)
{
	(void)ctx;
	atomic_store(&calls->armed, on);
}

static bool fired(void *ctx)
{
	(void)ctx;
	return atomic_load(&calls->fired);
}

static int run(void *ctx)
{
	struct attempt *a = ctx;

	ntc_calls_install(calls);
	ntc_scenario_run(a->scenario, &a->trial);
	return 0;
}

static int judge(void *ctx)
{
	struct attempt *a = ctx;

	ntc_scenario_judge(a->scenario, &a->trial);
	return 0;
}

static void setup(struct attempt *a, const struct ntc_scenario *s, const struct way *way, unsigned n)
{
	memset(calls, 0, sizeof(*calls));
	*a = (struct attempt){ .scenario = s };
	ntc_scenario_setup(s, prepared, &a->trial, ledger);
	a->trial.arm = arm;
	a->trial.fired = fired;
	if (!way)
		return;
	a->trial.named = way->err ? ntc_status_from_errno(way->err) : NTC_ST_OK;
	a->trial.lasting = way->how == NTC_CALLS_LASTING;
	calls->how = way->how;
	calls->err = way->err;
	calls->at = n;
}

/* One n in one way. Calls are not quite the same each time: threads. So the n-th may not come, which is no pass. */
static bool attempt(const struct ntc_scenario *s, const struct way *way, unsigned n)
{
	const char *call;
	struct attempt a;
	int code;

	if (!ntc_fault_chosen("%s, call %u, %s", s->name, n, way->name))
		return false;
	setup(&a, s, way, n);
	code = ntc_fault_run(run, &a);
	if (!atomic_load(&calls->fired))
		return false;
	call = n <= NTC_CALLS_MAX ? ntc_call_names[calls->kinds[n - 1]] : "?";
	if (way->err ? code != 0 : code != 128 + SIGKILL) {
		ntc_fault_failed("%s, call %u, %s (%s): code %d, %s", s->name, n, way->name, call, code, ntc_fault_noted());
		return true;
	}
	a.trial.store = NULL;
	(void)ntc_fault_try(judge, &a, "%s, call %u, %s (%s), afterwards", s->name, n, way->name, call); /* it counts */
	return true;
}

/* How many calls the scenario makes, and which. */
static unsigned count_calls(const struct ntc_scenario *s)
{
	unsigned kinds[NTC_CALL_KINDS] = { 0 }, count;
	struct attempt a;
	char text[512] = "";
	size_t len = 0;

	setup(&a, s, NULL, 0);
	if (!ntc_fault_try(run, &a, "%s, nothing fails", s->name))
		return 0;
	count = atomic_load(&calls->count);
	for (unsigned i = 0; i < count && i < NTC_CALLS_MAX; i++)
		kinds[calls->kinds[i]]++;
	for (unsigned i = 0; i < NTC_CALL_KINDS; i++)
		if (kinds[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %u", ntc_call_names[i], kinds[i]);
	a.trial.store = NULL;
	if (!ntc_fault_try(judge, &a, "%s, nothing failed, afterwards", s->name))
		return 0;
	ntc_fault_say("%s: %u calls:%s", s->name, count, text);
	return count;
}

static void sweep(const struct ntc_scenario *s)
{
	unsigned done = 0, missed = 0, count;
	uint32_t *order;

	memset(prepared, 0, sizeof(*prepared));
	ntc_scenario_prepare(s, prepared);
	count = count_calls(s);
	order = ntc_fault_order(count * (uint32_t)NTC_COUNT(ways));
	for (uint32_t i = 0; i < count * NTC_COUNT(ways) && ntc_fault_goes_on(); i++) {
		if (attempt(s, &ways[order[i] % NTC_COUNT(ways)], order[i] / (uint32_t)NTC_COUNT(ways) + 1))
			done++;
		else
			missed++;
	}
	ntc_fault_say("%s: %u tried, %u did not come to pass", s->name, done, missed);
	free(order);
}

int main(void)
{
	ntc_fault_begin("sweep_calls", true);
	calls = ntc_fault_shared(sizeof(*calls));
	prepared = ntc_fault_shared(sizeof(*prepared));
	ledger = ntc_fault_shared(sizeof(*ledger));
	for (unsigned i = 0; i < ntc_scenario_count; i++) {
		ntc_fault_share(100 / ntc_scenario_count);
		sweep(&ntc_scenarios[i]);
	}
	return ntc_fault_end();
}
