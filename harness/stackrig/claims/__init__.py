# SPDX-License-Identifier: Apache-2.0
"""From records to verdicts: what the trials say on each claim of a paper."""
