# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module does, told once: over the engine in memory (tests/unit) and over the real engines (tests/integration).

A file a module. A story is a function with its assertions in it, which both tests call; tests/conftest.py has pytest explain them.
"""
