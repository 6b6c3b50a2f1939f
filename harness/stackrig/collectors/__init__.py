# SPDX-License-Identifier: Apache-2.0
"""One module per source of counters, found by being there; each has an object `COLLECTOR` of class
base.Collector. A counter that cannot be read is recorded as unavailable with the reason, never as zero."""
