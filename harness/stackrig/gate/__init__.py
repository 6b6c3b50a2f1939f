# SPDX-License-Identifier: Apache-2.0
"""The correctness gate: nobody is timed before their answers are right."""
