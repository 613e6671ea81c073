// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

int forgotten() { return 1; }
