# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
import a_module_that_nobody_has  # noqa: F401
