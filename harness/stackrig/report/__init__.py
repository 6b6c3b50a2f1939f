# SPDX-License-Identifier: Apache-2.0
"""Pages that open from disk with no network: one per artifact, and the scoreboard of claims over them all."""
