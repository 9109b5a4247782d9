/* The whole path: look, acquire, slot, make, put. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

/* Called by one process to make it; ends the lease. */
static enum ntc_err make_it(struct ntc_client *client, const struct ntc_key *key, struct ntc_answer *answer,
			    ntc_make_fn *make, void *ctx, struct ntc_entry **entry, char **log)
{
	struct ntc_make what = { .key = key, .lease = answer->lease };
	uint64_t began;
	enum ntc_err err;

	what.has_slot = ntc_slot(answer->lease, NTC_NO_TIMEOUT) == NTC_OK;
	ntc_explain_clear();
	began = ntc_clock_mono_ns();
	err = make(ctx, &what, entry, log);
	if (err == NTC_OK && !*entry)
		err = ntc_explain(NTC_E_INVALID, "the maker gave no entry");
	if (err > 0 && err != NTC_FAILED)
		err = ntc_explain(NTC_E_INVALID, "the maker returned %s", ntc_err_name(err));
	if (err == NTC_OK) {
		/* Not stored is told once by the client; what was made is good all the same. */
		(void)ntc_put(client, answer->lease, *entry, ntc_clock_mono_ns() - began);
		ntc_explain_clear();
	} else {
		char why[NTC_LIMIT_REASON];

		ntc_entry_unref(*entry);
		*entry = NULL;
		memcpy(why, ntc_last_error(), strnlen(ntc_last_error(), sizeof(why) - 1) + 1);
		/* If the lease was over meanwhile, somebody else is making it: nothing to be done here. */
		(void)ntc_fail(answer->lease, err == NTC_FAILED ? NTC_DETERMINISTIC : NTC_TRANSIENT, *log,
			       *log ? strlen(*log) : 0);
		ntc_explain(err, "%s", why);
	}
	answer->lease = NULL;
	return err;
}

NTC_API enum ntc_err ntc_fetch(struct ntc_client *client, const struct ntc_key *key,
			       const struct ntc_acquire_options *options, ntc_make_fn *make, void *ctx,
			       struct ntc_entry **entry, char **log)
{
	struct ntc_answer answer;
	char *made_log = NULL;
	enum ntc_err err = ntc_client_enter(client);

	if (entry)
		*entry = NULL;
	if (log)
		*log = NULL;
	if (!err && (!make || !entry))
		err = ntc_explain(NTC_E_INVALID, "no maker, or no place for the entry");
	if (err)
		return err;
	err = ntc_acquire(client, key, options, &answer);
	switch (err) {
	case NTC_OK:
		*entry = answer.entry;
		answer.entry = NULL;
		break;
	case NTC_FAILED:
		made_log = answer.log;
		answer.log = NULL;
		break;
	case NTC_MAKE:
	case NTC_ALONE:
		err = make_it(client, key, &answer, make, ctx, entry, &made_log);
		break;
	default:
		return err;
	}
	if (log && err)
		*log = made_log;
	else
		free(made_log);
	/* Nothing is left in it but what was not taken out; no lease, so no question is asked. */
	if (answer.entry || answer.log)
		ntc_answer_clear(&answer);
	return err;
}
