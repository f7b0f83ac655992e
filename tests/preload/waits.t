#!/bin/sh
# Waits of limited length beside moves: natively (the test is right), emulated and on pretended old kernels.
. "${srcdir:-.}/tests/tap.sh"

beside_moves() { # CONFIG COMMAND...
	tap_passes 55 "$@" "$(tap_program tests/preload/waits)"
}

tap_in_configs beside_moves native emulate pretend-4.14
tap_done
