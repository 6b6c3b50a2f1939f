# SPDX-License-Identifier: Apache-2.0
"""How bars are measured: one module per method, each with a function `measure(bar, session, tell)`."""
