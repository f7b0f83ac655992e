#!/bin/sh
# remap-run-conf.t - LIBREMAP_CONF, LIBREMAP_DEBUG and LIBREMAP_LOG as the command finds them
# Later wins: environment, then options in their order. Needs nothing.
. "$(dirname "$0")/remap-run.sh"

conf() { # WANTED NAME [VAR=VALUE...] -- OPTION...
	wanted=$1 name=$2
	shift 2
	got=$(
		while test "$1" != --; do
			export "${1?}"
			shift
		done
		shift
		"$remap_run" --no-preload "$@" -- sh -c 'echo "${LIBREMAP_CONF-unset}"' 2>&1
	)
	tap_is "$got" "$wanted" "$name"
}

conf unset "nothing asked for" --
conf native:no "--emulate" -- --emulate
conf native:yes "--emulate, then --conf" -- --emulate --conf native:yes
conf native:no "--conf, then --emulate" -- --conf native:yes --emulate
conf quiesce:caller,native:no "--conf and --emulate" -- --conf quiesce:caller --emulate
conf facts:exact,raw:on,native:no "three ways" -- --conf facts:exact,raw:on --conf native:yes --emulate
conf quiesce:caller "the environment" LIBREMAP_CONF=quiesce:caller --
conf quiesce:caller,native:no "the environment and --emulate" LIBREMAP_CONF=quiesce:caller -- --emulate
conf maps_view:on,native:no "an option wins over the environment" LIBREMAP_CONF=native:yes,maps_view:on -- --emulate
conf native:no "the same key often" LIBREMAP_CONF=native:yes,native:yes -- --conf native:yes,native:no
conf future:1,native:no "the environment's unknown keys are the library's business" LIBREMAP_CONF=future:1 -- --emulate
conf mirror_fork:drop "a key that begins like another" LIBREMAP_CONF=mirror_fork:share -- --conf mirror_fork:drop
conf mirror_private:einval,mirror_fork:drop "keys with a common beginning" -- --conf mirror_private:einval,mirror_fork:drop
conf raw_future:1,raw:on "an unknown key that begins like a known one" LIBREMAP_CONF=raw_future:1 -- --conf raw:on
conf native:no "stray commas" -- --conf ,native:no,
conf "" "an empty LIBREMAP_CONF" LIBREMAP_CONF= --
for item in native:yes native:no quiesce:stop quiesce:guard quiesce:caller mirror_private:convert mirror_private:einval \
	mirror_fork:snapshot mirror_fork:share mirror_fork:drop facts:cached facts:exact raw:auto raw:on raw:off \
	maps_view:on maps_view:off; do
	conf $item "$item is known" -- --conf $item
done

run --no-preload -- sh -c 'echo "${LIBREMAP_DEBUG-unset} ${LIBREMAP_LOG-unset}"'
tap_is "$out" "unset unset" "no --debug, no --log"
run --no-preload --debug -- sh -c 'echo "${LIBREMAP_DEBUG-unset}"'
tap_is "$out" 1 "--debug"
cd "$tmp" || exit 99
run --no-preload --log log -- sh -c 'echo "$LIBREMAP_LOG"'
tap_is "$out" "$(pwd -P)/log" "--log is made absolute"
test -f "$tmp/log" && tap_ok 0 "--log: the file is there" || tap_ok 1 "--log: the file is there"
echo kept >"$tmp/log"
run --no-preload --log log -- true
tap_is "$(cat "$tmp/log")" kept "--log: an existing file is not cut"

tap_done
