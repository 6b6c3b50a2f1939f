# SPDX-License-Identifier: Apache-2.0
"""From records to figures: a system looks the same in all of them."""
