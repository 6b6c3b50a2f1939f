# SPDX-License-Identifier: Apache-2.0
"""One module per verb, found by being there; each has a function `command` whose docstring is its help."""
