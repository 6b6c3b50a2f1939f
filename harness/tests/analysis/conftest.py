# SPDX-License-Identifier: Apache-2.0
"""Lets the tests import what they share, as tests.analysis.<module>; no example has a deadline."""

import sys
from pathlib import Path

from hypothesis import settings

HARNESS = str(Path(__file__).resolve().parents[2])
if HARNESS not in sys.path:
    sys.path.insert(0, HARNESS)

settings.register_profile("stackrig", deadline=None)
settings.load_profile("stackrig")
