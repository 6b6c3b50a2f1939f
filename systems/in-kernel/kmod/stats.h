/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module counts, one number per processor so that counting shares nothing. Read as
 * /proc/slick: a line "name value" each. Any context.
 */
#ifndef SLICK_STATS_H
#define SLICK_STATS_H

#include <linux/percpu.h>

/* The name in /proc/slick is what follows SLICK_, in small letters. */
#define SLICK_COUNTERS(X)                                                              \
  X(CONNECTIONS)         /* accepted */                                                \
  X(CONNECTIONS_OPEN)    /* of these, now */                                           \
  X(CONNECTIONS_REFUSED) /* closed at once: more than max_connections, or no memory */ \
  X(BYTES_IN)                                                                          \
  X(BYTES_OUT)                                                                         \
  X(ROUND_TRIPS)      /* echo: buffers sent back */                                    \
  X(MESSAGES)         /* forward: handed to a backend */                               \
  X(MESSAGES_DROPPED) /* forward: no backend for the key, or one that is gone */       \
  X(CALLS)            /* forward: connect, close, unknown methods */                   \
  X(STALLS)           /* forward: senders that had to wait for a backend */            \
  X(BACKENDS_OPEN)    /* forward: connections to backends, now */                      \
  X(BACKENDS_LOST)    /* forward: closed by the other side */                          \
  X(MALFORMED)        /* connections closed for what they sent */                      \
  X(TRUNCATED)        /* connections that ended within a message or buffer */

enum slick_counter {
#define SLICK_ENUM(name) SLICK_##name,
  SLICK_COUNTERS(SLICK_ENUM)
#undef SLICK_ENUM
      SLICK_COUNTER_COUNT
};

struct slick_stats {
  s64 value[SLICK_COUNTER_COUNT];
};

DECLARE_PER_CPU(struct slick_stats, slick_stats);

static inline void slick_count_add(enum slick_counter counter, s64 amount) {
  this_cpu_add(slick_stats.value[counter], amount);
}

static inline void slick_count(enum slick_counter counter) {
  slick_count_add(counter, 1);
}

/* Makes /proc/slick: zero or -ENOMEM. */
int slick_stats_init(void);
void slick_stats_exit(void);

#endif
