// SPDX-License-Identifier: GPL-2.0
/* Events of sockets by their callbacks, deferred to a work queue. */
#include "klibevent.h"

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <net/sock.h>

/*
 * A socket that is registered. References: one of the registration, one of its work while that is
 * queued. Freed after a grace period, because callbacks find it under RCU.
 */
struct klibevent {
  struct work_struct work;
  struct kref references;
  struct socket* sock;
  notify_func_t notify;
  void* arg;
  atomic_t pending; /* KLIBEVENT_ bits that have not been notified yet */
  bool gone;        /* unregistered: no notification begins any more */
  struct rcu_head rcu;
};

/* Ordered: a work item at a time, the paper's single-threaded work queue (listing 2.8). */
static struct workqueue_struct* klibevent_work_queue;
/* The task that runs a work item of the loop now. */
static struct task_struct* loop_task;

/* What every TCP socket begins with, as in listing 2.8; the kernel does not export them. */
static DEFINE_MUTEX(standard_callbacks_mutex);
static bool standard_callbacks_known;
static void (*standard_sk_state_change)(struct sock* sk);
static void (*standard_sk_data_ready)(struct sock* sk);
static void (*standard_sk_write_space)(struct sock* sk);

static void free_event(struct rcu_head* rcu) {
  kfree(container_of(rcu, struct klibevent, rcu));
}

/* Not kfree_rcu(), which keeps memory for seconds, and whose end rcu_barrier() does not tell. */
static void release(struct kref* references) {
  call_rcu(&container_of(references, struct klibevent, references)->rcu, free_event);
}

/* Under RCU or with a reference held. */
static void queue_event(struct klibevent* event, int events) {
  if (!kref_get_unless_zero(&event->references)) return;
  atomic_or(events, &event->pending);
  if (!queue_work(klibevent_work_queue, &event->work)) kref_put(&event->references, release);
}

static void raise(struct sock* sk, int events) {
  struct klibevent* event;

  rcu_read_lock();
  event = rcu_dereference_sk_user_data(sk);
  if (event) queue_event(event, events);
  rcu_read_unlock();
}

/*
 * The callbacks run in a softirq, or in whoever holds the socket's lock. Each goes on to the
 * standard one, for those who sleep on the socket. A socket not yet accepted has these from its
 * listener, but no user data.
 */
static void over_sk_state_change(struct sock* sk) {
  raise(sk, KLIBEVENT_STATE | KLIBEVENT_READ);
  standard_sk_state_change(sk);
}

static void over_sk_data_ready(struct sock* sk) {
  raise(sk, KLIBEVENT_READ);
  standard_sk_data_ready(sk);
}

static void over_sk_write_space(struct sock* sk) {
  standard_sk_write_space(sk);
  /* TCP calls this until a third of the buffer is free, and the standard one does the same then. */
  if (sk_stream_is_writeable(sk)) raise(sk, KLIBEVENT_WRITE);
}

static void run_event(struct work_struct* work) {
  struct klibevent* event = container_of(work, struct klibevent, work);
  int events = atomic_xchg(&event->pending, 0);

  WRITE_ONCE(loop_task, current);
  if (!READ_ONCE(event->gone)) event->notify(event->sock, event->arg, events);
  WRITE_ONCE(loop_task, NULL);
  kref_put(&event->references, release);
}

static bool on_loop(void) {
  return READ_ONCE(loop_task) == current;
}

static void learn_standard_callbacks(struct sock* sk) {
  mutex_lock(&standard_callbacks_mutex);
  if (!standard_callbacks_known) {
    standard_sk_state_change = sk->sk_state_change;
    standard_sk_data_ready = sk->sk_data_ready;
    standard_sk_write_space = sk->sk_write_space;
    standard_callbacks_known = true;
  }
  mutex_unlock(&standard_callbacks_mutex);
}

static int overwrite_callbacks(struct sock* sk, struct klibevent* event) {
  int error = 0;

  write_lock_bh(&sk->sk_callback_lock);
  if (sk->sk_user_data) {
    error = -EBUSY;
  } else {
    /* Not copied: otherwise a connection would take the listener's event for its own. */
    __rcu_assign_sk_user_data_with_flags(sk, event, SK_USER_DATA_NOCOPY);
    sk->sk_state_change = over_sk_state_change;
    sk->sk_data_ready = over_sk_data_ready;
    sk->sk_write_space = over_sk_write_space;
  }
  write_unlock_bh(&sk->sk_callback_lock);
  return error;
}

static struct klibevent* restore_callbacks(struct sock* sk) {
  struct klibevent* event;

  /* With the socket's lock: whoever is in a callback outside a softirq holds it (the backlog). */
  lock_sock(sk);
  write_lock_bh(&sk->sk_callback_lock);
  event = rcu_dereference_protected((void*)((uintptr_t)sk->sk_user_data & SK_USER_DATA_PTRMASK),
                                    lockdep_is_held(&sk->sk_callback_lock));
  rcu_assign_sk_user_data(sk, NULL);
  sk->sk_state_change = standard_sk_state_change;
  sk->sk_data_ready = standard_sk_data_ready;
  sk->sk_write_space = standard_sk_write_space;
  write_unlock_bh(&sk->sk_callback_lock);
  release_sock(sk);
  return event;
}

int register_sock(struct socket* sock, notify_func_t notify, void* arg) {
  struct klibevent* event = kzalloc(sizeof(*event), GFP_KERNEL);
  int error;

  if (!event) return -ENOMEM;
  INIT_WORK(&event->work, run_event);
  kref_init(&event->references);
  event->sock = sock;
  event->notify = notify;
  event->arg = arg;
  learn_standard_callbacks(sock->sk);
  error = overwrite_callbacks(sock->sk, event);
  if (error) {
    kfree(event);
    return error;
  }
  klibevent_raise(sock, KLIBEVENT_READ | KLIBEVENT_WRITE | KLIBEVENT_STATE);
  return 0;
}

void unregister_sock(struct socket* sock) {
  struct klibevent* event = restore_callbacks(sock->sk);

  if (!event) return;
  WRITE_ONCE(event->gone, true);
  if (!on_loop()) flush_work(&event->work);
  kref_put(&event->references, release);
}

void klibevent_raise(struct socket* sock, int events) {
  raise(sock->sk, events);
}

int klibevent_accept(struct socket* listener, struct socket** accepted) {
  int error = kernel_accept(listener, accepted, O_NONBLOCK);

  if (error == 0) restore_callbacks((*accepted)->sk);
  return error;
}

struct call {
  struct work_struct work;
  void (*fn)(void*);
  void* arg;
};

static void run_call(struct work_struct* work) {
  struct call* call = container_of(work, struct call, work);

  WRITE_ONCE(loop_task, current);
  call->fn(call->arg);
  WRITE_ONCE(loop_task, NULL);
}

void klibevent_call(void (*fn)(void*), void* arg) {
  struct call call = {.fn = fn, .arg = arg};

  INIT_WORK_ONSTACK(&call.work, run_call);
  queue_work(klibevent_work_queue, &call.work);
  flush_work(&call.work);
  destroy_work_on_stack(&call.work);
}

int klibevent_init(void) {
  klibevent_work_queue = alloc_ordered_workqueue("klibevent", 0);
  return klibevent_work_queue ? 0 : -ENOMEM;
}

void klibevent_exit(void) {
  /* A callback that began before its socket was unregistered may still be about to queue work ...
   */
  synchronize_rcu();
  destroy_workqueue(klibevent_work_queue); /* ... which is run out here and does nothing */
  rcu_barrier();                           /* and all events are freed */
}
