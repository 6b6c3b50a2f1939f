// SPDX-License-Identifier: GPL-2.0
/* Counters, summed up when they are read. */
#include "stats.h"

#include <linux/ctype.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

DEFINE_PER_CPU(struct slick_stats, slick_stats);

static const char* const names[] = {
#define SLICK_NAME(name) #name,
    SLICK_COUNTERS(SLICK_NAME)
#undef SLICK_NAME
};

static int show(struct seq_file* out, void* unused) {
  int counter;
  int cpu;

  for (counter = 0; counter < SLICK_COUNTER_COUNT; counter++) {
    const char* letter;
    s64 sum = 0;

    for_each_possible_cpu(cpu) sum += READ_ONCE(per_cpu(slick_stats, cpu).value[counter]);
    for (letter = names[counter]; *letter; letter++) seq_putc(out, tolower(*letter));
    seq_printf(out, " %lld\n", sum);
  }
  return 0;
}

int slick_stats_init(void) {
  return proc_create_single("slick", 0444, NULL, show) ? 0 : -ENOMEM;
}

void slick_stats_exit(void) {
  remove_proc_entry("slick", NULL);
}
