# SPDX-License-Identifier: Apache-2.0
"""Hosts, wires and cores, made for a run and gone after it, however it ends."""
