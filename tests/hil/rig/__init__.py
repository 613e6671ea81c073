# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What a rig consists of: power, console, deployment, and the report of what was measured there."""
