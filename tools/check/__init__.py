# SPDX-License-Identifier: Apache-2.0
"""What `make test` runs: stages that build, test and lint, each named with its time, and one closing line."""
