/* Ops and the queues they travel through; see op.h. */
#include "store/op.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/sys.h"

struct ntc_op *ntc_op_new(enum ntc_op_type type, const struct ntc_digest *digest, const struct ntc_view *key)
{
	size_t key_len = key ? key->len : 0;
	struct ntc_op *op = malloc(sizeof(*op) + key_len);

	if (!op)
		return NULL;
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->fd = -1;
	if (digest)
		op->digest = *digest;
	op->has_key = key != NULL;
	op->key_len = key_len;
	if (key_len)
		memcpy(op->key, key->p, key_len);
	return op;
}

void ntc_op_free(struct ntc_op *op)
{
	if (!op)
		return;
	ntc_buffer_unref(op->image);
	ntc_sys_close(op->fd);
	free(op->items);
	free(op);
}

void ntc_op_push(struct ntc_op_list *list, struct ntc_op *op)
{
	op->next = NULL;
	if (list->tail)
		list->tail->next = op;
	else
		list->head = op;
	list->tail = op;
}

struct ntc_op *ntc_op_pop(struct ntc_op_list *list)
{
	struct ntc_op *op = list->head;

	if (!op)
		return NULL;
	list->head = op->next;
	if (!list->head)
		list->tail = NULL;
	op->next = NULL;
	return op;
}

void ntc_op_unpop(struct ntc_op_list *list, struct ntc_op *op)
{
	op->next = list->head;
	list->head = op;
	if (!list->tail)
		list->tail = op;
}

/* --- queue -------------------------------------------------------------------------------- */

bool ntc_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_condattr_init(&attr))
		return false;
	ok = !pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) && !pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr); /* cannot fail here */
	return ok;
}

bool ntc_queue_init(struct ntc_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	if (pthread_mutex_init(&queue->lock, NULL))
		return false;
	if (ntc_cond_init(&queue->changed))
		return true;
	pthread_mutex_destroy(&queue->lock);
	return false;
}

void ntc_queue_release(struct ntc_queue *queue)
{
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
}

void ntc_queue_push(struct ntc_queue *queue, struct ntc_op *op)
{
	pthread_mutex_lock(&queue->lock);
	ntc_op_push(&queue->ops, op);
	queue->count++;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

void ntc_queue_end(struct ntc_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->ended = true;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

/* --- mailbox ------------------------------------------------------------------------------ */

bool ntc_mailbox_init(struct ntc_mailbox *mailbox)
{
	memset(mailbox, 0, sizeof(*mailbox));
	mailbox->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->event < 0)
		return false;
	if (pthread_mutex_init(&mailbox->lock, NULL))
		goto no_lock;
	if (ntc_cond_init(&mailbox->taken))
		return true;
	pthread_mutex_destroy(&mailbox->lock);
no_lock:
	ntc_sys_close(mailbox->event);
	return false;
}

void ntc_mailbox_release(struct ntc_mailbox *mailbox)
{
	pthread_cond_destroy(&mailbox->taken);
	pthread_mutex_destroy(&mailbox->lock);
	ntc_sys_close(mailbox->event);
}

void ntc_mailbox_wait_room(struct ntc_mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	while (mailbox->loads >= NTC_MAILBOX_LOADS_MAX || mailbox->bytes >= NTC_MAILBOX_BYTES_MAX)
		pthread_cond_wait(&mailbox->taken, &mailbox->lock);
	pthread_mutex_unlock(&mailbox->lock);
}

void ntc_mailbox_post(struct ntc_mailbox *mailbox, struct ntc_op_list *ops)
{
	const uint64_t one = 1;
	struct ntc_op *op;

	pthread_mutex_lock(&mailbox->lock);
	while ((op = ntc_op_pop(ops))) {
		if (op->type >= NTC_OP_LOAD) {
			mailbox->loads++;
			mailbox->bytes += op->image ? op->image->len : 0;
		}
		ntc_op_push(&mailbox->ops, op);
	}
	pthread_mutex_unlock(&mailbox->lock);
	/* Fails only when the count is at its top, and then it is readable anyway. */
	if (write(mailbox->event, &one, sizeof(one)) < 0)
		return;
}

struct ntc_op_list ntc_mailbox_take(struct ntc_mailbox *mailbox)
{
	struct ntc_op_list ops;
	uint64_t count;

	/* Before the list is taken: what is posted behind that makes it readable again. EAGAIN is harmless. */
	if (read(mailbox->event, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&mailbox->lock);
	ops = mailbox->ops;
	mailbox->ops = (struct ntc_op_list){ 0 };
	mailbox->loads = 0;
	mailbox->bytes = 0;
	pthread_cond_broadcast(&mailbox->taken);
	pthread_mutex_unlock(&mailbox->lock);
	return ops;
}
