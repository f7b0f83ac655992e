# The demonstration of ./dev run, inside the guest: one unmodified program, without libremap and with it.
cd /opt/libremap || exit 1
show()
{
	printf '\n$ %s\n' "$*"
	"$@" 2>&1
	status=$?
	[ $status -eq 0 ] || echo "(exit status $status)"
}
echo "This is Linux $(uname -r)."
show examples/collector --memfd
without=$status
show ./remap-run -- examples/collector --memfd
with=$status
show ./remap-probe
echo
if [ $without -ne 0 ] && [ $with -eq 0 ]; then
	echo "The same program failed without libremap and works with it."
	exit 0
fi
echo "This is not what was to be shown: exit status $without without libremap, $with with it."
exit 1
