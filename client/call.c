/* One request and its answer; see call.h. */
#include "client/call.h"

#include <stdio.h>

#include "client/errmap.h"

enum ntc_err ntc_call_malformed(struct ntc_conn *conn, unsigned type)
{
	char why[96];

	snprintf(why, sizeof(why), "the daemon answered with a %s that makes no sense here",
		 ntc_message_name(type));
	return ntc_conn_kill(conn, NTC_E_PROTOCOL, why);
}

enum ntc_err ntc_call_error(struct ntc_conn *conn, const struct ntc_reply *reply, unsigned *status)
{
	struct ntc_msg_error error;
	enum ntc_err err;

	if (!ntc_msg_error_read(ntc_view(reply->bytes, reply->len), &error) || error.status == NTC_ST_OK)
		return ntc_call_malformed(conn, reply->type);
	if (status)
		*status = error.status;
	err = ntc_err_from_status(error.status);
	return ntc_explain(err, "%.*s", (int)(error.text.len < 400 ? error.text.len : 400),
			   error.text.len ? (const char *)error.text.p : "");
}

enum ntc_err ntc_call_on(struct ntc_conn *conn, unsigned type, struct ntc_view payload, int fd, unsigned want,
			 uint64_t deadline, struct ntc_reply *reply, unsigned *status)
{
	struct ntc_request request = { .reply = NTC_REPLY_INIT };
	struct ntc_waiter waiter;
	enum ntc_err err;

	*reply = (struct ntc_reply)NTC_REPLY_INIT;
	ntc_waiter_init(&waiter);
	request.waiter = &waiter;
	err = ntc_conn_send(conn, type, payload, fd, &request, deadline);
	if (!err)
		err = ntc_conn_wait(conn, &waiter, deadline);
	if (!err) {
		(void)ntc_conn_take(conn, &waiter, 0); /* it is `request` */
		*reply = request.reply;
		if (reply->type == NTC_MSG_ERROR)
			err = ntc_call_error(conn, reply, status);
		else if (reply->type != want)
			err = ntc_call_malformed(conn, reply->type);
		if (err)
			ntc_reply_clear(reply);
	} else {
		ntc_conn_abandon(conn, &request);
	}
	ntc_waiter_release(&waiter);
	return err;
}

enum ntc_err ntc_call(struct ntc_client *client, unsigned type, struct ntc_view payload, unsigned want,
		      uint64_t deadline, struct ntc_reply *reply)
{
	enum ntc_err err = NTC_OK;

	*reply = (struct ntc_reply)NTC_REPLY_INIT;
	for (int turn = 0; turn < 2; turn++) {
		struct ntc_conn *conn;
		unsigned status = 0;

		err = ntc_client_conn(client, deadline, &conn, NULL);
		if (err)
			return err;
		err = ntc_call_on(conn, type, payload, -1, want, deadline, reply, &status);
		ntc_conn_unref(conn);
		/* Lost, or answered by a daemon that is stopping: the next one may know. */
		if (err != NTC_E_NO_DAEMON)
			break;
	}
	return err;
}
