#!/bin/sh
# Transfers beside moves: natively (the test is right), emulated and on pretended old kernels.
. "${srcdir:-.}/tests/tap.sh"

beside_moves() { # CONFIG COMMAND...
	tap_passes 86 "$@" "$(tap_program tests/preload/transfers)"
}

tap_in_configs beside_moves native emulate pretend-4.14
tap_done
