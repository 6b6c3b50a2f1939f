# SPDX-License-Identifier: Apache-2.0
"""A virtual machine (QEMU, software emulation) that loads the kernel module slick, for its tests.

What it measures says nothing about performance: an emulated processor runs the kernel many times slower.
"""
