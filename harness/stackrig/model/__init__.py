# SPDX-License-Identifier: Apache-2.0
"""The nouns of the bench as data: what the YAML files may say and what a trial's record holds.

Pure data: nothing here starts, measures or draws anything.
"""
