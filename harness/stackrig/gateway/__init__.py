# SPDX-License-Identifier: Apache-2.0
"""One gateway process per host: execnet over `ip netns exec` here, over SSH in a lab. One code path."""
