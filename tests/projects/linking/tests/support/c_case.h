/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

#ifndef C_CASE_H
#define C_CASE_H

#ifdef __cplusplus
extern "C"
#endif
/* What a test in C is: whether it has passed. */
int c_case(void);

#endif
