# SPDX-License-Identifier: Apache-2.0
"""The performance bars, one file each, found by being there."""
