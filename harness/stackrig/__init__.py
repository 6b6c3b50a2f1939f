# SPDX-License-Identifier: Apache-2.0
"""stackrig: one bench for network stacks."""

__version__ = "0.1.0"
