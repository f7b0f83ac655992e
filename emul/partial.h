/* SPDX-License-Identifier: MIT */
#ifndef RM_PARTIAL_H
#define RM_PARTIAL_H

/*
 * At the end of the stop handler, when nothing is left to do in it, with the interrupted context: a
 * write, send or recv that the stop has cut short goes on, and its result becomes what it would
 * have been. May wait for as long as the call would have; handlers of the program that run
 * meanwhile end it, as they would have ended the call. See partial.c.
 */
void rm_partial_go_on(void *context);

#endif
