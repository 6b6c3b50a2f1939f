# SPDX-License-Identifier: Apache-2.0
"""Statistics over trials. The trial is the sample; a percentile is never averaged.

Pure: numbers in, numbers out. Nothing here reads a record, draws or judges.
"""
