# SPDX-License-Identifier: Apache-2.0
"""One module per load generator, found by being there; each has an object `DRIVER` of class base.Driver."""
